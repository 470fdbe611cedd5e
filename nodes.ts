import { clickhouseInsert, clickhousePoll, clickhouseQuery } from './connectors/clickhouse/index.ts'
import { fileAppend, fileRead, fileWrite } from './connectors/file/index.ts'
import { generate } from './connectors/generate/index.ts'
import { grpcCall, grpcConnect, grpcSend } from './connectors/grpc/index.ts'
import { httpRequest } from './connectors/http/index.ts'
import { interval } from './connectors/interval/index.ts'
import { kafkaConsume, kafkaProduce } from './connectors/kafka/index.ts'
import { manual } from './connectors/manual/index.ts'
import { stdin, stdout } from './connectors/standard-streams/index.ts'
import { topicPublish } from './connectors/topic/index.ts'
import { respond, webhook } from './connectors/webhook/index.ts'
import {
  websocketClose,
  websocketConnect,
  websocketRooms,
  websocketSend,
  websocketServe,
  websocketWrite,
} from './connectors/websocket/index.ts'
import { createCatalogue } from './core/catalogue.ts'
import { aggregate } from './operators/aggregate/index.ts'
import { call } from './operators/call/index.ts'
import { debounce } from './operators/debounce/index.ts'
import { dedupe } from './operators/dedupe/index.ts'
import { delay } from './operators/delay/index.ts'
import { filter } from './operators/filter/index.ts'
import { log } from './operators/log/index.ts'
import { loop } from './operators/loop/index.ts'
import { merge } from './operators/merge/index.ts'
import { pool } from './operators/pool/index.ts'
import { set } from './operators/set/index.ts'
import { split } from './operators/split/index.ts'
import { stopAndError } from './operators/stop-and-error/index.ts'
import { summarize } from './operators/summarize/index.ts'
import { switchNode } from './operators/switch/index.ts'
import { throttle } from './operators/throttle/index.ts'

/** Every node type that Millrace ships: one line each. */
const types = {
  Aggregate: aggregate,
  Call: call,
  ClickhouseInsert: clickhouseInsert,
  ClickhousePoll: clickhousePoll,
  ClickhouseQuery: clickhouseQuery,
  Debounce: debounce,
  Dedupe: dedupe,
  Delay: delay,
  FileAppend: fileAppend,
  FileRead: fileRead,
  FileWrite: fileWrite,
  Filter: filter,
  Generate: generate,
  GrpcCall: grpcCall,
  GrpcConnect: grpcConnect,
  GrpcSend: grpcSend,
  HttpRequest: httpRequest,
  Interval: interval,
  KafkaConsume: kafkaConsume,
  KafkaProduce: kafkaProduce,
  Log: log,
  Loop: loop,
  Manual: manual,
  Merge: merge,
  Pool: pool,
  Respond: respond,
  Set: set,
  Split: split,
  Stdin: stdin,
  Stdout: stdout,
  StopAndError: stopAndError,
  Summarize: summarize,
  Switch: switchNode,
  Throttle: throttle,
  TopicPublish: topicPublish,
  Webhook: webhook,
  WebsocketClose: websocketClose,
  WebsocketConnect: websocketConnect,
  WebsocketRooms: websocketRooms,
  WebsocketSend: websocketSend,
  WebsocketServe: websocketServe,
  WebsocketWrite: websocketWrite,
} as const

type Types = typeof types
type VersionOf<N extends number> = {
  readonly [K in keyof Types as N extends keyof Types[K]['versions'] ? K : never]: Types[K]['versions'][N &
    keyof Types[K]['versions']]
}
type LatestOf = { readonly [K in keyof Types]: Types[K]['versions'][Types[K]['latest'] & keyof Types[K]['versions']] }

/** The definitions by name: `Nodes.V1.Filter`, `Nodes.Latest.Filter`. */
export const Nodes: { readonly V1: VersionOf<1>; readonly Latest: LatestOf } = {
  V1: byVersion(1) as VersionOf<1>,
  Latest: byVersion(null) as LatestOf,
}

/** The catalogue of all of them. */
export const catalogue = createCatalogue(Object.values(types))

/** The mapped types above say what this gives; TypeScript cannot follow it through Object.entries. */
function byVersion(version: number | null): object {
  const found = Object.entries(types).flatMap(([name, type]) => {
    const versions: Readonly<Record<number, unknown>> = type.versions
    const definition = versions[version ?? type.latest]
    return definition === undefined ? [] : [[name, definition] as const]
  })
  return Object.freeze(Object.fromEntries(found))
}
