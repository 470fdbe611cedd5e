import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, describe, expect, test } from 'vitest'
import { NodeError } from '../../core/flow/failure.ts'
import type { PoolOptions } from '../../core/host.ts'
import type { Backend } from '../backend.ts'
import { flame } from '../pool.ts'
import type { FlameOptions, FlamePool } from '../pool-options.ts'
import { describeDeaths } from './conformance-deaths.ts'
import { all, iterate, until } from './conformance-waiting.ts'

export interface Abilities {
  readonly backend: PoolOptions['backend'] | Backend
  /** A runner can die, and be killed while it blocks, without us. */
  readonly isolated: boolean
}

export const tasks = [new URL('./conformance-tasks.ts', import.meta.url)]

/** Every promise that pools make, checked on one backend. */
export function describeBackend({ backend, isolated }: Abilities): void {
  const pools: FlamePool[] = []
  const folder = mkdtempSync(join(tmpdir(), 'millrace-workers-'))
  let notes = 0

  function pool(options: Partial<FlameOptions> = {}): FlamePool {
    const made = flame({ name: 'test', backend, tasks, max: 1, drainMsMax: 100, ...options })
    pools.push(made)
    return made
  }

  const note = () => join(folder, `note-${++notes}`)

  afterEach(async () => {
    await Promise.all(pools.splice(0).map((each) => each.close()))
  })

  afterAll(() => rmSync(folder, { recursive: true, force: true }))

  describe('values', () => {
    test('cross as they are', async () => {
      const value = {
        text: 'þ🌊',
        number: -0.5,
        large: 2 ** 40,
        nothing: null,
        missing: undefined,
        when: new Date(86_400_001),
        map: new Map([['a', 1]]),
        set: new Set([1, 2]),
        big: 12345678901234567890n,
        rows: Array.from({ length: 50 }, (_, id) => ({ id, tags: ['x'] })),
        floats: new Float64Array([1.5, 2.5]),
      }
      expect(await pool().call('echo', value)).toEqual(value)
    })

    test('bytes cross as bytes, however many', async () => {
      const bytes = new Uint8Array(3_000_000).map((_, i) => i)
      const answer = await pool().call('echo', { bytes })
      expect(bytesOf(answer).length).toBe(bytes.length)
      expect(Buffer.compare(bytesOf(answer), bytes)).toBe(0)
    })

    test('a piece of a large buffer crosses without the rest', async () => {
      const bytes = new Uint8Array(5_000_000).fill(9).subarray(7, 107)
      const one = pool()
      expect(await one.call('memory-behind', { bytes })).toBeLessThan(100_000)
      expect(bytesOf(await one.call('echo', { bytes }))).toHaveLength(100)
    })

    test('a function as input or as answer is a clean error, and the runner goes on', async () => {
      const one = pool()
      await expect(one.call('echo', { f: () => 1 })).rejects.toMatchObject({ code: 'worker.value-unclonable' })
      await expect(one.call('answer-function', null)).rejects.toMatchObject({ code: 'worker.value-unclonable' })
      expect(await one.call('echo', 1)).toBe(1)
      expect(one.stats()).toMatchObject({ booted: 1, died: 0, inFlight: 0 })
    })

    test('a circular value is a clean error', async () => {
      const value: { self?: unknown } = {}
      value.self = value
      await expect(pool().call('echo', value)).rejects.toMatchObject({ code: 'worker.value-unclonable' })
    })

    test('a value over the limit is a clean error in both directions', async () => {
      const one = pool({ valueBytesMax: 100_000 })
      const refused = { code: 'worker.value-too-large', message: expect.stringContaining('100000') }
      await expect(one.call('echo', new Uint8Array(200_000))).rejects.toMatchObject(refused)
      await expect(one.call('answer-bytes', 200_000)).rejects.toMatchObject(refused)
      expect(bytesOf({ bytes: await one.call('answer-bytes', 90_000) })).toHaveLength(90_000)
      expect(one.stats()).toMatchObject({ booted: 1, died: 0 })
    })
  })

  describe('calls', () => {
    test('many at once are answered each with its own', async () => {
      const one = pool({ max: 2, concurrencyMax: 10 })
      const answers = await Promise.all(Array.from({ length: 50 }, (_, i) => one.call('echo', i)))
      expect(answers).toEqual(Array.from({ length: 50 }, (_, i) => i))
      expect(one.stats()).toMatchObject({ inFlight: 0, queued: 0 })
    })

    test('a generator is run to its last value, a plain function streams its only one', async () => {
      const one = pool()
      expect(await one.call('count', { n: 5 })).toBe(5)
      expect(await all(one.stream('echo', 'only'))).toEqual(['only'])
    })

    test('an error keeps its code, its message and whether a retry can help, and has no stack of the task', async () => {
      const one = pool()
      const known = await one
        .call('fail', { code: 'shop.closed', text: 'Come back' })
        .catch((thrown: unknown) => thrown)
      expect(known).toBeInstanceOf(NodeError)
      expect(known).toMatchObject({ code: 'shop.closed', message: 'Come back', retriable: true })
      expect(known instanceof NodeError && known.stack).not.toContain('conformance-tasks')
      await expect(one.call('fail', { code: '', text: 'Oh' })).rejects.toMatchObject({
        code: 'node.error',
        message: 'Oh',
      })
      await expect(all(one.stream('fail', { code: 'a.b', text: 'Oh' }))).rejects.toMatchObject({ code: 'a.b' })
    })

    test('a program that is not there fails its task, and the runner goes on', async () => {
      const one = pool()
      const failed = { code: 'worker.child-failed', message: expect.stringContaining('no-such-program') }
      await expect(all(one.stream('missing-program', null))).rejects.toMatchObject(failed)
      await expect(one.call('missing-program', null)).rejects.toMatchObject(failed)
      expect(one.stats()).toMatchObject({ booted: 1, died: 0, inFlight: 0 })
    })

    test('an unknown task is named, with those that are known', async () => {
      const refused = { code: 'worker.task-unknown', message: expect.stringMatching(/"nobody".*echo/) }
      await expect(pool().call('nobody', null)).rejects.toMatchObject(refused)
    })

    test('a cast resolves when a runner has taken it, and runs on', async () => {
      const one = pool()
      const path = note()
      await one.cast('wait-for-file', path)
      expect(one.stats().inFlight).toBe(1)
      writeFileSync(path, '')
      await until(() => one.stats().inFlight === 0)
    })

    test('progress and log lines arrive, the last of each always', async () => {
      const shares: (number | null)[] = []
      const lines: string[] = []
      const onProgress = ({ share }: { readonly share: number | null }) => shares.push(share)
      await pool().call('progress', 1000, { onProgress, onLog: (level, text) => lines.push(`${level} ${text}`) })
      expect(shares.at(-1)).toBe(1)
      expect(shares.length).toBeLessThan(500)
      expect(lines).toEqual(['warn all said'])
    })

    test('the last word on progress arrives while the task works on', async () => {
      const notes: string[] = []
      const path = note()
      const call = pool().call('progress-and-wait', path, { onProgress: (progress) => notes.push(progress.note) })
      await until(() => notes.length === 2)
      expect(notes).toEqual(['', 'half of half'])
      writeFileSync(path, '')
      await call
    })

    test('a callback that throws fails its own task only', async () => {
      const onProgress = () => {
        throw new Error('no')
      }
      const one = pool()
      await expect(one.call('progress', 3, { onProgress })).rejects.toMatchObject({
        message: expect.stringContaining('no'),
      })
      expect(await one.call('echo', 1)).toBe(1)
    })
  })

  describe('streams', () => {
    test('give every value in order', async () => {
      expect(await all(pool().stream('count', { n: 500 }))).toEqual(Array.from({ length: 500 }, (_, i) => i + 1))
    })

    test('a reader that does not ask suspends the task after the window', async () => {
      const one = pool({ concurrencyMax: 2 })
      const lines: string[] = []
      const reader = iterate(one.stream('count', { n: 1000 }, { window: 6, onLog: (_, text) => lines.push(text) }))
      await reader.next()
      await until(() => lines.length >= 6)
      for (let i = 0; i < 20; i++) await one.call('echo', i)
      expect(lines.at(-1)).toBe('made 6')
      for (let i = 0; i < 6; i++) await reader.next()
      await until(() => lines.length >= 12)
      for (let i = 0; i < 20; i++) await one.call('echo', i)
      expect(lines.length).toBeLessThanOrEqual(13)
      await reader.return?.()
    })

    test('the window counts bytes too, and lets a single large value pass', async () => {
      const one = pool({ concurrencyMax: 2 })
      const lines: string[] = []
      const onLog = (_: string, text: string) => lines.push(text)
      const reader = iterate(
        one.stream('count', { n: 20, bytes: 100_000 }, { window: 100, windowBytes: 250_000, onLog }),
      )
      await reader.next()
      await until(() => lines.length >= 4)
      for (let i = 0; i < 20; i++) await one.call('echo', i)
      expect(lines.at(-1)).toBe('made 4')
      let rest = 0
      while ((await reader.next()).done !== true) rest += 1
      expect(rest).toBe(19)
      expect(await all(one.stream('count', { n: 5, bytes: 100_000 }, { windowBytes: 1 }))).toHaveLength(5)
    })

    test('leaving the loop ends the task: signal aborted, finally run, before the loop is left', async () => {
      const one = pool()
      const lines: string[] = []
      for await (const value of one.stream('count', { n: 1e9 }, { onLog: (_, text) => lines.push(text) })) {
        if (value === 3) break
      }
      expect(lines).toContain('aborted')
      expect(lines).toContain('put away')
      expect(one.stats()).toMatchObject({ inFlight: 0, died: 0 })
    })

    test('nothing starts before the first value is asked for', async () => {
      const one = pool()
      const reader = iterate(one.stream('count', { n: 3 }))
      expect(one.stats().booted).toBe(0)
      await reader.return?.()
      expect(await reader.next()).toEqual({ done: true, value: undefined })
      expect(one.stats().booted).toBe(0)
    })
  })

  describe('limits in time', () => {
    test('an abort rejects at once, reaches the task, and frees the runner', async () => {
      const one = pool()
      const controller = new AbortController()
      const lines: string[] = []
      const call = one.call('wait', null, { signal: controller.signal, onLog: (_, text) => lines.push(text) })
      await until(() => lines.includes('waiting'))
      controller.abort()
      await expect(call).rejects.toMatchObject({ code: 'worker.aborted' })
      await until(() => one.stats().inFlight === 0)
      expect(lines).toContain('aborted')
      expect(one.stats().died).toBe(0)
    })

    test('an abort takes a waiting task out of the queue', async () => {
      const one = pool()
      const first = one.call('wait-for-file', note(), { timeoutMs: 100 })
      const controller = new AbortController()
      const second = one.call('echo', 2, { signal: controller.signal })
      const { queued } = one.stats()
      controller.abort()
      expect(one.stats().queued).toBe(queued - 1)
      await expect(second).rejects.toMatchObject({ code: 'worker.aborted' })
      await expect(first).rejects.toMatchObject({ code: 'worker.timeout', retriable: true })
      await expect(one.call('echo', 1, { signal: AbortSignal.abort() })).rejects.toMatchObject({
        code: 'worker.aborted',
      })
    })

    test('an aborted stream throws at its next value', async () => {
      const controller = new AbortController()
      const reader = iterate(pool().stream('count', { n: 1000 }, { signal: controller.signal }))
      await reader.next()
      controller.abort()
      await expect(reader.next()).rejects.toMatchObject({ code: 'worker.aborted' })
      expect(await reader.next()).toMatchObject({ done: true })
    })

    test('a task that does not stop costs its runner; what else that one did is done elsewhere', async () => {
      const one = pool({ concurrencyMax: 2, stopMsMax: 50, resumesMax: 0 })
      const lines: string[] = []
      const onLog = (_: string, text: string) => lines.push(text)
      const path = note()
      const neighbour = one.call('wait-for-file', path, { onLog })
      await until(() => lines.length === 1)
      const stubborn = one.call('stubborn', null, { timeoutMs: 50, onLog })
      await expect(stubborn).rejects.toMatchObject({ code: 'worker.timeout' })
      await until(() => lines.length === 3)
      writeFileSync(path, '')
      expect(await neighbour).toEqual(expect.any(Number))
      expect(one.stats()).toMatchObject({ died: 1, booted: 2, resumed: 1 })
    })
  })

  describe('runners', () => {
    test('max is hard, booting runners included', async () => {
      const one = pool({ max: 2 })
      const path = note()
      let most = 0
      const calls = Array.from({ length: 6 }, () => one.call('wait-for-file', path))
      await until(() => {
        most = Math.max(most, one.stats().runners.length)
        return one.stats().inFlight === 2
      })
      expect(one.stats().queued).toBe(4)
      writeFileSync(path, '')
      await Promise.all(calls)
      expect(Math.max(most, one.stats().runners.length)).toBe(2)
      expect(one.stats().booted).toBe(2)
    })

    test('waiting tasks are taken in their order, and the queue is bounded', async () => {
      const one = pool({ queueMax: 3 })
      const path = note()
      const order: number[] = []
      const busy = one.call('wait-for-file', path)
      await until(() => one.stats().inFlight === 1)
      const calls = [1, 2, 3].map(async (n) => {
        order.push(Number(await one.call('echo', n)))
      })
      await expect(one.call('echo', 4)).rejects.toMatchObject({ code: 'worker.queue-full', retriable: true })
      writeFileSync(path, '')
      await Promise.all([busy, ...calls])
      expect(order).toEqual([1, 2, 3])
    })

    test('min are there before they are asked for, the rest end when idle', async () => {
      const one = pool({ min: 1, max: 3, idleShutdownMs: 40 })
      await until(() => one.stats().ready === 1)
      const path = note()
      const calls = [1, 2, 3].map(() => one.call('wait-for-file', path))
      await until(() => one.stats().inFlight === 3)
      writeFileSync(path, '')
      await Promise.all(calls)
      await until(() => one.stats().runners.length === 1)
      expect(one.stats()).toMatchObject({ ready: 1, booted: 3, died: 0 })
    })

    test('a module that does not load is a clean error that names it', async () => {
      const one = pool({ tasks: [new URL('./no-such-module.ts', import.meta.url)] })
      const refused = { code: 'worker.boot-failed', message: expect.stringContaining('no-such-module') }
      await expect(one.call('echo', 1)).rejects.toMatchObject(refused)
      await until(() => one.stats().runners.length === 0)
      await expect(one.call('echo', 1)).rejects.toMatchObject(refused)
    })

    test('a runner that does not get ready in time is given up', async () => {
      const one = pool({ bootMsMax: 30, tasks: ['data:text/javascript,await new Promise(() => {})'] })
      await expect(one.call('echo', 1)).rejects.toMatchObject({
        code: 'worker.boot-failed',
        message: expect.stringContaining('30 ms'),
      })
    })

    test('closing finishes what is at work, then what waits, and takes no more', async () => {
      const one = pool({ drainMsMax: 10_000 })
      const path = note()
      const calls = [one.call('wait-for-file', path), one.call('echo', 2)]
      await until(() => one.stats().inFlight === 1)
      const closed = one.close()
      await expect(one.call('echo', 3)).rejects.toMatchObject({ code: 'worker.pool-closed' })
      writeFileSync(path, '')
      expect(await Promise.all(calls)).toEqual([expect.any(Number), 2])
      await closed
      expect(one.stats()).toMatchObject({ runners: [], died: 0 })
    })

    test('closing does not wait longer than its limit', async () => {
      const one = pool({ drainMsMax: 30 })
      const call = one.call('stubborn', null)
      const failed = expect(call).rejects.toMatchObject({ code: 'worker.pool-closed' })
      await until(() => one.stats().inFlight === 1)
      await one.close()
      await failed
      expect(one.stats().runners).toEqual([])
    })
  })

  if (isolated) describeDeaths(pool, note)
}

function bytesOf(value: unknown): Uint8Array {
  if (typeof value === 'object' && value !== null && 'bytes' in value && value.bytes instanceof Uint8Array)
    return value.bytes
  throw new Error('There are no bytes')
}
