import type { Catalogue } from '../../core/catalogue.ts'
import { compile } from '../../core/compile/compile.ts'
import type { Plan } from '../../core/document/plan.ts'
import type { Host } from '../../core/host.ts'
import type { Pipeline } from '../../core/pipeline.ts'
import type { IsolationOptions } from './thread.ts'

/** Makes a plan run where its settings say: in this thread, in one of its own, or in several. `before` is the version that it is to take over from. */
export async function launch(
  plan: Plan,
  catalogue: Catalogue,
  host: Host,
  options: IsolationOptions,
  before?: Pipeline,
): Promise<Pipeline> {
  if (plan.settings.lanes > 1) return (await import('./lanes.ts')).runLanes(plan, host, options)
  if (plan.settings.isolation !== 'thread') return compile(plan, catalogue, host, { before })
  return (await import('./isolate.ts')).isolate(plan, host, options)
}
