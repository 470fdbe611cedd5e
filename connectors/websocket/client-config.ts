import { z } from 'zod'
import type { ConfigProblem, NodeContext } from '../../core/define.ts'
import { startExpression } from '../../core/define.ts'
import { NodeError } from '../../core/flow/failure.ts'
import type { ClientSettings } from './client.ts'
import { payloadOf } from './outgoing.ts'

const pemPath = z.string().min(1).max(1_000)

/** Where to connect and how to stay connected: fields of the nodes that are clients. */
export const clientFields = {
  url: startExpression(z.string().min(1).max(4_000)).describe(
    'A `ws:` or `wss:` address, for example `wss://feed.example/v1?key={{ $env.KEY }}`.',
  ),
  protocols: z.array(z.string().min(1).max(100)).max(20).default([]).describe('Subprotocols to offer.'),
  headers: z
    .record(
      z.string().regex(/^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,200}$/, 'not the name of a header'),
      startExpression(z.string().max(10_000)),
    )
    .default({})
    .describe('For example `authorization: Bearer {{ $env.TOKEN }}`. They never appear in logs or errors.'),
  tls: z
    .strictObject({
      ca: pemPath.optional().describe('Authorities to trust in place of the known ones, PEM.'),
      cert: pemPath.optional().describe('A certificate to show, PEM.'),
      key: pemPath.optional().describe('Its private key, PEM.'),
    })
    .optional()
    .describe('Files for `wss:`.'),
  onOpen: z
    .array(startExpression(z.json()))
    .max(1_000)
    .default([])
    .describe(
      'What is sent each time the connection has opened, for example to subscribe; text as it is, the rest as JSON.',
    ),
  handshakeMsMax: z.int().min(100).max(600_000).default(10_000).describe('How long a connection may take to open.'),
  heartbeatMs: z
    .int()
    .min(0)
    .max(3_600_000)
    .default(30_000)
    .describe(
      'Every so often the server is asked whether it is there; one that did not answer the last time is left; 0 for never.',
    ),
  waitMs: z
    .int()
    .min(0)
    .max(600_000)
    .default(500)
    .describe('Wait before connecting again; doubled each time, and never quite the same.'),
  waitMsMax: z.int().min(0).max(3_600_000).default(30_000).describe('Longest wait before connecting again.'),
  attemptsMax: z.int().min(0).max(1_000_000).default(0).describe('Failures in a row until it gives up; 0 for never.'),
  messageBytesMax: z
    .int()
    .min(1)
    .max(100_000_000)
    .default(10_000_000)
    .describe('A longer message from the server ends the connection with 1009.'),
  closeMsMax: z.int().min(1).max(600_000).default(3_000).describe('How long the server may take to answer a close.'),
}

const clientConfig = z.strictObject(clientFields)
export type ClientConfig = z.output<typeof clientConfig>

/** What the schema cannot tell. */
export function checkClient(config: Pick<ClientConfig, 'onOpen'>): readonly ConfigProblem[] {
  return config.onOpen.flatMap((each, index) =>
    each.text === null && JSON.stringify(each.constant).includes('{{')
      ? [
          {
            field: `onOpen.${index}`,
            message: 'has an expression inside of a value, where none is read',
            remedy: 'Write the whole as one expression: \'{{ { op: "subscribe", key: $env.KEY } }}\'.',
          },
        ]
      : [],
  )
}

/** Reads what is bound at start. Throws a NodeError for an address that is none. */
export function clientSettings(config: ClientConfig, context: NodeContext): ClientSettings {
  const { files } = context.host
  const path = (file: string | undefined): string | null => {
    if (file === undefined) return null
    if (files === undefined)
      throw new NodeError('websocket.no-files', `${context.node} needs files for \`tls\`, and this host has none`)
    return files.resolve(file, 'read')
  }
  return {
    ...config,
    url: urlOf(context.value(config.url), context.node),
    headers: Object.fromEntries(
      Object.entries(config.headers).map(([name, value]) => [name, String(context.value(value))]),
    ),
    tls: { ca: path(config.tls?.ca), cert: path(config.tls?.cert), key: path(config.tls?.key) },
    onOpen: config.onOpen.map((each) => payloadOf(context.value(each), 'auto')),
  }
}

/** An expression may give anything. What it gives may hold a secret, so it is not repeated. */
function urlOf(value: unknown, node: string): URL {
  const url = typeof value === 'string' && URL.canParse(value) ? new URL(value) : null
  if (url !== null && (url.protocol === 'ws:' || url.protocol === 'wss:')) return url
  throw new NodeError('websocket.bad-url', `${node}: \`url\` is no address that begins with ws:// or wss://`)
}
