import { once } from 'node:events'
import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { prepareFfmpeg, takeFfmpeg } from './spare.ts'

// Node stands in for ffmpeg: what counts is which process it is, and when it ends.
const waits = ['-e', 'process.stdin.resume()']

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
})
afterEach(() => {
  vi.useRealTimers()
})

it('gives the process that was prepared, once, and to nobody who wants another', async () => {
  prepareFfmpeg(process.execPath, waits)
  prepareFfmpeg(process.execPath, waits)
  const other = takeFfmpeg(process.execPath, [...waits, 'other'])
  // The spare's time runs for as long as it is one.
  expect(vi.getTimerCount()).toBe(1)
  const first = takeFfmpeg(process.execPath, waits)
  expect(vi.getTimerCount()).toBe(0)
  const second = takeFfmpeg(process.execPath, waits)
  expect(new Set([other.pid, first.pid, second.pid]).size).toBe(3)
  // Who has it owns it: its time is not over with the spare's.
  await vi.advanceTimersByTimeAsync(60_000)
  expect([first.signalCode, first.exitCode]).toEqual([null, null])
  for (const child of [other, first, second]) {
    child.stdin.end()
    expect(await once(child, 'exit')).toEqual([0, null])
  }
})

it('ends one that nobody takes, and gives it to nobody while it dies', async () => {
  prepareFfmpeg(process.execPath, waits)
  vi.advanceTimersByTime(60_000)
  const child = takeFfmpeg(process.execPath, waits)
  child.stdin.end()
  expect(await once(child, 'exit')).toEqual([0, null])
})

it('leaves one that cannot be started to whoever starts the next', async () => {
  prepareFfmpeg('./no-such-program', [])
  const child = takeFfmpeg('./no-such-program', [])
  const [error] = await once(child, 'error')
  expect(error).toMatchObject({ code: 'ENOENT' })
})
