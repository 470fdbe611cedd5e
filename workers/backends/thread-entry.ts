import type { MessagePort } from 'node:worker_threads'
import { parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads'
import type { BootOrder } from '../backend.ts'
import { startRunner } from '../runner.ts'
import { Scale } from '../value.ts'
import type { ThreadStart } from './thread-port.ts'
import { postFrame } from './thread-port.ts'

/** How long an idle thread sleeps outside its event loop: a call within this time is answered in a third of the time. */
const sleepMsMax = 5
/** How long the event loop may go without a turn while calls follow closely. */
const turnlessMsMax = 20

const start: ThreadStart<BootOrder> = workerData
if (parentPort !== null) serve(parentPort, start)

/** What a thread of the thread backend runs. */
function serve(port: MessagePort, { order, bell }: ThreadStart<BootOrder>): void {
  const scale = new Scale(order.valueBytesMax)
  let heard = 0
  let turnAt = performance.now()
  let turnAsked = false

  const runner = startRunner(order, {
    send: (frame) => postFrame(port, frame, scale),
    leave: () => process.exit(0),
    idle: sleep,
  })
  port.on('message', (data) => runner.receive(data))

  /** Nothing runs here. Waking up from an event loop is slow, so the next call is first waited for without one. */
  function sleep(): void {
    while (runner.idle && performance.now() - turnAt < turnlessMsMax) {
      if (Atomics.wait(bell, 0, heard, sleepMsMax) === 'timed-out') break
      heard = Atomics.load(bell, 0)
      for (let next = receiveMessageOnPort(port); next !== undefined; next = receiveMessageOnPort(port)) {
        runner.receive(next.message)
      }
    }
    if (turnAsked) return
    turnAsked = true
    setImmediate(() => {
      turnAsked = false
      turnAt = performance.now()
    })
  }
}
