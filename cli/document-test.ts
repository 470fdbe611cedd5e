import { z } from 'zod'
import { createCatalogue } from '../core/catalogue.ts'
import { compile } from '../core/compile/compile.ts'
import type { AnyDefinition } from '../core/define.ts'
import { define, defineVersions } from '../core/define.ts'
import type { Document, DocumentEdge, DocumentNode, DocumentTest } from '../core/document/document.ts'
import { plan } from '../core/document/plan.ts'
import { NodeError } from '../core/flow/failure.ts'
import { message } from '../core/flow/message.ts'
import type { Execution } from '../core/pipeline.ts'
import { formatProblem } from '../core/problem.ts'
import { testHost, testSource } from '../core/testing.ts'
import { catalogue } from '../nodes.ts'
import type { Loaded } from './load.ts'
import { calledFrom } from './load.ts'

/** What left each port that the test names, in order, in plain JSON. */
export type Got = Readonly<Record<string, readonly unknown[]>>

/**
 * Runs one test case of a document on virtual time. Triggers give the test's input, sinks keep what they would write,
 * and nodes that speak to the outside answer what the test's mocks say. Throws a NodeError when one has no mock, or nothing moves any more.
 */
export async function runDocumentTest(loaded: Loaded, test: DocumentTest): Promise<Got> {
  const got: Record<string, unknown[]> = {}
  const types = createCatalogue([
    ...catalogue.types,
    defineVersions({ 1: givenTrigger }, { latest: 1 }),
    defineVersions({ 1: testSource }, { latest: 1 }),
    defineVersions({ 1: portedSource }, { latest: 1 }),
    defineVersions({ 1: keptSink(got) }, { latest: 1 }),
    defineVersions({ 1: mockedNode() }, { latest: 1 }),
  ])
  const document = rewrite(loaded.document, test, got)
  const planned = plan(document, types, { id: document.name, workflows: calledFrom(loaded.path) })
  if (!planned.ok) throw new NodeError('test.problems', planned.problems.map(formatProblem).join('\n  '))
  const host = testHost({ vars: () => test.vars, env: test.env })
  const pipeline = compile(planned.value, types, host)
  const now = host.clock.now()
  const ended = async (execution: Execution): Promise<void> => {
    let over = false
    void execution.done.then(() => {
      over = true
    })
    if (!(await host.clock.runUntil(() => over)))
      throw new NodeError('test.stalled', `the execution that ${execution.entry} started does not end`)
  }
  const [stream] = planned.value.entries.filter((entry) => entry.lifetime === 'stream')
  if (stream !== undefined) await ended(pipeline.start(planned.value.nodes[stream.node]?.id ?? ''))
  for (const [key, values] of Object.entries(test.input)) {
    const [trigger = ''] = key.split('.')
    if (document.nodes[trigger]?.type !== 'test.given@1') continue
    for (const value of values) await ended(pipeline.start(trigger, [message(value, null, now)]))
  }
  for (const letter of host.deadLetters)
    (got['dead-letter'] ??= []).push({ error: letter.failure.message, value: letter.value })
  return JSON.parse(JSON.stringify(got, bytesAsText))
}

function bytesAsText(_key: string, value: unknown): unknown {
  return value instanceof Uint8Array ? { base64: Buffer.from(value).toString('base64') } : value
}

/** The document with test stand-ins for triggers, sinks and mocked nodes, and a keeper on each port that the test names. */
function rewrite(document: Document, test: DocumentTest, got: Record<string, unknown[]>): Document {
  const nodes: Record<string, DocumentNode> = {}
  const edges: DocumentEdge[] = [...document.edges]
  checkNames(document, test)
  for (const [id, node] of Object.entries(document.nodes)) {
    const definition = catalogue.find(node.type)
    nodes[id] = definition === null ? node : standIn(id, node, definition, test)
  }
  for (const key of Object.keys(test.expect)) {
    const [id = '', port = 'out'] = key.split('.')
    if (nodes[id]?.type === 'test.kept@1' || id === 'dead-letter') continue
    const keeper = `kept-${id}-${port}`.toLowerCase()
    nodes[keeper] = {
      type: 'test.kept@1',
      label: null,
      config: { as: key },
      onError: null,
      into: 'replace',
      position: null,
    }
    edges.push({ from: id, fromPort: port, to: keeper, toPort: 'in' })
    got[key] = []
  }
  return { ...document, nodes, edges }
}

/** A test that names what is not there would pass or fail for no reason that its author sees. */
function checkNames(document: Document, test: DocumentTest): void {
  for (const key of Object.keys(test.input)) {
    const [id = '', port = 'out'] = key.split('.')
    const definition = catalogue.find(document.nodes[id]?.type ?? '')
    const kind = definition?.face.kind
    if (definition === null || (kind !== 'event-trigger' && kind !== 'stream-trigger'))
      throw new NodeError('test.unknown-trigger', `the test gives input to ${id}, which is no trigger`)
    // An execution of an event trigger starts with a value at its first port.
    const ports = kind === 'event-trigger' ? ['out'] : portsOf(definition, document.nodes[id]?.config ?? {})
    if (!ports.includes(port))
      throw new NodeError(
        'test.unknown-port',
        `the test gives input to ${key}; it has ${ports.map((each) => `${id}.${each}`).join(', ')}`,
      )
  }
  for (const id of Object.keys(test.mocks))
    if (document.nodes[id] === undefined)
      throw new NodeError('test.unknown-node', `the test mocks ${id}, which is no node`)
  for (const key of Object.keys(test.expect)) {
    const [id = ''] = key.split('.')
    if (id !== 'dead-letter' && document.nodes[id] === undefined)
      throw new NodeError('test.unknown-node', `the test expects something of ${id}, which is no node`)
  }
}

function standIn(id: string, node: DocumentNode, definition: AnyDefinition, test: DocumentTest): DocumentNode {
  const { kind } = definition.face
  if (kind === 'event-trigger')
    return { ...node, type: 'test.given@1', config: { ports: portsOf(definition, node.config) } }
  // All values of a stream belong to one execution, as they will in earnest.
  if (kind === 'stream-trigger') {
    const ports = portsOf(definition, node.config)
    if (ports.length === 1)
      return { ...node, type: 'test.source@1', config: { values: test.input[id] ?? test.input[`${id}.out`] ?? [] } }
    const given = Object.entries(test.input).flatMap(([key, values]) => {
      const [trigger, port = 'out'] = key.split('.')
      return trigger === id ? [{ port, values }] : []
    })
    return { ...node, type: 'test.ported-source@1', config: { ports, given } }
  }
  if (kind === 'sink') return { ...node, type: 'test.kept@1', config: { as: id } }
  const mocks = test.mocks[id]
  if (mocks !== undefined) return { ...node, type: 'test.mocked@1', config: { answers: mocks } }
  if (definition.outside === true)
    throw new NodeError(
      'test.no-mock',
      `${id} (${definition.name}) speaks to the outside: say under mocks what it answers`,
    )
  return node
}

/** The ports of a trigger. Its config is as the document has it: those whose ports depend on it only look what is there. */
function portsOf(definition: AnyDefinition, config: DocumentNode['config']): readonly string[] {
  return typeof definition.outputs === 'function' ? definition.outputs(config) : definition.outputs
}

/** Stands for a stream trigger with several ports: gives each port what the test has for it, in the order of the test. */
const portedSource = define({
  name: 'test.ported-source',
  version: 1,
  summary: 'Gives listed values, by port.',
  inputs: [],
  outputs: (config) => config.ports,
  config: z.strictObject({
    ports: z.array(z.string()),
    given: z.array(z.strictObject({ port: z.string(), values: z.array(z.unknown()) })),
  }),
  examples: [],
  face: {
    kind: 'stream-trigger',
    pausable: true,
    open: async (config, context) => {
      const { clock } = context.host
      clock.soon(() => {
        for (const [ticket, { port, values }] of config.given.entries()) {
          const size = { messages: values.length, bytes: 0 }
          context.gate.overdraw(size)
          const messages = values.map((value) => message(structuredClone(value), null, clock.now()))
          context.emit(config.ports.indexOf(port), messages, context.streamScope, ticket, size)
        }
        context.complete()
      })
      return { pause: () => undefined, resume: () => undefined, close: async () => undefined }
    },
  },
})

const givenTrigger = define({
  name: 'test.given',
  version: 1,
  summary: 'Starts an execution with a value of the test.',
  inputs: [],
  outputs: (config) => config.ports,
  config: z.strictObject({ ports: z.array(z.string()) }),
  examples: [],
  face: {
    kind: 'event-trigger',
    open: async () => ({ pause: () => undefined, resume: () => undefined, close: async () => undefined }),
  },
})

function keptSink(got: Record<string, unknown[]>): AnyDefinition {
  return define({
    name: 'test.kept',
    version: 1,
    summary: 'Keeps what would be written.',
    inputs: ['in'],
    outputs: [],
    config: z.strictObject({ as: z.string() }),
    examples: [],
    face: {
      kind: 'sink',
      limits: () => ({ messagesMax: 10_000, waitMsMax: 0, timeoutMs: 1_000, concurrency: 1 }),
      make: (config) => ({
        write: async (messages) => {
          ;(got[config.as] ??= []).push(...messages.map((each) => each.value))
          return []
        },
        close: async () => undefined,
      }),
    },
  })
}

function mockedNode(): AnyDefinition {
  return define({
    name: 'test.mocked',
    version: 1,
    summary: 'Answers what the test says, in order; the last answer again and again.',
    inputs: ['in'],
    outputs: ['out'],
    makesResult: true,
    config: z.strictObject({ answers: z.array(z.unknown()) }),
    examples: [],
    face: {
      kind: 'expand',
      limits: () => ({ concurrency: 1, timeoutMs: 60_000, inFlightMax: 1_000 }),
      make: (config, context) => {
        let next = 0
        return async function* (each) {
          const answer = config.answers[Math.min(next++, config.answers.length - 1)]
          if (typeof answer === 'object' && answer !== null && 'error' in answer && Object.keys(answer).length === 1)
            throw new NodeError('test.mocked-error', String(answer.error))
          // A list stands for several results, as of a pool's task.
          for (const value of Array.isArray(answer) ? answer : [answer]) yield context.result(each, value)
        }
      },
    },
  })
}
