import type { Driver, DriverName } from './driver.ts'

/** Loads a driver by its name, and with it its client library: one that nobody names is never loaded. */
export async function openDriver(name: DriverName): Promise<Driver> {
  if (name === 'batch') return (await import('./drivers/batch/batch.ts')).driver
  if (name === 'kafkajs') return (await import('./drivers/kafkajs/kafkajs.ts')).driver
  return (await import('./drivers/platformatic/platformatic.ts')).driver
}
