import { z } from 'zod'
import { constant, expression } from '../../core/define.ts'
import { headerName } from '../../core/header-text.ts'

/** What a request may say; every part of it that comes from a message is an expression. */
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
    .record(z.string().regex(headerName, 'not the name of a header'), expression(z.string().max(10_000)))
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
    .describe(
      '`response` gives `{ status, headers, body }`, where `set-cookie` is a list and every other header a text; `body` only the body.',
    ),
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
