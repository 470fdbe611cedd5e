import { DiagLogLevel, diag } from '@opentelemetry/api'
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http'
import { resourceFromAttributes } from '@opentelemetry/resources'
import { BatchSpanProcessor, TracerProvider } from '@opentelemetry/sdk-trace'
import type { Log, Span } from '../core/host.ts'

export interface OtlpTracesOptions {
  /** Where a collector takes OTLP over HTTP, such as `http://127.0.0.1:4318`. */
  readonly url: string
  readonly version: string
  readonly log: Log
}

export interface OtlpTraces {
  /** Takes a span; never waits. What a collector does not take in time is dropped, and the log says how much. */
  readonly span: (span: Span) => void
  /** Sends what is waiting, for some seconds at most. */
  close(): Promise<void>
}

const queueMax = 2_048
const batchMax = 512
const everyMs = 1_000
const exportMsMax = 5_000

/** Sends sampled spans to a collector over OTLP/HTTP, in batches. Loaded only where somebody names a collector. */
export function otlpTraces(options: OtlpTracesOptions): OtlpTraces {
  const say = (text: string): void => options.log.write('warn', `traces: ${text.slice(0, 500)}`)
  diag.setLogger(
    { error: say, warn: say, info: () => undefined, debug: () => undefined, verbose: () => undefined },
    { logLevel: DiagLogLevel.WARN, suppressOverrideMessage: true },
  )
  const exporter = new OTLPTraceExporter({ url: tracesUrl(options.url), timeoutMillis: exportMsMax })
  const processor = new BatchSpanProcessor({
    exporter,
    maxQueueSize: queueMax,
    maxExportBatchSize: batchMax,
    scheduledDelayMillis: everyMs,
    exportTimeoutMillis: exportMsMax,
  })
  const provider = new TracerProvider({
    resource: resourceFromAttributes({ 'service.name': 'millrace', 'service.version': options.version }),
    spanProcessors: [processor],
  })
  const tracer = provider.getTracer('millrace', options.version)
  return {
    span: ({ workflow, execution, nodes, startMs, durationMs, messagesIn, messagesOut }) => {
      const started = tracer.startSpan(`${workflow} ${nodes.join(' → ')}`.slice(0, 200), {
        startTime: startMs,
        attributes: {
          'millrace.workflow': workflow,
          'millrace.execution': execution,
          'millrace.nodes': [...nodes],
          'millrace.messages.in': messagesIn,
          'millrace.messages.out': messagesOut,
        },
      })
      started.end(startMs + durationMs)
    },
    close: () => provider.shutdown(),
  }
}

/** The address of a collector, with the path of traces where it names none. https://opentelemetry.io/docs/specs/otel/protocol/exporter/ */
function tracesUrl(url: string): string {
  const base = new URL(url)
  return base.pathname === '/' || base.pathname === '' ? new URL('/v1/traces', base).href : base.href
}
