import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { createFiles } from '../../server/files.ts'
import { makeCertificates } from '../../test/services/certificates.ts'
import { freePorts } from '../../test/services/free-ports.ts'
import { limitsConformance } from './conformance-limits.ts'
import type { Client } from './testing.ts'
import { connect, serving } from './testing.ts'

/** What every transport must do; each runs it in a file of its own. */
export function conformance(transport: 'ws' | 'uws'): void {
  const serve: typeof serving = (config, ...rest) => serving({ transport, ...config }, ...rest)

  describe(`${transport}: a server`, () => {
    test('gives what connections bring, and sends text as text and bytes as bytes', async () => {
      const flow = await serve({ decode: 'auto' }, { back: { type: 'websocket.send@1' } }, ['ws.message -> back'])
      const client = await connect(flow.url)
      const long = 'ü'.repeat(100_000)
      client.send('hello', Buffer.from([0, 255, 1]), '', 'x'.repeat(200), long)
      await expect.poll(() => client.got.length).toBe(5)
      expect(client.got).toEqual(['hello', Buffer.from([0, 255, 1]), '', 'x'.repeat(200), long])
      await flow.stop()
    })

    test('tells of a connection from its open to its close, each with the key of the connection', async () => {
      const seen = 'set@1'
      const fields = (port: string) => ({ port, key: '{{ $key }}', meta: '{{ $meta }}', value: '{{ $json }}' })
      const flow = await serve(
        { path: '/rooms/:room', protocols: ['v2', 'v1'] },
        {
          open: { type: seen, config: { fields: fields('open') } },
          said: { type: seen, config: { fields: fields('message') } },
          gone: { type: seen, config: { fields: fields('close') } },
          wrong: { type: seen, config: { fields: fields('error') } },
          keep: { type: 'test.keep@1' },
        },
        [
          'ws.open -> open -> keep',
          'ws.message -> said -> keep',
          'ws.close -> gone -> keep',
          'ws.error -> wrong -> keep',
        ],
      )
      const client = await connect(`${flow.url}/rooms/caf%C3%A9%2F1?a=1&b=%20x&c=1&c=2`, ['v1', 'v2'], {
        headers: { 'x-from': 'test' },
      })
      expect(client.socket.protocol).toBe('v2')
      client.send({ n: 1 }, 'no json', Buffer.from([0xff, 0xfe]), { n: 2 })
      await flow.keptCount(5)
      client.socket.close(4_001, 'enough')
      await flow.keptCount(6)
      const kept = flow.kept as Record<string, Record<string, unknown>>[]
      const key = kept[0]?.key
      const said = {
        path: '/rooms/caf%C3%A9%2F1',
        params: { room: 'café/1' },
        query: { a: '1', b: ' x', c: ['1', '2'] },
        protocol: 'v2',
      }
      expect(kept.map((each) => each.port)).toEqual(['open', 'message', 'error', 'error', 'message', 'close'])
      expect(new Set(kept.map((each) => each.key))).toEqual(new Set([key]))
      expect(kept[0]?.value).toMatchObject({ connection: key, ...said, headers: { 'x-from': 'test' } })
      expect(kept[0]?.value?.headers).not.toHaveProperty('sec-websocket-key')
      expect(kept[1]).toMatchObject({ value: { n: 1 }, meta: { connection: key, ...said, address: '127.0.0.1' } })
      expect(kept[1]?.meta).not.toHaveProperty('headers')
      expect(kept[2]?.value).toMatchObject({ error: { code: 'websocket.not-json', node: 'ws' }, value: 'no json' })
      expect(kept[3]?.value).toMatchObject({ error: { code: 'websocket.not-utf8' } })
      expect(kept[5]?.value).toEqual({ code: 4_001, reason: 'enough' })
      await flow.stop()
    })

    test('keeps the order of a connection across ports, however connections come and go', async () => {
      const tag = (port: string) => ({
        type: 'set@1',
        config: { fields: { port, key: '{{ $key }}', value: '{{ $json }}' } },
      })
      const flow = await serve(
        {},
        { open: tag('open'), said: tag('message'), gone: tag('close'), keep: { type: 'test.keep@1' } },
        ['ws.open -> open -> keep', 'ws.message -> said -> keep', 'ws.close -> gone -> keep'],
        // A small gate, so that sockets are kept waiting; one that cannot be kept would be closed.
        { settings: { inFlightMax: transport === 'ws' ? 16 : 10_000 } },
      )
      const one = async (): Promise<void> => {
        const client = await connect(flow.url)
        for (let n = 0; n < 20; n++) client.send(n)
        await client.close(1_000)
      }
      await Promise.all(Array.from({ length: 20 }, one))
      await flow.keptCount(20 * 22)
      const byKey = Map.groupBy(flow.kept as { port: string; key: string; value: unknown }[], (each) => each.key)
      expect(byKey.size).toBe(20)
      for (const each of byKey.values()) {
        expect(each.map(({ port }) => port)).toEqual(['open', ...Array(20).fill('message'), 'close'])
        expect(each.slice(1, -1).map(({ value }) => value)).toEqual(Array.from({ length: 20 }, (_, n) => n))
      }
      await flow.stop()
      expect((await flow.finish()).faults).toEqual([])
    })

    test('with scope: connection gives each an execution of its own, with its own state, from open to close', async () => {
      const flow = await serve(
        { scope: 'connection' },
        {
          pair: { type: 'aggregate@1', config: { count: 2 } },
          hello: { type: 'websocket.send@1', config: { value: '{{ { execution: $execution.id } }}' } },
          last: { type: 'set@1', config: { fields: { execution: '{{ $execution.id }}', key: '{{ $key }}' } } },
          keep: { type: 'test.keep@1' },
        },
        ['ws.open -> hello', 'ws.close -> last -> keep', 'ws.message -> pair', 'pair -> keep'],
      )
      const [a, b] = await Promise.all([connect(flow.url), connect(flow.url)])
      await expect.poll(() => [a.json.length, b.json.length]).toEqual([1, 1])
      const ids = [a, b].map((each) => (each.json[0] as { execution: string }).execution)
      expect(new Set([...ids, flow.execution.id]).size).toBe(3)
      expect([...flow.pipeline.executions.keys()].sort()).toEqual([...ids, flow.execution.id].sort())
      a.send({ n: 1 })
      b.send({ n: 10 })
      a.send({ n: 2 })
      b.send({ n: 20 })
      await flow.keptCount(2)
      expect(flow.kept).toContainEqual([{ n: 1 }, { n: 2 }])
      expect(flow.kept).toContainEqual([{ n: 10 }, { n: 20 }])
      await a.close()
      await flow.keptCount(3)
      expect(flow.kept[2]).toMatchObject({ execution: ids[0] })
      await expect.poll(() => flow.pipeline.executions.size).toBe(2)
      await flow.stop()
      expect(await b.closed).toMatchObject({ code: 1_001 })
      expect(flow.pipeline.executions.size).toBe(0)
      expect((await flow.finish()).faults).toEqual([])
    })

    test('an execution that is stopped closes its connection', async () => {
      const flow = await serve({ scope: 'connection' }, { keep: { type: 'test.keep@1' } }, [
        'ws.message -> keep',
        'ws.open -> keep',
      ])
      const [a, b] = [await connect(flow.url), await connect(flow.url)]
      await flow.keptCount(2)
      const [, first, second] = [...flow.pipeline.executions.values()]
      await first?.stop(1_000)
      await second?.kill('enough')
      expect([await a.closed, await b.closed]).toMatchObject([{ code: 1_001 }, { code: 1_001 }])
      expect(flow.execution.state).toBe('running')
      await flow.stop()
    })
  })

  describe(`${transport}: a port of its own`, () => {
    test('speaks TLS with the certificate that it is given, and says what is wrong with one that is none', async () => {
      const folder = await mkdtemp(join(tmpdir(), 'millrace-tls-'))
      try {
        const { server, ca } = await makeCertificates(folder)
        const tls = { cert: join(folder, 'server.pem'), key: join(folder, 'server.key') }
        const options = { host: { files: createFiles({ allowed: [folder] }) } }
        const flow = await serve({ tls }, { back: { type: 'websocket.send@1' } }, ['ws.message -> back'], options)
        const client = await connect(flow.url, [], { ca, rejectUnauthorized: true })
        client.send({ safe: true })
        await expect.poll(() => client.json).toEqual([{ safe: true }])
        await expect(connect(flow.url.replace('wss', 'ws'))).rejects.toThrow()
        await flow.stop()
        expect(server.cert).toContain('CERTIFICATE')
        await writeFile(join(folder, 'none.pem'), 'nothing')
        const wrong = { cert: join(folder, 'none.pem'), key: join(folder, 'none.pem') }
        const keep = { keep: { type: 'test.keep@1' } }
        await expect(serve({ tls: wrong }, keep, ['ws.open -> keep'], options)).rejects.toThrow(/none\.pem.* is no use/)
        const elsewhere = { cert: '/etc/hostname', key: '/etc/hostname' }
        await expect(serve({ tls: elsewhere }, keep, ['ws.open -> keep'], options)).rejects.toThrow(/may not read/)
      } finally {
        await rm(folder, { recursive: true, force: true })
      }
    })

    test('that is taken is said to be so, and can be shared where that is wanted', async () => {
      const keep = { keep: { type: 'test.keep@1' } }
      const first = await serve({}, keep, ['ws.open -> keep'])
      await expect(serve({ port: first.port }, keep, ['ws.open -> keep'])).rejects.toThrow(
        new RegExp(`port ${first.port} on 127\\.0\\.0\\.1 .*another`),
      )
      await first.stop()
      const [port = 0] = await freePorts(1)
      const one = await serve({ reusePort: true, port }, keep, ['ws.open -> keep'])
      const two = await serve({ reusePort: true, port }, keep, ['ws.open -> keep'])
      const clients = await Promise.all(Array.from({ length: 40 }, () => connect(one.url)))
      await expect.poll(() => one.kept.length + two.kept.length).toBe(40)
      expect(Math.min(one.kept.length, two.kept.length)).toBeGreaterThan(0)
      await one.stop()
      await two.stop()
      await Promise.all(clients.map((each) => each.closed))
    })
  })

  describe(`${transport}: sending`, () => {
    const chat = {
      enter: { type: 'websocket.rooms@1', config: { join: '{{ $meta.query.room }}' } },
      move: { type: 'websocket.rooms@1', config: { leave: '{{ $json.leave ?? [] }}', join: '{{ $json.join ?? [] }}' } },
      tell: {
        type: 'websocket.send@1',
        config: { room: '{{ $json.room }}', except: '{{ $key }}', value: '{{ $json.text }}' },
      },
    }
    const edges = ['ws.open -> enter', 'ws.message -> move -> tell']
    const got = (...clients: readonly Client[]) => clients.map((each) => each.got)

    test('reaches the others in a room, which connections enter and leave', async () => {
      const flow = await serve({}, chat, edges)
      const [a, b, c] = [
        await connect(`${flow.url}/?room=red`),
        await connect(`${flow.url}/?room=red`),
        await connect(`${flow.url}/?room=blue`),
      ]
      a.send({ room: 'red', text: 'one' })
      await expect.poll(() => got(a, b, c)).toEqual([[], ['one'], []])
      c.send({ join: ['red', 'green'], room: 'red', text: 'two' })
      await expect.poll(() => got(a, b, c)).toEqual([['two'], ['one', 'two'], []])
      b.send({ leave: 'red', room: ['red', 'green'], text: 'three' })
      await expect.poll(() => got(a, b, c)).toEqual([['two', 'three'], ['one', 'two'], ['three']])
      await c.close()
      a.send(
        { room: 'green', text: 'nobody' },
        { join: 'black', room: 'black', text: 'nobody' },
        { room: 'red', text: 'nobody' },
      )
      await expect.poll(() => flow.pipeline.metrics()?.nodes.tell?.in).toBe(6)
      b.send({ join: 'red', room: 'red', text: 'four' })
      await expect
        .poll(() => got(a, b))
        .toEqual([
          ['two', 'three', 'four'],
          ['one', 'two'],
        ])
      await flow.stop()
    })

    test('reaches one, several or all by id; who is gone is passed over, or an error', async () => {
      const flow = await serve(
        {},
        {
          hello: { type: 'websocket.send@1', config: { value: '{{ $key }}' } },
          ask: {
            type: 'switch@1',
            config: {
              cases: [
                { port: 'all', where: '{{ $json.to === "all" }}' },
                { port: 'strict', where: '{{ $json.strict === true }}' },
              ],
            },
          },
          all: { type: 'websocket.send@1', config: { all: true, value: '{{ $json.text }}', format: 'json' } },
          some: { type: 'websocket.send@1', config: { server: 'ws', to: '{{ $json.to }}', value: '{{ $json.text }}' } },
          strict: { type: 'websocket.send@1', config: { to: '{{ $json.to }}', whenGone: 'error' } },
          keep: { type: 'test.keep@1' },
        },
        [
          'ws.open -> hello',
          'ws.message -> ask',
          'ask.all -> all',
          'ask.strict -> strict',
          'ask.otherwise -> some',
          'strict.error -> keep',
          'some.error -> keep',
        ],
      )
      const [a, b, c] = [await connect(flow.url), await connect(flow.url), await connect(flow.url)]
      await expect.poll(() => got(a, b, c).every((each) => each.length === 1)).toBe(true)
      const ids = got(a, b, c).map(([id]) => String(id))
      a.send(
        { to: 'all', text: 'x' },
        { to: [ids[0], ids[2], 'nobody'], text: 'y' },
        { to: 'nobody', strict: true },
        { to: 7 },
      )
      await expect.poll(() => got(a, b, c).map((each) => each.slice(1))).toEqual([['"x"', 'y'], ['"x"'], ['"x"', 'y']])
      await flow.keptCount(2)
      const codes = flow.kept.map((each) => (each as { error: { code: string } }).error.code)
      expect(codes.sort()).toEqual(['websocket.bad-target', 'websocket.gone'])
      await flow.stop()
    })

    test('closes connections with a code and a reason, behind what was sent before', async () => {
      const flow = await serve(
        {},
        {
          first: { type: 'websocket.send@1', config: { value: 'bye' } },
          then: { type: 'websocket.close@1', config: { code: '{{ $json.code }}', reason: '{{ $json.reason }}' } },
          keep: { type: 'test.keep@1' },
        },
        ['ws.message -> first', 'ws.message -> then', 'then.error -> keep'],
      )
      const client = await connect(flow.url)
      client.send({ code: 1_006 }, { code: 4_010, reason: 'ä'.repeat(100) })
      expect(await client.closed).toEqual({ code: 4_010, reason: 'ä'.repeat(61) })
      expect(client.got).toEqual(['bye', 'bye'])
      await flow.keptCount(1)
      expect(flow.kept).toMatchObject([{ error: { code: 'websocket.bad-code' } }])
      await flow.stop()
    })

    test('what cannot be sent goes to the error port, the rest is sent', async () => {
      const flow = await serve(
        { decode: 'auto' },
        { back: { type: 'websocket.send@1', config: { format: 'text' } }, keep: { type: 'test.keep@1' } },
        ['ws.message -> back', 'back.error -> keep'],
      )
      const client = await connect(flow.url)
      client.send('a', Buffer.from([1]), 'b')
      await expect.poll(() => client.got).toEqual(['a', 'b'])
      await flow.keptCount(1)
      expect(flow.kept).toMatchObject([{ error: { code: 'websocket.cannot-send' } }])
      await flow.stop()
    })

    test('many messages to one connection arrive in their order', async () => {
      const flow = await serve({ bufferedBytesMax: 100_000_000 }, { back: { type: 'websocket.send@1' } }, [
        'ws.message -> back',
      ])
      const client = await connect(flow.url)
      for (let n = 0; n < 5_000; n++) client.send({ n, text: 'x'.repeat(n % 300) })
      await expect.poll(() => client.got.length, { timeout: 10_000 }).toBe(5_000)
      expect(client.json.map((each) => (each as { n: number }).n)).toEqual(Array.from({ length: 5_000 }, (_, n) => n))
      await flow.stop()
    })
  })

  limitsConformance(transport, serve)
}
