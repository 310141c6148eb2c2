/**
 * OpenTelemetry for hub, clients and workers alike. Off unless the environment names a receiver, and then nothing of it is
 * even loaded: the SDK is 28 MB of optional packages. They read the other `OTEL_…` variables (headers, sampler, batches)
 * by themselves.
 */
import type { Link, Span, SpanContext } from '@opentelemetry/api';
import { formatTraceparent, type TraceContext } from './trace_context.ts';

/** Time that the last spans and metrics get to leave. */
const STOP_MS = 3000;
const EXPORT_INTERVAL_MS = 60_000;
/** Any of these turns it on. */
const ENDPOINTS = [
  'OTEL_EXPORTER_OTLP_ENDPOINT',
  'OTEL_EXPORTER_OTLP_TRACES_ENDPOINT',
  'OTEL_EXPORTER_OTLP_METRICS_ENDPOINT',
];

export type SpanRole = 'internal' | 'server' | 'producer' | 'consumer';

export interface SpanFields {
  name: string;
  role?: SpanRole;
  /** What it belongs under; null begins a trace. */
  parent: TraceContext | null;
  attributes: Record<string, string | number | undefined>;
  /** Spans of the same trace that led to this one. */
  links?: string[];
}

/** A span of which everything is known. */
export interface FinishedSpan extends SpanFields {
  trace_id: string;
  /** Chosen by us, so that others could name it before it was over. */
  span_id: string;
  start_ms: number;
  end_ms: number;
  /** A code, if it failed. */
  error?: string | undefined;
}

/** A span that goes on. */
export interface OpenSpan {
  /** For those who work below it. */
  traceparent: string;
  /** @param error a code, if it failed */
  end(error?: string): void;
}

/** What a hub counts for OpenTelemetry. */
export interface Totals {
  processed: number;
  failed: number;
  mean_ms: number;
}

export interface Telemetry {
  start(span: SpanFields): OpenSpan;
  write(span: FinishedSpan): void;
  /** @param read asked at each export */
  measure(read: () => Totals): void;
  /** Sends what is left. */
  stop(): Promise<void>;
}

export type Environment = Readonly<Record<string, string | undefined>>;

/** Does the environment ask for telemetry? */
export const wantsTelemetry = (env: Environment) =>
  env['OTEL_SDK_DISABLED']?.toLowerCase() !== 'true' && ENDPOINTS.some(name => env[name]);

/**
 * Loads the SDK and starts it, if the environment asks for it.
 *
 * @param service its name unless `OTEL_SERVICE_NAME` says another
 * @returns null when nobody asked
 * @throws Error with a sentence when the packages are not there
 */
export async function startTelemetry(env: Environment, service: string): Promise<Telemetry | null> {
  if (!wantsTelemetry(env)) return null;
  try {
    return await load(env, service);
  } catch (error) {
    throw new Error(
      `OpenTelemetry was asked for, but its packages cannot be loaded (${(error as Error).message}): npm install brings them, unless optional packages are left out`,
      { cause: error },
    );
  }
}

async function load(env: Environment, service: string): Promise<Telemetry> {
  const [api, resources, traces, metrics, traceExport, metricExport] = await Promise.all([
    import('@opentelemetry/api'),
    import('@opentelemetry/resources'),
    import('@opentelemetry/sdk-trace-base'),
    import('@opentelemetry/sdk-metrics'),
    import('@opentelemetry/exporter-trace-otlp-http'),
    import('@opentelemetry/exporter-metrics-otlp-http'),
  ]);
  const resource = resources
    .defaultResource()
    .merge(resources.resourceFromAttributes({ 'service.name': env['OTEL_SERVICE_NAME'] || service }));
  const random = new traces.RandomIdGenerator();
  /** The ids of the next span, where they are ours to choose; spans are made one at a time. */
  let chosen: { trace_id?: string; span_id?: string } = {};
  const tracerProvider = new traces.BasicTracerProvider({
    resource,
    idGenerator: {
      generateTraceId: () => chosen.trace_id ?? random.generateTraceId(),
      generateSpanId: () => chosen.span_id ?? random.generateSpanId(),
    },
    spanProcessors: [new traces.BatchSpanProcessor(new traceExport.OTLPTraceExporter())],
  });
  const meterProvider = new metrics.MeterProvider({
    resource,
    readers: [
      new metrics.PeriodicExportingMetricReader({
        exporter: new metricExport.OTLPMetricExporter(),
        exportIntervalMillis: Number(env['OTEL_METRIC_EXPORT_INTERVAL']) || EXPORT_INTERVAL_MS,
        exportTimeoutMillis: Math.min(Number(env['OTEL_METRIC_EXPORT_INTERVAL']) || STOP_MS, STOP_MS),
      }),
    ],
  });
  const tracer = tracerProvider.getTracer('gpuhub');
  const meter = meterProvider.getMeter('gpuhub');

  const toContext = ({ trace_id, span_id, sampled }: TraceContext): SpanContext => ({
    traceId: trace_id,
    spanId: span_id,
    traceFlags: sampled ? api.TraceFlags.SAMPLED : api.TraceFlags.NONE,
    isRemote: true,
  });
  const KINDS = {
    internal: api.SpanKind.INTERNAL,
    server: api.SpanKind.SERVER,
    producer: api.SpanKind.PRODUCER,
    consumer: api.SpanKind.CONSUMER,
  };
  const begin = (span: SpanFields, start_ms?: number): Span => {
    const { name, role = 'internal', parent, links = [] } = span;
    const context =
      parent === null ? api.ROOT_CONTEXT : api.trace.setSpanContext(api.ROOT_CONTEXT, toContext(parent));
    const toLink = (span_id: string): Link => ({
      context: toContext({ trace_id: chosen.trace_id ?? parent?.trace_id ?? '', span_id, sampled: true }),
    });
    return tracer.startSpan(
      name,
      {
        kind: KINDS[role],
        attributes: span.attributes,
        links: links.map(toLink),
        ...(start_ms === undefined ? {} : { startTime: start_ms }),
      },
      context,
    );
  };
  const fail = (span: Span, code: string) =>
    span.setStatus({ code: api.SpanStatusCode.ERROR, message: code });

  return {
    start: fields => {
      const span = begin(fields);
      const { traceId, spanId, traceFlags } = span.spanContext();
      return {
        traceparent: formatTraceparent({
          trace_id: traceId,
          span_id: spanId,
          sampled: (traceFlags & api.TraceFlags.SAMPLED) !== 0,
        }),
        end: error => {
          if (error !== undefined) fail(span, error);
          span.end();
        },
      };
    },
    write: finished => {
      const { trace_id, span_id, start_ms, end_ms, error } = finished;
      chosen = { trace_id, span_id };
      const span = begin(finished, start_ms);
      chosen = {};
      if (error !== undefined) fail(span, error);
      span.end(end_ms);
    },
    measure: read => {
      meter
        .createObservableCounter('gpuhub.jobs.processed', {
          description: 'Attempts that ended completed or failed on machines of this hub.',
        })
        .addCallback(result => result.observe(read().processed));
      meter
        .createObservableCounter('gpuhub.jobs.failed', { description: 'Those of them that failed.' })
        .addCallback(result => result.observe(read().failed));
      meter
        .createObservableGauge('gpuhub.jobs.mean_processing_time', {
          description: 'How long completed jobs ran, on average since the hub started.',
          unit: 'ms',
        })
        .addCallback(result => result.observe(read().mean_ms));
    },
    stop: async () => {
      const left = Promise.allSettled([tracerProvider.shutdown(), meterProvider.shutdown()]);
      // A receiver that is away must not hold up the end.
      await Promise.race([left, new Promise(resolve => setTimeout(resolve, STOP_MS).unref())]);
    },
  };
}
