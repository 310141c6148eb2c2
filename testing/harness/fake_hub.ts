/**
 * A fake of the hub's HTTP API for tests of what speaks to it: it answers what the test says, and keeps what it
 * was asked.
 */
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { JobRecord } from '../../core/messages/job.ts';
import type { Stats } from '../../core/messages/stats.ts';
import type { WorkerRecord } from '../../core/messages/worker.ts';

/** 2026-11-22 13:00:00 UTC, the time by the clock of the fake's Redis. */
export const NOW = 1_795_352_400_000;

export interface Asked {
  method: string;
  /** Path and query as they came. */
  path: string;
  headers: IncomingMessage['headers'];
  body: unknown;
}

/** A JSON body with status 200, or a status and a body, or full control of the answer. */
export type FakeAnswer =
  | { status: number; body: unknown }
  | { raw: (response: ServerResponse, asked: Asked) => void };

export class FakeHub implements AsyncDisposable {
  readonly asked: Asked[] = [];
  /** Answers by `METHOD /path` without the query; several in a row are given one after the other, the last stays. */
  readonly answers = new Map<string, FakeAnswer[]>();
  readonly #server: Server;

  private constructor(server: Server) {
    this.#server = server;
  }

  /** A hub on a free port. */
  static async start(): Promise<FakeHub> {
    const server = createServer();
    const hub = new FakeHub(server);
    server.on('request', (request, response) => void hub.#serve(request, response));
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    hub.on('GET /stats', 200, statsRecord());
    return hub;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  on(request: string, status: number, body: unknown): this {
    return this.raw(request, { status, body });
  }

  raw(request: string, ...answers: FakeAnswer[]): this {
    this.answers.set(request, answers);
    return this;
  }

  /** Events of a job as a stream; then the stream ends. */
  events(job_id: string, ...streams: string[]): this {
    return this.raw(
      `GET /jobs/${job_id}/events`,
      ...streams.map(text => ({
        raw: (response: ServerResponse) => {
          response.writeHead(200, { 'content-type': 'text/event-stream' });
          response.end(text);
        },
      })),
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise(resolve => this.#server.close(resolve));
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    let text = '';
    for await (const chunk of request) text += chunk;
    const { method = '', url = '', headers } = request;
    const asked = { method, path: url, headers, body: text === '' ? undefined : JSON.parse(text) };
    this.asked.push(asked);
    const waiting = this.answers.get(`${method} ${url.split('?')[0]}`) ?? [];
    const answer = (waiting.length > 1 ? waiting.shift() : waiting[0]) ?? {
      status: 404,
      body: refusal('not_found', `there is nothing at ${url}`),
    };
    if ('raw' in answer) answer.raw(response, asked);
    else {
      response.writeHead(answer.status, { 'content-type': 'application/json' });
      response.end(JSON.stringify(answer.body));
    }
  }
}

/** The body of an error. */
export function refusal(code: string, message: string, details?: unknown) {
  return { error: { code, message, ...(details !== undefined && { details }) } };
}

/** A Server-Sent Event of a job. */
export function sse(type: string, seq: number, fields: Record<string, unknown> = {}, index?: number): string {
  const data = { type, job_id: 'j1', seq, at: NOW + seq * 1000, attempt: 1, ...fields };
  return `event: ${type}\nid: ${seq}${index === undefined ? '' : `:${index}`}\ndata: ${JSON.stringify(data)}\n\n`;
}

export function jobRecord(fields: Partial<JobRecord> = {}): JobRecord {
  return {
    job_id: 'j1',
    job_type: 'video.render',
    status: 'processing',
    priority: 10,
    requirements: null,
    client_id: 'studio',
    worker_id: 'machine1:gpu0',
    attempt: 1,
    max_attempts: 3,
    progress: 0.62,
    progress_message: 'frame 74 of 120',
    error: null,
    metadata: null,
    retry_of: null,
    cancel_requested_at: null,
    created_at: NOW - 966_000,
    run_at: null,
    queued_at: NOW - 966_000,
    assigned_at: NOW - 842_000,
    started_at: NOW - 841_000,
    finished_at: null,
    updated_at: NOW - 1000,
    seq: 5,
    ...fields,
  };
}

export function workerRecord(fields: Partial<WorkerRecord> = {}): WorkerRecord {
  return {
    worker_id: 'machine1:gpu0',
    machine_id: 'machine1',
    index: 0,
    status: 'busy',
    gpu_name: 'NVIDIA H100 80GB HBM3',
    vram_mb: 81_920,
    job_types: ['*'],
    models: ['wan-2.2-14b'],
    labels: { region: 'eu' },
    job_id: 'j1',
    hub_id: 'hub-a',
    version: '1.0',
    connected_at: NOW - 10_800_000,
    last_seen_at: NOW - 3000,
    status_reason: null,
    resume_at: null,
    telemetry: {
      gpu_util: 97,
      vram_used_mb: 62_464,
      temperature_c: 71,
      power_w: 640,
      loaded_models: ['wan-2.2-14b'],
    },
    ...fields,
  };
}

export function statsRecord(fields: Partial<Stats> = {}): Stats {
  return {
    at: NOW,
    jobs: {
      scheduled: 3,
      queued: 1092,
      assigned: 3,
      processing: 1500,
      completed: 402_117,
      failed: 31,
      cancelled: 12,
      expired: 0,
    },
    workers: { idle: 412, busy: 1503, stopping: 0, draining: 48, quarantined: 8, offline: 29 },
    clients: 17,
    hubs: 2,
    rates: { submitted_per_s: 60, completed_per_s: 59.2, failed_per_s: 0.4 },
    latency_ms: { queue_p50: 400, queue_p99: 2100, run_p50: 6200, run_p99: 14_000 },
    oldest_queued_ms: 3000,
    by_type: {
      'video.render': { queued: 540, active: 371, completed: 22, failed: 4, avg_run_ms: 842_000 },
      'image.generate': { queued: 412, active: 1120, completed: 3480, failed: 1, avg_run_ms: null },
    },
    paused: [],
    events_left_out: 0,
    ...fields,
  };
}
