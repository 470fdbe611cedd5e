import type { Pool, PoolOptions, Pools } from '../core/host.ts'
import { flame } from './pool.ts'
import type { FlameOptions, FlamePool } from './pool-options.ts'

/** What all pools of a host have in common: where tasks are defined, and limits that a document does not set. */
export type PoolsOptions = Omit<FlameOptions, keyof PoolOptions>

/** The pools of one host, made when a document first names them. */
export function createPools(options: PoolsOptions): Pools & { close(): Promise<void> } {
  const pools = new Map<string, FlamePool>()
  return {
    pool(asked: PoolOptions): Pool {
      const known = pools.get(asked.name)
      if (known !== undefined) return known
      const made = flame({ ...options, ...asked })
      pools.set(asked.name, made)
      return made
    },
    async close() {
      await Promise.all([...pools.values()].map((pool) => pool.close()))
    },
  }
}
