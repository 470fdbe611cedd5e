import { spawn } from 'node:child_process'
import { existsSync, writeFileSync } from 'node:fs'
import { parentPort } from 'node:worker_threads'
import { NodeError } from '../../core/flow/failure.ts'
import { defineTask } from '../task.ts'

/** The tasks that the conformance suite calls in every backend. */
defineTask('echo', async (input) => input)

defineTask<{ code: string; text: string }>('fail', async ({ code, text }) => {
  throw code === '' ? new Error(text) : new NodeError(code, text, { retriable: true })
})

defineTask('answer-function', async () => () => 1)

defineTask<number>('answer-bytes', async (length) => new Uint8Array(length))

defineTask<{ n: number; bytes?: number }>('count', async function* ({ n, bytes = 0 }, { log, signal }) {
  signal.addEventListener('abort', () => log('info', 'aborted'))
  try {
    for (let i = 1; i <= n; i++) {
      log('info', `made ${i}`)
      yield bytes === 0 ? i : new Uint8Array(bytes)
    }
  } finally {
    log('info', 'put away')
  }
})

defineTask<number>('progress', async (n, { progress, log }) => {
  for (let i = 1; i <= n; i++) progress(i / n, `step ${i}`)
  log('warn', 'all said')
  return n
})

/** How much memory stands behind the bytes that arrived. */
defineTask<{ bytes: Uint8Array }>('memory-behind', async ({ bytes }) => bytes.buffer.byteLength)

/** Says two things close after one another, and then works on. */
defineTask<string>('progress-and-wait', async (path, { progress }) => {
  progress(0.1)
  progress(0.2, 'half of half')
  while (!existsSync(path)) await new Promise((resolve) => setTimeout(resolve, 5))
})

/** Puts something away, which takes a while, when it is aborted. */
defineTask<string>('note-when-aborted', async (path, { signal, log }) => {
  log('info', 'waiting')
  await new Promise((resolve) => signal.addEventListener('abort', resolve))
  await new Promise((resolve) => setTimeout(resolve, 50))
  writeFileSync(path, 'put away')
})

/** Works until it is aborted, and then stops as it should. */
defineTask('wait', async (_, { signal, log }) => {
  log('info', 'waiting')
  await new Promise((resolve) => signal.addEventListener('abort', resolve))
  log('info', 'aborted')
})

/** Waits for a file, so that a test decides when it is done. */
defineTask<string>('wait-for-file', async (path, { signal, log }) => {
  log('info', 'waiting')
  while (!existsSync(path) && !signal.aborted) await new Promise((resolve) => setTimeout(resolve, 5))
  return process.pid
})

/** Ignores that nobody wants it any more. */
defineTask('stubborn', (_, { log }) => {
  log('info', 'waiting')
  return new Promise(() => undefined)
})

defineTask('block', async (_, { log }) => {
  log('info', 'blocking')
  await new Promise((resolve) => setTimeout(resolve, 20))
  for (;;);
})

/** Streams 1 to n; the first time, which it notes in a file, its runner dies after `at`. */
defineTask<{ n: number; at: number; note: string }>('die-once', async function* ({ n, at, note }) {
  for (let i = 1; i <= n; i++) {
    if (i > at && !existsSync(note)) {
      writeFileSync(note, 'died')
      await new Promise((resolve) => setTimeout(resolve, 20))
      die()
    }
    yield i
  }
})

defineTask<{ n: number; at: number; note: string }>(
  'die-once-and-skip',
  async function* ({ n, at, note }, { resumeAfter, log }) {
    log('info', `from ${resumeAfter}`)
    for (let i = resumeAfter + 1; i <= n; i++) {
      if (i > at && !existsSync(note)) {
        writeFileSync(note, 'died')
        await new Promise((resolve) => setTimeout(resolve, 20))
        die()
      }
      yield i
    }
  },
  { skipsOnResume: true },
)

defineTask('die', async () => die())

/** Says what no runner says, on the channel itself. */
defineTask('garbage', async () => {
  if (parentPort !== null) parentPort.postMessage('garbage')
  else writeFileSync(3, Buffer.from([5, 0, 0, 0, 0xc1, 0xc1, 0xc1, 0xc1, 0xc1]))
  await new Promise(() => undefined)
})

/** Sends value 99 of the pool's first task, where value 1 is due. */
defineTask('out-of-order', async () => {
  const frame = Buffer.concat([Buffer.from([0x94, 0xa5]), Buffer.from('value'), Buffer.from([1, 99, 0xc0])])
  if (parentPort !== null) parentPort.postMessage(['value', 1, 99, null])
  else writeFileSync(3, Buffer.concat([Buffer.from([frame.length, 0, 0, 0]), frame]))
  await new Promise(() => undefined)
})

defineTask('environment', async () => ({ ...process.env }))

defineTask('fill-memory', async () => {
  const kept: number[][] = []
  for (;;) kept.push(Array.from({ length: 100_000 }, (_, i) => i + 0.5))
})

/** Throws where nobody can catch it. */
defineTask<string>('throw-later', (text) => {
  setTimeout(() => {
    throw new Error(text)
  }, 1)
  return new Promise(() => undefined)
})

/** Wants a program that is not there. */
defineTask('missing-program', async function* (_, { own }) {
  const child = own(spawn('millrace-no-such-program', { stdio: ['ignore', 'pipe', 'ignore'] }))
  for await (const chunk of child.stdout) yield chunk
  await new Promise((resolve) => child.once('close', resolve))
})

/** Has a child process that would live on, and yields its pid. */
defineTask('child', async function* (_, { own }) {
  const child = own(spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], { stdio: 'ignore' }))
  for (;;) yield child.pid
})

function die(): never {
  process.exit(3)
}
