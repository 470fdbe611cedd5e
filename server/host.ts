import { randomBytes } from 'node:crypto'
import type { DeadLetter, Host, Hub, Log, Pools, Span, StandardStreams, Topics } from '../core/host.ts'
import { createFiles } from './files.ts'
import { systemClock } from './system-clock.ts'

export interface HostOptions {
  /** Names under `$env` that documents may read, out of `environment`. None unless set. */
  readonly allowEnv?: readonly string[]
  /** Where the values of `$env` come from. Empty unless set; the process's own is never taken by itself. */
  readonly environment?: Readonly<Record<string, string | undefined>>
  /** What documents read as `$vars`. Empty unless set. */
  readonly vars?: Readonly<Record<string, unknown>>
  /** Folders that documents may read and write. None unless set. */
  readonly folders?: readonly string[]
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
  const { allowEnv = [], environment = {}, vars = {}, folders = [] } = options
  const env: Record<string, string> = {}
  for (const name of allowEnv) {
    const value = environment[name]
    if (value !== undefined) env[name] = value
  }
  return {
    clock: systemClock,
    random: Math.random,
    id: () => randomBytes(6).toString('hex'),
    env,
    vars: () => vars,
    log: options.log,
    deadLetter: options.deadLetter,
    pools: options.pools,
    hub: options.hub,
    topics: options.topics,
    files: createFiles({ allowed: [...folders] }),
    standardStreams: options.standardStreams,
    span: options.span,
  }
}
