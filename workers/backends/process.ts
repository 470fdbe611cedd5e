import type { ChildProcess } from 'node:child_process'
import { spawn } from 'node:child_process'
import { Socket } from 'node:net'
import { extname } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Backend, BootOrder, RunnerEvents, RunnerHandle } from '../backend.ts'
import type { Channel } from '../channel.ts'
import { openChannel } from '../channel.ts'
import type { PoolFrame } from '../frames.ts'
import { runnerEnv } from './environment.ts'
import { killAll } from './kill.ts'
import { causeOf, keepTail } from './last-words.ts'

/**
 * A process per runner, the default: whatever happens in it, native crashes included, happens to it alone.
 * Frames travel in msgpack over a socket pair of its own (file descriptor 3).
 */
export const processBackend: Backend = {
  name: 'process',
  boot: (order, events) => new ProcessRunner(order, events),
}

const entry = fileURLToPath(new URL(`./process-entry${extname(import.meta.url)}`, import.meta.url))

class ProcessRunner implements RunnerHandle {
  readonly #child: ChildProcess
  readonly #channel: Channel | null
  readonly #socket: Socket | null
  readonly #events: RunnerEvents
  #cause: string | null = null
  #ended = false
  #children: readonly number[] = []

  constructor(order: BootOrder, events: RunnerEvents) {
    this.#events = events
    const heap = order.heapMbMax === null ? [] : [`--max-old-space-size=${order.heapMbMax}`]
    this.#child = spawn(process.execPath, [...heap, entry, String(order.valueBytesMax)], {
      env: runnerEnv(order.env),
      stdio: ['ignore', 'ignore', 'pipe', 'pipe'],
      // A process group of its own: what the runner started can be ended with it, even after a kill -9.
      detached: process.platform !== 'win32',
      windowsHide: true,
    })
    const tail = keepTail(this.#child.stderr)
    this.#child.on('error', (error) => this.#end(`it does not start: ${error.message}`))
    this.#child.on('exit', (code, signal) => this.#end(this.#cause ?? causeOf(code, signal, tail())))
    // Where there are no descriptors left, there is no stdio, and the error event follows.
    const socket = this.#child.stdio?.[3]
    this.#socket = socket instanceof Socket ? socket : null
    this.#channel =
      this.#socket === null
        ? null
        : openChannel(this.#socket, order.valueBytesMax, {
            frame: (data) => {
              if (!this.#ended) events.frame(data)
            },
            closed: (cause) => this.#lost(cause),
          })
    this.#child.unref()
    unref(this.#socket)
    unref(this.#child.stderr)
    this.#channel?.send(['boot', order, process.pid])
  }

  get pid(): number | null {
    return this.#child.pid ?? null
  }

  send(frame: PoolFrame): void {
    this.#channel?.send(frame)
  }

  kill(pids: Iterable<number>): void {
    this.#children = [...pids]
    this.#killGroup()
  }

  /** The channel is gone while the process is not: without it, it is no runner. */
  #lost(cause: string): void {
    if (this.#ended) return
    const { exitCode, signalCode } = this.#child
    if (exitCode !== null || signalCode !== null) return
    // An exit closes the channel first and is heard of a moment later, with a better cause.
    setTimeout(() => {
      if (this.#ended) return
      this.#cause ??= cause
      this.#killGroup()
    }, 50)
  }

  #killGroup(): void {
    const { pid } = this.#child
    if (pid === undefined || this.#ended) return
    killAll(process.platform === 'win32' ? [pid] : [-pid])
  }

  #end(cause: string): void {
    if (this.#ended) return
    const { pid } = this.#child
    if (pid !== undefined && process.platform !== 'win32') killAll([-pid])
    killAll(this.#children)
    this.#ended = true
    this.#socket?.destroy()
    this.#child.stderr?.destroy()
    this.#events.ended(cause)
  }
}

/** Pipes to a child are sockets, though their type does not say so. */
function unref(stream: object | null): void {
  if (stream instanceof Socket) stream.unref()
}
