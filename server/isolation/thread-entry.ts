import { parentPort, workerData } from 'node:worker_threads'
import { createCatalogue } from '../../core/catalogue.ts'
import { compile } from '../../core/compile/compile.ts'
import type { NodeType } from '../../core/define.ts'
import type { Plan } from '../../core/document/plan.ts'
import { NodeError } from '../../core/flow/failure.ts'
import type { Message } from '../../core/flow/message.ts'
import { message } from '../../core/flow/message.ts'
import type { Host, PoolOptions } from '../../core/host.ts'
import type { Execution, Pipeline, SampleLimits, SourceCommand } from '../../core/pipeline.ts'
import { catalogue } from '../../nodes.ts'
import { createFiles } from '../files.ts'
import { systemClock } from '../system-clock.ts'
import { createPeer } from './peer.ts'
import { threadHub } from './thread-hub.ts'

/** What a thread needs to run a workflow; plain data, so that it can cross. */
export interface ThreadOrder {
  readonly plan: Plan
  readonly env: Readonly<Record<string, string>>
  readonly vars: Readonly<Record<string, unknown>>
  readonly folders: readonly string[]
  /** URLs of modules whose `nodeTypes` join the catalogue. */
  readonly modules: readonly string[]
  readonly has: {
    readonly pools: boolean
    readonly hub: boolean
    readonly topics: boolean
    readonly standardStreams: boolean
    readonly spans: boolean
  }
  readonly lane: Host['lane']
  readonly watch: Int32Array
}

const port = parentPort
if (port === null) throw new Error('this module is the entry of a thread')
const order: ThreadOrder = workerData
const running = new Map<string, Execution>()
const taps = new Map<number, () => void>()
let vars = order.vars
let opened: Promise<Pipeline> | null = null

const peer = createPeer(port, {
  calls: {
    open: async () => {
      const pipeline = await ready()
      const execution = await pipeline.open()
      await peer.call('routes-ready', [])
      return execution?.id ?? null
    },
    start: async ([entry, values, id]) => {
      const pipeline = await ready()
      return pipeline.start(String(entry), messagesFrom(values), String(id)).id
    },
    stop: async ([id, limitMs]) => running.get(String(id))?.stop(Number(limitMs)) ?? null,
    kill: async ([id, cause]) => running.get(String(id))?.kill(String(cause)) ?? null,
    release: async ([limitMs]) => (await ready()).release(Number(limitMs)),
    control: async ([command]) => (await ready()).control(command as SourceCommand),
    replace: async ([plan]) => {
      const before = await ready()
      opened = make(plan as Plan, before)
      const next = await opened
      const execution = await next.open(before)
      // Its short executions may take as long as they take.
      void before.release()
      await peer.call('routes-ready', [])
      return execution?.id ?? null
    },
  },
  notices: {
    vars: (next) => {
      vars = isRecord(next) ? next : {}
    },
    tap: (id, node, output, limits) => {
      const look = async (): Promise<void> => {
        const pipeline = await ready()
        const [at, name] = [String(node), String(output)]
        // The other side sends the limits as they are, or null for a reader of everything.
        const detach =
          limits === null
            ? pipeline.tap(at, name, (messages) =>
                peer.notify(
                  'tapped',
                  id,
                  messages.map(({ value, key, time }) => ({ value, key, time })),
                ),
              )
            : pipeline.sample(at, name, limits as SampleLimits, (report) => peer.notify('sampled', id, report))
        // It may have been taken back while this thread was starting.
        if (taps.has(Number(id))) taps.set(Number(id), detach)
        else detach()
      }
      taps.set(Number(id), () => undefined)
      look().catch((thrown: unknown) => peer.notify('log', 'warn', `${String(node)}.${String(output)}: ${thrown}`, {}))
    },
    untap: (id) => {
      taps.get(Number(id))?.()
      taps.delete(Number(id))
    },
    request: (...args) => hub.request(...args),
    'reply-ended': (id) => hub.replyEnded(Number(id)),
    arriving: (...args) => hub.arriving(...args),
  },
})
const hub = threadHub(peer)
order.watch[1] = 1
const beat = setInterval(() => {
  order.watch[1] = ((order.watch[1] ?? 0) + 1) | 0
}, 100)
beat.unref()

/** Compiles on first need, so that what goes wrong is answered, not thrown out of the thread. */
function ready(): Promise<Pipeline> {
  opened ??= make(order.plan)
  return opened
}

async function make(plan: Plan, before?: Pipeline): Promise<Pipeline> {
  const more: NodeType[] = []
  for (const url of order.modules) {
    const module: { readonly nodeTypes?: readonly NodeType[] } = await import(url)
    more.push(...(module.nodeTypes ?? []))
  }
  const types = more.length === 0 ? catalogue : createCatalogue([...catalogue.types, ...more])
  const pipeline = compile(plan, types, host(), { before })
  pipeline.started$.subscribe((execution) => {
    running.set(execution.id, execution)
    peer.notify('started', execution.id, execution.entry, execution.startedAt, execution.lasting)
  })
  pipeline.ended$.subscribe(({ execution, outcome }) => {
    running.delete(execution.id)
    peer.notify('metrics', pipeline.metrics(), pipeline.sources())
    peer.notify('ended', execution.id, outcome)
  })
  const metrics = setInterval(() => {
    if (opened === null) return
    void opened.then((current) => {
      if (current === pipeline) peer.notify('metrics', pipeline.metrics(), pipeline.sources())
      else clearInterval(metrics)
    })
  }, 250)
  metrics.unref()
  return pipeline
}

function host(): Host {
  const { has } = order
  return {
    clock: { ...systemClock, after: keepAlive },
    random: Math.random,
    id: () => `${Math.random().toString(36).slice(2, 10)}${(Date.now() % 1e8).toString(36)}`,
    env: order.env,
    vars: () => vars,
    log: { write: (level, text, fields) => peer.notify('log', level, text, fields ?? {}) },
    deadLetter: async (letters, signal) => void (await peer.call('dead-letter', [letters], signal)),
    files: createFiles({ allowed: [...order.folders] }),
    watch: { slots: order.watch },
    span: has.spans ? (span) => peer.notify('span', span) : undefined,
    lane: order.lane,
    hub: has.hub ? hub : undefined,
    topics: has.topics
      ? { publish: async (topic, values, signal) => void (await peer.call('publish', [topic, values], signal)) }
      : undefined,
    standardStreams: has.standardStreams
      ? {
          input: bytesOf(peer.stream('standard-input', [])),
          write: async (chunk) => void (await peer.call('standard-output', [chunk])),
        }
      : undefined,
    pools: has.pools
      ? {
          pool: (options: PoolOptions) => ({
            call: (task, input, rest) => peer.call('pool-call', [options, task, input, plain(rest)], rest?.signal),
            cast: async (task, input, rest) =>
              void (await peer.call('pool-cast', [options, task, input, plain(rest)], rest?.signal)),
            stream: (task, input, rest) =>
              peer.stream('pool-stream', [options, task, input, plain(rest)], rest?.signal),
          }),
        }
      : undefined,
  }
}

/** A thread lives until it is told to end; its timers need not keep it. */
function keepAlive(delayMs: number, callback: () => void): () => void {
  return systemClock.after(delayMs, callback)
}

async function* bytesOf(source: AsyncIterable<unknown>): AsyncGenerator<Uint8Array> {
  for await (const chunk of source) if (chunk instanceof Uint8Array) yield chunk
}

function plain(options: { readonly timeoutMs?: number; readonly window?: number } | undefined): unknown {
  return { timeoutMs: options?.timeoutMs, window: options?.window }
}

function messagesFrom(values: unknown): readonly Message[] {
  if (!Array.isArray(values)) throw new NodeError('thread.garbled', 'the input did not cross as a list')
  return values.map((each: Message) => message(each.value, each.key, each.time))
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null
}
