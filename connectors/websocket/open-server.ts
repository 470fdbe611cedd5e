import { IncomingMessage } from 'node:http'
import { Duplex } from 'node:stream'
import type { Source, TriggerContext } from '../../core/define.ts'
import { NodeError } from '../../core/flow/failure.ts'
import { createAdmission } from './admission.ts'
import { serversOf } from './connections.ts'
import { decoderOf } from './incoming.ts'
import { pathPattern } from './path-pattern.ts'
import type { ServeConfig } from './serve-config.ts'
import { ServerSource } from './server-source.ts'
import type { ListenOptions, SocketOptions, Transport } from './transport.ts'
import { createUpgrades, wsTransport } from './transports/ws.ts'

/** Connections from one address that have not asked for their upgrade yet. */
const handshakesPerAddressMax = 200

/** Opens a server on a port of its own or on that of its host, and makes it known to the nodes that send. */
export async function openServer(config: ServeConfig, context: TriggerContext): Promise<Source> {
  const transport = await transportOf(config)
  const source = new ServerSource(
    config,
    {
      admission: createAdmission({
        path: config.port === undefined ? null : pathPattern(config.path),
        origins: config.origins,
        protocols: config.protocols,
        token:
          config.token === undefined
            ? null
            : {
                ...config.token,
                values: config.token.values.map((each) => tokenOf(context.value(each), context.node)),
              },
      }),
      decode: decoderOf(config.decode),
      pausable: transport.pausable,
    },
    context,
  )
  try {
    source.listensBy(
      config.port === undefined
        ? listenOnHost(config, source, context)
        : await listenAlone(config, config.port, transport, source, context),
    )
  } catch (thrown) {
    await source.close()
    throw thrown
  }
  source.knownBy(serversOf(context).add(context.node, source.connections))
  return source
}

/** uWebSockets.js is loaded only where it is asked for. */
async function transportOf(config: ServeConfig): Promise<Transport> {
  return config.transport === 'ws' ? wsTransport : (await import('./transports/uws.ts')).loadUws()
}

/** An expression may give anything; an empty token would let everybody in. */
function tokenOf(value: unknown, node: string): string {
  if (typeof value === 'string' && value !== '') return value
  throw new NodeError('websocket.no-token', `${node}: a token in \`token.values\` is empty or no text`)
}

function socketOptions(config: ServeConfig): SocketOptions {
  const { protocols, messageBytesMax, closeMsMax } = config
  return { protocols, messageBytesMax, closeMsMax }
}

async function listenAlone(
  config: ServeConfig,
  port: number,
  transport: Transport,
  source: ServerSource,
  context: TriggerContext,
): Promise<() => Promise<void>> {
  const { host, headMsMax, connectionsMax, path } = config
  const { log, lane } = context.host
  if (port === 0 && (lane?.count ?? 1) > 1)
    throw new NodeError(
      'websocket.needs-port',
      `${context.node} runs in lanes, which need one port: name it, 0 will not do`,
    )
  const options: ListenOptions = {
    host,
    port,
    reusePort: config.reusePort || (lane?.count ?? 1) > 1,
    tls: tlsOf(config, context),
    sockets: socketOptions(config),
    headMsMax,
    handshakesPerAddressMax,
    connectionsMax,
  }
  const listener = await transport.listen(options, source)
  const address = `${host.includes(':') ? `[${host}]` : host}:${listener.port}`
  log.write('info', `${context.node} listens on ${options.tls === null ? 'ws' : 'wss'}://${address}${path}`, {
    node: context.node,
    port: listener.port,
  })
  return () => listener.close()
}

function tlsOf(config: ServeConfig, context: TriggerContext): ListenOptions['tls'] {
  if (config.tls === undefined) return null
  const { files } = context.host
  if (files === undefined)
    throw new NodeError('websocket.no-files', `${context.node} needs files for \`tls\`, and this host has none`)
  const { cert, key, ca } = config.tls
  const path = (each: string): string => files.resolve(each, 'read')
  return { cert: path(cert), key: path(key), ca: ca === undefined ? null : path(ca) }
}

function listenOnHost(config: ServeConfig, source: ServerSource, context: TriggerContext): () => Promise<void> {
  const { hub } = context.host
  if (hub === undefined)
    throw new NodeError(
      'websocket.no-server',
      `${context.node} has no port: give it one with \`port\`, or start the workflow with \`millrace serve\``,
    )
  const upgrades = createUpgrades(socketOptions(config), source)
  const release = hub.upgrade(config.path, ({ params, request, socket, head }) => {
    if (request instanceof IncomingMessage && socket instanceof Duplex && Buffer.isBuffer(head))
      upgrades.upgrade(request, socket, head, params)
  })
  return async () => release()
}
