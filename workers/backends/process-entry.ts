import { enableCompileCache } from 'node:module'

// First of all, so that the modules below come from the cache: a runner's start is somebody's waiting time.
enableCompileCache()
const { serveParent } = await import('./process-runner.ts')
serveParent()
