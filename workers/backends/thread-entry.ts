import { parentPort, workerData } from 'node:worker_threads'
import type { BootOrder } from '../backend.ts'
import { startRunner } from '../runner.ts'
import { postFrame } from './thread.ts'

/** What a thread of the thread backend runs. */
const order: BootOrder = workerData
const port = parentPort

if (port !== null) {
  const runner = startRunner(order, {
    send: (frame) => postFrame(port, frame, order.valueBytesMax),
    leave: () => process.exit(0),
  })
  port.on('message', (data) => runner.receive(data))
}
