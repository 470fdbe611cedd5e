import { setTimeout as delay } from 'node:timers/promises'
import { afterEach, expect, test } from 'vitest'
import type { Client, Gap } from '../../sdk/index.ts'
import { connect } from '../../sdk/index.ts'
import type { MillraceServer } from '../../server/create-server.ts'
import { createServer } from '../../server/create-server.ts'
import type { TestProxy } from '../../server/testing.ts'
import { noSignal, testProxy, until } from '../../server/testing.ts'
import { rounds } from './faults.ts'

let server: MillraceServer | null = null
let proxy: TestProxy | null = null
const clients: Client[] = []

afterEach(async () => {
  for (const each of clients.splice(0)) each.close()
  await proxy?.close()
  await server?.close()
})

/** What a reader was given: the offset of a message, or a gap that was announced. */
type Seen = number | Gap

test.each([
  ['a log that keeps all', 1_000_000],
  ['a log that keeps too little', 50],
] as const)(
  'sockets cut again and again, %s: each message comes once, or lies in a gap that was announced',
  { timeout: 600_000 },
  async (_title, messagesMax) => {
    server = await createServer({ port: 0, limits: { topics: { messagesMax, bytesMax: 500_000_000 } } })
    proxy = await testProxy(server.port)
    const readers = Array.from({ length: 10 }, () => {
      const seen: Seen[] = []
      const client = connect(proxy?.url ?? '')
      clients.push(client)
      const reading = client.topic<number>('t').listen(
        ({ offset, value }) => {
          expect(value).toBe(offset)
          seen.push(offset)
        },
        { after: -1, onGap: (gap) => seen.push(gap) },
      )
      return { seen, reading }
    })
    let next = 0
    let cut = 0
    const wanted = rounds(50, 500)
    while (cut < wanted) {
      const values = Array.from({ length: 1 + Math.floor(Math.random() * 60) }, () => next++)
      await server.topics.publish('t', values, noSignal)
      await delay(Math.random() * 20)
      // Each connection through the proxy has two ends.
      if (Math.random() < 0.5) cut += proxy.cut() / 2
    }
    await until(() => clients.every((each) => each.state === 'live'), 60_000)
    server.topics.end('t')
    for (const { seen, reading } of readers) {
      await reading
      const covered = seen.flatMap((each) =>
        typeof each === 'number'
          ? [each]
          : Array.from({ length: (each.to ?? next - 1) - each.from + 1 }, (_, n) => each.from + n),
      )
      expect(covered).toStrictEqual(Array.from({ length: next }, (_, n) => n))
      if (messagesMax > next) expect(seen).toHaveLength(next)
    }
    expect(cut).toBeGreaterThanOrEqual(wanted)
  },
)
