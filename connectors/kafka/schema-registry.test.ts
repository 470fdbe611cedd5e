import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import { createServer } from 'node:http'
import avro from 'avsc'
import { afterAll, describe, expect, test } from 'vitest'
import type { RunningSchemaRegistry } from '../../test/services/schema-registry.ts'
import { noSchemaRegistry, startSchemaRegistry } from '../../test/services/schema-registry.ts'
import { AvroDecoder } from './avro-decoder.ts'
import type { RecordBlock } from './driver.ts'
import { readBlock } from './drivers/batch/batch-block.ts'
import { BatchBuilder, stamp } from './drivers/batch/batch-builder.ts'
import type { SchemaRegistryOptions, SchemaText } from './schema-registry.ts'
import { SchemaRegistry } from './schema-registry.ts'

const order: avro.Schema = {
  type: 'record',
  name: 'Order',
  namespace: 'shop',
  fields: [
    { name: 'id', type: 'long' },
    { name: 'note', type: ['null', 'string'], default: null },
    { name: 'items', type: { type: 'array', items: 'string' } },
    { name: 'tags', type: { type: 'map', values: 'int' } },
    { name: 'at', type: { type: 'long', logicalType: 'timestamp-millis' } },
    { name: 'state', type: { type: 'enum', name: 'State', symbols: ['NEW', 'PAID'] } },
  ],
}
const one = { id: 7, note: 'é', items: ['a', 'b'], tags: { x: 1 }, at: 1_700_000_000_000, state: 'PAID' }

const avroText = (schema: unknown): SchemaText => ({ type: 'AVRO', text: JSON.stringify(schema), references: [] })

function framed(id: number, body: Uint8Array): Buffer {
  const frame = Buffer.alloc(5)
  frame.writeInt32BE(id, 1)
  return Buffer.concat([frame, body])
}

function blockOf(values: readonly (Uint8Array | null)[]): RecordBlock {
  const builder = new BatchBuilder()
  for (const [index, value] of values.entries()) builder.add(index, null, value, null, 0)
  const batch = builder.close('none', false)
  stamp(batch, -1n, -1, -1)
  const fetched = { bytes: batch.bytes, from: 0, next: values.length, aborted: [] }
  const block = readBlock(fetched, { topic: 't', partition: 0 }, 1)
  if (block === null) throw new Error('the block is empty')
  return block
}

/** What each record of a block decodes to: its value, or the code of its error. */
async function decodeAll(decoder: AvroDecoder, values: readonly (Uint8Array | null)[]): Promise<readonly unknown[]> {
  const block = blockOf(values)
  await decoder.prepare(block)
  expect(decoder.prepare(block)).toBe(null)
  const decoded: unknown[] = []
  for (const cursor = block.cursor(); cursor.next(); ) {
    try {
      decoded.push(decoder.decode(cursor.bytes, cursor.valueStart, cursor.valueEnd))
    } catch (thrown) {
      decoded.push(thrown instanceof Error && 'code' in thrown ? thrown.code : thrown)
    }
  }
  return decoded
}

describe('against a real registry', () => {
  let running: Promise<RunningSchemaRegistry> | null = null
  afterAll(async () => (await running?.catch(() => null))?.stop())
  const open = async (): Promise<SchemaRegistry> => {
    running ??= startSchemaRegistry()
    return registryAt((await running).url)
  }

  test('registers schemas and finds them by id and by version', async (context) => {
    if (noSchemaRegistry !== null) return context.skip(noSchemaRegistry)
    const registry = await open()
    const id = await registry.register('orders-value', avroText(order))
    expect(await registry.register('orders-value', avroText(order))).toBe(id)
    // A client that has seen nothing yet.
    const fresh = await open()
    expect(JSON.parse((await fresh.byId(id)).text)).toMatchObject({ type: 'record', name: 'Order' })
    expect(await fresh.byVersion('orders-value', 1)).toMatchObject({ type: 'AVRO', references: [] })
    await expect(fresh.byId(987_654)).rejects.toMatchObject({ code: 'kafka.unknown-schema', retriable: false })
    await expect(registry.register('orders-value', avroText({ type: 'nonsense' }))).rejects.toMatchObject({
      code: 'kafka.registry-refused',
    })
  })

  test('decodes values by the schemas that they name', async (context) => {
    if (noSchemaRegistry !== null) return context.skip(noSchemaRegistry)
    const registry = await open()
    const id = await registry.register('orders-value', avroText(order))
    const text = await registry.register('texts-value', avroText('string'))
    const json = await registry.register('json-value', {
      type: 'JSON',
      text: '{"$schema":"http://json-schema.org/draft-07/schema#","type":"object"}',
      references: [],
    })
    const decoder = new AvroDecoder(await open(), 1_000, 100)
    const bytes = avro.Type.forSchema(order).toBuffer(one)
    const decoded = await decodeAll(decoder, [
      framed(id, bytes),
      framed(text, avro.Type.forSchema('string').toBuffer('plain')),
      null,
      framed(id, bytes.subarray(0, 4)),
      framed(987_654, bytes),
      framed(json, Buffer.from('{}')),
      Buffer.from('{"not":"framed"}'),
      Buffer.alloc(0),
      framed(id, avro.Type.forSchema(order).toBuffer({ ...one, note: null })),
    ])
    expect(decoded).toEqual([
      one,
      'plain',
      null,
      'kafka.not-avro',
      'kafka.unknown-schema',
      'kafka.bad-schema',
      'kafka.not-framed',
      'kafka.not-framed',
      { ...one, note: null },
    ])
  })

  test('decodes by schemas that name others', async (context) => {
    if (noSchemaRegistry !== null) return context.skip(noSchemaRegistry)
    const registry = await open()
    const money = { type: 'record', name: 'shop.Money', fields: [{ name: 'cents', type: 'int' }] }
    const line = { type: 'record', name: 'shop.Line', fields: [{ name: 'price', type: 'shop.Money' }] }
    const bill = {
      type: 'record',
      name: 'shop.Bill',
      fields: [{ name: 'lines', type: { type: 'array', items: 'shop.Line' } }],
    }
    const naming = (schema: object, name: string, subject: string): SchemaText => ({
      ...avroText(schema),
      references: [{ name, subject, version: 1 }],
    })
    await registry.register('money', avroText(money))
    await registry.register('line', naming(line, 'shop.Money', 'money'))
    const id = await registry.register('bill', naming(bill, 'shop.Line', 'line'))
    const decoder = new AvroDecoder(await open(), 1_000, 100)
    // Two lines of 3 and -1 cents.
    expect(await decodeAll(decoder, [framed(id, Buffer.from([4, 6, 1, 0]))])).toEqual([
      { lines: [{ price: { cents: 3 } }, { price: { cents: -1 } }] },
    ])
  })
})

describe('whatever a registry answers', () => {
  test('signs in, and says no word of the password when that fails', async () => {
    const seen: string[] = []
    const server = await serve((request, response) => {
      seen.push(String(request.headers.authorization))
      const isKnown = request.headers.authorization === `Basic ${Buffer.from('mill:wheel').toString('base64')}`
      response.writeHead(isKnown ? 200 : 401).end(isKnown ? '{"schema":"\\"int\\""}' : '{"message":"who are you"}')
    })
    const known = registryAt(server.url, { user: { username: 'mill', password: 'wheel' } })
    expect(await known.byId(1)).toEqual({ type: 'AVRO', text: '"int"', references: [] })
    const unknown = registryAt(server.url, { user: { username: 'mill', password: 'guessed' } })
    const thrown: unknown = await unknown.byId(1).catch((error: unknown) => error)
    expect(thrown).toMatchObject({ code: 'kafka.registry-refused', retriable: false })
    expect(String(thrown)).not.toContain('guessed')
    expect(seen).toHaveLength(2)
    await server.close()
  })

  test('asks once for what it has, however many ask at a time, and keeps no more than it may', async () => {
    const asked: string[] = []
    const server = await serve((request, response) => {
      asked.push(String(request.url))
      response.end('{"schema":"\\"int\\""}')
    })
    const registry = registryAt(server.url, { schemasMax: 2 })
    await Promise.all([registry.byId(1), registry.byId(1), registry.byId(2)])
    await registry.byId(1)
    expect(asked.toSorted()).toEqual(['/schemas/ids/1', '/schemas/ids/2'])
    await registry.byId(3)
    await registry.byId(1)
    expect(asked).toHaveLength(3)
    await registry.byId(2)
    expect(asked).toHaveLength(4)
    await server.close()
  })

  test('gives up in time, and on answers without end', async () => {
    const server = await serve((request, response) => {
      if (request.url === '/schemas/ids/1') return
      response.write('{"schema":"')
      const more = setInterval(() => response.write('x'.repeat(1_000_000)), 1)
      response.on('close', () => clearInterval(more))
    })
    const registry = registryAt(server.url, { requestMsMax: 500 })
    await expect(registry.byId(1)).rejects.toMatchObject({ code: 'kafka.registry-unavailable', retriable: true })
    const patient = registryAt(server.url)
    await expect(patient.byId(2)).rejects.toThrow(/over 4194304 bytes/)
    await server.close()
  })

  test('tells what is wrong from what is away', async () => {
    const answers = [
      '500 {}',
      '429 {}',
      '404 {"error_code":40403,"message":"no schema"}',
      '422 {"message":"bad"}',
      '200 {}',
      '200 <html>',
    ]
    const server = await serve((_request, response) => {
      const [status, ...body] = (answers.shift() ?? '').split(' ')
      response.writeHead(Number(status)).end(body.join(' '))
    })
    const registry = registryAt(server.url)
    const codes: unknown[] = []
    for (let id = 0; answers.length > 0; id += 1) {
      codes.push(
        await registry.byId(id).catch((error: unknown) => error instanceof Error && 'code' in error && error.code),
      )
    }
    expect(codes).toEqual([
      'kafka.registry-unavailable',
      'kafka.registry-unavailable',
      'kafka.unknown-schema',
      'kafka.registry-refused',
      'kafka.registry-refused',
      'kafka.registry-refused',
    ])
    await server.close()
    await expect(registry.byId(99)).rejects.toMatchObject({ code: 'kafka.registry-unavailable', retriable: true })
    expect(() => registryAt('file:///etc/passwd')).toThrow(/no address of a schema registry/)
  })

  test('waits for a registry that comes back, and not for ever', async () => {
    let isAway = true
    const server = await serve((_request, response) => {
      if (isAway) response.writeHead(503).end()
      else response.end('{"schema":"\\"int\\""}')
    })
    const block = blockOf([framed(1, Buffer.from([2]))])
    await expect(new AvroDecoder(registryAt(server.url), 50, 10).prepare(block)).rejects.toMatchObject({
      code: 'kafka.registry-unavailable',
    })
    const decoder = new AvroDecoder(registryAt(server.url), 10_000, 10)
    const preparing = decoder.prepare(block)
    isAway = false
    await preparing
    expect(await decodeAll(decoder, [framed(1, Buffer.from([2]))])).toEqual([1])
    await server.close()
  })

  test('follows references that run in a ring to no end', async () => {
    const server = await serve((request, response) => {
      const other = request.url?.includes('/subjects/a/') === true ? 'b' : 'a'
      const references = [{ name: other, subject: other, version: 1 }]
      response.end(JSON.stringify({ schema: '"int"', references }))
    })
    const decoder = new AvroDecoder(registryAt(server.url), 1_000, 10)
    expect(await decodeAll(decoder, [framed(1, Buffer.from([2]))])).toEqual([1])
    await server.close()
  })
})

function registryAt(url: string, over: Partial<SchemaRegistryOptions> = {}): SchemaRegistry {
  return new SchemaRegistry({ url, user: null, requestMsMax: 10_000, schemasMax: 100, ...over })
}

async function serve(
  handler: (request: IncomingMessage, response: ServerResponse) => void,
): Promise<{ readonly url: string; close(): Promise<void> }> {
  const server: Server = createServer(handler)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('no port')
  return {
    url: `http://127.0.0.1:${address.port}`,
    close: () => {
      server.closeAllConnections()
      return new Promise((resolve) => server.close(() => resolve()))
    },
  }
}
