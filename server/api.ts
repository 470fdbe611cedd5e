import type { IncomingMessage, ServerResponse } from 'node:http'
import { createRoute, OpenAPIHono, z } from '@hono/zod-openapi'
import type { SourceReport } from '../core/pipeline.ts'
import { hasBody, readBody } from './body.ts'
import { summaryOf, workflowOf, workflowSchema, workflowSummarySchema } from './describe-workflow.ts'
import { errorBody, HttpError } from './http-error.ts'
import type { ServerLimits } from './limits.ts'
import { liveOf } from './live-metrics.ts'
import type { ServerParts } from './parts.ts'
import { TapDesk } from './tap-stream.ts'
import { streamTopic } from './topic-stream.ts'

const failureSchema = z
  .object({ code: z.string(), message: z.string(), node: z.string().nullable() })
  .openapi('Failure')
const outcomeSchema = z
  .object({
    state: z.enum(['done', 'failed', 'stopped', 'lost']),
    unsettled: z.number().int().describe('Messages that were still under way when it was cut'),
    deadLetters: z.number().int().describe('Messages that failed for good and lie in the dead-letter'),
    failure: failureSchema.nullable(),
  })
  .openapi('Outcome')
const executionSchema = z
  .object({
    id: z.string(),
    workflow: z.string(),
    entry: z.string(),
    state: z.string(),
    startedAt: z.number().describe('Milliseconds since the epoch'),
    endedAt: z.number().nullable(),
    outcome: outcomeSchema.nullable(),
  })
  .openapi('Execution')
const errorSchema = z
  .object({ error: z.object({ code: z.string(), message: z.string(), remedy: z.string().optional() }) })
  .openapi('Error')

const name = z.string().min(1).max(200)
const idParams = z.object({ id: name })
const json = <T extends z.ZodType>(schema: T, description: string) => ({
  description,
  content: { 'application/json': { schema } },
})
const refused = json(errorSchema, 'Refused; the code says why')

const listWorkflows = createRoute({
  method: 'get',
  path: '/api/workflows',
  summary: 'The workflows that are deployed',
  responses: { 200: json(z.object({ workflows: z.array(workflowSummarySchema) }), 'All of them') },
})
const getWorkflow = createRoute({
  method: 'get',
  path: '/api/workflows/{id}',
  summary: 'One workflow as a graph',
  request: { params: idParams },
  responses: { 200: json(workflowSchema, 'The workflow'), 404: refused },
})
const runWorkflow = createRoute({
  method: 'post',
  path: '/api/workflows/{id}/run',
  summary: 'Starts an execution at an event trigger',
  request: {
    params: idParams,
    body: {
      content: {
        'application/json': {
          schema: z.strictObject({
            entry: name.optional().describe('Node id; the first event trigger when absent'),
            input: z.unknown().optional().describe('The value of its one message; {} when absent'),
          }),
        },
      },
    },
  },
  responses: {
    202: json(z.object({ execution: z.string(), topic: z.string().describe('Where its results come') }), 'It runs'),
    400: refused,
    404: refused,
    413: refused,
    503: refused,
  },
})
const listExecutions = createRoute({
  method: 'get',
  path: '/api/executions',
  summary: 'Executions that run, and the last ones that ended; newest first',
  responses: { 200: json(z.object({ executions: z.array(executionSchema) }), 'A bounded list') },
})
const getExecution = createRoute({
  method: 'get',
  path: '/api/executions/{id}',
  summary: 'One execution',
  request: { params: idParams },
  responses: { 200: json(executionSchema, 'The execution'), 404: refused },
})
const stopExecution = createRoute({
  method: 'delete',
  path: '/api/executions/{id}',
  summary: 'Drains an execution and ends it, or cuts it at once',
  request: { params: idParams, query: z.object({ kill: z.enum(['true', 'false']).optional() }) },
  responses: { 200: json(z.object({ outcome: outcomeSchema }), 'It is over'), 404: refused },
})
const readTopic = createRoute({
  method: 'get',
  path: '/api/topics/{name}',
  summary: 'A topic as server-sent events or NDJSON, by the Accept header; SSE resumes by Last-Event-ID',
  request: {
    params: z.object({
      name: z.string().regex(/^[A-Za-z0-9._~/-]{1,200}$/, 'a topic is named by 1 to 200 letters, digits and . _ ~ / -'),
    }),
    query: z.object({
      after: z.string().max(60).optional().describe('start (default), now, an offset, or LOG:OFFSET'),
      format: z.enum(['sse', 'ndjson']).optional().describe('Instead of the Accept header'),
    }),
  },
  responses: {
    200: {
      description:
        'NDJSON: `{ offset, value }`, `{ gap: { from, to } }`, `{ end: { outcome } }`; SSE: events message, gap, end',
      content: { 'text/event-stream': { schema: z.string() }, 'application/x-ndjson': { schema: z.string() } },
    },
    400: refused,
    404: refused,
  },
})

const positionSchema = z.object({
  partition: z.string(),
  next: z.number().describe('The next record to be read'),
  committed: z.number().nullable(),
  end: z.number().nullable(),
  lag: z.number().nullable().describe('Records between the first that is not done and the end'),
  inFlight: z.number().int(),
  oldestMs: z.number().describe('How long the oldest batch has been in flight'),
})
const sourceSchema = z
  .object({
    node: z.string(),
    state: z.enum(['open', 'paused', 'closed']),
    inFlight: z.number().int(),
    inFlightMax: z.number().int(),
    oldestMs: z.number().describe('How long the oldest batch has been in flight'),
    partitions: z.array(positionSchema),
  })
  .openapi('Source')
const node = name.nullable().default(null).describe('A trigger; all of them when absent')
const commandSchema = z.discriminatedUnion('do', [
  z.strictObject({ do: z.enum(['pause', 'resume']), node }),
  z.strictObject({
    do: z.literal('seek'),
    node,
    to: z.discriminatedUnion('kind', [
      z.strictObject({ kind: z.enum(['earliest', 'latest']) }),
      z.strictObject({ kind: z.literal('time'), timeMs: z.number().int().min(0) }),
      z.strictObject({ kind: z.literal('offset'), offset: z.number().int().min(0) }),
    ]),
  }),
])
const sourcesAnswer = json(z.object({ sources: z.array(sourceSchema) }), 'Where they stand')
const getSources = createRoute({
  method: 'get',
  path: '/api/workflows/{id}/sources',
  summary: 'Where the stream triggers of a workflow stand',
  request: { params: idParams },
  responses: { 200: sourcesAnswer, 404: refused },
})
const controlSources = createRoute({
  method: 'post',
  path: '/api/workflows/{id}/sources',
  summary: 'Pauses, resumes or moves the stream triggers of a workflow',
  request: { params: idParams, body: { content: { 'application/json': { schema: commandSchema } } } },
  responses: { 200: sourcesAnswer, 400: refused, 404: refused, 409: refused },
})
const reloadWorkflow = createRoute({
  method: 'post',
  path: '/api/workflows/{id}/reload',
  summary: 'Reads a workflow again from the file that it came from, and lets the new version take over',
  request: { params: idParams },
  responses: { 200: json(workflowSummarySchema, 'The new version runs'), 404: refused, 409: refused },
})

const liveSchema = z
  .object({
    id: z.string(),
    state: z
      .enum(['starting', 'running', 'paused', 'waiting', 'listening'])
      .describe('listening: event triggers only; waiting: its stream has ended, or failed and starts again'),
    running: z.number().int().describe('Executions that are not over'),
    inFlight: z.number().int(),
    inFlightMax: z.number().int(),
    deadLetters: z.number().int(),
    restarts: z.number().int(),
    takeovers: z.number().int(),
    tally: z
      .object({ in: z.number(), out: z.number(), errors: z.number(), inFlight: z.number() })
      .nullable()
      .describe('Messages that triggers gave and that reached last nodes; null without telemetry'),
    nodes: z
      .record(
        z.string(),
        z.object({
          in: z.number(),
          out: z.number(),
          ended: z.number().describe('Of out, what left by ports without an edge'),
          errors: z.number(),
          busyMs: z.number(),
        }),
      )
      .nullable()
      .describe('Counted since the version was deployed'),
    sources: z.array(sourceSchema),
  })
  .openapi('LiveMetrics')
const getMetrics = createRoute({
  method: 'get',
  path: '/api/metrics',
  summary: 'The figures of all workflows at this moment',
  responses: {
    200: json(z.object({ at: z.number().describe('Milliseconds'), workflows: z.array(liveSchema) }), 'The figures'),
  },
})
const tapPort = createRoute({
  method: 'get',
  path: '/api/workflows/{id}/tap',
  summary: 'Samples of what leaves a port of a running workflow, live; a slow reader loses some and is told how many',
  request: {
    params: idParams,
    query: z.object({
      port: name.describe('node.port; out when only a node is named'),
      filter: z.string().max(4_000).optional().describe('Only messages for which it is true: $json.total > 100'),
      limit: z.coerce.number().int().min(1).max(1_000_000).optional().describe('Ends after so many'),
      format: z.enum(['sse', 'ndjson']).default('ndjson'),
    }),
  },
  responses: {
    200: {
      description: '`{ value, key, time }`, `{ missed }`, `{ end }`',
      content: { 'application/x-ndjson': { schema: z.string() }, 'text/event-stream': { schema: z.string() } },
    },
    400: refused,
    404: refused,
    503: refused,
  },
})

/** The API as a request listener for paths below /api/. */
export function createApi(parts: ServerParts): (request: IncomingMessage, response: ServerResponse) => Promise<void> {
  const { limits, topics, workflows, log, clock } = parts
  const taps = new TapDesk(workflows, limits, clock)
  const app = new OpenAPIHono<{ Bindings: Bindings }>({
    defaultHook: (result) => {
      if (!result.success) throw invalid(result.error)
    },
  })
  app.openapi(listWorkflows, (c) => c.json({ workflows: [...workflows.deployed.values()].map(summaryOf) }, 200))
  app.openapi(getWorkflow, (c) => {
    return c.json(workflowOf(workflows.named(c.req.valid('param').id)), 200)
  })
  app.openapi(runWorkflow, (c) => {
    const { entry, input } = c.req.valid('json')
    const execution = workflows.run(c.req.valid('param').id, entry ?? null, input)
    const topic = `executions/${execution.id}`
    topics.prepare(topic)
    return c.json({ execution: execution.id, topic }, 202)
  })
  app.openapi(getSources, (c) => {
    return c.json({ sources: sourcesOf(workflows.named(c.req.valid('param').id).pipeline.sources()) }, 200)
  })
  app.openapi(controlSources, async (c) => {
    const reports = await workflows.control(c.req.valid('param').id, c.req.valid('json'))
    return c.json({ sources: sourcesOf(reports) }, 200)
  })
  app.openapi(reloadWorkflow, async (c) => {
    const { id } = c.req.valid('param')
    await workflows.reload(id)
    return c.json(summaryOf(workflows.named(id)), 200)
  })
  app.openapi(getMetrics, (c) => {
    const all = [...workflows.deployed.values()].map(liveOf)
    return c.json(
      {
        at: clock.now(),
        workflows: all.map((each) => ({
          ...each,
          nodes: each.nodes === null ? null : { ...each.nodes },
          sources: sourcesOf(each.sources),
        })),
      },
      200,
    )
  })
  // Its answer is streamed past Hono, so it is no JSON of the described kind.
  app.openAPIRegistry.registerPath(tapPort)
  app.get('/api/workflows/:id/tap', async (c) => {
    const query = tapPort.request.query.safeParse(c.req.query())
    if (!query.success) throw invalid(query.error)
    const { port, filter, limit, format } = query.data
    const options = { workflow: c.req.param('id'), port, filter: filter ?? null, limit: limit ?? null, format }
    await taps.stream(c.env.outgoing, options)
    return streamed()
  })
  app.openapi(listExecutions, (c) => c.json({ executions: [...workflows.list()] }, 200))
  app.openapi(getExecution, (c) => {
    const { id } = c.req.valid('param')
    const found = workflows.find(id)
    if (found === null)
      throw new HttpError(
        404,
        'execution.unknown',
        `There is no execution ${JSON.stringify(id)}, or it ended too long ago.`,
      )
    return c.json(found, 200)
  })
  app.openapi(stopExecution, async (c) => {
    const outcome = await workflows.stop(c.req.valid('param').id, c.req.valid('query').kill === 'true')
    return c.json({ outcome }, 200)
  })
  // Topic names hold slashes, which `{name}` in a documented path does not match; the pattern does.
  app.openAPIRegistry.registerPath(readTopic)
  app.get('/api/topics/:name{.+}', async (c) => {
    const query = readTopic.request.query.safeParse(c.req.query())
    const params = readTopic.request.params.safeParse({ name: c.req.param('name') })
    if (!params.success) throw invalid(params.error)
    if (!query.success) throw invalid(query.error)
    const accepts = c.req.header('accept') ?? ''
    const format = query.data.format ?? (accepts.includes('text/event-stream') ? 'sse' : 'ndjson')
    const options = { topic: params.data.name, after: query.data.after ?? null, format }
    await streamTopic(c.env.incoming, c.env.outgoing, options, topics, limits)
    return streamed()
  })
  app.doc('/api/openapi.json', { openapi: '3.0.3', info: { title: 'Millrace', version: '1' } })
  app.notFound((c) => {
    const known = app.routes.some((route) => route.method !== 'ALL' && matches(route.path, c.req.path))
    if (!known)
      return answer(
        new HttpError(404, 'path.unknown', `Nothing is at ${c.req.path.slice(0, 200)}.`, 'See /api/openapi.json.'),
      )
    const allow = [
      ...new Set(
        app.routes
          .filter((route) => route.method !== 'ALL' && matches(route.path, c.req.path))
          .map((route) => route.method),
      ),
    ]
    return answer(
      new HttpError(405, 'method.not-allowed', `This path does not take ${c.req.method}.`, `Use ${allow.join(', ')}.`, {
        allow: allow.join(', '),
      }),
    )
  })
  app.onError((thrown, c) => {
    if (thrown instanceof HttpError) return answer(thrown)
    // What Hono throws by itself is about the request: a body that is no JSON.
    if ('status' in thrown && (thrown.status === 400 || thrown.status === 415)) {
      const type = c.req.header('content-type')
      const what =
        thrown.status === 400
          ? 'The body is not JSON.'
          : `This takes JSON, not ${type?.slice(0, 80) ?? 'a body of no type'}.`
      const remedy = 'Send JSON with the header Content-Type: application/json.'
      return answer(new HttpError(thrown.status, 'body.not-json', what, remedy))
    }
    log.write('error', 'An API call failed', { error: String(thrown) })
    return answer(new HttpError(500, 'server.error', 'The server failed on this request.', 'Look into its log.'))
  })
  return (request, response) => serve(app.fetch, request, response, limits)
}

/** Names the first field that is not as the API describes it. */
function invalid(error: z.core.$ZodError): HttpError {
  const [issue] = error.issues
  const where = issue === undefined || issue.path.length === 0 ? 'The request' : `Field ${issue.path.join('.')}`
  return new HttpError(400, 'request.invalid', `${where}: ${issue?.message ?? 'not valid'}.`, 'See /api/openapi.json.')
}

function sourcesOf(reports: readonly SourceReport[]): z.infer<typeof sourceSchema>[] {
  return reports.map((each) => ({ ...each, partitions: each.partitions.map((partition) => ({ ...partition })) }))
}

interface Bindings {
  readonly incoming: IncomingMessage
  readonly outgoing: ServerResponse
}

/**
 * Joins Hono to node:http with bodies read under this server's own limits: early refusal, slow senders, sizes.
 * Rejects with an HttpError or BodyAborted.
 */
async function serve(
  fetch: (request: Request, bindings: Bindings) => Response | Promise<Response>,
  request: IncomingMessage,
  response: ServerResponse,
  limits: ServerLimits,
): Promise<void> {
  const method = request.method ?? 'GET'
  const bodyLimits = { bytesMax: limits.apiBodyBytesMax, idleMsMax: limits.bodyIdleMsMax }
  const body = hasBody(request) ? await readBody(request, response, bodyLimits) : null
  const headers = new Headers()
  for (const [name, value] of Object.entries(request.headers))
    if (value !== undefined) headers.set(name, Array.isArray(value) ? value.join(', ') : value)
  const bodiless = method === 'GET' || method === 'HEAD' || body === null
  const asked = new Request(`http://millrace.invalid${request.url}`, {
    method,
    headers,
    body: bodiless ? null : new Uint8Array(body),
  })
  const answered = await fetch(asked, { incoming: request, outgoing: response })
  // A topic was streamed past Hono, straight to the socket.
  if (response.headersSent) return
  const bytes = new Uint8Array(await answered.arrayBuffer())
  response.writeHead(answered.status, {
    ...Object.fromEntries(answered.headers),
    'content-length': bytes.byteLength,
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
  })
  response.end(method === 'HEAD' ? undefined : bytes)
}

/** Stands for an answer that went to the socket already. */
function streamed(): Response {
  return new Response(null, { status: 200 })
}

function answer(error: HttpError): Response {
  return Response.json(errorBody(error.code, error.message, error.remedy), {
    status: error.status,
    headers: error.headers,
  })
}

/** Whether a path fits a pattern of Hono's: `:id` is one segment, `:name{.+}` the rest. */
function matches(pattern: string, path: string): boolean {
  const parts = pattern.split('/').map((part) => {
    if (part.endsWith('{.+}')) return '.+'
    return part.startsWith(':') ? '[^/]+' : part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')
  })
  return new RegExp(`^${parts.join('/')}$`).test(path)
}
