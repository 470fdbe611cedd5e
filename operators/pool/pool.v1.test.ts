import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { message } from '../../core/flow/message.ts'
import { realFlow } from '../../test/real-flow.ts'
import { createPools } from '../../workers/pools.ts'
import { taskLog } from './tasks.fixture.ts'

const silent = { write: () => undefined }
let pools = createPools({ tasks: [], log: silent })

beforeEach(() => {
  pools = createPools({ tasks: [new URL('./tasks.fixture.ts', import.meta.url)], log: silent })
  Object.assign(taskLog(), { yielded: 0, ended: 0, aborted: 0 })
})
afterEach(() => pools.close())

interface Options {
  readonly config?: object
  readonly settings?: object
  readonly onWrite?: (values: readonly unknown[]) => Promise<void> | void
}

function flow(task: string, input: readonly unknown[], { config, settings, onWrite }: Options = {}) {
  const document = {
    millrace: 1,
    name: 'pool',
    settings: settings ?? {},
    nodes: {
      go: { type: 'manual@1' },
      work: { type: 'pool@1', into: 'value', config: { task, backend: 'inline', idleShutdownMs: 0, ...config } },
      keep: { type: 'test.keep@1' },
    },
    edges: ['go -> work', 'work -> keep'],
  }
  return realFlow(document, {
    host: { pools },
    start: { entry: 'go', input: input.map((value) => message(value)) },
    ...(onWrite === undefined ? {} : { onWrite }),
  })
}

/** Resolves when a condition holds, asked once per turn of the event loop. */
async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise((resolve) => setImmediate(resolve))
}

describe('a pool node', () => {
  test('streams what the task yields, one message each, beside what came in', async () => {
    const each = await flow('pool-test.count', [
      { id: 'a', count: 3 },
      { id: 'b', count: 0 },
    ])
    expect(await each.finish()).toMatchObject({ outcome: { state: 'done' }, faults: [] })
    expect(each.kept).toEqual([0, 1, 2].map((value) => ({ id: 'a', count: 3, value })))
  })

  test('sends a value on while the task still runs', async () => {
    const each = await flow('pool-test.hang', [{}])
    await each.keptCount(1)
    expect(each.kept).toEqual([{ value: 'first' }])
    expect(each.execution.state).toBe('running')
    await each.execution.kill('enough')
    await until(() => taskLog().aborted === 1)
    expect((await each.finish()).faults).toEqual([])
  })

  test('a slow sink suspends the task, and no value is lost', async () => {
    let release = (): void => undefined
    let writes = 0
    const each = await flow('pool-test.count', [{ count: 1_000 }], {
      config: { window: 4 },
      onWrite: () => {
        writes += 1
        return writes > 1
          ? undefined
          : new Promise((resolve) => {
              release = resolve
            })
      },
    })
    let before = -1
    // It is suspended when a hundred turns have brought nothing more.
    while (before !== taskLog().yielded || writes === 0) {
      before = taskLog().yielded
      for (let turn = 0; turn < 100; turn++) await new Promise((resolve) => setImmediate(resolve))
    }
    expect(taskLog().yielded).toBeLessThan(100)
    expect(taskLog().ended).toBe(0)
    release()
    expect(await each.finish()).toMatchObject({ outcome: { state: 'done' }, faults: [] })
    expect(each.kept).toHaveLength(1_000)
    expect(taskLog()).toMatchObject({ yielded: 1_000, ended: 1, aborted: 0 })
  })

  test('a kill cancels the task in the midst of it', async () => {
    const each = await flow('pool-test.count', [{ count: 1_000_000_000 }])
    await each.keptCount(10)
    expect((await each.execution.kill('enough')).state).toBe('stopped')
    await until(() => taskLog().ended === 1)
    expect(taskLog().yielded).toBeLessThan(1_000_000_000)
    expect((await each.finish()).faults).toEqual([])
  })

  test('a task that breaks keeps what it gave; the message goes to the dead-letter with the cause', async () => {
    const each = await flow('pool-test.break', [{ id: 7 }])
    expect(await each.finish()).toMatchObject({ outcome: { state: 'done' }, faults: [] })
    expect(each.kept).toEqual([{ id: 7, value: 'first' }])
    expect(each.deadLetters).toMatchObject([
      { value: { id: 7 }, failure: { node: 'work', message: expect.stringContaining('the film is torn') } },
    ])
  })

  test('a task that nobody defined, and one over its time, are errors of the message', async () => {
    const missing = await flow('pool-test.nobody', [{}])
    await missing.finish()
    expect(missing.deadLetters).toMatchObject([
      { failure: { node: 'work', message: expect.stringContaining('nobody') } },
    ])
    const late = await flow('pool-test.hang', [{}], { config: { timeoutMs: 50, pool: 'late' } })
    await late.finish()
    expect(late.deadLetters).toMatchObject([{ failure: { node: 'work' } }])
    await until(() => taskLog().aborted === 1)
  })
})
