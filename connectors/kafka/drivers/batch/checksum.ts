import { crc32c as portable } from '@platformatic/kafka'

/** Computed by the processor where the native package is installed for this machine, by WebAssembly where it is not. */
const native = await import('@node-rs/crc32').catch(() => null)

/** CRC-32C of bytes, unsigned. */
export const crc32c: (bytes: Buffer) => number = native?.crc32c ?? portable
