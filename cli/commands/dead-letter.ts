import type { KeptLetter } from '../../core/define.ts'
import type { Plan } from '../../core/document/plan.ts'
import { message } from '../../core/flow/message.ts'
import { createLog } from '../../server/log.ts'
import { onInterrupt } from '../interrupt.ts'
import { printLastValues } from '../last-values.ts'
import type { FileLetter } from '../letter-file.ts'
import { keptLetter, lettersIn } from '../letter-file.ts'
import { letterJson, letterTable } from '../letter-table.ts'
import type { Loaded } from '../load.ts'
import { loadOrSay } from '../load.ts'
import type { WorldOptions } from '../options.ts'
import { count } from '../progress.ts'
import { outputEnded, standardStreams } from '../standard-streams.ts'
import { UsageError } from '../usage-error.ts'
import type { World } from '../world.ts'
import { createWorld } from '../world.ts'

export interface LetterOptions extends WorldOptions {
  readonly node?: string
  readonly file?: string
  readonly limit?: string
  readonly json?: boolean
  readonly all?: boolean
  readonly dryRun?: boolean
}

const listedMax = 100_000
const chunkMax = 500

/** `millrace dead-letter list`: the letters that wait where a document's triggers keep them, or those of a file. */
export async function listLetters(path: string | undefined, options: LetterOptions): Promise<void> {
  const limit = limitOf(options.limit, listedMax)
  if (options.file !== undefined) {
    const letters: KeptLetter[] = []
    for await (const each of lettersIn(options.file)) {
      if (letters.length >= limit) break
      letters.push(keptLetter(each))
    }
    return show(letters, options)
  }
  if (path === undefined) throw new UsageError('name the document whose dead letters are meant, or a file by --file')
  await withShelves(path, options, async (shelves, signal) => {
    const letters: KeptLetter[] = []
    for (const { shelf } of shelves)
      for await (const each of shelf.read(options.all === true ? 'all' : 'waiting', signal)) {
        if (letters.length >= limit) break
        letters.push(each)
      }
    show(letters, options)
  })
}

/** `millrace dead-letter replay`: sends letters back to where they came from, or runs those of a file through the document again. */
export async function replayLetters(path: string, options: LetterOptions): Promise<void> {
  if (options.file !== undefined) return replayFile(path, options.file, options)
  if (options.dryRun === true) return listLetters(path, options)
  const limit = limitOf(options.limit, Number.MAX_SAFE_INTEGER)
  await withShelves(path, options, async (shelves, signal) => {
    let sent = 0
    let kept = 0
    for (const { shelf } of shelves) {
      const left = limit - sent - kept
      if (left <= 0) break
      const onLetter = (letter: KeptLetter, again: boolean): void => {
        if (again) sent += 1
        else kept += 1
        if (options.json === true) console.log(letterJson(letter))
      }
      await shelf.replay(left, onLetter, signal)
    }
    console.error(`${count(sent)} sent again`)
    if (kept > 0)
      console.error(
        `${count(kept)} were made of several records and have no place to go back to; they stay where they are: \`millrace dead-letter list --all\``,
      )
  })
}

type Shelves = Awaited<ReturnType<World['shelves']>>

async function withShelves(
  path: string,
  options: LetterOptions,
  work: (shelves: Shelves, signal: AbortSignal) => Promise<void>,
): Promise<void> {
  const loaded = loadOrSay(path)
  if (loaded === null) return
  const world = await createWorld(options, [], { log: createLog('warn') })
  const interrupt = onInterrupt({ drains: true })
  try {
    const shelves = await world.shelves(loaded.plan, path, options.node ?? null)
    if (shelves.length === 0) throw new UsageError(noShelf(loaded.plan, path, options.node))
    try {
      await work(shelves, interrupt.signal)
    } finally {
      await Promise.all(shelves.map(({ shelf }) => shelf.close()))
    }
    if (interrupt.exitCode !== null) process.exitCode = interrupt.exitCode
  } finally {
    await world.close()
  }
}

function noShelf(plan: Plan, path: string, node: string | undefined): string {
  const found = plan.nodes.find((each) => each.id === node)
  if (node !== undefined && found === undefined)
    return `--node names ${JSON.stringify(node)}, which ${path} does not have; it has ${plan.nodes.map((each) => each.id).join(', ')}`
  const who = found === undefined ? `no trigger of ${path}` : `${found.id} (${found.type})`
  return `${who} keeps its dead letters itself: give kafka.consume a deadLetterTopic; for a file that --dead-letter wrote, name it by --file`
}

/** A letter of a file, and the trigger that gave its value. */
interface Returning {
  readonly letter: FileLetter
  readonly entry: string
}

/** Runs the values of a file's letters from the triggers again that gave them, if each is still what its trigger gave. */
async function replayFile(path: string, file: string, options: LetterOptions): Promise<void> {
  const loaded = loadOrSay(path)
  if (loaded === null) return
  const limit = limitOf(options.limit, Number.MAX_SAFE_INTEGER)
  const entryOf = entryFinder(loaded, file, options.node)
  const returning: Returning[] = []
  for await (const letter of lettersIn(file)) {
    if (returning.length >= limit) break
    const entry = entryOf(letter)
    if (entry !== null) returning.push({ letter, entry })
  }
  if (options.dryRun === true)
    return show(
      returning.map(({ letter }) => keptLetter(letter)),
      options,
    )
  const world = await createWorld(options, [loaded.plan], { log: createLog('warn'), standardStreams })
  const interrupt = onInterrupt({ drains: true })
  const signal = AbortSignal.any([interrupt.signal, outputEnded])
  let done = 0
  try {
    const pipeline = await world.launch(loaded.plan, path)
    const flush = printLastValues(pipeline)
    try {
      for (const [entry, ofEntry] of Map.groupBy(returning, (each) => each.entry))
        for (let at = 0; at < ofEntry.length && !signal.aborted; at += chunkMax) {
          const chunk = ofEntry.slice(at, at + chunkMax)
          const messages = chunk.map(({ letter: { value, key, time } }) =>
            message(value, typeof key === 'string' ? key : null, time),
          )
          const outcome = await pipeline.start(entry, messages).done
          if (outcome.state !== 'done')
            throw new Error(`${count(done)} ran again, then it ${outcome.state}: ${outcome.failure?.message ?? ''}`)
          done += chunk.length
        }
    } finally {
      await flush()
      await pipeline.release()
    }
  } finally {
    await world.close()
  }
  const again = world.deadLetters > 0 ? `, ${count(world.deadLetters)} failed again` : ''
  console.error(`${count(done)} ran again${again}; ${file} is as it was: remove it when you are done with it`)
  process.exitCode = world.deadLetters > 0 ? 1 : (interrupt.exitCode ?? 0)
}

/**
 * Makes what answers the trigger that a letter's value came from, which is directly before the node where it failed; null where `asked` is
 * another one. Throws a UsageError where values cannot be run from there.
 */
function entryFinder(
  { plan, path }: Loaded,
  file: string,
  asked: string | undefined,
): (letter: FileLetter) => string | null {
  const idOf = (node: number): string => plan.nodes[node]?.id ?? ''
  const triggers = plan.entries.filter((each) => each.lifetime === 'event').map((each) => idOf(each.node))
  if (triggers.length === 0)
    throw new UsageError(
      `the triggers of ${path} take no values from here: send them to where it reads; jq -c .value ${file} prints them`,
    )
  if (asked !== undefined && !triggers.includes(asked))
    throw new UsageError(
      `--node names ${JSON.stringify(asked)}, which is no trigger that takes values from here; there are ${triggers.join(', ')}`,
    )
  return ({ workflow, failure }) => {
    if (workflow !== plan.workflow.id)
      throw new UsageError(
        `${file} holds letters of ${JSON.stringify(workflow)}, and ${path} is ${JSON.stringify(plan.workflow.id)}`,
      )
    const node = plan.nodes.find((each) => each.id === failure.node)
    const before = new Set(plan.edges.filter((edge) => edge.to === node?.index).map((edge) => idOf(edge.from)))
    const [first, ...others] = before
    if (first === undefined || [...before].some((id) => !triggers.includes(id)))
      throw new UsageError(
        `letters of ${file} failed in ${failure.node ?? 'no known node'}, after other nodes had worked on them: what is kept is not what a trigger gave, so they cannot be run from there. Take their values from the file: jq -c .value ${file}`,
      )
    if (asked !== undefined) return before.has(asked) ? asked : null
    if (others.length === 0) return first
    throw new UsageError(
      `letters of ${file} failed in ${failure.node}, which has several triggers before it: choose one by --node, of ${[...before].join(', ')}`,
    )
  }
}

function show(letters: readonly KeptLetter[], options: LetterOptions): void {
  if (options.json === true) for (const each of letters) console.log(letterJson(each))
  else if (letters.length === 0) console.log('no dead letter waits')
  else console.log(letterTable(letters, process.stdout.columns ?? 200))
}

function limitOf(text: string | undefined, otherwise: number): number {
  if (text === undefined) return otherwise
  const limit = Number(text)
  if (Number.isInteger(limit) && limit >= 1 && limit <= listedMax) return limit
  throw new UsageError(`--limit is ${JSON.stringify(text)}, not a number from 1 to ${listedMax}`)
}
