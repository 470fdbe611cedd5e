import type { Counted, Tally } from '../server/tally.ts'
import { tallyOf } from '../server/tally.ts'
import type { ProgressScreen } from './progress-line.ts'
import { clearProgress, drawProgress } from './progress-line.ts'

/** On a terminal, a line that is drawn anew twice a second; elsewhere a line of JSON every few seconds. The answer ends it. */
export function showProgress(
  pipeline: Counted,
  screen: ProgressScreen,
  everyMs: number = screen.isTTY === true ? 500 : 5_000,
): () => void {
  const terminal = screen.isTTY === true
  let before = 0
  let then = performance.now()
  const show = (): void => {
    const tally = tallyOf(pipeline)
    if (tally === null) return
    const now = performance.now()
    const perSecond = Math.round(((tally.in - before) * 1000) / Math.max(1, now - then))
    before = tally.in
    then = now
    if (terminal) drawProgress(screen, progressText(perSecond, tally))
    else screen.write(`${JSON.stringify({ perSecond, ...tally })}\n`)
  }
  const timer = setInterval(show, everyMs)
  return () => {
    clearInterval(timer)
    clearProgress()
  }
}

function progressText(perSecond: number, tally: Tally): string {
  return `${count(perSecond)}/s  ${count(tally.in)} in  ${count(tally.out)} out  ${count(tally.inFlight)} in flight  ${count(tally.errors)} errors`
}

/** A number for people: 1,234. */
export function count(value: number): string {
  return Math.round(value).toLocaleString('en-US')
}
