import type { AddressInfo, Socket } from 'node:net'
import { connect as connectTcp, createServer as createTcpServer } from 'node:net'
import { z } from 'zod'
import { createCatalogue } from '../core/catalogue.ts'
import { compile } from '../core/compile/compile.ts'
import { define, defineVersions, expression } from '../core/define.ts'
import { planText } from '../core/document/plan-text.ts'
import type { Host } from '../core/host.ts'
import type { Pipeline } from '../core/pipeline.ts'
import type { MillraceServer } from './create-server.ts'
import { systemClock } from './system-clock.ts'

/** A trigger that the API starts, and a node that publishes `$json.values` to a topic and waits for `release` where `$json.hold` says so. */
export interface TestWorkflow {
  readonly pipeline: Pipeline
  /** Lets the nodes go on that hold. */
  release(): void
}

const start = define({
  name: 'test.start',
  version: 1,
  summary: 'Starts when the API says so.',
  inputs: [],
  outputs: ['out'],
  config: z.strictObject({}),
  examples: [],
  face: { kind: 'event-trigger', open: async () => ({ pause: () => {}, resume: () => {}, close: async () => {} }) },
})

const inputSchema = z.object({
  values: z.array(z.unknown()).default([]),
  hold: z.boolean().default(false),
  fail: z.string().optional(),
})

/** A workflow on the real engine, for tests of the server and the SDK. */
export function testWorkflow(server: MillraceServer, name = 'publisher'): TestWorkflow {
  let release = (): void => {}
  const released = new Promise<void>((resolve) => {
    release = resolve
  })
  const publish = define({
    name: 'test.publish',
    version: 1,
    summary: 'Publishes the values of a message.',
    inputs: ['in'],
    outputs: ['out'],
    config: z.strictObject({ topic: expression(z.string()) }),
    examples: [],
    face: {
      kind: 'async',
      limits: () => ({ concurrency: 10, order: 'input', timeoutMs: 60_000 }),
      make: (config, context) => {
        const topicOf = context.reader(config.topic)
        return async (message, signal, scope) => {
          const { values, hold, fail } = inputSchema.parse(message.value)
          await server.topics.publish(topicOf(message, scope), values, signal)
          if (hold) await untilReleased(released, signal)
          if (fail !== undefined) throw new Error(fail)
          return context.result(message, values.length)
        }
      },
    },
  })
  const text = `
    millrace: 1
    name: ${name}
    settings: { telemetry: metrics }
    nodes:
      begin: { type: test.start@1 }
      send: { type: test.publish@1, config: { topic: "executions/{{ $execution.id }}" }, onError: stop }
    edges: [begin -> send]
  `
  const types = [defineVersions({ 1: start }, { latest: 1 }), defineVersions({ 1: publish }, { latest: 1 })]
  const catalogue = createCatalogue(types)
  return { pipeline: compile(planText(text, catalogue, { id: name }), catalogue, plainHost(server)), release }
}

export function plainHost(server: MillraceServer): Host {
  let ids = 0
  return {
    clock: systemClock,
    random: Math.random,
    id: () => `t${process.pid.toString(36)}${(ids++).toString(36)}`,
    env: {},
    vars: () => ({}),
    log: { write: () => {} },
    deadLetter: async () => {},
    hub: server.hub,
    topics: server.topics,
  }
}

/** A TCP proxy whose connections a test may cut, or hold still, at any moment. */
export interface TestProxy {
  readonly url: string
  /** The port that new connections go to. */
  target: number
  /** Resets all connections; answers how many there were. */
  cut(): number
  /** Bytes from the server to clients so far. */
  readonly bytesDown: number
  /** Connections made so far. */
  readonly connections: number
  close(): Promise<void>
}

export async function testProxy(port: number): Promise<TestProxy> {
  let target = port
  const open = new Set<Socket>()
  let bytesDown = 0
  let connections = 0
  const proxy = createTcpServer((client) => {
    connections += 1
    const upstream = connectTcp(target, '127.0.0.1')
    for (const socket of [client, upstream]) {
      open.add(socket)
      socket.setNoDelay(true)
      socket.on('error', () => {})
      socket.on('close', () => {
        open.delete(socket)
        client.destroy()
        upstream.destroy()
      })
    }
    upstream.on('data', (chunk) => {
      bytesDown += chunk.byteLength
    })
    client.pipe(upstream)
    upstream.pipe(client)
  })
  await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve))
  const address: AddressInfo | string | null = proxy.address()
  const own = typeof address === 'object' && address !== null ? address.port : 0
  const cut = (): number => {
    const count = open.size
    for (const socket of open) socket.resetAndDestroy()
    return count
  }
  return {
    url: `http://127.0.0.1:${own}`,
    get target() {
      return target
    },
    set target(next) {
      target = next
    },
    cut,
    get bytesDown() {
      return bytesDown
    },
    get connections() {
      return connections
    },
    async close() {
      cut()
      await new Promise<void>((resolve) => proxy.close(() => resolve()))
    },
  }
}

/** Resolves when the condition holds; looks at it each few milliseconds, and fails loudly after `msMax`. */
export async function until(condition: () => boolean | Promise<boolean>, msMax = 10_000): Promise<void> {
  const end = Date.now() + msMax
  while (!(await condition())) {
    if (Date.now() > end) throw new Error(`it did not come true within ${msMax} ms: ${condition}`)
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}

export const noSignal = new AbortController().signal

function untilReleased(released: Promise<void>, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    signal.addEventListener('abort', () => reject(new Error('aborted')), { once: true })
    void released.then(resolve)
  })
}
