import type { PoolOptions } from '../../core/host.ts'
import type { Backend } from '../backend.ts'
import { inlineBackend } from './inline.ts'
import { processBackend } from './process.ts'
import { threadBackend } from './thread.ts'

const builtin: Readonly<Record<PoolOptions['backend'], Backend>> = {
  inline: inlineBackend,
  thread: threadBackend,
  process: processBackend,
}

/** The backend of that name, or the one that was given. */
export function backendOf(backend: PoolOptions['backend'] | Backend): Backend {
  return typeof backend === 'string' ? builtin[backend] : backend
}
