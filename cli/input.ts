import { readFileSync } from 'node:fs'
import { createInterface } from 'node:readline'
import type { Plan } from '../core/document/plan.ts'
import { UsageError } from './usage-error.ts'

/** Messages of one execution when many come by `--input -`. */
const chunkMax = 500

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

/**
 * The input in chunks, one for an execution each: JSON text, `@FILE`, or `-` for lines of standard input,
 * which end early when `signal` aborts. Throws a UsageError at what is not JSON.
 */
export async function* inputOf(input: string | undefined, signal: AbortSignal): AsyncGenerator<readonly unknown[]> {
  if (input === undefined) yield [{}]
  else if (input === '-') yield* chunksOfStandardInput(signal)
  else if (input.startsWith('@')) yield [parseInput(readInputFile(input.slice(1)), input.slice(1))]
  else yield [parseInput(input, '--input')]
}

async function* chunksOfStandardInput(signal: AbortSignal): AsyncGenerator<readonly unknown[]> {
  const lines = createInterface({ input: process.stdin, crlfDelay: Number.POSITIVE_INFINITY, signal })
  let chunk: unknown[] = []
  let number = 0
  try {
    for await (const text of lines) {
      number += 1
      if (text.trim() === '') continue
      chunk.push(parseInput(text, `line ${number} of standard input`))
      if (chunk.length < chunkMax) continue
      yield chunk
      chunk = []
    }
    if (chunk.length > 0 && !signal.aborted) yield chunk
  } finally {
    lines.close()
    // A read under way would keep the process until the writer says something.
    process.stdin.destroy()
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
