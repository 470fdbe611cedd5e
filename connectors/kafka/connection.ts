import { readFileSync } from 'node:fs'
import { z } from 'zod'
import type { NodeContext } from '../../core/define.ts'
import { constant, startExpression } from '../../core/define.ts'
import { NodeError } from '../../core/flow/failure.ts'
import type { ConnectionOptions, DriverName, SaslOptions, TlsOptions } from './driver.ts'
import { driverNames } from './driver.ts'

const text = (max: number) => startExpression(z.string().min(1).max(max))

/** The fields by which every Kafka node finds its cluster. */
export const connectionFields = {
  brokers: z
    .array(text(4_000))
    .min(1)
    .max(100)
    .describe('Where to begin: `host:port`; one text may hold several, separated by commas.'),
  tls: z
    .union([
      z.boolean(),
      z.strictObject({
        ca: text(4_096).optional().describe('File with the authorities to trust; the system’s when left out.'),
        cert: text(4_096).optional().describe('File with this client’s certificate.'),
        key: text(4_096).optional().describe('File with its key.'),
        verify: z.boolean().default(true).describe('Whether the broker’s certificate must be valid.'),
      }),
    ])
    .default(false)
    .describe('Encrypts the connection; `true` trusts the system’s authorities.'),
  sasl: z
    .strictObject({
      mechanism: z.enum(['plain', 'scram-sha-256', 'scram-sha-512']).describe('How the broker checks the password.'),
      username: text(256).describe('Who signs in.'),
      password: text(1_024).describe('Its password; write `{{ $env.NAME }}`, so that the document holds no secret.'),
    })
    .optional()
    .describe('Signs in with a password.'),
  connectMsMax: z.int().min(100).max(120_000).default(10_000).describe('How long connecting to a broker may take.'),
  requestMsMax: z.int().min(100).max(600_000).default(30_000).describe('How long a broker may take to answer.'),
  driver: z
    .enum(driverNames)
    .default('batch')
    .describe('Who speaks the protocol: `batch` is Millrace’s own and the fastest, the others are libraries.'),
  createTopic: z
    .strictObject({
      partitions: z.int().min(-1).max(10_000).default(-1).describe('How many; -1 for the broker’s default.'),
      replicas: z.int().min(-1).max(100).default(-1).describe('Copies of each; -1 for the broker’s default.'),
    })
    .optional()
    .describe('Creates topics that are not there.'),
}

const connectionSchema = z.strictObject(connectionFields)
export type ConnectionConfig = z.infer<typeof connectionSchema>

/** The values of a connection's fields, read once at start. Throws a NodeError for a file that cannot be read. */
export function connectionOf(config: ConnectionConfig, context: NodeContext): ConnectionOptions {
  return {
    brokers: brokersOf(config, context),
    clientId: `millrace-${context.workflow.id}`.replace(/[^A-Za-z0-9._-]/g, '-').slice(0, 200),
    tls: tlsOf(config.tls, context),
    sasl: saslOf(config.sasl, context),
    connectMsMax: config.connectMsMax,
    requestMsMax: config.requestMsMax,
  }
}

/** For the plan: which cluster's transactions a node takes part in. Two with the same text of `brokers` speak to the same one. */
export function transactionsOf(
  config: ConnectionConfig & { readonly driver: DriverName },
): { readonly system: string } | { readonly message: string; readonly remedy: string } {
  if (config.driver === 'kafkajs')
    return {
      message:
        'kafkajs does not tie offsets to the member that read them, so another member may read and write the same again',
      remedy: 'Use the driver `batch` or `platformatic`, or set `delivery: at-least-once`.',
    }
  return { system: config.brokers.map((each) => each.text ?? each.constant ?? '').join(',') }
}

function brokersOf(config: ConnectionConfig, context: NodeContext): readonly string[] {
  const brokers = config.brokers.flatMap((each) =>
    String(context.value(each) ?? '')
      .split(',')
      .map((part) => part.trim())
      .filter((part) => part !== ''),
  )
  for (const broker of brokers)
    if (!/^[^\s/:]+:\d{1,5}$|^\[[0-9a-fA-F:]+\]:\d{1,5}$/.test(broker))
      throw new NodeError(
        'kafka.bad-broker',
        `${context.node}: ${JSON.stringify(broker)} is no broker; write host:port, for example 127.0.0.1:9092`,
      )
  if (brokers.length === 0)
    throw new NodeError(
      'kafka.no-broker',
      `${context.node}: brokers is empty; is the variable of the environment set, and allowed by --allow-env?`,
    )
  return brokers
}

function tlsOf(tls: ConnectionConfig['tls'], context: NodeContext): TlsOptions | null {
  if (tls === false) return null
  if (tls === true) return { ca: null, cert: null, key: null, verify: true }
  const read = (field: 'ca' | 'cert' | 'key'): string | null => {
    const path = tls[field] === undefined ? null : context.value(tls[field])
    if (path === null || path === undefined) return null
    const place = context.host.files?.resolve(path, 'read') ?? path
    try {
      return readFileSync(place, 'utf8')
    } catch (thrown) {
      throw new NodeError(
        'kafka.no-file',
        `${context.node}: tls.${field} names ${path}, which cannot be read: ${thrown instanceof Error ? thrown.message : String(thrown)}`,
      )
    }
  }
  return { ca: read('ca'), cert: read('cert'), key: read('key'), verify: tls.verify }
}

function saslOf(sasl: ConnectionConfig['sasl'], context: NodeContext): SaslOptions | null {
  if (sasl === undefined) return null
  const value = (field: 'username' | 'password'): string => {
    const found: unknown = context.value(sasl[field] ?? constant(''))
    if (typeof found === 'string' && found !== '') return found
    throw new NodeError(
      'kafka.no-password',
      `${context.node}: sasl.${field} is empty; is the variable of the environment set, and allowed by --allow-env?`,
    )
  }
  return { mechanism: sasl.mechanism, username: value('username'), password: value('password') }
}
