import type { ChildProcess } from 'node:child_process'
import { expect, it } from 'vitest'
import { lastLine, startFfmpeg } from './ffmpeg.ts'

// Node stands in for an ffmpeg that misbehaves in ways that the real one cannot be brought to.
const silent =
  'process.on("SIGTERM", () => {}); process.stderr.write("x".repeat(99_999) + "\\nready\\n"); setInterval(() => {}, 1000)'
const endless = 'const more = () => process.stdout.write(Buffer.alloc(65536), more); more()'

it('stops one that says nothing, by force if need be, and names the time limit', async () => {
  const { run, child } = start(silent, 250)
  await expect(run.stdout[Symbol.asyncIterator]().next()).rejects.toMatchObject({
    code: 'video.timeout',
    retriable: true,
  })
  expect(child.signalCode).toMatch(/SIGTERM|SIGKILL/)
  expect(run.stderrTail().length).toBeLessThanOrEqual(16_384)
})

it('reads no faster than the bytes are taken', async () => {
  const { run, child } = start(endless, 5000)
  const chunks = run.stdout[Symbol.asyncIterator]()
  let bytes = 0
  for (let i = 0; i < 20; i++) bytes += (await chunks.next()).value?.length ?? 0
  expect(bytes).toBeGreaterThan(0)
  const buffered = child.stdout?.readableLength ?? 0
  expect(buffered).toBeLessThanOrEqual(256 * 1024)
  await chunks.return?.()
  expect(child.signalCode ?? child.exitCode).not.toBeNull()
})

it('ends with the signal, also when nobody reads', async () => {
  const controller = new AbortController()
  const { run, child } = start(endless, 5000, controller.signal)
  controller.abort()
  await run.exited
  expect(child.signalCode ?? child.exitCode).not.toBeNull()
})

it('says what to do when the program cannot be started', async () => {
  const run = startFfmpeg('./no-such-program', [], {
    signal: new AbortController().signal,
    own: () => undefined,
    silenceMsMax: 1000,
  })
  await expect(run.stdout[Symbol.asyncIterator]().next()).rejects.toMatchObject({ code: 'video.decoder-missing' })
})

it('quotes what ffmpeg said last without paths', () => {
  expect(lastLine('first\n[mov @ 0x55] /srv/someone/secret/film.mp4: Invalid data found\n')).toBe('Invalid data found')
  expect(lastLine('  \n')).toBe('it gave no reason')
})

function start(script: string, silenceMsMax: number, signal = new AbortController().signal) {
  const children: ChildProcess[] = []
  const own = (child: ChildProcess) => children.push(child)
  const run = startFfmpeg(process.execPath, ['-e', script], { signal, own, silenceMsMax })
  const child = children[0]
  if (child === undefined) throw new Error('no process was handed over')
  return { run, child }
}
