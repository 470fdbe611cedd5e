import { inspect } from 'node:util'
import { z } from 'zod'
import { streamValues } from '../../sdk/http.ts'
import { onInterrupt } from '../interrupt.ts'
import { count } from '../progress.ts'
import type { RemoteOptions } from '../remote.ts'
import { remoteOf, workflowNameOf } from '../remote.ts'
import { outputEnded, standardStreams } from '../standard-streams.ts'
import { UsageError } from '../usage-error.ts'

export interface TapOptions extends RemoteOptions {
  readonly limit?: string
  readonly filter?: string
}

const lineSchema = z.union([
  z.object({ value: z.unknown(), key: z.unknown(), time: z.number() }),
  z.object({ missed: z.number() }),
  z.object({ end: z.string() }),
])

const tellEveryMs = 1_000

/** `millrace tap`: shows what leaves a port of a running workflow, and says on standard error how many messages went by unseen. */
export async function tap(workflow: string, port: string, options: TapOptions): Promise<void> {
  const query = new URLSearchParams({ port })
  if (options.filter !== undefined) query.set('filter', options.filter)
  if (options.limit !== undefined) query.set('limit', String(limitOf(options.limit)))
  const remote = remoteOf(options)
  const interrupt = onInterrupt()
  const signal = AbortSignal.any([interrupt.signal, outputEnded])
  const path = `/api/workflows/${encodeURIComponent(workflowNameOf(workflow))}/tap?${query}`
  const pretty = process.stdout.isTTY === true && options.json !== true
  const tally = new MissedTally()
  try {
    for await (const each of streamValues(remote.door, path, { signal })) {
      const line = lineSchema.parse(each)
      if ('missed' in line) tally.add(line.missed)
      else if ('end' in line) {
        if (line.end !== limitReached) console.error(`millrace: ${line.end}`)
      } else await standardStreams.write(pretty ? prettyText(line) : `${JSON.stringify(line)}\n`).catch(() => undefined)
      tally.tell(false)
    }
  } catch (thrown) {
    if (!signal.aborted) throw remote.explained(thrown)
    if (interrupt.exitCode !== null) process.exitCode = interrupt.exitCode
  } finally {
    tally.tell(true)
  }
}

const limitReached = 'the limit is reached'

/** Says how many went by unseen: once a second, and at the end. */
class MissedTally {
  #missed = 0
  #toldAt = performance.now()

  add(missed: number): void {
    this.#missed += missed
  }

  tell(atOnce: boolean): void {
    if (this.#missed === 0 || (!atOnce && performance.now() - this.#toldAt < tellEveryMs)) return
    console.error(`millrace: ${count(this.#missed)} messages went by unseen`)
    this.#missed = 0
    this.#toldAt = performance.now()
  }
}

function prettyText({ value, key, time }: { value?: unknown; key?: unknown; time: number }): string {
  const colors = process.env.NO_COLOR === undefined
  const at = time > 0 ? `${new Date(time).toISOString().slice(11, 23)}  ` : ''
  const breakLength = Math.max(40, (process.stdout.columns ?? 80) - 16)
  const text = inspect(value, { colors, depth: 12, breakLength, maxArrayLength: 100, maxStringLength: 4_000 })
  return `${colors ? `\x1b[2m${at}\x1b[22m` : at}${key === null || key === undefined ? '' : `${inspect(key, { colors })}  `}${text}\n`
}

function limitOf(text: string): number {
  const limit = Number(text)
  if (Number.isInteger(limit) && limit >= 1 && limit <= 1_000_000) return limit
  throw new UsageError(`--limit is ${JSON.stringify(text)}, not a number from 1 to 1000000`)
}
