import { Socket } from 'node:net'
import type { BootOrder } from '../backend.ts'
import { openChannel } from '../channel.ts'
import type { Runner } from '../runner.ts'
import { startRunner } from '../runner.ts'
import { watchParent } from './parent-watch.ts'

const channelDescriptor = 3
/** Long enough for a task to put things away, short enough to be gone before anybody wonders. */
const abandonMsMax = 1000

/** What a process of the process backend does: boots by the first frame, serves, and goes when its parent goes. */
export function serveParent(): void {
  const socket = new Socket({ fd: channelDescriptor, readable: true, writable: true })
  let runner: Runner | null = null
  const channel = openChannel(socket, Number(process.argv[2]), {
    frame: (data) => {
      if (runner === null) runner = boot(data)
      else runner.receive(data)
    },
    closed: () => void orphaned(runner),
  })

  function boot(data: unknown): Runner {
    const { order, parentPid } = readBoot(data)
    const started = startRunner(order, {
      send: (frame) => channel.send(frame),
      leave: () => {
        socket.once('finish', () => process.exit(0))
        channel.end()
      },
    })
    process.on('SIGTERM', () => started.drain())
    watchParent(parentPid)
    return started
  }

  // The terminal sends it to everybody; whether to stop is the parent's to say.
  process.on('SIGINT', () => undefined)
}

/** Tasks get a moment to put things away. The group goes with us, and so do children that nobody registered. */
async function orphaned(runner: Runner | null): Promise<void> {
  await runner?.abandon(abandonMsMax)
  if (process.platform !== 'win32') process.kill(-process.pid, 'SIGKILL')
  process.exit(0)
}

function readBoot(data: unknown): { readonly order: BootOrder; readonly parentPid: number } {
  if (!Array.isArray(data) || data[0] !== 'boot') throw new Error('The first frame of a runner must be its boot order')
  return { order: data[1], parentPid: data[2] }
}
