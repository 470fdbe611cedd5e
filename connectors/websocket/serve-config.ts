import { z } from 'zod'
import type { ConfigProblem } from '../../core/define.ts'
import { startExpression } from '../../core/define.ts'
import { incomingFormats } from './incoming.ts'
import { pathForm } from './path-pattern.ts'

const pemPath = z.string().min(1).max(1_000)
const protocolName = z.string().regex(/^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}$/, 'not the name of a subprotocol')

const token = z.strictObject({
  values: z
    .array(startExpression(z.string().min(1).max(4_096)))
    .min(1)
    .max(10)
    .describe('Tokens that are let in, for example `{{ $env.TOKEN }}`; two while one replaces the other.'),
  from: z
    .array(z.enum(['header', 'query', 'protocol']))
    .min(1)
    .max(3)
    .default(['header'])
    .describe(
      'Where it is looked for: `Authorization: Bearer`, a query parameter, or a subprotocol, which is all that a script in a browser can choose.',
    ),
  query: z.string().min(1).max(100).default('token').describe('Name of the query parameter.'),
  protocolPrefix: protocolName.default('token.').describe('What the subprotocol begins with that carries the token.'),
})

const tls = z.strictObject({
  cert: pemPath.describe('File with the certificate and its chain, PEM.'),
  key: pemPath.describe('File with its private key, PEM.'),
  ca: pemPath.optional().describe('Clients must show a certificate that one of these has signed, PEM.'),
})

/** What a WebSocket server may be told. */
export const serveConfig = z.strictObject({
  path: z
    .string()
    .max(500)
    .regex(pathForm, 'a path begins with / and holds letters, digits, ".", "_", "~", "-" and :parameters')
    .default('/')
    .describe('Where it listens, for example `/rooms/:room`.'),
  port: z
    .int()
    .min(0)
    .max(65_535)
    .optional()
    .describe('A port of its own, 0 for any free one. Left out: the port of `millrace serve`.'),
  host: z.string().min(1).max(255).default('127.0.0.1').describe('The address of its own port.'),
  reusePort: z
    .boolean()
    .default(false)
    .describe(
      'Others may listen on the same port, and the system shares connections among them; always so with `settings.lanes`.',
    ),
  tls: tls.optional().describe('Its own port speaks `wss:`.'),
  transport: z
    .enum(['ws', 'uws'])
    .default('ws')
    .describe('`uws` is uWebSockets.js, which must be installed beside Millrace and needs a port of its own.'),
  scope: z
    .enum(['server', 'connection'])
    .default('server')
    .describe('One long-lived execution for all connections, or one for each, from its open to its close.'),
  decode: z
    .enum(incomingFormats)
    .default('json')
    .describe('How messages are read; `auto` gives text as text and binary as bytes.'),
  protocols: z.array(protocolName).max(20).default([]).describe('Subprotocols, the preferred one first.'),
  origins: z
    .array(z.string().min(1).max(300))
    .max(100)
    .default([])
    .describe('Origins whose pages may connect, for example `https://app.example`; `*` for all.'),
  token: token.optional().describe('Only who shows a token may connect.'),
  messageBytesMax: z
    .int()
    .min(1)
    .max(100_000_000)
    .default(1_000_000)
    .describe('A longer message closes its connection with 1009.'),
  messagesPerSecondMax: z
    .int()
    .min(0)
    .max(10_000_000)
    .default(10_000)
    .describe('Messages that one connection may send a second; 0 for no limit.'),
  bytesPerSecondMax: z
    .int()
    .min(0)
    .max(10_000_000_000)
    .default(10_000_000)
    .describe('Bytes that one connection may send a second; 0 for no limit.'),
  onFlood: z
    .enum(['pause', 'close'])
    .default('pause')
    .describe('One that sends more is not read until it has waited long enough, or is closed with 1008.'),
  overflow: z
    .enum(['close', 'drop-newest'])
    .default('close')
    .describe(
      'When the flow is behind and the transport cannot keep sockets from reading (`uws`): 1013, or the message is lost. `ws` waits.',
    ),
  connectionsMax: z.int().min(1).max(1_000_000).default(10_000).describe('Connections at once; one more gets 503.'),
  connectionsPerAddressMax: z
    .int()
    .min(1)
    .max(1_000_000)
    .default(1_000)
    .describe('The same from one address; one more gets 429.'),
  headMsMax: z
    .int()
    .min(100)
    .max(600_000)
    .default(10_000)
    .describe('How long a connection to its own port may take to ask for its upgrade.'),
  heartbeatMs: z
    .int()
    .min(0)
    .max(3_600_000)
    .default(30_000)
    .describe(
      'Every so often each is asked whether it is there, and cut when it did not answer the last time; 0 for never.',
    ),
  bufferedBytesMax: z
    .int()
    .min(1_000)
    .max(1_000_000_000)
    .default(1_000_000)
    .describe('What may wait for one reader that is slower than what is sent to it.'),
  bufferedTotalBytesMax: z
    .int()
    .min(1_000)
    .max(100_000_000_000)
    .default(256_000_000)
    .describe('The same for all of them together.'),
  onSlow: z
    .enum(['close', 'drop-oldest', 'drop-newest'])
    .default('close')
    .describe('What happens when more would wait: 1013, or a message is lost.'),
  roomsPerConnectionMax: z.int().min(1).max(100_000).default(100).describe('Rooms that one connection may be in.'),
  closeMsMax: z
    .int()
    .min(1)
    .max(600_000)
    .default(3_000)
    .describe('How long a peer may take to answer a close before it is cut.'),
})

export type ServeConfig = z.output<typeof serveConfig>

/** What the schema cannot tell: fields that mean something only together. */
export function checkServeConfig(config: ServeConfig): readonly ConfigProblem[] {
  const problems: ConfigProblem[] = []
  const needsPort = (field: string): void => {
    problems.push({
      field,
      message: 'is only for a port of its own, and none is given',
      remedy: 'Add `port`, or leave it out.',
    })
  }
  if (config.port === undefined) {
    if (config.tls !== undefined) needsPort('tls')
    if (config.reusePort) needsPort('reusePort')
    if (config.transport === 'uws') needsPort('transport')
  }
  if (config.transport === 'uws' && config.tls?.ca !== undefined)
    problems.push({
      field: 'tls.ca',
      message: 'uWebSockets.js does not ask clients for certificates',
      remedy: 'Use `transport: ws`, or leave it out.',
    })
  if (config.token?.from.includes('protocol') === true && config.protocols.length === 0)
    problems.push({
      field: 'token.from',
      message:
        'a token in a subprotocol needs another one to answer with, since browsers refuse a connection without an answer',
      remedy: 'Name one in `protocols`, and have clients offer it beside the token.',
    })
  return problems
}
