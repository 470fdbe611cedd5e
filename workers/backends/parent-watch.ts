import { Worker } from 'node:worker_threads'

/**
 * Ends this process group when the parent has gone while the main thread is busy in a loop and cannot hear of it.
 * The thread is a text, because it needs nothing of ours and shall cost little. Checked twice a second.
 */
export function watchParent(parentPid: number): void {
  const watch = new Worker(watchText, {
    eval: true,
    workerData: parentPid,
    env: {},
    execArgv: [],
    resourceLimits: { maxOldGenerationSizeMb: 8, maxYoungGenerationSizeMb: 1 },
  })
  watch.unref()
}

const watchText = `
const { workerData } = require('node:worker_threads')
const gone = () => {
  if (process.ppid !== workerData) return true
  try { process.kill(workerData, 0); return false } catch (error) { return error.code === 'ESRCH' }
}
let since = 0
setInterval(() => {
  since = gone() ? since + 1 : 0
  if (since > 1) process.kill(process.platform === 'win32' ? process.pid : -process.pid, 'SIGKILL')
}, 500)
`
