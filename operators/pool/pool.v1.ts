import { z } from 'zod'
import { define, expression } from '../../core/define.ts'
import { NodeError } from '../../core/flow/failure.ts'

/** Heavy work on elastic workers. */
export const poolV1 = define({
  name: 'pool',
  version: 1,
  summary: 'Runs a registered task on an elastic pool of workers and sends on what it yields, while it runs.',
  notes:
    'A slow reader suspends the worker. A worker that dies is replaced, and the stream goes on after the last value that arrived. ' +
    'Tasks are registered by the program that hosts Millrace (`defineTask`), with `millrace run` and `serve` by the modules of `--tasks`; a document can only name them.',
  inputs: ['in'],
  outputs: ['out'],
  makesResult: true,
  outside: true,
  config: z.strictObject({
    task: z.string().min(1).max(128).describe('The registered task.'),
    input: expression(z.json()).optional().describe('What the task gets; the whole value when left out.'),
    pool: z.string().min(1).max(64).default('default').describe('Pools of one name share their workers.'),
    backend: z.enum(['inline', 'thread', 'process']).default('process').describe('Where workers run.'),
    max: z.int().min(1).max(1_000).default(2).describe('Workers at most, starting ones included.'),
    min: z.int().min(0).max(1_000).default(0).describe('Workers that are kept ready.'),
    concurrencyMax: z.int().min(1).max(1_000).default(1).describe('Tasks that one worker runs at once.'),
    idleShutdownMs: z.int().min(0).max(86_400_000).default(30_000).describe('An idle worker ends after so long.'),
    timeoutMs: z.int().min(1).max(86_400_000).default(600_000).describe('How long one task may take in all.'),
    window: z.int().min(1).max(1_024).default(8).describe('Values that may be on their way before they are taken.'),
  }),
  examples: [
    {
      title: 'Thumbnails of an uploaded video, one message each',
      config: { task: 'thumbnails', input: '{{ { path: $json.body.path } }}', max: 2 },
      input: [{ body: { path: 'clip.mp4' } }],
      output: null,
    },
  ],
  face: {
    kind: 'expand',
    limits: (config) => ({
      concurrency: config.max * config.concurrencyMax,
      timeoutMs: config.timeoutMs,
      inFlightMax: 64,
    }),
    make: (config, context) => {
      const { pools } = context.host
      if (pools === undefined)
        throw new NodeError('pool.none', `${context.node} needs a worker pool, which this host does not have`)
      const pool = pools.pool({
        name: config.pool,
        backend: config.backend,
        max: config.max,
        min: config.min,
        concurrencyMax: config.concurrencyMax,
        idleShutdownMs: config.idleShutdownMs,
      })
      const read = context.readerOrValue(config.input)
      return async function* (message, signal, scope) {
        const input = read(message, scope)
        const values = pool.stream(config.task, input, { signal, timeoutMs: config.timeoutMs, window: config.window })
        for await (const value of values) yield context.result(message, value)
      }
    },
  },
})
