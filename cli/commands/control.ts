import type { SeekTarget } from '../../core/define.ts'
import type { RemoteOptions } from '../remote.ts'
import { remoteOf, workflowNameOf } from '../remote.ts'
import { sourcesSchema, sourceTable } from '../source-table.ts'
import { UsageError } from '../usage-error.ts'

export interface ControlOptions extends RemoteOptions {
  readonly node?: string
  readonly to?: string
}

/** `millrace pause|resume|seek`: tells the stream triggers of a workflow that runs on a server what to do, and shows where they stand. */
export async function control(
  what: 'pause' | 'resume' | 'seek',
  workflow: string,
  options: ControlOptions,
): Promise<void> {
  const node = options.node ?? null
  const command = what === 'seek' ? { do: what, node, to: seekTargetOf(options.to ?? '') } : { do: what, node }
  const id = encodeURIComponent(workflowNameOf(workflow))
  const answer = sourcesSchema.parse(await remoteOf(options).call('POST', `/api/workflows/${id}/sources`, command))
  console.log(options.json === true ? JSON.stringify(answer) : sourceTable(answer.sources))
}

/** `millrace reload`: lets the version that stands in the file take over. */
export async function reload(workflow: string, options: RemoteOptions): Promise<void> {
  const name = workflowNameOf(workflow)
  const answer = await remoteOf(options).call('POST', `/api/workflows/${encodeURIComponent(name)}/reload`)
  console.log(options.json === true ? JSON.stringify(answer) : `${name}: the new version runs`)
}

/** `earliest`, `latest`, an offset, or a time. */
export function seekTargetOf(text: string): SeekTarget {
  if (text === 'earliest' || text === 'latest') return { kind: text }
  if (/^\d{1,15}$/.test(text)) return { kind: 'offset', offset: Number(text) }
  const timeMs = /^\d{4}-\d\d-\d\d/.test(text) ? Date.parse(text) : Number.NaN
  if (!Number.isNaN(timeMs)) return { kind: 'time', timeMs }
  throw new UsageError(
    `--to is ${JSON.stringify(text)}; write earliest, latest, an offset such as 1000, or a time such as 2026-01-01T00:00:00Z`,
  )
}
