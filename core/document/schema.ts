import { z } from 'zod'

const nodeId = z
  .string()
  .max(64, 'a node id has 64 characters at most')
  .regex(/^[a-z][a-z0-9_-]*$/, 'a node id is a lower-case letter followed by letters, digits, "-" or "_"')
const forbiddenFieldName = /^(__proto__|constructor|prototype)$/

const retry = z.strictObject({
  attemptsMax: z.int().min(1).max(100).default(3).describe('Attempts after the first one.'),
  backoffMs: z.int().min(0).max(600_000).default(200).describe('Wait before the first retry; doubled each time.'),
  backoffMsMax: z.int().min(0).max(3_600_000).default(30_000).describe('Longest wait between two attempts.'),
})

const node = z.strictObject({
  type: z.string().min(1).max(128).describe('Node type, with its version: `filter@1`.'),
  label: z.string().max(200).optional().describe('The name that people see; the id when left out.'),
  config: z
    .record(z.string(), z.unknown())
    .default({})
    .describe('What the node type asks for; see `millrace nodes TYPE`.'),
  onError: z
    .union(
      [z.enum(['route', 'drop', 'stop']), z.strictObject({ retry })],
      'allowed are route, drop, stop, or { retry: { … } }',
    )
    .optional()
    .describe('What happens to a message that fails here; `route` when left out. `{ retry: {} }` tries again first.'),
  into: z
    .string()
    .min(1)
    .max(128)
    .refine((name) => !forbiddenFieldName.test(name), 'this field name is not allowed')
    .optional()
    .describe(
      '`replace` the old value with the new one, `merge` the two, or a field name that takes the new one; `replace` when left out.',
    ),
  position: z.strictObject({ x: z.number(), y: z.number() }).optional().describe('Where the editor draws it.'),
})

const settings = z.strictObject({
  telemetry: z
    .enum(['off', 'metrics', 'trace'])
    .default('metrics')
    .describe('What is compiled in: nothing, counters per node, or spans too.'),
  delivery: z
    .enum(['at-most-once', 'at-least-once', 'exactly-once'])
    .default('at-least-once')
    .describe(
      'Whether a source hears that a batch is done before it is worked on, or after; or output and offsets in one transaction, from Kafka to the same Kafka.',
    ),
  lanes: z
    .int()
    .min(1)
    .max(256)
    .default(1)
    .describe('Threads that run the workflow side by side, each with its share of the partitions.'),
  inFlightMax: z.int().min(1).max(1_000_000).default(10_000).describe('Messages that one trigger may have in flight.'),
  inFlightBytesMax: z
    .int()
    .min(1024)
    .max(4_000_000_000)
    .default(64_000_000)
    .describe('Bytes that one trigger may have in flight.'),
  redeliveriesMax: z.int().min(0).max(1000).default(3).describe('Times a failed batch of a stream is sent again.'),
  onFail: z.enum(['dead-letter', 'stop']).default('dead-letter').describe('What follows when redelivery did not help.'),
  isolation: z
    .enum(['auto', 'shared', 'thread'])
    .default('auto')
    .describe('`thread` runs the workflow in a thread of its own; `auto` and `shared` run it beside the others.'),
  stallMsMax: z
    .int()
    .min(100)
    .max(86_400_000)
    .default(60_000)
    .describe('A batch that is in flight for longer is reported as stalled.'),
  stopMsMax: z.int().min(0).max(3_600_000).default(30_000).describe('How long a stopping execution may drain.'),
  executionMsMax: z
    .int()
    .min(0)
    .max(86_400_000)
    .default(0)
    .describe('How long an event execution may take; 0 for no limit.'),
})

const values = z.array(z.unknown()).max(10_000)
const port = z.string().max(128)

const test = z.strictObject({
  name: z.string().min(1).max(200).describe('What the case shows.'),
  input: z
    .record(port, values)
    .default({})
    .describe('Values that come in, by trigger, or by `trigger.port` where it has several; at most 10,000 each.'),
  expect: z
    .record(port, values)
    .default({})
    .describe('Values that must leave a node, by `node` or `node.port`; for a sink, what it writes.'),
  mocks: z.record(nodeId, values).default({}).describe('Answers in place of the outside world, by node.'),
  vars: z.record(z.string(), z.unknown()).default({}).describe('What `$vars` holds.'),
  env: z.record(z.string(), z.string()).default({}).describe('What `$env` holds.'),
})

const edge = z.strictObject({
  from: nodeId.describe('The node that messages leave.'),
  fromPort: port.optional().describe('The port that they leave by; `out` when left out.'),
  to: nodeId.describe('The node that they reach.'),
  toPort: port.optional().describe('The port that they reach; `in` when left out.'),
})

/** The form of a document. Everything has a limit and a description; `docs/document-format.md` is written from it. */
export const documentSchema = z.strictObject({
  millrace: z.literal(1, 'must be 1, the version of the document format').describe('Version of the format: 1.'),
  name: z.string().min(1).max(200).describe('Name of the workflow.'),
  description: z.string().max(10_000).default('').describe('What it is for.'),
  settings: settings.prefault({}).describe('How it runs.'),
  nodes: z
    .record(nodeId, node)
    .refine((nodes) => Object.keys(nodes).length <= 5_000, 'at most 5,000 nodes')
    .describe(
      'Nodes by id, at most 5,000. An id is a lower-case letter, then letters, digits, `-` or `_`, 64 at most.',
    ),
  edges: z
    .array(
      z.union([z.string().max(4_000), edge], 'an edge is a text such as `a -> b`, or an object with `from` and `to`'),
    )
    .max(50_000)
    .default([])
    .describe('Ways from port to port: `a -> b`, `a.port -> b.port`, chains, or objects.'),
  tests: z.array(test).max(1_000).default([]).describe('Cases that `millrace test` runs.'),
})

/** Parts of a document, for those who describe it. */
export const documentParts = { settings, node, retry, edge, test }
