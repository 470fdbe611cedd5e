import fc from 'fast-check'
import { expect, test } from 'vitest'
import { createLedger } from './ledger.ts'

const step = fc.oneof(
  { weight: 20, arbitrary: fc.record({ do: fc.constant('open' as const), gap: fc.integer({ min: 1, max: 9 }) }) },
  { weight: 25, arbitrary: fc.record({ do: fc.constant('close' as const), ticket: fc.integer({ min: -1, max: 15 }) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('revoke' as const) }) },
)

test('what may be committed is the closed prefix of what was opened, whatever the order of closing', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 120 }), (steps) => {
      const ledger = createLedger()
      // The model: every position with whether it is closed, and a scan from the start.
      const opened: { readonly last: bigint; readonly at: number; closed: boolean }[] = []
      let last = 0n
      let now = 0
      let frozen: bigint | null | undefined
      for (const each of steps) {
        now += 1
        if (each.do === 'open' && frozen === undefined) {
          last += BigInt(each.gap)
          expect(ledger.open(last, now)).toBe(opened.length)
          opened.push({ last, at: now, closed: false })
        } else if (each.do === 'close') {
          ledger.close(each.ticket)
          const entry = opened[each.ticket]
          if (entry !== undefined) entry.closed = true
        } else if (each.do === 'revoke') {
          frozen ??= ledger.committable
          ledger.revoke()
        }
        const prefix = opened.findIndex((entry) => !entry.closed)
        const closed = prefix === -1 ? opened : opened.slice(0, prefix)
        expect(ledger.committable).toBe(frozen === undefined ? (closed.at(-1)?.last ?? null) : frozen)
        expect(ledger.openCount).toBe(frozen === undefined ? opened.filter((entry) => !entry.closed).length : 0)
        expect(ledger.oldestTicketTime).toBe(frozen === undefined ? (opened[prefix]?.at ?? null) : null)
      }
    }),
    { numRuns: 500 },
  )
})

test('its memory follows what is open, not what has passed: a million batches, a hundred open', () => {
  const ledger = createLedger()
  const heap = (): number => {
    globalThis.gc?.()
    return process.memoryUsage().heapUsed
  }
  const before = heap()
  const open: number[] = []
  for (let n = 0; n < 1_000_000; n++) {
    open.push(ledger.open(BigInt(n), n))
    const oldest = open.length > 100 ? open.shift() : undefined
    if (oldest !== undefined) ledger.close(oldest)
  }
  expect(ledger.committable).toBe(999_899n)
  expect(ledger.openCount).toBe(100)
  // A million entries kept would be some 100 MB; what the collector has not taken yet is far less.
  expect(heap() - before).toBeLessThan(50_000_000)
})
