import { once } from 'node:events'
import { connect as connectTcp } from 'node:net'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import type { Client, serving } from './testing.ts'
import { collectGarbage, connect, frame, rawSocket } from './testing.ts'

const pingFrame = 0x89
const textFrame = 0x81

/** What a server bears from clients that mean no good, or fall ill. */
export function limitsConformance(transport: 'ws' | 'uws', serve: typeof serving): void {
  const echo = { back: { type: 'websocket.send@1' } }
  const toEcho = ['ws.message -> back']

  /** That the server is well: somebody else is served. */
  const isWell = async (url: string): Promise<void> => {
    const other = await connect(url)
    other.send({ fine: true })
    await expect.poll(() => other.json).toEqual([{ fine: true }])
    await other.close()
  }

  describe(`${transport}: who is let in`, () => {
    const refusal = async (connecting: Promise<Client>): Promise<string> => {
      const client = await connecting.catch((thrown: Error) => thrown.message)
      if (typeof client === 'string') return client.replace(/^(\d+) .*"code":"([^"]*)".*$/s, '$1 $2')
      await client.close()
      return 'let in'
    }

    test('only at its path', async () => {
      const flow = await serve({ path: '/a/:b' }, echo, toEcho)
      const at = (path: string) => refusal(connect(flow.url + path))
      expect(await at('/a/x')).toBe('let in')
      expect(await at('/a/x/')).toBe('let in')
      for (const path of ['/', '/a', '/a//', '/a/x/y', '/b/x', '/a/%ff'])
        expect([path, await at(path)]).toEqual([path, '404 websocket.unknown-path'])
      await flow.stop()
    })

    test('pages only of its own address, or of listed origins', async () => {
      const flow = await serve({ origins: ['https://app.example'] }, echo, toEcho)
      const from = (origin: string, host?: string) =>
        refusal(connect(flow.url, [], { origin, headers: host === undefined ? {} : { host } }))
      expect(await from('https://app.example')).toBe('let in')
      expect(await from(`http://127.0.0.1:${flow.port}`)).toBe('let in')
      expect(await from('https://evil.example')).toBe('403 websocket.foreign-origin')
      expect(await from('null')).toBe('403 websocket.foreign-origin')
      expect(await from(`http://127.0.0.1:${flow.port + 1}`)).toBe('403 websocket.foreign-origin')
      // A foreign page whose name has been pointed at this machine.
      expect(await from(`http://evil.example:${flow.port}`, `evil.example:${flow.port}`)).toBe(
        '403 websocket.foreign-origin',
      )
      await flow.stop()
    })

    test('only who shows a token, by header, query or subprotocol; the flow never sees it', async () => {
      const flow = await serve(
        {
          protocols: ['chat'],
          token: { values: ['{{ $env.TOKEN }}', 'second-secret'], from: ['header', 'query', 'protocol'], query: 'key' },
        },
        { keep: { type: 'test.keep@1' } },
        ['ws.open -> keep'],
        { host: { env: { TOKEN: 'first-secret' } } },
      )
      const header = (value: string) => refusal(connect(flow.url, [], { headers: { authorization: value } }))
      expect(await header('Bearer first-secret')).toBe('let in')
      expect(await header('bearer second-secret')).toBe('let in')
      expect(await header('Bearer first-secre')).toBe('401 websocket.token-required')
      expect(await header('Basic first-secret')).toBe('401 websocket.token-required')
      expect(await refusal(connect(`${flow.url}/?key=second-secret&a=1`))).toBe('let in')
      expect(await refusal(connect(`${flow.url}/?token=second-secret`))).toBe('401 websocket.token-required')
      expect(await refusal(connect(flow.url))).toBe('401 websocket.token-required')
      const client = await connect(flow.url, ['token.first-secret', 'chat'])
      expect(client.socket.protocol).toBe('chat')
      expect(await refusal(connect(flow.url, ['token.first', 'chat']))).toBe('401 websocket.token-required')
      expect(await refusal(connect(`${flow.url}/?key=second-secret`, ['other']))).toBe(
        '400 websocket.no-common-protocol',
      )
      await flow.keptCount(4)
      expect(JSON.stringify(flow.kept)).not.toMatch(/secret/)
      expect(flow.log.join()).not.toMatch(/secret/)
      expect(flow.kept).toMatchObject([{}, {}, { query: { a: '1' } }, { protocol: 'chat' }])
      await flow.stop()
    })

    test('as many as may be, in all and from one address', async () => {
      const flow = await serve({ connectionsMax: 3 }, echo, toEcho)
      const all = [await connect(flow.url), await connect(flow.url), await connect(flow.url)]
      expect(await refusal(connect(flow.url))).toBe('503 websocket.busy')
      await all[0]?.close()
      await expect.poll(() => refusal(connect(flow.url))).toBe('let in')
      await flow.stop()
      const narrow = await serve({ connectionsPerAddressMax: 1 }, echo, toEcho)
      const one = await connect(narrow.url)
      expect(await refusal(connect(narrow.url))).toBe('429 websocket.too-many-connections')
      await one.close()
      await expect.poll(() => refusal(connect(narrow.url))).toBe('let in')
      await narrow.stop()
    })

    test('nobody who speaks plain HTTP', async () => {
      const flow = await serve({}, echo, toEcho)
      const response = await fetch(flow.url.replace('ws', 'http'))
      expect([response.status, response.headers.get('upgrade')]).toEqual([426, 'websocket'])
      await flow.stop()
    })
  })

  describe(`${transport}: what it bears`, () => {
    test('garbage in place of frames: that connection is closed, and its close is told', async () => {
      // What a transport does not mind it takes for the beginning of something longer, until nobody answers to a ping.
      const config = { heartbeatMs: 500 }
      const flow = await serve(config, { ...echo, keep: { type: 'test.keep@1' } }, [...toEcho, 'ws.close -> keep'])
      const garbage = [
        Buffer.from([0xff, 0xff, 0xff, 0xff, 1, 2, 3]),
        // Not masked, an unknown opcode, a ping that is too long, a continuation of nothing, a length beyond all numbers.
        Buffer.from([textFrame, 0x01, 0x41]),
        frame(0x83, Buffer.from('a')),
        frame(pingFrame, Buffer.alloc(126)),
        frame(0x80, Buffer.from('a')),
        Buffer.from([textFrame, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0]),
      ]
      for (const bytes of garbage) {
        const socket = await rawSocket(flow.port)
        socket.resume()
        socket.write(bytes)
        await once(socket, 'close')
      }
      await flow.keptCount(garbage.length)
      await isWell(flow.url)
      await flow.stop()
      expect(flow.execution.state).toBe('stopped')
    })

    test('text that is not UTF-8, and messages that are too long, whole or in pieces', async () => {
      const flow = await serve({ messageBytesMax: 1_000 }, echo, toEcho)
      const codeAfter = async (...frames: readonly Buffer[]): Promise<number | null> => {
        const socket = await rawSocket(flow.port)
        const chunks: Buffer[] = []
        socket.on('data', (chunk: Buffer) => chunks.push(chunk))
        for (const each of frames) socket.write(each)
        await once(socket, 'close')
        const all = Buffer.concat(chunks)
        return all[0] === 0x88 ? all.readUInt16BE(2) : null
      }
      // uWebSockets.js cuts a connection that breaks a limit without a word.
      const said = (code: number) => (transport === 'ws' ? [code] : [code, null])
      expect(said(1_007)).toContain(await codeAfter(frame(textFrame, Buffer.from([0xc3, 0x28]))))
      expect(said(1_009)).toContain(await codeAfter(frame(textFrame, Buffer.alloc(1_001, 0x61))))
      expect(said(1_009)).toContain(await codeAfter(frame(textFrame, Buffer.alloc(0), 60_000)))
      const piece = Buffer.alloc(600, 0x61)
      expect(said(1_009)).toContain(await codeAfter(frame(0x01, piece), frame(0x80, piece)))
      await isWell(flow.url)
      await flow.stop()
    })

    test('connections that never ask for their upgrade, or do so byte by byte', async () => {
      const flow = await serve({ headMsMax: 300 }, echo, toEcho)
      const silent = connectTcp(flow.port, '127.0.0.1')
      const slow = connectTcp(flow.port, '127.0.0.1')
      for (const each of [silent, slow]) each.on('error', () => undefined).resume()
      await once(slow, 'connect')
      slow.write('GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n')
      const drip = setInterval(() => slow.write('X-A: b\r\n'), 100)
      try {
        await isWell(flow.url)
        // uWebSockets.js has limits of its own here: ten seconds, from the first byte on.
        if (transport === 'ws') await Promise.all([once(silent, 'close'), once(slow, 'close')])
      } finally {
        clearInterval(drip)
        silent.destroy()
        slow.destroy()
      }
      await flow.stop()
    })

    test('a flood from one: it is slowed or sent away, and the others are served', async () => {
      const flood = async (client: Client, count: number): Promise<void> => {
        for (let n = 0; n < count; n++) client.send(n)
      }
      const strict = await serve({ messagesPerSecondMax: 50, onFlood: 'close', closeMsMax: 300 }, echo, toEcho)
      const rude = await connect(strict.url)
      await flood(rude, 200)
      expect(await rude.closed).toMatchObject({ code: 1_008 })
      expect(rude.got.length).toBeLessThanOrEqual(50)
      await isWell(strict.url)
      await strict.stop()
      const big = await serve({ bytesPerSecondMax: 10_000, onFlood: 'close', closeMsMax: 300 }, echo, toEcho)
      const heavy = await connect(big.url)
      heavy.send('"'.padEnd(20_001, 'x').concat('"'))
      expect(await heavy.closed).toMatchObject({ code: 1_008 })
      await big.stop()
      if (transport === 'uws') return
      const patient = await serve({ messagesPerSecondMax: 100 }, echo, toEcho)
      const fast = await connect(patient.url)
      const begin = performance.now()
      await flood(fast, 300)
      await isWell(patient.url)
      await expect.poll(() => fast.got.length, { timeout: 10_000 }).toBe(300)
      // One read of the socket may bring all of it; what is beyond the limit is owed.
      fast.send({ last: true })
      await expect.poll(() => fast.got.length, { timeout: 10_000 }).toBe(301)
      expect(performance.now() - begin).toBeGreaterThan(1_500)
      await patient.stop()
    })

    test('peers that do not answer to pings are cut, those that do are not', async () => {
      const flow = await serve({ heartbeatMs: 200 }, { ...echo, keep: { type: 'test.keep@1' } }, [
        ...toEcho,
        'ws.close -> keep',
      ])
      const dead = await rawSocket(flow.port)
      dead.resume()
      const alive = await connect(flow.url)
      await once(dead, 'close')
      await flow.keptCount(1)
      expect(flow.kept).toMatchObject([{ code: 1_006 }])
      let pings = 0
      alive.socket.on('ping', () => {
        pings += 1
      })
      await expect.poll(() => pings, { timeout: 5_000 }).toBeGreaterThan(3)
      alive.send({ still: 'here' })
      await expect.poll(() => alive.json).toEqual([{ still: 'here' }])
      await flow.stop()
    })

    test('cut sockets: each close is told once, and nothing stays', async () => {
      const flow = await serve({}, { ...echo, keep: { type: 'test.keep@1' } }, [...toEcho, 'ws.close -> keep'])
      const clients = await Promise.all(Array.from({ length: 50 }, () => connect(flow.url)))
      for (const [index, client] of clients.entries()) {
        client.send({ index })
        client.socket.terminate()
      }
      await flow.keptCount(50)
      expect(flow.kept.every((each) => (each as { code: number }).code === 1_006)).toBe(true)
      await isWell(flow.url)
      await flow.keptCount(51)
      await flow.stop()
      expect((await flow.finish()).faults).toEqual([])
    })
  })

  describe(`${transport}: readers that are slow`, () => {
    const payload = 'x'.repeat(20_000)
    const feed = {
      made: { type: 'set@1', config: { fields: { n: '{{ $json.n }}', text: '{{ $json.text }}' } } },
      tell: { type: 'websocket.send@1', config: { all: true } },
    }
    const toAll = ['ws.message -> made -> tell']

    const send = async (client: Client, from: number, count: number): Promise<void> => {
      for (let n = from; n < from + count; n++) client.send({ n, text: payload })
      while (numberOf(client.got.at(-1)) !== from + count - 1) await client.next()
    }
    const numberOf = (text: string | Buffer | undefined): number => JSON.parse(String(text ?? '{}')).n
    const numbers = (client: Client): readonly number[] => client.got.map(numberOf)

    test.each([
      ['close', 1_013],
      ['drop-oldest', 0],
      ['drop-newest', 0],
    ] as const)('onSlow: %s, and the others miss nothing', async (onSlow, code) => {
      const flow = await serve(
        { onSlow, bufferedBytesMax: 500_000, closeMsMax: 500, bytesPerSecondMax: 0 },
        feed,
        toAll,
      )
      const [slow, quick] = [await connect(flow.url), await connect(flow.url)]
      slow.socket.pause()
      const count = 1_000
      for (let n = 0; n < count; n += 5) await send(quick, n, 5)
      expect(numbers(quick)).toEqual(Array.from({ length: count }, (_, n) => n))
      slow.socket.resume()
      if (code !== 0) {
        const closed = await slow.closed
        // The goodbye stands behind what the socket had taken; a peer that reads too late finds itself cut.
        expect([code, 1_006]).toContain(closed.code)
        await flow.stop()
        await expect.poll(() => flow.log.join(), { timeout: 5_000 }).toMatch(/^((?!Error).)*$/s)
        return
      }
      quick.send({ n: count, text: 'last' })
      await expect.poll(() => numbers(slow).at(-1), { timeout: 10_000 }).toBe(count)
      const read = numbers(slow)
      expect(read.length).toBeLessThan(count)
      expect(read).toEqual(read.toSorted((a, b) => a - b))
      // Which part is missing: the middle either way, but the newest before the last are there only when the oldest were dropped.
      expect(read.includes(count - 1)).toBe(onSlow === 'drop-oldest')
      await expect.poll(() => flow.log.join(), { timeout: 5_000 }).toMatch(/messages dropped for slow readers/)
      await flow.stop()
    })

    test('one that is closed while much waits for it gets that first, and is cut when it never reads', async () => {
      const flow = await serve(
        { bufferedBytesMax: 100_000_000, bytesPerSecondMax: 0, closeMsMax: 300 },
        { ...feed, bye: { type: 'websocket.close@1', config: { all: true, code: 4_000 } } },
        [...toAll, 'ws.close -> bye'],
      )
      const [slow, stuck, quick] = [await connect(flow.url), await connect(flow.url), await connect(flow.url)]
      slow.socket.pause()
      stuck.socket.pause()
      for (let n = 0; n < 800; n += 5) await send(quick, n, 5)
      // The end of one is the sign to close all.
      await quick.close()
      await expect.poll(() => flow.pipeline.metrics()?.nodes.bye?.in).toBe(1)
      slow.socket.resume()
      expect(await slow.closed).toMatchObject({ code: 4_000 })
      expect(numbers(slow)).toEqual(Array.from({ length: 800 }, (_, n) => n))
      const begin = performance.now()
      await flow.stop()
      expect(performance.now() - begin).toBeLessThan(3_000)
      stuck.socket.terminate()
    })

    test('one that stops reading costs no more memory than its buffer, and delays nobody', async () => {
      const flow = await serve(
        { onSlow: 'drop-oldest', bufferedBytesMax: 1_000_000, bytesPerSecondMax: 0 },
        feed,
        toAll,
      )
      const [stuck, quick] = [await connect(flow.url), await connect(flow.url)]
      stuck.socket.pause()
      collectGarbage()
      const before = process.memoryUsage().arrayBuffers
      let peak = 0
      for (let n = 0; n < 4_000; n += 5) {
        await send(quick, n, 5)
        quick.got.length = 0
        if (n % 500 !== 0) continue
        collectGarbage()
        // Finalisers of what was collected run in the next turn, and the memory itself is given back by a thread of V8 that another
        // collection waits for.
        await nextTurn()
        collectGarbage()
        peak = Math.max(peak, process.memoryUsage().arrayBuffers - before)
      }
      // 80 MB were sent.
      expect(peak).toBeLessThan(6_000_000)
      stuck.socket.terminate()
      await flow.stop()
    })
  })

  describe(`${transport}: when the flow is behind`, () => {
    test('no more is taken than may be in flight and wait, and all of it arrives in the end', async () => {
      let release = (): void => undefined
      const held = new Promise<void>((resolve) => {
        release = resolve
      })
      const flow = await serve(
        { messagesPerSecondMax: 0, bytesPerSecondMax: 0, overflow: 'drop-newest' },
        { keep: { type: 'test.keep@1' } },
        ['ws.message -> keep'],
        { settings: { inFlightMax: 100, inFlightBytesMax: 100_000 }, onWrite: () => held },
      )
      const clients = await Promise.all(Array.from({ length: 3 }, () => connect(flow.url)))
      const text = 'x'.repeat(10_000)
      collectGarbage()
      const before = process.memoryUsage().heapUsed
      for (const [from, client] of clients.entries()) for (let n = 0; n < 5_000; n++) client.send({ from, n, text })
      await expect.poll(() => flow.pipeline.metrics()?.inFlight, { timeout: 5_000 }).toBeGreaterThan(0)
      if (transport === 'ws') {
        // 150 MB are on their way, as bytes of the clients. What the server has read of it is text on the heap.
        const read = (): number => {
          collectGarbage()
          return process.memoryUsage().heapUsed - before
        }
        let last = -1
        const isStill = (): boolean => Math.abs(last - (last = read())) < 500_000
        await expect.poll(isStill, { timeout: 20_000, interval: 500 }).toBe(true)
        expect(read()).toBeLessThan(25_000_000)
      } else
        await expect.poll(() => flow.log.join(), { timeout: 5_000 }).toMatch(/messages for which there was no room/)
      expect(flow.inFlightMax()).toBeLessThanOrEqual(100)
      release()
      if (transport === 'ws') {
        await flow.keptCount(15_000)
        const byFrom = Map.groupBy(flow.kept as { from: number; n: number }[], (each) => each.from)
        for (const each of byFrom.values())
          expect(each.map(({ n }) => n)).toEqual(Array.from({ length: 5_000 }, (_, n) => n))
      }
      await flow.stop()
    })

    test('a pause by hand keeps sockets open and unread, also over heartbeats', async () => {
      const flow = await serve({ heartbeatMs: 100 }, { keep: { type: 'test.keep@1' } }, [
        'ws.message -> keep',
        'ws.open -> keep',
      ])
      const client = await connect(flow.url)
      await flow.keptCount(1)
      await flow.pipeline.control({ do: 'pause', node: 'ws' })
      client.send({ n: 1 }, { n: 2 })
      const late = await connect(flow.url)
      let pings = 0
      late.socket.on('ping', () => {
        pings += 1
      })
      const begin = performance.now()
      await expect.poll(() => performance.now() - begin).toBeGreaterThan(500)
      expect([flow.kept.length, client.socket.readyState, late.socket.readyState]).toEqual([1, 1, 1])
      await flow.pipeline.control({ do: 'resume', node: 'ws' })
      await flow.keptCount(4)
      expect(flow.kept.slice(1)).toMatchObject([{ n: 1 }, { n: 2 }, { path: '/' }])
      await flow.stop()
      expect(pings).toBeGreaterThanOrEqual(0)
    })
  })

  describe(`${transport}: coming and going`, () => {
    test('a thousand connections that come and go leave nothing behind', async () => {
      const flow = await serve(
        { scope: 'connection', connectionsPerAddressMax: 2_000 },
        {
          enter: { type: 'websocket.rooms@1', config: { join: "{{ ['a', $key] }}" } },
          back: { type: 'websocket.send@1' },
          keep: { type: 'test.keep@1' },
        },
        ['ws.open -> enter', 'ws.message -> back', 'ws.close -> keep'],
      )
      const round = async (): Promise<void> => {
        const clients = await Promise.all(Array.from({ length: 100 }, () => connect(flow.url)))
        for (const client of clients) client.send({ n: 1 })
        await Promise.all(clients.map((each) => each.next()))
        await Promise.all(clients.map((each) => each.close()))
      }
      await round()
      collectGarbage()
      const before = process.memoryUsage().heapUsed
      for (let n = 0; n < 10; n++) await round()
      await flow.keptCount(1_100)
      await expect.poll(() => flow.pipeline.executions.size).toBe(1)
      flow.kept.length = 0
      collectGarbage()
      expect(process.memoryUsage().heapUsed - before).toBeLessThan(2_000_000)
      await flow.stop()
      expect((await flow.finish()).faults).toEqual([])
    })

    test('when it stops, what was taken is answered, then all are told 1001', async () => {
      let release = (): void => undefined
      const held = new Promise<void>((resolve) => {
        release = resolve
      })
      const flow = await serve(
        {},
        { ...echo, keep: { type: 'test.keep@1' }, slow: { type: 'delay@1', config: { delayMs: 200 } } },
        ['ws.message -> slow -> back', 'ws.open -> keep'],
        { onWrite: () => held },
      )
      release()
      const clients = [await connect(flow.url), await connect(flow.url)]
      for (const client of clients) client.send({ n: 1 })
      await expect.poll(() => flow.pipeline.metrics()?.nodes.slow?.in).toBe(2)
      await flow.stop()
      for (const client of clients) {
        expect(await client.closed).toEqual({ code: 1_001, reason: 'the server is stopping' })
        expect(client.json).toEqual([{ n: 1 }])
      }
      await expect(connect(flow.url)).rejects.toThrow(/ECONNREFUSED/)
    })

    test('a peer that does not answer the close is cut in time', async () => {
      const flow = await serve({ closeMsMax: 200 }, echo, toEcho)
      const rude = await rawSocket(flow.port)
      await isWell(flow.url)
      const begin = performance.now()
      await flow.stop()
      expect(performance.now() - begin).toBeLessThan(3_000)
      rude.destroy()
    })
  })
}
