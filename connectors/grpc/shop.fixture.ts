import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Server, ServerCredentials, ServerDuplexStream, ServerWritableStream } from '@grpc/grpc-js'
import grpc from '@grpc/grpc-js'
import type { Type } from 'protobufjs'
import protobuf from 'protobufjs'

const shopProto = `syntax = "proto3";
package shop;
import "google/protobuf/timestamp.proto";
import "kinds/money.proto";

service Shop {
  rpc Get (Ask) returns (Article);
  rpc List (Ask) returns (stream Article);
  rpc Trade (stream Order) returns (stream Note);
  rpc Sum (stream Order) returns (Note);
}
enum State { UNKNOWN = 0; OPEN = 1; SOLD = 2; }
message Ask {
  string id = 1;
  int32 count = 2;
  int64 big = 3;
  State state = 4;
  repeated Tag tags = 5;
  map<string, double> weights = 6;
  oneof by { string name = 7; bytes code = 8; }
  bool sure = 9;
  uint32 size = 10;
}
message Tag { string text = 1; }
message Article {
  string id = 1;
  int64 big = 2;
  State state = 3;
  kinds.Money price = 4;
  repeated string words = 5;
  bytes picture = 6;
  google.protobuf.Timestamp at = 7;
  Ask asked = 8;
}
message Order { string id = 1; int32 n = 2; }
message Note { string text = 1; int32 n = 2; }
`

const moneyProto = `syntax = "proto3";
package kinds;
message Money { int64 cents = 1; string currency = 2; }
`

/** A value of a message, as protobufjs makes it. */
export type Value = Readonly<Record<string, unknown>>
/** Bytes go out as they are: a server may well speak rubbish. */
export type Answer = Value | Buffer

export interface Shop {
  get?(
    asked: Value,
    call: { readonly metadata: grpc.Metadata },
    done: (error: Fault | null, answer?: Answer) => void,
  ): void
  list?(asked: Value, call: ServerWritableStream<Value, Answer>): void
  trade?(call: ServerDuplexStream<Value, Answer>): void
  sum?(call: ServerDuplexStream<Value, Answer>): void
}

export interface Fault {
  readonly code: number
  readonly details: string
}

export interface RunningShop {
  readonly address: string
  /** The folder with `shop.proto`; imports of it lie in `more`. */
  readonly folder: string
  stop(): Promise<void>
  /** Cuts all calls and connections. */
  cut(): void
  /** Listens again on the same port. */
  again(): Promise<void>
}

/** A real gRPC server of the service `shop.Shop`, and its `.proto` files in a folder. */
export async function openShop(
  shop: Shop,
  credentials = grpc.ServerCredentials.createInsecure(),
): Promise<RunningShop> {
  const folder = await mkdtemp(join(tmpdir(), 'millrace-grpc-'))
  await writeFile(join(folder, 'shop.proto'), shopProto)
  await mkdir(join(folder, 'more/kinds'), { recursive: true })
  await writeFile(join(folder, 'more/kinds/money.proto'), moneyProto)
  const root = new protobuf.Root()
  root.resolvePath = (origin, target) => (origin === '' ? target : join(folder, 'more', target))
  root.loadSync(join(folder, 'shop.proto'), { keepCase: true })
  let [server, port] = await listen(root, shop, credentials, 0)
  return {
    address: `127.0.0.1:${port}`,
    folder,
    cut: () => server.forceShutdown(),
    again: async () => {
      ;[server, port] = await listen(root, shop, credentials, port)
    },
    stop: async () => {
      server.forceShutdown()
      await rm(folder, { recursive: true, force: true })
    },
  }
}

async function listen(
  root: protobuf.Root,
  shop: Shop,
  credentials: ServerCredentials,
  port: number,
): Promise<[Server, number]> {
  const server = new grpc.Server({ 'grpc.max_receive_message_length': 50_000_000 })
  const type = (name: string): Type => root.lookupType(`shop.${name}`)
  const method = (
    name: string,
    from: string,
    to: string,
    requestStream: boolean,
    responseStream: boolean,
  ): grpc.MethodDefinition<Value, Answer> => ({
    path: `/shop.Shop/${name}`,
    requestStream,
    responseStream,
    requestSerialize: (value: Value) => Buffer.from(type(from).encode(type(from).fromObject(value)).finish()),
    requestDeserialize: (bytes: Buffer) =>
      type(from).toObject(type(from).decode(bytes), { longs: String, enums: String }),
    responseSerialize: (value: Answer) =>
      Buffer.isBuffer(value) ? value : Buffer.from(type(to).encode(type(to).fromObject(value)).finish()),
    responseDeserialize: (bytes: Buffer) => type(to).toObject(type(to).decode(bytes)),
  })
  const definition = {
    Get: method('Get', 'Ask', 'Article', false, false),
    List: method('List', 'Ask', 'Article', false, true),
    Trade: method('Trade', 'Order', 'Note', true, true),
    Sum: method('Sum', 'Order', 'Note', true, true),
  }
  server.addService(definition, {
    Get: (call: grpc.ServerUnaryCall<Value, Answer>, done: grpc.sendUnaryData<Answer>) =>
      shop.get?.(call.request, call, done),
    List: (call: ServerWritableStream<Value, Answer>) => shop.list?.(call.request, call),
    Trade: (call: ServerDuplexStream<Value, Answer>) => shop.trade?.(call),
    Sum: (call: ServerDuplexStream<Value, Answer>) => shop.sum?.(call),
  })
  return new Promise((resolve, reject) => {
    server.bindAsync(`127.0.0.1:${port}`, credentials, (error, bound) =>
      error === null ? resolve([server, bound]) : reject(error),
    )
  })
}
