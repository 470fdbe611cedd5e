import { afterEach, describe, expect, test } from 'vitest'
import type { PoolOptions } from '../core/host.ts'
import { createPools, defineTask, flame } from './index.ts'

const tasks = [new URL('./backends/conformance-tasks.ts', import.meta.url)]
const options: PoolOptions = { name: 'a', backend: 'inline', min: 0, max: 1, concurrencyMax: 1, idleShutdownMs: 1000 }

describe('the pools of a host', () => {
  const pools = createPools({ tasks })

  afterEach(() => pools.close())

  test('are made once per name, and closed together', async () => {
    const one = pools.pool(options)
    expect(pools.pool({ ...options, max: 7 })).toBe(one)
    expect(pools.pool({ ...options, name: 'b' })).not.toBe(one)
    expect(await one.call('echo', 1)).toBe(1)
    await pools.close()
    await expect(one.call('echo', 1)).rejects.toMatchObject({ code: 'worker.pool-closed' })
  })

  test('bounds that contradict each other are named', () => {
    expect(() => flame({ ...options, tasks, min: 3, max: 2 })).toThrow(/"a".*min 3.*max 2/)
    expect(() => flame({ ...options, tasks, concurrencyMax: 0.5 })).toThrow(RangeError)
  })

  test('two tasks of one name are refused', () => {
    defineTask('pools-test', () => 1)
    expect(() => defineTask('pools-test', () => 2)).toThrow(expect.objectContaining({ code: 'worker.task-duplicate' }))
  })
})
