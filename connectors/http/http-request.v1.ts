import { z } from 'zod'
import { constant, define, expression } from '../../core/define.ts'
import { HttpClient } from './exchange.ts'
import { requestBuilder } from './request-builder.ts'
import { createRequester } from './requester.ts'

const marginMs = 1_000

export const httpRequestConfig = z.strictObject({
  url: expression(z.string().min(1).max(10_000)).describe(
    'An `http:` or `https:` address, for example `https://api.example.com/orders/{{ $json.id }}`.',
  ),
  method: expression(z.enum(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']))
    .default(constant('GET'))
    .describe('The method.'),
  query: z
    .record(z.string().min(1).max(200), expression(z.json()))
    .default({})
    .describe('Added to the address; lists become repeated names, null is left out.'),
  headers: z
    .record(
      z.string().regex(/^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,200}$/, 'not the name of a header'),
      expression(z.string().max(10_000)),
    )
    .default({})
    .describe('For example `authorization: Bearer {{ $env.TOKEN }}`. They never appear in errors.'),
  body: expression(z.json()).optional().describe('What is sent; nothing when left out.'),
  send: z
    .enum(['json', 'text', 'form', 'bytes'])
    .default('json')
    .describe('How the body is sent; `form` makes fields of an object.'),
  receive: z
    .enum(['auto', 'json', 'text', 'bytes'])
    .default('auto')
    .describe('How the answer is read; `auto` goes by its content type.'),
  output: z
    .enum(['response', 'body'])
    .default('response')
    .describe('`response` gives `{ status, headers, body }`, `body` only the body.'),
  failFromStatus: z
    .int()
    .min(400)
    .max(600)
    .default(400)
    .describe('Answers with this status or a higher one are errors; 600 for none.'),
  timeoutMs: z
    .int()
    .min(1)
    .max(3_600_000)
    .default(30_000)
    .describe('For the request, its redirects and the whole answer.'),
  requestBytesMax: z.int().min(0).max(1_000_000_000).default(10_000_000).describe('A larger body is not sent.'),
  responseBytesMax: z
    .int()
    .min(0)
    .max(1_000_000_000)
    .default(10_000_000)
    .describe('A larger answer, unpacked, is cut off and is an error.'),
  redirectsMax: z
    .int()
    .min(0)
    .max(20)
    .default(5)
    .describe('Redirects that are followed; 0 gives the redirect itself as the answer.'),
  retryAfterMsMax: z
    .int()
    .min(0)
    .max(3_600_000)
    .default(60_000)
    .describe('A server that says Retry-After is left alone so long, but no longer than this.'),
  concurrency: z.int().min(1).max(1_000).default(8).describe('Requests at once.'),
  order: z
    .enum(['input', 'none'])
    .default('input')
    .describe('Answers leave in the order of their messages, or as they come.'),
})

/** Asks a web service. */
export const httpRequestV1 = define({
  name: 'http.request',
  version: 1,
  summary: 'Makes an HTTP request for each message and gives the answer.',
  notes:
    'Errors are worth a retry (`onError: { retry: {} }`) when the status is 408, 425, 429 or 5xx, when time ran out, and when the connection failed. ' +
    'Connections are kept open. On a redirect to another origin only harmless headers go along; from HTTPS to HTTP none is followed. ' +
    'Addresses at which clouds give out credentials (169.254.0.0/16 and the like) are refused; this machine and private networks are not.',
  inputs: ['in'],
  outputs: ['out'],
  outside: true,
  config: httpRequestConfig,
  examples: [
    {
      title: 'Look up a customer and keep the answer beside the order',
      config: { url: 'https://api.example.com/customers/{{ $json.customer }}', output: 'body' },
      into: 'customer',
      input: [{ id: 1, customer: 'c7' }],
      output: null,
    },
    {
      title: 'Send an order with a token',
      config: {
        url: 'https://api.example.com/orders',
        method: 'POST',
        headers: { authorization: 'Bearer {{ $env.TOKEN }}' },
        body: '{{ { id: $json.id } }}',
      },
      input: [{ id: 1 }],
      output: null,
    },
  ],
  face: {
    kind: 'async',
    limits: (config) => ({
      concurrency: config.concurrency,
      order: config.order,
      timeoutMs: config.timeoutMs + config.retryAfterMsMax + marginMs,
    }),
    make: (config, context) => {
      const client = new HttpClient(config.concurrency)
      context.onRelease(() => client.close())
      const build = requestBuilder(config, context)
      const ask = createRequester(client, config, context.host.clock)
      return async (message, signal, scope) => context.result(message, await ask(build(message, scope), signal))
    },
  },
})
