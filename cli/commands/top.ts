import { setTimeout as delay } from 'node:timers/promises'
import { onInterrupt } from '../interrupt.ts'
import type { Snapshot } from '../live-figures.ts'
import { figuresBetween, snapshotSchema } from '../live-figures.ts'
import type { View } from '../live-screen.ts'
import { openScreen } from '../live-screen.ts'
import type { Remote, RemoteOptions } from '../remote.ts'
import { remoteOf, workflowNameOf } from '../remote.ts'
import { outputEnded, standardStreams } from '../standard-streams.ts'
import type { ViewLine } from '../top-view.ts'
import { topView } from '../top-view.ts'
import { UsageError } from '../usage-error.ts'

export interface TopOptions extends RemoteOptions {
  readonly every: string
  readonly once?: boolean
}

/** `millrace top`: the figures of running workflows, on a screen that is drawn in place, or as a line of JSON each time. */
export async function top(workflow: string | undefined, options: TopOptions): Promise<void> {
  const everyMs = everyMsOf(options.every)
  const name = workflow === undefined ? null : workflowNameOf(workflow)
  const remote = remoteOf(options)
  const first = await read(remote, name)
  if (name !== null && first.workflows.length === 0)
    throw new UsageError(
      `there is no workflow ${JSON.stringify(name)} on ${remote.door.base}; \`millrace top\` shows all`,
    )
  const leaving = new AbortController()
  const signal = AbortSignal.any([onInterrupt().signal, outputEnded, leaving.signal])
  const follow = { remote, name, first, everyMs, signal }
  if (process.stdout.isTTY === true && options.once !== true && options.json !== true)
    await showAll(follow, () => leaving.abort())
  else await printAll(follow, options.once === true)
}

interface Follow {
  readonly remote: Remote
  readonly name: string | null
  readonly first: Snapshot
  readonly everyMs: number
  readonly signal: AbortSignal
}

async function printAll({ remote, name, first, everyMs, signal }: Follow, once: boolean): Promise<void> {
  let before = first
  while (await waited(everyMs, signal)) {
    const after = await read(remote, name)
    const line = JSON.stringify({ at: after.at, workflows: figuresBetween(before, after) })
    await standardStreams.write(`${line}\n`).catch(() => undefined)
    if (once) return
    before = after
  }
}

async function showAll({ remote, name, first, everyMs, signal }: Follow, onLeave: () => void): Promise<void> {
  // A reader of `top` wants to see something at once; the first rates come after a short moment.
  const firstMs = Math.min(300, everyMs)
  const screen = openScreen({ input: process.stdin, output: process.stdout }, onLeave)
  const foot = 'q leaves   ↑ ↓ scroll'
  let before = first
  let view: View = () => [{ text: 'one moment …', look: 'faint' }]
  const head = (at: number): string =>
    ` millrace top   ${remote.door.base}   ${new Date(at).toLocaleTimeString('en-GB')}`
  try {
    screen.draw(head(before.at), view, foot)
    let waitMs = firstMs
    while (await waited(waitMs, signal)) {
      waitMs = everyMs
      try {
        const after = await read(remote, name)
        const figures = figuresBetween(before, after)
        view = (columns) => (figures.length === 0 ? [nothingRuns(name)] : topView(figures, columns))
        before = after
        if (!signal.aborted) screen.draw(head(after.at), view, foot)
      } catch (thrown) {
        // A server that restarts comes back; the last figures stay where they are, and the screen says that they are old.
        screen.draw(head(before.at), view, `${thrown instanceof Error ? thrown.message : thrown} (trying again)`)
      }
    }
  } finally {
    screen.close()
  }
}

function nothingRuns(name: string | null): ViewLine {
  const text = name === null ? 'No workflow is deployed: millrace serve FILE' : `${name} is not deployed any more.`
  return { text, look: 'plain' }
}

async function read(remote: Remote, name: string | null): Promise<Snapshot> {
  const { at, workflows } = snapshotSchema.parse(await remote.call('GET', '/api/metrics'))
  return { at, workflows: name === null ? workflows : workflows.filter((each) => each.id === name) }
}

/** False when it is time to leave. */
async function waited(ms: number, signal: AbortSignal): Promise<boolean> {
  await delay(ms, undefined, { signal }).catch(() => undefined)
  return !signal.aborted
}

function everyMsOf(text: string): number {
  const seconds = Number(text)
  if (text.trim() !== '' && seconds >= 0.1 && seconds <= 3_600) return seconds * 1_000
  throw new UsageError(`--every is ${JSON.stringify(text)}, not a number of seconds from 0.1 to 3600`)
}
