import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import type { ChannelCredentials, Client, ClientDuplexStream } from '@grpc/grpc-js'
import { z } from 'zod'
import type { Expression, NodeContext } from '../../core/define.ts'
import { startExpression } from '../../core/define.ts'
import { NodeError } from '../../core/flow/failure.ts'
import type { Clock, Files } from '../../core/host.ts'
import type { StatusName } from './grpc-error.ts'
import { grpcError, statusNames } from './grpc-error.ts'
import type { Method } from './proto.ts'
import { loadMethod } from './proto.ts'

const path = startExpression(z.string().min(1).max(4_096))

/** Where the server is, and which of its methods is meant: the same fields for all nodes of this folder that call. */
export const connectionFields = {
  address: startExpression(z.string().min(3).max(300)).describe('`host:port`, for example `127.0.0.1:50051`.'),
  tls: z
    .union([
      z.boolean(),
      z.strictObject({
        ca: path.optional().describe('File with the authorities to trust; the system’s when left out.'),
        cert: path.optional().describe('File with this client’s certificate, for servers that ask for one.'),
        key: path.optional().describe('File with its key.'),
        serverName: z
          .string()
          .min(1)
          .max(253)
          .optional()
          .describe('The name in the server’s certificate, if it is not the host’s.'),
      }),
    ])
    .default(false)
    .describe('Encrypts the connection; `true` trusts the system’s authorities.'),
  proto: path.describe('The `.proto` file of the service, in a folder that this host allows.'),
  protoFolders: z
    .array(path)
    .max(20)
    .default([])
    .describe('Folders in which its imports are looked for, after its own.'),
  service: z
    .string()
    .regex(/^[A-Za-z_][\w.]{0,299}$/, 'not the name of a service')
    .describe('With its package: `shop.Orders`.'),
  method: z
    .string()
    .regex(/^[A-Za-z_]\w{0,199}$/, 'not the name of a method')
    .describe('The method, as the file has it.'),
  messageBytesMax: z
    .int()
    .min(1)
    .max(1_000_000_000)
    .default(4_000_000)
    .describe('A message that is larger, sent or received, is an error.'),
}

/** Statuses that a retry may mend, and those that the standard lets a client retry. */
export const retryOnField = z
  .array(z.enum(statusNames))
  .max(17)
  .default(['UNAVAILABLE', 'DEADLINE_EXCEEDED', 'RESOURCE_EXHAUSTED', 'ABORTED'])

export const metadataName = z
  .string()
  .regex(/^(?!grpc-)[0-9a-z_.-]{1,200}$/, 'not a key of metadata: lower case, not beginning with grpc-')

export interface ConnectionConfig {
  readonly address: Expression<string>
  readonly tls:
    | boolean
    | {
        readonly ca?: Expression<string>
        readonly cert?: Expression<string>
        readonly key?: Expression<string>
        readonly serverName?: string
      }
  readonly proto: Expression<string>
  readonly protoFolders: readonly Expression<string>[]
  readonly service: string
  readonly method: string
  readonly messageBytesMax: number
}

export interface CallOptions {
  readonly metadata: Readonly<Record<string, string | Uint8Array>>
  /** Milliseconds from now, which the server learns too; null for a call without end. */
  readonly timeoutMs: number | null
  readonly signal: AbortSignal
}

/** A call: bytes of messages in, bytes of messages out. */
export type Call = ClientDuplexStream<Uint8Array, Buffer>

/** A method of a server, ready to be called. */
export interface Remote {
  readonly method: Method
  /** The server and the method, for messages. */
  readonly place: string
  /** Begins a call. Its errors are for `failed` to explain. An abort cancels it, at the server too. */
  call(options: CallOptions): Call
  failed(thrown: unknown, retryOn: readonly StatusName[], signal: AbortSignal): unknown
}

/**
 * The method that a config names, on a channel that nodes with the same server share. Reads files; throws a NodeError
 * `grpc.bad-config`, `grpc.bad-proto`, `grpc.unknown-method`, `file.…`.
 */
export function openRemote(config: ConnectionConfig, context: NodeContext, keepAliveMs = 0): Remote {
  const files = filesOf(context)
  const text = (field: string, value: Expression<string>): string => textOf(field, context.value(value), context)
  const address = text('address', config.address)
  if (!/^([^\s/:@[\]]+|\[[0-9a-fA-F:.]+\]):\d{1,5}$/.test(address))
    throw new NodeError(
      'grpc.bad-config',
      `${context.node}: ${JSON.stringify(address)} is no address; write host:port, for example 127.0.0.1:50051`,
    )
  const method = loadMethod(
    {
      file: text('proto', config.proto),
      folders: config.protoFolders.map((each) => text('protoFolders', each)),
      service: config.service,
      method: config.method,
    },
    files,
  )
  const tls = tlsOf(config.tls, text, files)
  const { messageBytesMax } = config
  const client = context.shared(
    `grpc ${JSON.stringify({ address, tls, messageBytesMax, keepAliveMs })}`,
    () => openClient(address, tls, messageBytesMax, keepAliveMs),
    (each) => each.close(),
  )
  const place = `${address}${method.path}`
  return {
    method,
    place,
    call: (options) => begin(client, method, context.host.clock, options),
    failed: (thrown, retryOn, signal) => (signal.aborted ? signal.reason : grpcError(thrown, place, retryOn)),
  }
}

/** All four kinds of methods are one on the wire: messages go in until that side ends, messages come out until the status. */
function begin(client: Client, method: Method, clock: Clock, { metadata, timeoutMs, signal }: CallOptions): Call {
  const { Metadata } = grpc()
  const sent = new Metadata()
  for (const [name, value] of Object.entries(metadata))
    sent.set(name, typeof value === 'string' ? value : Buffer.from(value))
  const deadline = timeoutMs === null ? {} : { deadline: new Date(clock.now() + timeoutMs) }
  const call = client.makeBidiStreamRequest<Uint8Array, Buffer>(
    method.path,
    (bytes) => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength),
    (bytes) => bytes,
    sent,
    deadline,
  )
  // Whoever reads or writes hears of an error; one that comes when nobody does any more must not end the process.
  call.on('error', () => undefined)
  const cancel = (): void => call.cancel()
  if (signal.aborted) cancel()
  else signal.addEventListener('abort', cancel, { once: true })
  call.once('status', () => signal.removeEventListener('abort', cancel))
  return call
}

/** How long the answer to a ping may take. */
const pingMsMax = 20_000

interface Tls {
  readonly ca: string | null
  readonly cert: string | null
  readonly key: string | null
  readonly serverName: string | null
}

function openClient(address: string, tls: Tls | null, messageBytesMax: number, keepAliveMs: number): Client {
  const { Client: GrpcClient } = grpc()
  return new GrpcClient(address, credentialsOf(tls), {
    'grpc.max_receive_message_length': messageBytesMax,
    'grpc.max_send_message_length': messageBytesMax,
    'grpc.primary_user_agent': 'millrace',
    'grpc.enable_http_proxy': 0,
    // The sockets end with the client, and a server that comes back is found soon.
    'grpc.use_local_subchannel_pool': 1,
    'grpc.initial_reconnect_backoff_ms': 100,
    'grpc.max_reconnect_backoff_ms': 5_000,
    ...(keepAliveMs > 0
      ? { 'grpc.keepalive_time_ms': keepAliveMs, 'grpc.keepalive_timeout_ms': Math.min(keepAliveMs, pingMsMax) }
      : {}),
    ...(tls === null || tls.serverName === null ? {} : { 'grpc.ssl_target_name_override': tls.serverName }),
  })
}

function credentialsOf(tls: Tls | null): ChannelCredentials {
  const { credentials } = grpc()
  if (tls === null) return credentials.createInsecure()
  const bytes = (text: string | null): Buffer | null => (text === null ? null : Buffer.from(text))
  try {
    return credentials.createSsl(bytes(tls.ca), bytes(tls.key), bytes(tls.cert))
  } catch (thrown) {
    const why = thrown instanceof Error ? thrown.message : String(thrown)
    throw new NodeError('grpc.bad-config', `the certificates of \`tls\` cannot be used: ${why}`, { cause: thrown })
  }
}

function tlsOf(
  tls: ConnectionConfig['tls'],
  text: (field: string, value: Expression<string>) => string,
  files: Files,
): Tls | null {
  if (tls === false) return null
  if (tls === true) return { ca: null, cert: null, key: null, serverName: null }
  const read = (field: 'ca' | 'cert' | 'key'): string | null => {
    const named = tls[field]
    if (named === undefined) return null
    const file = text(`tls.${field}`, named)
    try {
      return readFileSync(files.resolve(file, 'read'), 'utf8')
    } catch (thrown) {
      if (thrown instanceof NodeError) throw thrown
      throw new NodeError('grpc.bad-config', `tls.${field} names ${file}, which cannot be read`, { cause: thrown })
    }
  }
  return { ca: read('ca'), cert: read('cert'), key: read('key'), serverName: tls.serverName ?? null }
}

function textOf(field: string, value: unknown, context: NodeContext): string {
  if (typeof value === 'string' && value !== '') return value
  throw new NodeError(
    'grpc.bad-config',
    `${field} of ${context.node} gives ${value === undefined || value === null ? 'nothing' : `a ${typeof value}`}, not text; may this host read what it names (\`--allow-env NAME\`, \`--set NAME=…\`)?`,
  )
}

function filesOf(context: NodeContext): Files {
  if (context.host.files !== undefined) return context.host.files
  throw new NodeError('file.none', `${context.node} needs its .proto file, and this host gives no files to workflows`)
}

type Grpc = typeof import('@grpc/grpc-js')

let loaded: Grpc | null = null

/** The library is loaded by the first document that speaks gRPC. */
function grpc(): Grpc {
  if (loaded === null) {
    const library: Grpc = createRequire(import.meta.url)('@grpc/grpc-js')
    loaded = library
  }
  return loaded
}
