import { randomBytes } from 'node:crypto'
import type { DeadLetter, Host, Hub, Log, Pools, Span, StandardStreams, Topics } from '../core/host.ts'
import { createFiles } from './files.ts'
import { systemClock } from './system-clock.ts'

export interface HostOptions {
  /** Names under `$env` that documents may read, out of `environment`. */
  readonly allowEnv: readonly string[]
  readonly environment: Readonly<Record<string, string | undefined>>
  readonly vars: Readonly<Record<string, unknown>>
  /** Folders that documents may read and write. */
  readonly folders: readonly string[]
  readonly log: Log
  readonly deadLetter: (letters: readonly DeadLetter[]) => Promise<void>
  readonly pools?: Pools
  readonly hub?: Hub
  readonly topics?: Topics
  readonly standardStreams?: StandardStreams
  readonly span?: (span: Span) => void
}

/** Joins the world to the engine. Of the environment only the allowed names are kept. */
export function createHost(options: HostOptions): Host {
  const env: Record<string, string> = {}
  for (const name of options.allowEnv) {
    const value = options.environment[name]
    if (value !== undefined) env[name] = value
  }
  return {
    clock: systemClock,
    random: Math.random,
    id: () => randomBytes(6).toString('hex'),
    env,
    vars: () => options.vars,
    log: options.log,
    deadLetter: options.deadLetter,
    pools: options.pools,
    hub: options.hub,
    topics: options.topics,
    files: createFiles({ allowed: [...options.folders] }),
    standardStreams: options.standardStreams,
    span: options.span,
  }
}
