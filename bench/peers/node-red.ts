import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const require = createRequire(import.meta.url)

/** A headless Node-RED with the bench's five nodes in a flow. */
export interface NodeRed {
  /** Sends `count` orders through the flow and resolves when the last that passes has arrived; answers their sum. */
  run(count: number): Promise<number>
  close(): Promise<void>
}

interface Runtime {
  init(server: unknown, settings: object): void
  start(): Promise<void>
  stop(): Promise<void>
  readonly events?: { once(event: string, listener: () => void): void }
}

/** What the flow's function nodes find under `global.get('bench')`. */
interface Door {
  feed: ((count: number) => void) | null
  arrived: (total: number) => void
  makeOrder: (n: number) => unknown
  /** Function nodes have timers, but no setImmediate of their own. */
  soon: (callback: () => void) => void
}

/** Starts Node-RED in this process, with a user folder of its own and no web server of its own. */
export async function startNodeRed(makeOrder: (n: number) => unknown): Promise<NodeRed> {
  const runtime: Runtime = require('node-red')
  const userDir = await mkdtemp(join(tmpdir(), 'millrace-node-red-'))
  const door: Door = {
    feed: null,
    arrived: () => undefined,
    makeOrder,
    soon: (callback) => void setImmediate(callback),
  }
  await writeFile(join(userDir, 'flows.json'), JSON.stringify(flow))
  const server = createServer()
  runtime.init(server, {
    userDir,
    flowFile: 'flows.json',
    httpAdminRoot: false,
    httpNodeRoot: false,
    functionGlobalContext: { bench: door },
    logging: { console: { level: 'off', metrics: false, audit: false } },
    telemetry: { enabled: false },
    editorTheme: { tours: false },
  })
  await runtime.start()
  const deadline = performance.now() + 20_000
  while (door.feed === null) {
    if (performance.now() > deadline) throw new Error('the flow of Node-RED did not start within 20 s')
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  return {
    run: (count) =>
      new Promise((resolve) => {
        let left = passing(count)
        let sum = 0
        door.arrived = (total) => {
          sum += total
          if (--left === 0) resolve(sum)
        }
        door.feed?.(count)
      }),
    async close() {
      await runtime.stop()
      await rm(userDir, { recursive: true, force: true })
    },
  }
}

/** Orders whose total passes the filter; see `makeOrder` of the engine's bench. */
function passing(count: number): number {
  let kept = 0
  for (let n = 0; n < count; n++) if (n % 200 > 20) kept += 1
  return kept
}

const node = (id: string, type: string, wires: readonly (readonly string[])[], rest: object): object => ({
  id,
  type,
  z: 'tab',
  x: 0,
  y: 0,
  wires,
  ...rest,
})
const code = (func: string, more: object = {}): object => ({
  func,
  outputs: 1,
  noerr: 0,
  initialize: '',
  finalize: '',
  libs: [],
  timeout: '',
  ...more,
})

/** Source → set → filter → switch → set → sink, with Node-RED's own nodes where it has them. */
const flow: readonly object[] = [
  { id: 'tab', type: 'tab', label: 'bench', disabled: false },
  node(
    'source',
    'function',
    [['gross']],
    code('return null', {
      // A few hundred at a time, so that the flow's queue stays short.
      initialize: `const bench = global.get('bench')
bench.feed = (count) => {
  let next = 0
  const slice = () => {
    for (let i = 0; i < 500 && next < count; i++) node.send({ payload: bench.makeOrder(next++) })
    if (next < count) bench.soon(slice)
  }
  slice()
}`,
    }),
  ),
  node('gross', 'function', [['big']], code('msg.payload.gross = msg.payload.total * 1.19\nreturn msg')),
  node('big', 'switch', [['where']], {
    property: 'payload.total',
    propertyType: 'msg',
    rules: [{ t: 'gt', v: '20', vt: 'num' }],
    checkall: 'false',
    repair: false,
    outputs: 1,
  }),
  node('where', 'switch', [['slim'], ['slim'], ['slim']], {
    property: 'payload.region',
    propertyType: 'msg',
    rules: [{ t: 'eq', v: '0', vt: 'num' }, { t: 'eq', v: '1', vt: 'num' }, { t: 'else' }],
    checkall: 'false',
    repair: false,
    outputs: 3,
  }),
  node(
    'slim',
    'function',
    [['sink']],
    code('const { id, gross, user } = msg.payload\nmsg.payload = { id, total: gross, name: user.name }\nreturn msg'),
  ),
  node('sink', 'function', [[]], code("global.get('bench').arrived(msg.payload.total)\nreturn null", { outputs: 0 })),
]
