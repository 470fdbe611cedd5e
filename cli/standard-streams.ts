import { once } from 'node:events'
import type { StandardStreams } from '../core/host.ts'

/** The process's own standard input and output, with their back-pressure. */
export const standardStreams: StandardStreams = {
  get input() {
    return process.stdin
  },
  async write(chunk) {
    if (!process.stdout.write(chunk)) await once(process.stdout, 'drain')
  },
}
