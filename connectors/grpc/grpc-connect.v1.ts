import { z } from 'zod'
import { define, startExpression } from '../../core/define.ts'
import { NodeError } from '../../core/flow/failure.ts'
import { openRecordSource } from '../../core/flow/record-source.ts'
import { connectionFields, metadataName, openRemote, retryOnField } from './connection.ts'
import { encode } from './message-bytes.ts'
import { messageRecords } from './message-records.ts'
import { MessageStream } from './message-stream.ts'
import { metadataReader } from './metadata.ts'
import { streamDoor } from './stream-door.ts'

/** A stream of a gRPC service. */
export const grpcConnectV1 = define({
  name: 'grpc.connect',
  version: 1,
  summary:
    'Calls a streaming method of a gRPC service and gives each message that comes, for as long as the workflow runs.',
  notes:
    'The call is made anew when it breaks or ends, with the same first message; what the server sent in between is not asked for again. ' +
    'A flow that is behind holds the server back. With a method that streams both ways, `grpc.send` writes to the same call.',
  inputs: [],
  outputs: ['out'],
  freshValues: true,
  outside: true,
  config: z.strictObject({
    ...connectionFields,
    request: startExpression(z.json())
      .optional()
      .describe('The request, or the first message of a stream both ways, such as what to subscribe to.'),
    metadata: z
      .record(metadataName, startExpression(z.string().max(10_000)))
      .default({})
      .describe('For example `authorization: Bearer {{ $env.TOKEN }}`. It never appears in errors.'),
    stream: z
      .string()
      .regex(/^[\w.-]{1,100}$/, 'not a name: 1 to 100 letters, digits, _ . -')
      .default('default')
      .describe('The name by which `grpc.send` finds this stream.'),
    onEnd: z
      .enum(['reconnect', 'stop'])
      .default('reconnect')
      .describe('When the server ends the stream without an error: calls again, or has read all.'),
    retryOn: retryOnField
      .default([
        'UNAVAILABLE',
        'DEADLINE_EXCEEDED',
        'RESOURCE_EXHAUSTED',
        'ABORTED',
        'CANCELLED',
        'UNKNOWN',
        'INTERNAL',
      ])
      .describe('Statuses after which it calls again; others fail the execution.'),
    backoffMs: z.int().min(1).max(600_000).default(200).describe('Wait before the first new call; doubled each time.'),
    backoffMsMax: z.int().min(1).max(3_600_000).default(30_000).describe('Longest wait between two calls.'),
    keepAliveMs: z
      .int()
      .min(0)
      .max(86_400_000)
      .default(330_000)
      .describe(
        'A connection that was quiet for so long is tried with a ping; 0 for never. Most servers forbid less than 5 minutes.',
      ),
  }),
  examples: [
    {
      title: 'Quotes of two symbols, without end',
      config: {
        address: 'quotes.internal:50051',
        tls: true,
        proto: 'quotes.proto',
        service: 'market.Quotes',
        method: 'Subscribe',
        request: { symbols: ['ABC', 'DEF'] },
        metadata: { authorization: 'Bearer {{ $env.TOKEN }}' },
      },
      input: [],
      output: null,
    },
  ],
  face: {
    kind: 'stream-trigger',
    pausable: true,
    open: async (config, context) => {
      const remote = openRemote(config, context, config.keepAliveMs)
      const { method } = remote
      if (!method.responseStream)
        throw new NodeError(
          'grpc.bad-method',
          `${remote.place} answers once and streams nothing; call it with grpc.call`,
        )
      const request = config.request === undefined ? undefined : context.value(config.request)
      const first = request === undefined ? (method.requestStream ? null : {}) : request
      const door = streamDoor(config.stream, context)
      const release = door.claim(method, context.node)
      const stream = new MessageStream({
        node: context.node,
        remote,
        door,
        request: first === null ? null : encode(method.request, first),
        metadata: metadataReader(config.metadata, (each) => () => context.value(each)),
        onEnd: config.onEnd,
        retryOn: config.retryOn,
        backoffMs: config.backoffMs,
        backoffMsMax: config.backoffMsMax,
        clock: context.host.clock,
        log: context.host.log,
      })
      const source = openRecordSource(stream, messageRecords(method.response, context.node), context)
      return {
        closed: (ticket, failure) => source.closed?.(ticket, failure),
        again: (ticket) => source.again?.(ticket) ?? null,
        pause: () => source.pause(),
        resume: () => source.resume(),
        close: async () => {
          release()
          stream.close()
          await source.close()
        },
      }
    },
  },
})
