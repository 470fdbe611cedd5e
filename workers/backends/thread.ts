import { extname } from 'node:path'
import { Worker } from 'node:worker_threads'
import type { Backend, BootOrder, RunnerEvents, RunnerHandle } from '../backend.ts'
import type { PoolFrame } from '../frames.ts'
import { Scale } from '../value.ts'
import { runnerEnv } from './environment.ts'
import { killAll } from './kill.ts'
import type { ThreadStart } from './thread-port.ts'
import { postFrame } from './thread-port.ts'

/**
 * A worker thread per runner: the quickest to call, and it can be ended whatever it does, except inside native code.
 * A crash of native code takes the whole process along; work that may crash belongs in a process.
 */
export const threadBackend: Backend = {
  name: 'thread',
  boot: (order, events) => new ThreadRunner(order, events),
}

/** The same folder holds it as source and as built file. */
const entry = new URL(`./thread-entry${extname(import.meta.url)}`, import.meta.url)

class ThreadRunner implements RunnerHandle {
  readonly pid = null
  readonly #scale: Scale
  readonly #worker: Worker
  readonly #bell = new Int32Array(new SharedArrayBuffer(4))
  #cause = 'its thread ended'
  #children: Iterable<number> = []

  constructor(order: BootOrder, events: RunnerEvents) {
    this.#scale = new Scale(order.valueBytesMax)
    this.#worker = new Worker(entry, {
      workerData: { order, bell: this.#bell } satisfies ThreadStart<BootOrder>,
      name: order.runner,
      env: runnerEnv(order.env),
      execArgv: [],
      stdout: true,
      stderr: true,
      resourceLimits: order.heapMbMax === null ? {} : { maxOldGenerationSizeMb: order.heapMbMax },
    })
    // What a task prints has no place to go; it must still be read, or it would pile up.
    this.#worker.stdout.resume()
    this.#worker.stderr.resume()
    this.#worker.unref()
    this.#worker.on('message', (data) => events.frame(data))
    this.#worker.on('error', (error) => {
      this.#cause = error instanceof Error ? error.message : String(error)
    })
    this.#worker.on('exit', (code) => {
      killAll(this.#children)
      events.ended(this.#cause === 'its thread ended' ? `its thread ended with code ${code}` : this.#cause)
    })
  }

  send(frame: PoolFrame): void {
    postFrame(this.#worker, frame, this.#scale)
    Atomics.add(this.#bell, 0, 1)
    Atomics.notify(this.#bell, 0)
  }

  kill(pids: Iterable<number>): void {
    this.#children = [...pids]
    void this.#worker.terminate()
  }
}
