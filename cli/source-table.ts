import { z } from 'zod'
import { count } from './progress.ts'
import { table } from './table.ts'

const partitionSchema = z.object({
  partition: z.string(),
  next: z.number(),
  committed: z.number().nullable(),
  end: z.number().nullable(),
  lag: z.number().nullable(),
  inFlight: z.number(),
  oldestMs: z.number(),
})

export const sourceSchema = z.object({
  node: z.string(),
  state: z.enum(['open', 'paused', 'closed']),
  inFlight: z.number(),
  inFlightMax: z.number(),
  oldestMs: z.number(),
  partitions: z.array(partitionSchema),
})

export const sourcesSchema = z.object({ sources: z.array(sourceSchema) })
export type SourceRow = z.infer<typeof sourceSchema>

/** Where stream triggers stand, for a person: a line each, and a line for each of their partitions. */
export function sourceTable(sources: readonly SourceRow[]): string {
  if (sources.length === 0) return 'no stream trigger runs'
  const number = (value: number | null): string => (value === null ? '–' : count(value))
  const lines = sources.flatMap((source) => [
    [source.node, source.state, '', '', '', '', number(source.inFlight), age(source.oldestMs)],
    ...source.partitions.map((each) => [
      '',
      '',
      each.partition,
      number(each.next),
      number(each.committed),
      number(each.lag),
      number(each.inFlight),
      age(each.oldestMs),
    ]),
  ])
  return table(['trigger', 'state', 'partition', 'next', 'committed', 'lag', 'in flight', 'oldest'], lines, 3)
}

/** A length of time for people. */
export function age(ms: number): string {
  if (ms < 1) return '0'
  if (ms < 1_000) return `${Math.round(ms)} ms`
  if (ms < 120_000) return `${(ms / 1_000).toFixed(1)} s`
  return ms < 7_200_000 ? `${Math.round(ms / 60_000)} min` : `${Math.round(ms / 3_600_000)} h`
}
