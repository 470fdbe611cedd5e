import { enableCompileCache } from 'node:module'

// A thread has a loader of its own, which reads what the process has compiled before only when it is told to. Without it each
// thread strips and compiles every file anew: a second of work for a lane.
enableCompileCache()
await import('./thread-entry.ts')
