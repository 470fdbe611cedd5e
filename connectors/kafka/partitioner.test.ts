import { expect, test } from 'vitest'
import { murmur2, partitionOf } from './partitioner.ts'

// From UtilsTest.testMurmur2 of Kafka's own client.
const known: readonly (readonly [string, number])[] = [
  ['21', -973932308],
  ['foobar', -790332482],
  ['a-little-bit-long-string', -985981536],
  ['a-little-bit-longer-string', -1486304829],
  ['lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8', -58897971],
  ['abc', 479470107],
]

test.each(known)('murmur2 of %s is what the Java client computes', (text, hash) => {
  const bytes = Buffer.from(`--${text}--`)
  expect(murmur2(bytes, 2, bytes.length - 2)).toBe(hash)
  expect(partitionOf(bytes, 2, bytes.length - 2, 7)).toBe((hash & 0x7fffffff) % 7)
})
