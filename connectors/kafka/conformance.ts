import { describe } from 'vitest'
import { compression } from './conformance-compression.ts'
import { connections } from './conformance-connections.ts'
import { consuming } from './conformance-consume.ts'
import { groups } from './conformance-groups.ts'
import { producing } from './conformance-produce.ts'
import { transactions } from './conformance-transactions.ts'
import type { DriverName } from './driver.ts'

/** What holds for every driver, shown against a real broker. Faults have a suite of their own: `conformance-faults.ts`. */
export function conformance(name: DriverName): void {
  describe(`driver ${name}`, () => {
    consuming(name)
    groups(name)
    producing(name)
    compression(name)
    transactions(name)
    connections(name)
  })
}
