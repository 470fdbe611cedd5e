import { define } from '../../core/define.ts'
import { HttpClient } from './exchange.ts'
import { httpRequestConfig } from './http-request-config.ts'
import { requestBuilder } from './request-builder.ts'
import { createRequester } from './requester.ts'

const marginMs = 1_000

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
  makesResult: true,
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
