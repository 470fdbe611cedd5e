import { writeFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import type { FlameOptions, FlamePool } from '../pool-options.ts'
import { all, isAlive, iterate, until } from './conformance-waiting.ts'

/** What pools promise when runners die, for backends whose runners can. */
export function describeDeaths(pool: (options?: Partial<FlameOptions>) => FlamePool, note: () => string): void {
  describe('deaths', () => {
    test('a stream goes on behind the last value that arrived', async () => {
      const one = pool()
      const values = await all(one.stream('die-once', { n: 30, at: 12, note: note() }))
      expect(values).toEqual(Array.from({ length: 30 }, (_, i) => i + 1))
      expect(one.stats()).toMatchObject({ died: 1, resumed: 1, booted: 2 })
    })

    test('a task that can skip is told where to begin', async () => {
      const lines: string[] = []
      const onLog = (_: string, text: string) => lines.push(text)
      const values = await all(pool().stream('die-once-and-skip', { n: 30, at: 12, note: note() }, { onLog }))
      expect(values).toEqual(Array.from({ length: 30 }, (_, i) => i + 1))
      expect(lines).toEqual(['from 0', 'from 12'])
    })

    test('a call is made again', async () => {
      expect(await pool().call('die-once', { n: 3, at: 1, note: note() })).toBe(3)
    })

    test('a task that always kills its runner is given up, and the pool lives', async () => {
      const one = pool({ resumesMax: 1 })
      await expect(one.call('die', null)).rejects.toMatchObject({ code: 'worker.runner-died', retriable: true })
      expect(await one.call('echo', 1)).toBe(1)
      expect(one.stats()).toMatchObject({ died: 2, booted: 3 })
    })

    test('min is filled up again', async () => {
      const one = pool({ min: 1, resumesMax: 0 })
      await expect(one.call('die', null)).rejects.toMatchObject({ code: 'worker.runner-died' })
      await until(() => one.stats().ready === 1)
      expect(one.stats().booted).toBe(2)
    })

    test('garbage on the channel ends that runner only', async () => {
      const one = pool({ max: 2, resumesMax: 0 })
      const path = note()
      const neighbour = one.call('wait-for-file', path)
      await expect(one.call('garbage', null)).rejects.toMatchObject({ code: 'worker.runner-died' })
      writeFileSync(path, '')
      expect(await neighbour).toEqual(expect.any(Number))
    })

    test('a value that is not the next one ends the runner: the reader never sees a gap', async () => {
      const one = pool({ resumesMax: 0 })
      await expect(all(one.stream('out-of-order', null))).rejects.toMatchObject({
        message: expect.stringContaining('order'),
      })
    })

    test('a task that blocks its thread is ended all the same', async () => {
      const one = pool({ stopMsMax: 30 })
      const controller = new AbortController()
      // It blocks a moment after it says so.
      const onLog = () => setTimeout(() => controller.abort(), 50)
      const call = one.call('block', null, { signal: controller.signal, onLog })
      await expect(call).rejects.toMatchObject({ code: 'worker.aborted' })
      await until(() => one.stats().died === 1)
      expect(await one.call('echo', 1)).toBe(1)
    })

    test('a runner that is silent for too long is ended', async () => {
      const one = pool({ silenceMsMax: 200, resumesMax: 0 })
      const died = { code: 'worker.runner-died', message: expect.stringContaining('silent') }
      await expect(one.call('block', null)).rejects.toMatchObject(died)
    })

    test('a task that fills the memory ends its runner only', async () => {
      const one = pool({ heapMbMax: 40, resumesMax: 0 })
      await expect(one.call('fill-memory', null)).rejects.toMatchObject({ code: 'worker.runner-died' })
      expect(await one.call('echo', 1)).toBe(1)
    })

    test('tasks see no variable of ours that nobody listed', async () => {
      process.env.MILLRACE_TEST_SECRET = 'secret'
      process.env.MILLRACE_TEST_LISTED = 'listed'
      const seen = await pool({ env: ['MILLRACE_TEST_LISTED'] }).call('environment', null)
      expect(seen).toMatchObject({ MILLRACE_TEST_LISTED: 'listed', PATH: process.env.PATH })
      expect(seen).not.toHaveProperty('MILLRACE_TEST_SECRET')
    })

    test('a child process goes when its task goes, and when its runner does', async () => {
      const one = pool({ stopMsMax: 30 })
      let first: unknown
      for await (const pid of one.stream('child', null)) {
        first = pid
        expect(isAlive(first)).toBe(true)
        break
      }
      await until(() => !isAlive(first))
      const reader = iterate(one.stream('child', null))
      const { value: pid } = await reader.next()
      const blocked = one.close()
      await expect(all({ [Symbol.asyncIterator]: () => reader })).rejects.toMatchObject({
        code: 'worker.pool-closed',
      })
      await blocked
      await until(() => !isAlive(pid))
    })
  })
}
