import { appendFileSync, readFileSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { createInterface } from 'node:readline'
import { message } from '../../core/flow/message.ts'
import type { DeadLetter } from '../../core/host.ts'
import type { Execution, Outcome, Pipeline } from '../../core/pipeline.ts'
import { formatProblem } from '../../core/problem.ts'
import { catalogue } from '../../nodes.ts'
import { createHost } from '../../server/host.ts'
import { launch } from '../../server/isolation/launch.ts'
import { createLog } from '../../server/log.ts'
import { createPools } from '../../workers/pools.ts'
import { onInterrupt } from '../interrupt.ts'
import { load } from '../load.ts'
import { variablesOf } from '../options.ts'
import { count, showProgress, tallyOf } from '../progress.ts'
import { standardStreams } from '../standard-streams.ts'

export interface RunOptions {
  readonly input?: string
  readonly entry?: string
  readonly set?: readonly string[]
  readonly allowEnv?: readonly string[]
  readonly allowFolder?: readonly string[]
  readonly tasks?: readonly string[]
  readonly deadLetter?: string
  readonly trace?: string
  readonly quiet?: boolean
}

/** Messages of one execution when many come by `--input -`. */
const chunkMax = 500

/** `millrace run`: runs a document until it is done or interrupted; Ctrl-C drains. Exit codes: 0 done, 1 something failed, 2 wrong document, 130 stopped. */
export async function run(file: string, options: RunOptions): Promise<void> {
  const vars = variablesOf(options.set ?? [])
  const result = load(file)
  if (!result.ok) {
    for (const each of result.problems) console.error(`${file}:${formatProblem(each)}`)
    process.exitCode = 2
    return
  }
  const { plan } = result.value
  const log = createLog(options.quiet === true ? 'error' : 'info')
  const pools = createPools({ tasks: (options.tasks ?? []).map((each) => new URL(`file://${resolve(each)}`)), log })
  const folders = [dirname(resolve(file)), process.cwd(), ...(options.allowFolder ?? []).map((each) => resolve(each))]
  let deadLetters = 0
  const host = createHost({
    allowEnv: options.allowEnv ?? [],
    environment: process.env,
    vars,
    folders,
    log,
    deadLetter: async (letters) => {
      deadLetters += letters.length
      keep(letters, options.deadLetter, log.write)
    },
    pools,
    standardStreams,
    span:
      options.trace === undefined
        ? undefined
        : (span) => appendFileSync(options.trace ?? '', `${JSON.stringify(span)}\n`),
  })
  // The clock's timers do not keep a process alive, but a workflow that waits must.
  const alive = setInterval(() => undefined, 60_000)
  const begin = performance.now()
  const pipeline = await launch(plan, catalogue, host, { folders })
  printLastValues(pipeline)
  const endProgress = showProgress(pipeline)
  const interrupted = onInterrupt()
  const stream = plan.entries.some((entry) => entry.lifetime === 'stream') && options.input === undefined
  const outcome = stream
    ? await untilDone(await pipeline.open(), interrupted)
    : await startAll(pipeline, options, interrupted)
  endProgress()
  const tally = tallyOf(pipeline)
  await pipeline.release(plan.settings.stopMsMax)
  await pools.close()
  clearInterval(alive)
  report(outcome, { ...tally, deadLetters, elapsedMs: performance.now() - begin }, options)
}

/** Waits for the execution, or drains it at Ctrl-C. */
async function untilDone(execution: Execution | null, interrupted: Promise<void>): Promise<Outcome> {
  if (execution === null) return { state: 'done', unsettled: 0, failure: null }
  const first = await Promise.race([execution.done, interrupted.then(() => null)])
  return first ?? execution.stop()
}

/** Starts event executions with the input: one for a value, one per few hundred lines for a pipe. */
async function startAll(pipeline: Pipeline, options: RunOptions, interrupted: Promise<void>): Promise<Outcome> {
  const entry = options.entry ?? pipeline.plan.nodes[pipeline.plan.entries[0]?.node ?? -1]?.id ?? ''
  let stopped = false
  void interrupted.then(() => {
    stopped = true
  })
  let worst: Outcome = { state: 'done', unsettled: 0, failure: null }
  for await (const values of inputOf(options.input)) {
    if (stopped) return { ...worst, state: 'stopped' }
    const now = Date.now()
    const outcome = await untilDone(
      pipeline.start(
        entry,
        values.map((value) => message(value, null, now)),
      ),
      interrupted,
    )
    if (outcome.state !== 'done') worst = outcome
  }
  return worst
}

/** The input in chunks: JSON text, `@FILE`, or `-` for lines of standard input. */
async function* inputOf(input: string | undefined): AsyncGenerator<readonly unknown[]> {
  if (input === undefined) yield [{}]
  else if (input === '-') {
    let chunk: unknown[] = []
    let line = 0
    for await (const text of createInterface({ input: process.stdin, crlfDelay: Number.POSITIVE_INFINITY })) {
      line += 1
      if (text.trim() === '') continue
      chunk.push(parseInput(text, `line ${line} of standard input`))
      if (chunk.length < chunkMax) continue
      yield chunk
      chunk = []
    }
    if (chunk.length > 0) yield chunk
  } else if (input.startsWith('@')) yield [parseInput(readFileSync(input.slice(1), 'utf8'), input.slice(1))]
  else yield [parseInput(input, '--input')]
}

function parseInput(text: string, where: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    throw new Error(`${where} is not JSON: ${text.slice(0, 80)}`)
  }
}

/** What leaves a last node, and would go nowhere, is printed as NDJSON. */
function printLastValues(pipeline: Pipeline): void {
  const { nodes, edges } = pipeline.plan
  for (const node of nodes)
    for (const port of node.outputs) {
      const trigger = node.face.endsWith('trigger')
      if (trigger || edges.some((edge) => edge.from === node.index && edge.fromPort === port)) continue
      pipeline.tap(node.id, port, (messages) => {
        for (const each of messages) process.stdout.write(`${JSON.stringify(each.value)}\n`)
      })
    }
}

function keep(
  letters: readonly DeadLetter[],
  file: string | undefined,
  log: (level: 'error', text: string, fields: Readonly<Record<string, unknown>>) => void,
): void {
  for (const letter of letters) {
    if (file === undefined)
      log('error', letter.failure.message, { node: letter.failure.node, code: letter.failure.code })
    else appendFileSync(file, `${JSON.stringify(letter)}\n`)
  }
}

interface Report {
  readonly in: number
  readonly out: number
  readonly errors: number
  readonly deadLetters: number
  readonly elapsedMs: number
}

function report(outcome: Outcome, done: Report, options: RunOptions): void {
  const failed = outcome.state === 'failed' || outcome.state === 'lost'
  process.exitCode = failed || done.deadLetters > 0 ? 1 : outcome.state === 'stopped' ? 130 : 0
  if (options.quiet === true && !failed) return
  if (process.stderr.isTTY !== true) {
    process.stderr.write(`${JSON.stringify({ ...outcome, ...done, elapsedMs: Math.round(done.elapsedMs) })}\n`)
    return
  }
  const left = outcome.unsettled > 0 ? `, ${count(outcome.unsettled)} left unsettled` : ''
  const letters = done.deadLetters > 0 ? `, ${count(done.deadLetters)} dead letters` : ''
  process.stderr.write(
    `${outcome.state}: ${count(done.in)} in, ${count(done.out)} out, ${count(done.errors)} errors${letters}${left} in ${(done.elapsedMs / 1000).toFixed(1)} s${outcome.failure === null ? '' : `\n${outcome.failure.message}`}\n`,
  )
}
