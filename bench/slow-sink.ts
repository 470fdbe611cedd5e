import { z } from 'zod'
import { createCatalogue } from '../core/catalogue.ts'
import { compile } from '../core/compile/compile.ts'
import { define, defineVersions } from '../core/define.ts'
import { planText } from '../core/document/plan-text.ts'
import { catalogue } from '../nodes.ts'
import { createHost } from '../server/host.ts'

/** Run with a small heap: a million generated messages go through a sink that is a hundred times slower than the source. */
const limit = 10_000
let written = 0
let peak = 0

const slow = define({
  name: 'bench.slow',
  version: 1,
  summary: 'Takes its time.',
  inputs: ['in'],
  outputs: [],
  config: z.strictObject({}),
  examples: [],
  face: {
    kind: 'sink',
    limits: () => ({ messagesMax: 1_000, waitMsMax: 0, timeoutMs: 60_000, concurrency: 1 }),
    make: () => ({
      write: async (messages) => {
        peak = Math.max(peak, pipeline.metrics()?.inFlight ?? 0)
        await new Promise((resolve) => setTimeout(resolve, 5))
        written += messages.length
        return []
      },
      close: async () => undefined,
    }),
  },
})

const types = createCatalogue([...catalogue.types, defineVersions({ 1: slow }, { latest: 1 })])
const text = JSON.stringify({
  millrace: 1,
  name: 'slow-sink',
  settings: { inFlightMax: limit },
  nodes: {
    go: { type: 'generate@1', config: { count: 1_000_000, value: "{{ { n: $json, text: 'x'.repeat(200) } }}" } },
    a: { type: 'set@1', into: 'merge', config: { fields: { b: '{{ $json.n * 2 }}' } } },
    out: { type: 'bench.slow@1' },
  },
  edges: ['go -> a -> out'],
})
const planned = planText(text, types)
const host = createHost({
  log: { write: () => undefined },
  deadLetter: async () => {
    throw new Error('nothing may fail here')
  },
})
const pipeline = compile(planned, types, host)
const outcome = await pipeline.start('go').done
if (outcome.state !== 'done' || written !== 1_000_000)
  throw new Error(`${outcome.state} after ${written}: ${outcome.failure?.message}`)
await pipeline.release()
process.stdout.write(JSON.stringify({ inFlightPeak: peak, limit }))
