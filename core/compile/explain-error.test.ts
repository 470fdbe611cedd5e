// biome-ignore-all lint/suspicious/noTemplateCurlyInString: the expressions under test are texts
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { catalogue } from '../../nodes.ts'
import { runFlow } from '../testing.ts'

const missing = '{{ $json.x.y }}'

/** Why one message failed in one node. Throws when that takes as long as a retry would. */
async function failuresIn(type: string, config: Readonly<Record<string, unknown>>, onError = {}): Promise<unknown> {
  const source = JSON.stringify({
    millrace: 1,
    name: 'failing',
    nodes: { begin: { type: 'manual@1' }, work: { type, config, ...onError } },
    edges: ['begin -> work'],
  })
  const standardStreams = { input: new ReadableStream<Uint8Array>(), write: async () => undefined }
  const run = await runFlow(source, {
    types: catalogue.types,
    host: { standardStreams },
    start: { entry: 'begin', input: [{}] },
    limitMs: 100,
  })
  return run.deadLetters.map((letter) => letter.failure)
}

test.each([
  ['set@1', { fields: { a: missing } }],
  ['http.request@1', { url: `http://127.0.0.1:1/${missing}` }],
  ['delay@1', { delayMs: missing }],
  ['stdout@1', { value: missing }],
  ['file.write@1', { path: join(tmpdir(), missing), value: 1 }],
  ['log@1', { text: missing }],
  ['aggregate@1', { by: missing, count: 2 }],
  ['summarize@1', { everyMs: 1000, fields: { sum: { as: 'sum', of: missing } } }],
  ['loop@1', { while: missing }],
])('%s says which part of the path is missing', async (type, config) => {
  expect(await failuresIn(type, config)).toEqual([
    {
      code: 'node.type-error',
      message: '$json.x is undefined, so $json.x.y cannot be read. Write $json.x?.y if it may be missing.',
      node: 'work',
      retriable: false,
    },
  ])
})

test.each([
  ['http.request@1', { url: `http://127.0.0.1:1/${missing}` }, 'node.type-error'],
  ['http.request@1', { url: "{{ 'x'.repeat(-1) }}" }, 'node.range-error'],
  ['stdout@1', { value: missing }, 'node.type-error'],
])('%s does not try an expression again: %j', async (type, config, code) => {
  expect(await failuresIn(type, config, { onError: { retry: { attemptsMax: 3, backoffMs: 500 } } })).toMatchObject([
    { code, retriable: false },
  ])
})

test('a field that is read at start says so too', async () => {
  expect(await failuresIn('websocket.write@1', { url: '{{ $env.OUT.trim() }}' })).toMatchObject([
    {
      message: '$env.OUT is undefined, which has no method trim. Write $env.OUT?.trim() if it may be missing.',
      retriable: false,
    },
  ])
})
