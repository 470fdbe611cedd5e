import type { Catalogue } from '../../core/catalogue.ts'
import { compile } from '../../core/compile/compile.ts'
import type { Plan } from '../../core/document/plan.ts'
import type { Host } from '../../core/host.ts'
import type { Pipeline } from '../../core/pipeline.ts'
import type { IsolationOptions } from './isolate.ts'

/** Makes a plan run where its settings say: in this thread, or in one of its own. */
export async function launch(
  plan: Plan,
  catalogue: Catalogue,
  host: Host,
  options: IsolationOptions,
): Promise<Pipeline> {
  if (plan.settings.isolation !== 'thread') return compile(plan, catalogue, host)
  return (await import('./isolate.ts')).isolate(plan, host, options)
}
