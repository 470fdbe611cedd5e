import { NodeError } from '../../core/flow/failure.ts'
import type { Driver, DriverName } from './driver.ts'

/** Loads a driver. The client libraries of the others are not loaded. */
export async function openDriver(name: DriverName): Promise<Driver> {
  throw new NodeError('kafka.no-driver', `there is no driver ${name} yet`)
}
