import { getHeapStatistics } from 'node:v8'
import type { SourcePosition } from '../core/define.ts'
import type { NodeMetrics, SourceReport } from '../core/pipeline.ts'
import type { EventLoopDelay } from './event-loop.ts'
import { isStalled } from './stall-alarm.ts'
import type { TopicStore } from './topics.ts'
import type { Deployed, Workflows } from './workflows.ts'

export interface MetricsSources {
  readonly workflows: Workflows
  readonly topics: TopicStore
  readonly sockets: number
  readonly requests: number
  readonly eventLoop: EventLoopDelay
}

type Sample = readonly [labels: Readonly<Record<string, string>>, value: number | null]
type Family = readonly [name: string, type: 'gauge' | 'counter', help: string, samples: readonly Sample[]]

/** The state of the server in Prometheus' text format, version 0.0.4. Names and units: https://prometheus.io/docs/practices/naming/ */
export function prometheusText(sources: MetricsSources): string {
  const deployed = [...sources.workflows.deployed.values()]
  const families = [
    ...executionFamilies(sources.workflows, deployed),
    ...nodeFamilies(deployed),
    ...sourceFamilies(deployed),
    ...partitionFamilies(deployed),
    ...serverFamilies(sources),
    ...processFamilies(sources.eventLoop),
  ]
  return families.map(familyText).join('')
}

function executionFamilies(workflows: Workflows, deployed: readonly Deployed[]): readonly Family[] {
  const ended = Object.entries(workflows.endedCounts).map(([state, count]): Sample => [{ state }, count])
  const metrics = deployed.map((each) => ({
    ...each.counts,
    id: each.id,
    pipeline: each.pipeline,
    of: each.pipeline.metrics(),
  }))
  const each = (pick: (from: (typeof metrics)[number]) => number): readonly Sample[] =>
    metrics.map((from): Sample => [{ workflow: from.id }, pick(from)])
  const gauge = (name: string, help: string, pick: Parameters<typeof each>[0]): Family => [
    name,
    'gauge',
    help,
    each(pick),
  ]
  const counter = (name: string, help: string, pick: Parameters<typeof each>[0]): Family => [
    name,
    'counter',
    help,
    each(pick),
  ]
  return [
    gauge('millrace_executions_running', 'Executions that are not over.', (from) => from.pipeline.executions.size),
    ['millrace_executions_ended_total', 'counter', 'Executions that are over, by how they ended.', ended],
    gauge('millrace_in_flight', 'Messages that are in flight.', (from) => from.of?.inFlight ?? 0),
    gauge('millrace_in_flight_limit', 'Messages that may be in flight.', (from) => from.of?.inFlightMax ?? 0),
    counter(
      'millrace_dead_letters_total',
      'Messages that failed for good and that no error port took.',
      (from) => from.of?.deadLetters ?? 0,
    ),
    counter('millrace_restarts_total', 'Streams that failed and were started again.', (from) => from.restarts),
    counter('millrace_takeovers_total', 'New versions that took over from the one before.', (from) => from.takeovers),
    counter(
      'millrace_thread_blocks_total',
      'Times that a thread of its own stood still.',
      (from) => from.of?.blocks ?? 0,
    ),
  ]
}

function nodeFamilies(deployed: readonly Deployed[]): readonly Family[] {
  const nodes = deployed.flatMap((each) =>
    Object.entries(each.pipeline.metrics()?.nodes ?? {}).map(([node, of]) => ({
      labels: { workflow: each.id, node },
      of,
    })),
  )
  const counter = (name: string, help: string, pick: (of: NodeMetrics) => number): Family => [
    name,
    'counter',
    help,
    nodes.map(({ labels, of }): Sample => [labels, pick(of)]),
  ]
  return [
    counter('millrace_node_in_total', 'Messages that came into a node.', (of) => of.in),
    counter('millrace_node_out_total', 'Messages that left a node.', (of) => of.out),
    counter('millrace_node_errors_total', 'Messages that failed in a node.', (of) => of.errors),
    counter('millrace_node_busy_seconds_total', 'Time that the stage of a node was busy.', (of) => of.busyMs / 1000),
  ]
}

function sourceFamilies(deployed: readonly Deployed[]): readonly Family[] {
  const all = deployed.flatMap((of) => of.pipeline.sources().map((source) => ({ of, source })))
  const gauge = (name: string, help: string, pick: (source: SourceReport, of: Deployed) => number): Family => [
    name,
    'gauge',
    help,
    all.map(({ of, source }): Sample => [{ workflow: of.id, node: source.node }, pick(source, of)]),
  ]
  return [
    gauge('millrace_source_in_flight', 'Messages of a stream trigger that are in flight.', (source) => source.inFlight),
    gauge('millrace_source_in_flight_limit', 'Messages that it may have in flight.', (source) => source.inFlightMax),
    gauge(
      'millrace_source_oldest_seconds',
      'How long its oldest batch has been in flight.',
      (source) => source.oldestMs / 1000,
    ),
    gauge('millrace_source_paused', '1 while it rests.', (source) => Number(source.state === 'paused')),
    gauge('millrace_source_stalled', '1 while its oldest batch is older than stallMsMax.', (source, of) =>
      Number(isStalled(of, source)),
    ),
  ]
}

/** What a source does not know has no sample. */
function partitionFamilies(deployed: readonly Deployed[]): readonly Family[] {
  const all = deployed.flatMap((of) =>
    of.pipeline
      .sources()
      .flatMap(({ node, partitions }) =>
        partitions.map((at) => ({ labels: { workflow: of.id, node, partition: at.partition }, at })),
      ),
  )
  const gauge = (name: string, help: string, pick: (at: SourcePosition) => number | null): Family => [
    name,
    'gauge',
    help,
    all.map(({ labels, at }): Sample => [labels, pick(at)]),
  ]
  return [
    gauge('millrace_partition_lag_records', 'Records between the first that is not done and the end.', (at) => at.lag),
    gauge('millrace_partition_next_offset', 'The next record to be read.', (at) => at.next),
    gauge('millrace_partition_committed_offset', 'All records before it are done.', (at) => at.committed),
    gauge('millrace_partition_end_offset', 'The end of the partition, as of the last look.', (at) => at.end),
    gauge('millrace_partition_in_flight', 'Messages of a partition that are in flight.', (at) => at.inFlight),
    gauge(
      'millrace_partition_oldest_seconds',
      'How long its oldest batch has been in flight.',
      (at) => at.oldestMs / 1000,
    ),
  ]
}

function serverFamilies({ topics, sockets, requests }: MetricsSources): readonly Family[] {
  return [
    ['millrace_topics', 'gauge', 'Topics that are kept.', [[{}, topics.count]]],
    ['millrace_topic_bytes', 'gauge', 'Bytes that topics keep.', [[{}, topics.bytes]]],
    ['millrace_topic_readers', 'gauge', 'Readers attached to topics.', [[{}, topics.readers]]],
    ['millrace_sockets', 'gauge', 'Open WebSockets.', [[{}, sockets]]],
    ['millrace_requests', 'gauge', 'HTTP requests under way.', [[{}, requests]]],
  ]
}

function processFamilies(eventLoop: EventLoopDelay): readonly Family[] {
  const memory = process.memoryUsage()
  const cpu = process.cpuUsage()
  const gauge = (name: string, help: string, value: number): Family => [name, 'gauge', help, [[{}, value]]]
  return [
    gauge('process_resident_memory_bytes', 'Resident memory.', memory.rss),
    gauge('nodejs_heap_used_bytes', 'Used JavaScript heap of the main thread.', memory.heapUsed),
    gauge('nodejs_heap_total_bytes', 'Reserved JavaScript heap of the main thread.', memory.heapTotal),
    gauge('nodejs_heap_limit_bytes', 'How far that heap may grow.', getHeapStatistics().heap_size_limit),
    gauge('nodejs_external_bytes', 'Memory of buffers outside of the heap.', memory.external),
    gauge(
      'nodejs_eventloop_delay_mean_seconds',
      'How late the event loop was on average, since the last look.',
      eventLoop.mean,
    ),
    gauge('nodejs_eventloop_delay_p99_seconds', 'How late it was at most in 99 of 100 cases.', eventLoop.p99),
    gauge('nodejs_eventloop_delay_max_seconds', 'How late it was at most.', eventLoop.max),
    gauge('process_start_time_seconds', 'When the process started.', (Date.now() - process.uptime() * 1000) / 1000),
    ['process_cpu_seconds_total', 'counter', 'CPU time of user and system.', [[{}, (cpu.user + cpu.system) / 1e6]]],
  ]
}

/** Two lanes may both name a partition while it moves between them; a name and its labels stand for one sample. */
function familyText([name, type, help, samples]: Family): string {
  const lines = new Map(
    samples.flatMap(([labels, value]) => (value === null ? [] : [[`${name}${labelText(labels)}`, value] as const])),
  )
  const body = [...lines].map(([series, value]) => `${series} ${value}\n`).join('')
  return `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n${body}`
}

function labelText(labels: Readonly<Record<string, string>>): string {
  const pairs = Object.entries(labels).map(([name, value]) => `${name}="${quoted(value)}"`)
  return pairs.length === 0 ? '' : `{${pairs.join(',')}}`
}

function quoted(text: string): string {
  return text.replace(/\\/g, '\\\\').replace(/"/g, '\\"').replace(/\n/g, '\\n')
}
