import { NodeError } from '../../core/flow/failure.ts'
import { message } from '../../core/flow/message.ts'
import type { Log } from '../../core/host.ts'
import type { Outcome, Pipeline } from '../../core/pipeline.ts'
import { createLog } from '../../server/log.ts'
import type { Tally } from '../../server/tally.ts'
import { tallyOf } from '../../server/tally.ts'
import { releaseYoungGeneration } from '../boot-memory.ts'
import { entryOf, inputOf } from '../input.ts'
import { onInterrupt } from '../interrupt.ts'
import { printLastValues } from '../last-values.ts'
import { loadOrSay } from '../load.ts'
import type { WorldOptions } from '../options.ts'
import { variablesOf } from '../options.ts'
import { showProgress } from '../progress.ts'
import { clearProgress } from '../progress-line.ts'
import { exitCodeOf, reportJson, reportText } from '../report.ts'
import { outputEnded, outputFailure, standardStreams } from '../standard-streams.ts'
import { unreadVariables } from '../unread-variables.ts'
import type { World } from '../world.ts'
import { createWorld } from '../world.ts'

export interface RunOptions extends WorldOptions {
  readonly input?: string
  readonly entry?: string
  readonly quiet?: boolean
}

/** `millrace run`: runs a document until it is done or interrupted; Ctrl-C drains, a second one cuts. Exit codes: 0 done, 1 something failed, 2 wrong document, 130 stopped, 129 by its terminal. */
export async function run(file: string, options: RunOptions): Promise<void> {
  const loaded = loadOrSay(file)
  if (loaded === null) return
  const { plan } = loaded
  const entry = entryOf(plan, options.entry, options.input !== undefined)
  const written = createLog(options.quiet === true ? 'error' : 'info')
  const log: Log = {
    write: (...line) => {
      clearProgress()
      written.write(...line)
    },
  }
  for (const each of unreadVariables(Object.keys(variablesOf(options.set ?? [])), plan, file)) log.write('warn', each)
  const world = await createWorld(options, [plan], { log, standardStreams })
  // The clock's timers do not keep a process alive, but a workflow that waits must.
  const alive = setInterval(() => undefined, 60_000)
  const begin = performance.now()
  let pipeline: Pipeline | null = null
  let endProgress = (): void => undefined
  try {
    const running = await world.launch(plan, file)
    pipeline = running
    const flush = printLastValues(running)
    if (options.quiet !== true) endProgress = showProgress(running, process.stderr)
    releaseYoungGeneration()
    const report = (outcome: Outcome, tally: Tally | null): number => {
      const elapsedMs = performance.now() - begin
      const all = { outcome, tally, deadLetters: world.deadLetters, elapsedMs, interruptCode: interrupt.exitCode }
      if (options.quiet !== true || outcome.failure !== null)
        process.stderr.write(`${process.stderr.isTTY === true ? reportText(all) : reportJson(all)}\n`)
      return exitCodeOf(all)
    }
    const cut = (): void => {
      endProgress()
      void flush()
      const tally = tallyOf(running)
      report({ state: 'stopped', unsettled: tally?.inFlight ?? 0, deadLetters: 0, failure: null }, tally)
    }
    const interrupt = onInterrupt({ drains: true, cut })
    const stopping = AbortSignal.any([interrupt.signal, outputEnded])
    const ended =
      entry === null
        ? await untilDone(running, stopping)
        : await startAll(world, running, entry, options.input, stopping)
    endProgress()
    await flush()
    const tally = tallyOf(running)
    await running.release(plan.settings.stopMsMax)
    process.exitCode = report(withOutput(ended), tally)
  } finally {
    endProgress()
    await pipeline?.release(0)
    await world.close()
    clearInterval(alive)
  }
}

/** Results that could not be written are a failure, whatever became of the messages. */
function withOutput(outcome: Outcome): Outcome {
  const text = outputFailure()
  if (text === null || outcome.failure !== null) return outcome
  return {
    ...outcome,
    state: 'failed',
    failure: { code: 'stdout.failed', message: text, node: null, retriable: false },
  }
}

/** Opens all triggers and waits for the long-lived execution, or drains it when it is time to stop. */
async function untilDone(pipeline: Pipeline, stopping: AbortSignal): Promise<Outcome> {
  const execution = await pipeline.open()
  if (execution === null) throw new NodeError('run.nothing-to-do', 'the document has no trigger that gives messages')
  return doneOrStopped(execution, stopping)
}

/** Starts event executions with the input: one for a value, one per few hundred lines for a pipe. What is not JSON among these is a dead letter. */
async function startAll(
  world: World,
  pipeline: Pipeline,
  entry: string,
  input: string | undefined,
  stopping: AbortSignal,
): Promise<Outcome> {
  let all: Outcome = { state: 'done', unsettled: 0, deadLetters: 0, failure: null }
  for await (const { values, unreadable } of inputOf(input, entry, stopping)) {
    if (stopping.aborted) break
    const time = Date.now()
    const workflow = pipeline.plan.workflow.id
    if (unreadable.length > 0)
      await world.keep(
        unreadable.map(({ failure, value }) => ({ workflow, execution: '', failure, value, key: null, time })),
      )
    if (values.length === 0) continue
    const messages = values.map((value) => message(value, null, time))
    const outcome = await doneOrStopped(pipeline.start(entry, messages), stopping)
    const [unsettled, deadLetters] = [all.unsettled + outcome.unsettled, all.deadLetters + outcome.deadLetters]
    all = { ...(outcome.state === 'done' ? all : outcome), unsettled, deadLetters }
  }
  return stopping.aborted && all.state === 'done' ? { ...all, state: 'stopped' } : all
}

async function doneOrStopped(
  execution: { readonly done: Promise<Outcome>; stop(): Promise<Outcome> },
  stopping: AbortSignal,
): Promise<Outcome> {
  let stop = (): void => undefined
  const asked = new Promise<null>((resolve) => {
    stop = () => resolve(null)
    if (stopping.aborted) stop()
    else stopping.addEventListener('abort', stop, { once: true })
  })
  const first = await Promise.race([execution.done, asked])
  stopping.removeEventListener('abort', stop)
  return first ?? execution.stop()
}
