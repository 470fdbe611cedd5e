import { describe, expect } from 'vitest'
import { codecs } from './codecs.ts'
import { driverTest } from './conformance-desk.ts'
import type { DriverName } from './driver.ts'

/** Compression: what we write the broker can read, and what its Java libraries write we can. */
export function compression(name: DriverName): void {
  const values = Array.from({ length: 300 }, (_, index) => `${index} one wheel turns the other ${'='.repeat(index)}`)

  describe.each(codecs)('with compression %s', (codec) => {
    driverTest(name, 'writes and reads', async (desk) => {
      const topic = await desk.topic()
      await desk.write(
        values.map((value) => ({ topic, key: 'k', value })),
        { compression: codec },
      )
      const reading = await desk.read({ assigned: [{ topic, partition: 0 }] })
      await reading.untilRead(values.length)
      expect(reading.values).toEqual(values)
    })

    driverTest(name, 'reads what the broker compressed', async (desk) => {
      const type = codec === 'none' ? 'uncompressed' : codec
      const topic = await desk.topic(1, { 'compression.type': type })
      await desk.write(
        values.map((value) => ({ topic, key: 'k', value })),
        {
          compression: codec === 'none' ? 'gzip' : 'none',
        },
      )
      const reading = await desk.read({ assigned: [{ topic, partition: 0 }] })
      await reading.untilRead(values.length)
      expect(reading.values).toEqual(values)
    })
  })
}
