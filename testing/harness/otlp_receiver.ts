/** A receiver of OTLP over HTTP with JSON, as a collector has one: it keeps what it is sent. */
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { gunzipSync } from 'node:zlib';

export interface ReceivedSpan {
  service: string;
  name: string;
  traceId: string;
  spanId: string;
  parentSpanId: string;
  kind: number;
  start_ms: number;
  end_ms: number;
  attributes: Record<string, unknown>;
  links: { traceId: string; spanId: string }[];
  /** 2 is an error. */
  status: number;
}

// `any`: documents of another program, which the tests judge field by field.
type Any = any;

const valuesOf = (attributes: Any[] = []) =>
  Object.fromEntries(
    attributes.map(({ key, value }) => [
      key,
      value.stringValue ?? (value.intValue === undefined ? value.doubleValue : Number(value.intValue)),
    ]),
  );

export class OtlpReceiver implements AsyncDisposable {
  readonly spans: ReceivedSpan[] = [];
  /** The last value of each metric. */
  readonly metrics = new Map<string, number>();
  readonly #server: Server;

  private constructor(server: Server) {
    this.#server = server;
  }

  static async start(): Promise<OtlpReceiver> {
    const server = createServer();
    const receiver = new OtlpReceiver(server);
    server.on('request', (request, response) => void receiver.#serve(request, response));
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return receiver;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const bytes = Buffer.concat(chunks);
    const text = request.headers['content-encoding'] === 'gzip' ? gunzipSync(bytes) : bytes;
    this.#take(request.url ?? '', JSON.parse(text.toString()));
    response.writeHead(200, { 'content-type': 'application/json' });
    response.end('{}');
  }

  #take(path: string, document: Any): void {
    if (path === '/v1/traces') this.#takeSpans(document);
    if (path === '/v1/metrics') this.#takeMetrics(document);
  }

  #takeSpans({ resourceSpans }: Any): void {
    for (const { resource, scopeSpans } of resourceSpans) {
      const service = String(valuesOf(resource.attributes)['service.name']);
      for (const span of scopeSpans.flatMap((scope: Any) => scope.spans)) {
        this.spans.push({
          service,
          name: span.name,
          traceId: span.traceId,
          spanId: span.spanId,
          parentSpanId: span.parentSpanId ?? '',
          kind: span.kind,
          start_ms: Number(BigInt(span.startTimeUnixNano) / 1_000_000n),
          end_ms: Number(BigInt(span.endTimeUnixNano) / 1_000_000n),
          attributes: valuesOf(span.attributes),
          links: span.links ?? [],
          status: span.status?.code ?? 0,
        });
      }
    }
  }

  #takeMetrics({ resourceMetrics }: Any): void {
    for (const { scopeMetrics } of resourceMetrics) {
      for (const metric of scopeMetrics.flatMap((scope: Any) => scope.metrics)) {
        const [point] = (metric.sum ?? metric.gauge).dataPoints;
        this.metrics.set(metric.name, Number(point.asInt ?? point.asDouble));
      }
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise(resolve => this.#server.close(resolve));
  }
}
