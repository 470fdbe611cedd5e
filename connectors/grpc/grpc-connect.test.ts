import type { AddressInfo, Socket } from 'node:net'
import { createServer, connect as dial } from 'node:net'
import { join } from 'node:path'
import type { ServerDuplexStream, ServerWritableStream } from '@grpc/grpc-js'
import { afterEach, describe, expect, test } from 'vitest'
import { createFiles } from '../../server/files.ts'
import type { RealFlow, RealFlowOptions } from '../../test/real-flow.ts'
import { realFlow } from '../../test/real-flow.ts'
import type { Answer, RunningShop, Shop, Value } from './shop.fixture.ts'
import { openShop } from './shop.fixture.ts'

let shop: RunningShop | null = null

afterEach(async () => {
  await shop?.stop()
  shop = null
})

interface Connect {
  readonly config?: Readonly<Record<string, unknown>>
  /** Nodes and edges beside `connect -> got`. */
  readonly nodes?: Readonly<Record<string, unknown>>
  readonly edges?: readonly string[]
  readonly settings?: Readonly<Record<string, unknown>>
  readonly options?: RealFlowOptions
}

async function connectFlow(served: Shop, connect: Connect = {}): Promise<RealFlow> {
  shop = await openShop(served)
  const { folder, address } = shop
  return realFlow(
    {
      millrace: 1,
      name: 'streams',
      settings: connect.settings ?? {},
      nodes: {
        connect: {
          type: 'grpc.connect@1',
          config: {
            address,
            proto: join(folder, 'shop.proto'),
            protoFolders: [join(folder, 'more')],
            service: 'shop.Shop',
            method: 'Trade',
            backoffMs: 5,
            backoffMsMax: 100,
            ...connect.config,
          },
        },
        got: { type: 'test.keep@1' },
        ...connect.nodes,
      },
      edges: ['connect -> got', ...(connect.edges ?? [])],
    },
    { ...connect.options, host: { files: createFiles({ allowed: [folder] }), ...connect.options?.host } },
  )
}

async function stopped(flow: RealFlow): Promise<readonly unknown[]> {
  await flow.execution.stop(5_000)
  const { outcome, faults } = await flow.finish()
  expect(outcome).toMatchObject({ state: 'stopped', unsettled: 0, deadLetters: 0, failure: null })
  expect(faults).toEqual([])
  return flow.kept
}

/** Answers each order with a note of it, and tells who came. */
function echo(came: string[]): Shop['trade'] {
  return (call: ServerDuplexStream<Value, Answer>) => {
    call.on('data', (order: Value) => {
      came.push(String(order.id))
      call.write({ text: `note of ${String(order.id)}`, n: order.n })
    })
    call.on('end', () => call.end())
    call.on('cancelled', () => came.push('cancelled'))
    call.on('error', () => undefined)
  }
}

describe('grpc.connect', () => {
  test('subscribes with its first message, gives what comes, and cancels the call when it stops', async () => {
    const came: string[] = []
    const flow = await connectFlow({ trade: echo(came) }, { config: { request: { id: 'first', n: 1 } } })
    await flow.keptCount(1)
    expect(await stopped(flow)).toEqual([{ text: 'note of first', n: 1 }])
    await expect.poll(() => came).toEqual(['first', 'cancelled'])
  })

  test('reads a stream of answers to its end', async () => {
    const served: Shop = {
      list(asked, call: ServerWritableStream<Value, Answer>) {
        for (let n = 0; n < Number(asked.count); n++) call.write({ id: String(n) })
        call.end()
      },
    }
    const flow = await connectFlow(served, { config: { method: 'List', request: { count: 5_000 }, onEnd: 'stop' } })
    expect((await flow.finish()).outcome).toMatchObject({ state: 'done' })
    expect(flow.kept.map((each) => Number((each as Value).id))).toEqual(Array.from({ length: 5_000 }, (_, n) => n))
  })

  test('calls again after a clean end, a cut, and a server that was away, and says so once', async () => {
    const came: string[] = []
    const said: string[] = []
    const served: Shop = {
      trade(call: ServerDuplexStream<Value, Answer>) {
        echo(came)?.(call)
        if (came.length === 0) call.once('data', () => call.end())
      },
    }
    const log = { write: (level: string, text: string) => void (level !== 'debug' && said.push(`${level} ${text}`)) }
    const flow = await connectFlow(served, { config: { request: { id: 'hello' } }, options: { host: { log } } })
    await flow.keptCount(2)
    shop?.cut()
    await shop?.again()
    await flow.keptCount(3)
    said.length = 0
    shop?.cut()
    await expect.poll(() => said.length).toBe(1)
    await shop?.again()
    await flow.keptCount(4)
    expect(await stopped(flow)).toEqual(Array.from({ length: 4 }, () => ({ text: 'note of hello', n: 0 })))
    expect(said).toEqual([
      expect.stringMatching(/^warn .*; connect connects again$/),
      'info connect is connected again',
    ])
  })

  test('a connection that has died without a word is found by a ping', async () => {
    const came: string[] = []
    const served = { trade: echo(came) }
    shop = await openShop(served)
    const door = await silentDoor(Number(shop.address.split(':')[1]))
    const { folder } = shop
    const flow = await realFlow(
      {
        millrace: 1,
        name: 'ping',
        nodes: {
          connect: {
            type: 'grpc.connect@1',
            config: {
              address: `127.0.0.1:${door.port}`,
              proto: join(folder, 'shop.proto'),
              protoFolders: [join(folder, 'more')],
              service: 'shop.Shop',
              method: 'Trade',
              request: { id: 'hello' },
              backoffMs: 5,
              keepAliveMs: 200,
            },
          },
          got: { type: 'test.keep@1' },
        },
        edges: ['connect -> got'],
      },
      { host: { files: createFiles({ allowed: [folder] }) } },
    )
    await flow.keptCount(1)
    door.silence()
    await flow.keptCount(2)
    await stopped(flow)
    door.close()
  })

  test('a slow flow holds the server back', async () => {
    let written = 0
    const served: Shop = {
      list(_asked, call: ServerWritableStream<Value, Answer>) {
        const more = (): void => {
          while (written < 20_000 && call.write({ id: `${written++}`.padEnd(1_000) }));
          if (written < 20_000) call.once('drain', more)
          else call.end()
        }
        more()
      },
    }
    let open = (): void => undefined
    const opened = new Promise<void>((resolve) => (open = resolve))
    const flow = await connectFlow(served, {
      config: { method: 'List', onEnd: 'stop' },
      settings: { inFlightMax: 100 },
      options: { onWrite: () => opened },
    })
    const before = async (): Promise<number> => {
      let last = -1
      await expect.poll(() => last === (last = written), { interval: 200 }).toBe(true)
      return last
    }
    // What is in flight, and what HTTP/2 and the sockets hold: far from all.
    expect(await before()).toBeLessThan(5_000)
    open()
    expect((await flow.finish()).outcome).toMatchObject({ state: 'done' })
    expect(flow.kept).toHaveLength(20_000)
    expect(flow.inFlightMax()).toBeLessThanOrEqual(100)
  })

  test('rubbish among messages goes to the dead-letter, and the rest goes on', async () => {
    const served: Shop = {
      list(_asked, call: ServerWritableStream<Value, Answer>) {
        call.write({ id: 'a' })
        call.write(Buffer.from([0xff, 0xff]))
        call.write({ id: 'b' })
        call.end()
      },
    }
    const flow = await connectFlow(served, { config: { method: 'List', onEnd: 'stop' } })
    expect((await flow.finish()).outcome).toMatchObject({ state: 'done' })
    expect(flow.kept).toMatchObject([{ id: 'a' }, { id: 'b' }])
    expect(flow.deadLetters).toMatchObject([{ failure: { code: 'grpc.bad-message', node: 'connect' } }])
  })

  test.each([
    ['a server that does not know the caller', { method: 'List' }, 'grpc.unauthenticated'],
    [
      'a message that is too large',
      { method: 'List', request: { id: 'huge' }, messageBytesMax: 1_000 },
      'grpc.too-large',
    ],
    ['a method that answers once', { method: 'Get' }, 'grpc.bad-method'],
    ['a first message that is none', { request: { nope: 1 } }, 'grpc.bad-request'],
  ])('%s fails the execution', async (_, config, code) => {
    const served: Shop = {
      list(asked, call: ServerWritableStream<Value, Answer>) {
        if (asked.id === 'huge') call.write({ id: 'x'.repeat(2_000) })
        else call.emit('error', { code: 16, details: 'who are you?' })
      },
    }
    const flow = await connectFlow(served, { config })
    expect((await flow.finish()).outcome).toMatchObject({ state: 'failed', failure: { code, node: 'connect' } })
  })
})

describe('grpc.send', () => {
  const patient = { retry: { attemptsMax: 100, backoffMs: 10, backoffMsMax: 50 } }
  const sender = (config: unknown, onError: unknown = patient, rate: object = { count: 500 }): Partial<Connect> => ({
    nodes: {
      go: { type: 'generate@1', config: { ...rate, value: "{{ { id: 'o' + $json, n: $json } }}" } },
      send: { type: 'grpc.send@1', config, onError },
      failed: { type: 'test.keep@1' },
    },
    edges: ['go -> send', 'send.error -> failed'],
  })

  test('writes into the stream of a connect, in order, and waits where it is not connected yet', async () => {
    const came: string[] = []
    const flow = await connectFlow({ trade: echo(came) }, { config: { stream: 'x' }, ...sender({ stream: 'x' }) })
    await flow.keptCount(500)
    const kept = await stopped(flow)
    expect(kept.map((each) => (each as Value).n)).toEqual(Array.from({ length: 500 }, (_, n) => n))
  })

  test('goes on in the next connection when one was cut', async () => {
    const came: string[] = []
    const flow = await connectFlow({ trade: echo(came) }, sender({}, patient, { count: 0, perSecond: 500 }))
    await expect.poll(() => came.length).toBeGreaterThan(0)
    shop?.cut()
    const before = came.length
    await shop?.again()
    // What a connection had taken when it broke may be lost; nothing that comes after the next one stands is.
    await expect.poll(() => came.length, { timeout: 10_000 }).toBeGreaterThan(before + 100)
    const after = came.slice(before + 1).map((each) => Number(each.slice(1)))
    expect(after).toEqual(after.map((_, index) => (after[0] ?? 0) + index))
    await stopped(flow)
  })

  test.each([
    ['a value that is no message', { value: '{{ { idd: 1 } }}' }, {}, 'grpc.bad-request'],
    ['a stream that is not there', { stream: 'nowhere' }, {}, 'grpc.not-connected'],
    ['a stream that takes nothing', {}, { config: { method: 'List', request: {} } }, 'grpc.one-way'],
  ])('%s fails the messages', async (_, config, connect, code) => {
    const served: Shop = { trade: echo([]), list: () => undefined }
    const flow = await connectFlow(served, { ...sender(config, 'route'), ...connect })
    await flow.keptCount(500)
    for (const each of await stopped(flow)) expect(each).toMatchObject({ error: { code, node: 'send' } })
  })

  test('two connects may not have one name', async () => {
    const twin = { type: 'grpc.connect@1', config: {} }
    shop = await openShop({ trade: echo([]) })
    const config = {
      address: shop.address,
      proto: join(shop.folder, 'shop.proto'),
      protoFolders: [join(shop.folder, 'more')],
      service: 'shop.Shop',
      method: 'Trade',
    }
    const flow = await realFlow(
      {
        millrace: 1,
        name: 'twins',
        nodes: { one: { ...twin, config }, two: { ...twin, config }, got: { type: 'test.keep@1' } },
        edges: ['one -> got', 'two -> got'],
      },
      { host: { files: createFiles({ allowed: [shop.folder] }) } },
    )
    expect((await flow.finish()).outcome).toMatchObject({ state: 'failed', failure: { code: 'grpc.stream-taken' } })
  })
})

/** A door to a port that can stop to carry anything on the connections that stand, without closing them. */
async function silentDoor(port: number): Promise<{ readonly port: number; silence(): void; close(): void }> {
  const sockets: Socket[] = []
  const server = createServer((inside) => {
    const outside = dial(port, '127.0.0.1')
    sockets.push(inside, outside)
    inside.pipe(outside).pipe(inside)
    for (const each of [inside, outside]) each.on('error', () => undefined)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    port: (server.address() as AddressInfo).port,
    silence: () => {
      for (const each of sockets) {
        each.unpipe()
        each.pause()
      }
    },
    close: () => {
      server.close()
      for (const each of sockets) each.destroy()
    },
  }
}
