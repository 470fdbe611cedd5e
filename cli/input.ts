import { readFileSync } from 'node:fs'
import type { Plan } from '../core/document/plan.ts'
import { lineRecords } from '../core/flow/line-records.ts'
import type { UnreadableRecord } from '../core/flow/record-source.ts'
import { standardStreams } from './standard-streams.ts'
import { UsageError } from './usage-error.ts'

/** What one execution starts with when many values come by `--input -`. */
const chunkMax = { messages: 500, bytes: 100_000_000 }

/**
 * The trigger at which a run begins, or null where the stream triggers open by themselves.
 * Throws a UsageError where the document leaves open what is meant.
 */
export function entryOf(plan: Plan, asked: string | undefined, hasInput: boolean): string | null {
  const entries = plan.entries.map((entry) => {
    const node = plan.nodes[entry.node]
    return { id: node?.id ?? '', type: node?.type ?? '', lifetime: entry.lifetime }
  })
  const names = (list: readonly { readonly id: string }[]): string => list.map((each) => each.id).join(', ')
  if (asked !== undefined) {
    const found = entries.find((each) => each.id === asked)
    if (found === undefined)
      throw new UsageError(`--entry names ${JSON.stringify(asked)}, which is no trigger; there are ${names(entries)}`)
    if (found.lifetime === 'event') return found.id
    if (hasInput) throw new UsageError(`${found.id} (${found.type}) takes no --input: its messages come from outside`)
    return null
  }
  const events = entries.filter((each) => each.lifetime === 'event')
  if (!hasInput && events.length < entries.length) return null
  if (events.length === 0)
    throw new UsageError(`--input needs a trigger that takes it, such as manual; there are ${names(entries)}`)
  const manual = events.filter((each) => each.type.startsWith('manual@'))
  const candidates = manual.length > 0 ? manual : events
  const [only] = candidates
  if (only === undefined || candidates.length > 1)
    throw new UsageError(`there are several triggers: choose one by --entry, of ${names(candidates)}`)
  if (!hasInput && manual.length === 0)
    throw new UsageError(
      `${only.id} (${only.type}) waits for the outside: start the document with \`millrace serve\`, or give --input what would come`,
    )
  return only.id
}

/** Values for one execution, and what came between them that could not be read. */
export interface InputChunk {
  readonly values: readonly unknown[]
  readonly unreadable: readonly UnreadableRecord[]
}

/**
 * The input in chunks, one for an execution each: JSON text, `@FILE`, or `-` for lines of standard input, as many as have come,
 * which end early when `signal` aborts. Throws a UsageError where text or file is not JSON; a line that is not is `unreadable` at `entry`.
 */
export async function* inputOf(
  input: string | undefined,
  entry: string,
  signal: AbortSignal,
): AsyncGenerator<InputChunk> {
  if (input === undefined) yield { values: [{}], unreadable: [] }
  else if (input === '-') yield* chunksOfStandardInput(entry, signal)
  else if (input.startsWith('@'))
    yield { values: [parseInput(readInputFile(input.slice(1)), input.slice(1))], unreadable: [] }
  else yield { values: [parseInput(input, '--input')], unreadable: [] }
}

async function* chunksOfStandardInput(entry: string, signal: AbortSignal): AsyncGenerator<InputChunk> {
  const lineBytesMax = chunkMax.bytes
  const reader = lineRecords({ format: 'ndjson', where: 'standard input', node: entry, lineBytesMax })
  const pieces = standardStreams.input[Symbol.asyncIterator]()
  // A read under way would keep the process until the writer says something.
  const close = (): void => void pieces.return?.()
  signal.addEventListener('abort', close, { once: true })
  try {
    for (let ended = signal.aborted; !ended; ) {
      const piece = await pieces.next()
      ended = piece.done === true
      if (piece.done === true) reader.end()
      else reader.push(piece.value)
      for (let found = reader.take(chunkMax); found !== null; found = reader.take(chunkMax)) yield found
    }
  } catch (thrown) {
    if (!signal.aborted) throw thrown
  } finally {
    signal.removeEventListener('abort', close)
    close()
  }
}

function readInputFile(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    throw new UsageError(`--input names the file ${path}, which cannot be read`)
  }
}

function parseInput(text: string, where: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    throw new UsageError(`${where} is not JSON: ${text.length > 80 ? `${text.slice(0, 80)} …` : text}`)
  }
}
