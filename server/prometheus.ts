import type { NodeMetrics } from '../core/pipeline.ts'
import type { TopicStore } from './topics.ts'
import type { Workflows } from './workflows.ts'

export interface MetricsSources {
  readonly workflows: Workflows
  readonly topics: TopicStore
  readonly sockets: number
  readonly requests: number
}

type Sample = readonly [labels: Readonly<Record<string, string>>, value: number]

/** The state of the server in Prometheus' text format, version 0.0.4. */
export function prometheusText(sources: MetricsSources): string {
  const { workflows, topics } = sources
  const deployed = [...workflows.deployed.values()].map((each) => ({
    id: each.id,
    pipeline: each.pipeline,
    metrics: each.pipeline.metrics(),
  }))
  const ended = Object.entries(workflows.endedCounts).map(([state, count]): Sample => [{ state }, count])
  const running = deployed.map((each): Sample => [{ workflow: each.id }, each.pipeline.executions.size])
  const inFlight = deployed.map((each): Sample => [{ workflow: each.id }, each.metrics?.inFlight ?? 0])
  const perNode = (pick: (node: NodeMetrics) => number): readonly Sample[] =>
    deployed.flatMap((each) =>
      Object.entries(each.metrics?.nodes ?? {}).map(
        ([node, metrics]): Sample => [{ workflow: each.id, node }, pick(metrics)],
      ),
    )
  const memory = process.memoryUsage()
  const cpu = process.cpuUsage()
  return [
    family('millrace_executions_running', 'gauge', 'Executions that are not over.', running),
    family('millrace_executions_ended_total', 'counter', 'Executions that are over, by how they ended.', ended),
    family('millrace_in_flight', 'gauge', 'Messages that are in flight.', inFlight),
    family(
      'millrace_node_in_total',
      'counter',
      'Messages that came into a node.',
      perNode((node) => node.in),
    ),
    family(
      'millrace_node_out_total',
      'counter',
      'Messages that left a node.',
      perNode((node) => node.out),
    ),
    family(
      'millrace_node_errors_total',
      'counter',
      'Messages that failed in a node.',
      perNode((node) => node.errors),
    ),
    family(
      'millrace_node_busy_seconds_total',
      'counter',
      'Time that the stage of a node was busy.',
      perNode((node) => node.busyMs / 1000),
    ),
    family('millrace_topics', 'gauge', 'Topics that are kept.', [[{}, topics.count]]),
    family('millrace_topic_bytes', 'gauge', 'Bytes that topics keep.', [[{}, topics.bytes]]),
    family('millrace_topic_readers', 'gauge', 'Readers attached to topics.', [[{}, topics.readers]]),
    family('millrace_sockets', 'gauge', 'Open WebSockets.', [[{}, sources.sockets]]),
    family('millrace_requests', 'gauge', 'HTTP requests under way.', [[{}, sources.requests]]),
    family('process_resident_memory_bytes', 'gauge', 'Resident memory.', [[{}, memory.rss]]),
    family('nodejs_heap_used_bytes', 'gauge', 'Used JavaScript heap.', [[{}, memory.heapUsed]]),
    family('process_cpu_seconds_total', 'counter', 'CPU time of user and system.', [
      [{}, (cpu.user + cpu.system) / 1e6],
    ]),
  ].join('')
}

function family(name: string, type: 'gauge' | 'counter', help: string, samples: readonly Sample[]): string {
  const lines = samples.map(([labels, value]) => `${name}${labelText(labels)} ${value}`)
  return `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n${lines.map((line) => `${line}\n`).join('')}`
}

function labelText(labels: Readonly<Record<string, string>>): string {
  const pairs = Object.entries(labels).map(([name, value]) => `${name}="${quoted(value)}"`)
  return pairs.length === 0 ? '' : `{${pairs.join(',')}}`
}

function quoted(text: string): string {
  return text.replace(/\\/g, '\\\\').replace(/"/g, '\\"').replace(/\n/g, '\\n')
}
