import type { DriverName } from '../../connectors/kafka/driver.ts'

/** How long the tests in this folder go on: a few rounds in the normal tests, the full count with `npm run test:faults`. */
export const long = process.env.MILLRACE_FAULTS === 'long'

/** A number of rounds: the short one in the normal tests. */
export const rounds = (short: number, full: number): number => (long ? full : short)

/** The driver under test. */
export const driver: DriverName = 'batch'
