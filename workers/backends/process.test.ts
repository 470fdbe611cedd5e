import type { ChildProcess } from 'node:child_process'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, describe, expect, test } from 'vitest'
import { flame } from '../pool.ts'
import { describeBackend, tasks } from './conformance.ts'
import { all, isAlive, iterate, until } from './conformance-waiting.ts'

describe('the process backend', () => {
  describeBackend({ backend: 'process', isolated: true })

  const parents: ChildProcess[] = []

  afterEach(() => {
    for (const parent of parents.splice(0)) parent.kill('SIGKILL')
  })

  /** A parent of its own, with one runner at work on a task; answers the runner's pid. */
  async function startParent(
    ...task: string[]
  ): Promise<{ readonly parent: ChildProcess; readonly lines: AsyncIterator<string> }> {
    const main = fileURLToPath(new URL('./conformance-parent.ts', import.meta.url))
    const parent = spawn(process.execPath, [main, ...task], { stdio: ['ignore', 'pipe', 'inherit'] })
    parents.push(parent)
    return { parent, lines: linesOf(parent) }
  }

  test('a stream survives kill -9 of its runner in the middle: nothing twice, nothing missing', async () => {
    const pool = flame({ name: 'kill', tasks, max: 1 })
    const values: unknown[] = []
    for await (const value of pool.stream('count', { n: 60 })) {
      values.push(value)
      if (value === 20 || value === 40) process.kill(pool.stats().runners[0]?.pid ?? 0, 'SIGKILL')
    }
    expect(values).toEqual(Array.from({ length: 60 }, (_, i) => i + 1))
    expect(pool.stats()).toMatchObject({ died: 2, resumed: 2, booted: 3 })
    await pool.close()
  })

  test('SIGTERM drains a runner: it finishes what it has, and nothing new goes to it', async () => {
    const pool = flame({ name: 'drain', tasks, max: 2, concurrencyMax: 2 })
    const reader = iterate(pool.stream('count', { n: 30 }, { window: 2 }))
    await reader.next()
    const [first] = pool.stats().runners
    process.kill(first?.pid ?? 0, 'SIGTERM')
    await until(() => pool.stats().draining === 1)
    expect(await pool.call('echo', 1)).toBe(1)
    expect(pool.stats().runners.map(({ id }) => id)).toContain(first?.id)
    expect(await all({ [Symbol.asyncIterator]: () => reader })).toHaveLength(29)
    await until(() => !pool.stats().runners.some(({ id }) => id === first?.id))
    expect(pool.stats()).toMatchObject({ died: 0, resumed: 0, booted: 2 })
    await pool.close()
  })

  test('kill -9 of a runner takes its child processes along', async () => {
    const pool = flame({ name: 'group', tasks, max: 1, resumesMax: 0 })
    const reader = iterate(pool.stream('child', null, { window: 1 }))
    const { value: child } = await reader.next()
    process.kill(pool.stats().runners[0]?.pid ?? 0, 'SIGKILL')
    await until(() => !isAlive(child))
    // A value or two may have been on their way.
    await expect(all({ [Symbol.asyncIterator]: () => reader })).rejects.toMatchObject({
      code: 'worker.runner-died',
      message: expect.stringContaining('SIGKILL'),
    })
    await pool.close()
  })

  for (const task of ['child', 'block']) {
    test(`kill -9 of the parent ends the runner within 2 s, while it runs "${task}"`, async () => {
      const { parent, lines } = await startParent(task)
      const { value: pid } = await lines.next()
      expect(isAlive(pid)).toBe(true)
      parent.kill('SIGKILL')
      await once(parent, 'exit')
      await until(() => !isAlive(pid), 2500)
      if (task !== 'child') return
      const { value: child } = await lines.next()
      await until(() => !isAlive(child), 500)
    })
  }

  test('when the parent goes, tasks have a moment to put things away', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'millrace-orphan-'))
    const path = join(folder, 'note')
    const { parent, lines } = await startParent('note-when-aborted', path)
    const { value: pid } = await lines.next()
    parent.kill('SIGKILL')
    await until(() => existsSync(path))
    await until(() => !isAlive(pid), 2500)
    rmSync(folder, { recursive: true })
  })

  test('a parent that is done ends by itself, and its idle runners with it', async () => {
    const { parent, lines } = await startParent('echo')
    const { value: pid } = await lines.next()
    await once(parent, 'exit')
    expect(parent.exitCode).toBe(0)
    await until(() => !isAlive(pid), 2500)
  })

  test('the last words of a runner are told in one line, without a stack', async () => {
    const pool = flame({ name: 'words', tasks, max: 1, resumesMax: 0 })
    const error = await pool.call('throw-later', 'lost my way').catch((thrown: unknown) => thrown)
    expect(error).toMatchObject({
      code: 'worker.runner-died',
      message: expect.stringMatching(/ended with code 1 \(Error: lost my way\)$/),
    })
    await pool.close()
  })
})

async function* linesOf(parent: ChildProcess): AsyncGenerator<string> {
  let rest = ''
  for await (const chunk of parent.stdout ?? []) {
    const lines = (rest + chunk).split('\n')
    rest = lines.pop() ?? ''
    yield* lines
  }
}
