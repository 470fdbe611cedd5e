import type { ServerResponse } from 'node:http'
import { NodeError } from '../core/flow/failure.ts'
import type { Clock } from '../core/host.ts'
import type { Pipeline, SampleReport } from '../core/pipeline.ts'
import { Bell } from './bell.ts'
import { HttpError } from './http-error.ts'
import type { ServerLimits } from './limits.ts'
import { PacedWriter } from './paced-writer.ts'
import type { Workflows } from './workflows.ts'

/** What a reader holds back at most, besides what its socket took: the oldest go first. */
const queueCharsMax = 512 * 1024
const lookMs = 250
const quietMsMax = 15_000

export interface TapOptions {
  readonly workflow: string
  /** `node.port`, or a node, which means its port `out`. */
  readonly port: string
  readonly filter: string | null
  /** Ends after so many messages. */
  readonly limit: number | null
  readonly format: 'sse' | 'ndjson'
}

/** All the readers that look at ports of running workflows. */
export class TapDesk {
  readonly #workflows: Workflows
  readonly #limits: ServerLimits
  readonly #clock: Clock
  readers = 0

  constructor(workflows: Workflows, limits: ServerLimits, clock: Clock) {
    this.#workflows = workflows
    this.#limits = limits
    this.#clock = clock
  }

  /**
   * Streams samples of what leaves a port until the reader goes, the limit is reached or the workflow is gone: `{ value, key, time }`,
   * `{ missed }` for those that went by unseen since the last line, `{ end }` with the reason. It stays with the workflow when a new
   * version takes over. Throws an HttpError before anything is written.
   */
  async stream(response: ServerResponse, options: TapOptions): Promise<void> {
    if (this.readers >= this.#limits.tapsMax)
      throw new HttpError(503, 'tap.too-many', `${this.#limits.tapsMax} readers look at ports already.`, 'End one.', {
        'retry-after': '5',
      })
    const bell = new Bell()
    const queue = new SampleQueue(options.limit, bell.ring)
    const watch = new PortWatch(this.#workflows, this.#limits, this.#clock, options, queue)
    this.readers += 1
    response.once('close', bell.ring)
    try {
      await this.#write(response, options.format, queue, bell)
    } finally {
      this.readers -= 1
      watch.close()
    }
  }

  async #write(response: ServerResponse, format: TapOptions['format'], queue: SampleQueue, bell: Bell): Promise<void> {
    response.writeHead(200, {
      'content-type': format === 'sse' ? 'text/event-stream; charset=utf-8' : 'application/x-ndjson; charset=utf-8',
      'cache-control': 'no-store',
      'x-content-type-options': 'nosniff',
      'x-accel-buffering': 'no',
    })
    response.flushHeaders()
    const { stallMsMax, replyBufferBytesMax } = this.#limits
    const writer = new PacedWriter(response, { stallMsMax, bufferBytesMax: replyBufferBytesMax })
    const put = (text: string): Promise<void> => writer.put(Buffer.from(text))
    try {
      while (!response.destroyed) {
        const lines = queue.take()
        if (lines.length > 0)
          await put(lines.map((each) => (format === 'sse' ? `data: ${each}\n\n` : `${each}\n`)).join(''))
        else if (queue.ended) break
        else if ((await bell.wait(quietMsMax)) === 'late') await put(format === 'sse' ? ': quiet\n\n' : '\n')
      }
      response.end()
    } catch (thrown) {
      // Its reader has gone or was cut for taking nothing; there is nobody to tell.
      if (!(thrown instanceof NodeError)) throw thrown
    }
  }
}

/** Holds the samples of one port, of whichever version of the workflow runs. */
class PortWatch {
  readonly #workflows: Workflows
  readonly #limits: ServerLimits
  readonly #clock: Clock
  readonly #options: TapOptions
  readonly #queue: SampleQueue
  #pipeline: Pipeline | null = null
  #stop = (): void => undefined
  #cancel = (): void => undefined

  constructor(workflows: Workflows, limits: ServerLimits, clock: Clock, options: TapOptions, queue: SampleQueue) {
    this.#workflows = workflows
    this.#limits = limits
    this.#clock = clock
    this.#options = options
    this.#queue = queue
    try {
      this.#attach()
    } catch (thrown) {
      if (!(thrown instanceof NodeError)) throw thrown
      const status = thrown.code === 'tap.bad-filter' ? 400 : 404
      throw new HttpError(status, thrown.code, `Nothing to look at: ${thrown.message}.`)
    }
    this.#cancel = clock.after(lookMs, () => this.#look())
  }

  close(): void {
    this.#cancel()
    this.#stop()
    this.#stop = () => undefined
  }

  #attach(): void {
    const { workflow, port, filter } = this.#options
    const pipeline = this.#workflows.deployed.get(workflow)?.pipeline
    if (pipeline === undefined)
      throw new NodeError('workflow.unknown', `there is no workflow ${JSON.stringify(workflow)}`)
    if (pipeline === this.#pipeline) return
    this.#stop()
    const dot = port.lastIndexOf('.')
    const [node, name] = dot < 0 ? [port, 'out'] : [port.slice(0, dot), port.slice(dot + 1)]
    const { tapPerSecondMax, tapExaminedPerSecondMax, tapValueCharsMax } = this.#limits
    const limits = {
      perSecondMax: tapPerSecondMax,
      examinedPerSecondMax: tapExaminedPerSecondMax,
      valueCharsMax: tapValueCharsMax,
      filter,
    }
    this.#stop = pipeline.sample(node, name, limits, (report) => this.#queue.add(report))
    this.#pipeline = pipeline
  }

  /** A new version may have taken over, or the workflow may be gone. */
  #look(): void {
    try {
      this.#attach()
      this.#cancel = this.#clock.after(lookMs, () => this.#look())
    } catch (thrown) {
      this.#stop()
      this.#stop = () => undefined
      this.#queue.end(thrown instanceof Error ? thrown.message : String(thrown))
    }
  }
}

/** Lines that wait for a slow reader, up to a size; of what it loses, it keeps the number. */
class SampleQueue {
  ended = false
  readonly #ring: () => void
  #left: number
  #lines: string[] = []
  #chars = 0
  #missed = 0

  constructor(limit: number | null, ring: () => void) {
    this.#left = limit ?? Number.POSITIVE_INFINITY
    this.#ring = ring
  }

  add({ samples, missed }: SampleReport): void {
    if (this.ended) return
    this.#missed += missed
    for (const each of samples) {
      const line = JSON.stringify(each)
      this.#lines.push(line)
      this.#chars += line.length
      this.#left -= 1
      if (this.#left > 0) continue
      this.end('the limit is reached')
      break
    }
    while (this.#chars > queueCharsMax && this.#lines.length > 1) {
      this.#chars -= this.#lines.shift()?.length ?? 0
      this.#missed += 1
    }
    this.#ring()
  }

  end(reason: string): void {
    if (this.ended) return
    this.ended = true
    this.#lines.push(JSON.stringify({ end: reason }))
    this.#ring()
  }

  take(): readonly string[] {
    if (this.#missed > 0) this.#lines.unshift(JSON.stringify({ missed: this.#missed }))
    const lines = this.#lines
    this.#lines = []
    this.#chars = 0
    this.#missed = 0
    return lines
  }
}
