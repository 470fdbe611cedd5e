import { z } from 'zod'
import { define, expression } from '../../core/define.ts'
import { NodeError } from '../../core/flow/failure.ts'
import { connectionFields, metadataName, openRemote, retryOnField } from './connection.ts'
import { decode, encode } from './message-bytes.ts'
import { metadataReader } from './metadata.ts'

const marginMs = 1_000

/** Asks a gRPC service. */
export const grpcCallV1 = define({
  name: 'grpc.call',
  version: 1,
  summary:
    'Calls a method of a gRPC service for each message and gives what it answers: one message, or a stream of them.',
  notes:
    'The method may answer once or stream; of methods that take a stream, the request is the only message. Answers leave as they come; ' +
    '`concurrency: 1` keeps the order of the messages. When time runs out or the execution ends, the call is cancelled at the server too.',
  inputs: ['in'],
  outputs: ['out'],
  makesResult: true,
  outside: true,
  config: z.strictObject({
    ...connectionFields,
    request: expression(z.json())
      .optional()
      .describe('The request, by the names of its fields in the file; the whole value when left out.'),
    metadata: z
      .record(metadataName, expression(z.string().max(10_000)))
      .default({})
      .describe('For example `authorization: Bearer {{ $env.TOKEN }}`. It never appears in errors.'),
    timeoutMs: z
      .int()
      .min(1)
      .max(86_400_000)
      .default(30_000)
      .describe('How long the call may take, with all its answers; the server learns of it too.'),
    answersMax: z
      .int()
      .min(1)
      .max(1_000_000_000)
      .default(1_000_000)
      .describe('A stream with more answers is an error, after these.'),
    retryOn: retryOnField.describe('Statuses that are worth a retry, with `onError: { retry: {} }`.'),
    concurrency: z.int().min(1).max(1_000).default(8).describe('Calls at once.'),
  }),
  examples: [
    {
      title: 'The price of an article, kept beside the order',
      config: {
        address: 'prices.internal:50051',
        tls: { ca: 'ca.pem', cert: 'client.pem', key: 'client.key' },
        proto: 'prices.proto',
        service: 'shop.Prices',
        method: 'Get',
        request: '{{ { article: $json.article } }}',
      },
      into: 'price',
      input: [{ id: 1, article: 'a7' }],
      output: null,
    },
    {
      title: 'A message for each row of a report that the service streams',
      config: {
        address: '127.0.0.1:50051',
        proto: 'reports.proto',
        service: 'shop.Reports',
        method: 'Rows',
        metadata: { authorization: 'Bearer {{ $env.TOKEN }}' },
        timeoutMs: 600_000,
      },
      input: [{ day: '2026-01-01' }],
      output: null,
    },
  ],
  face: {
    kind: 'expand',
    limits: (config) => ({
      concurrency: config.concurrency,
      timeoutMs: config.timeoutMs + marginMs,
      inFlightMax: 1_000,
    }),
    make: (config, context) => {
      const remote = openRemote(config, context)
      const requestOf = context.readerOrValue(config.request)
      const metadataOf = metadataReader(config.metadata, (each) => context.reader(each))
      const { method, place } = remote
      return async function* (message, signal, scope) {
        const request = encode(method.request, requestOf(message, scope))
        const call = remote.call({ metadata: metadataOf(message, scope), timeoutMs: config.timeoutMs, signal })
        let answers = 0
        try {
          call.end(request)
          for await (const bytes of call as AsyncIterable<Buffer>) {
            if (++answers > config.answersMax)
              throw new NodeError('grpc.too-many-answers', `${place} answers more than ${config.answersMax} times`)
            yield context.result(message, decode(method.response, bytes))
          }
          if (answers === 0 && !method.responseStream)
            throw new NodeError('grpc.no-answer', `${place} ended without an answer`)
        } catch (thrown) {
          throw remote.failed(thrown, config.retryOn, signal)
        } finally {
          call.cancel()
        }
      }
    },
  },
})
