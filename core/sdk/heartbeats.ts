import type { z } from 'zod';
import type { HeartbeatAck } from '../messages/worker.ts';
import type { JobReports } from './job_reports.ts';
import type { Lease, Leases, Link } from './lease.ts';
import { GpuhubError } from './socket.ts';
import type { GpuTelemetry, WorkerOptions } from './worker_options.ts';

/** A hub that leaves more heartbeats unanswered does not answer any. */
const BEATS_MAX = 64;

interface Beat {
  at: number;
  /** How much output of each lease had been sent by then. */
  sent: Map<string, number>;
}

/** Keeps the leases of a machine, tells its telemetry, and learns which outputs the hub has stored. */
export class Heartbeats {
  readonly #link: Link;
  readonly #leases: Leases;
  readonly #reports: JobReports;
  readonly #options: WorkerOptions;
  readonly #on: { abandoned: (lease: Lease) => void; fault: (error: GpuhubError) => void };
  readonly #beats = new Map<string, Beat>();
  #telemetry: GpuTelemetry[] = [];
  #probing = false;
  #next_request = 1;
  #timer: ReturnType<typeof setInterval> | undefined;

  constructor(
    link: Link,
    leases: Leases,
    reports: JobReports,
    options: WorkerOptions,
    on: { abandoned: (lease: Lease) => void; fault: (error: GpuhubError) => void },
  ) {
    this.#link = link;
    this.#leases = leases;
    this.#reports = reports;
    this.#options = options;
    this.#on = on;
  }

  start(interval_ms: number): void {
    clearInterval(this.#timer);
    this.#timer = setInterval(() => this.#beat(), interval_ms);
    this.#probe();
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#beats.clear();
  }

  acked({ request_id, abandon, outputs }: z.infer<typeof HeartbeatAck>): void {
    const beat = this.#beats.get(request_id ?? '');
    this.#beats.delete(request_id ?? '');
    for (const { lease_id } of abandon) {
      const lease = this.#leases.get(lease_id);
      if (lease) this.#on.abandoned(lease);
    }
    for (const [lease_id, sent] of beat?.sent ?? []) {
      const lease = this.#leases.get(lease_id);
      if (lease === undefined || beat === undefined) continue;
      lease.renewed_at = Math.max(lease.renewed_at, beat.at);
      const next = outputs[lease_id];
      if (next === undefined) continue;
      lease.outputs.stored(next);
      // What had been sent before the heartbeat and was not stored was lost on the hub's side.
      if (next < sent) lease.outputs.sent = next;
      this.#reports.pump(lease);
    }
  }

  /** A request was refused, perhaps a heartbeat: bad telemetry must not cost the leases. */
  refused(request_id: string, error: GpuhubError): void {
    if (!this.#beats.delete(request_id) || error.code !== 'invalid_message') return;
    this.#telemetry = [];
    this.#link.socket.send({ type: 'worker_heartbeat', workers: [], running: this.#running() });
  }

  #beat(): void {
    this.#probe();
    const request_id = `h${this.#next_request++}`;
    const sent = new Map<string, number>();
    for (const lease of this.#leases.values()) sent.set(lease.id, lease.outputs.sent);
    if (this.#beats.size >= BEATS_MAX) this.#beats.clear();
    this.#beats.set(request_id, { at: performance.now(), sent });
    const workers = this.#telemetry.map(({ index, ...values }) => ({
      worker_id: `${this.#options.machine_id}:gpu${index}`,
      ...values,
    }));
    this.#link.socket.send({ type: 'worker_heartbeat', request_id, workers, running: this.#running() });
  }

  #running() {
    return Array.from(this.#leases.values(), lease => lease.names);
  }

  /** Fetches telemetry for the next heartbeat; never more than one probe is on its way, as drivers may hang. */
  #probe(): void {
    const { telemetry } = this.#options;
    if (telemetry === undefined || this.#probing) return;
    const take = (values: unknown) => {
      this.#telemetry = listOfGpus(values);
    };
    const onFault = (error: unknown) => {
      this.#telemetry = [];
      this.#on.fault(new GpuhubError('telemetry', String(error)));
    };
    try {
      const answer = telemetry();
      if (Array.isArray(answer)) {
        take(answer);
        return;
      }
      this.#probing = true;
      Promise.resolve(answer)
        .then(take)
        .catch(onFault)
        .finally(() => {
          this.#probing = false;
        });
    } catch (error) {
      onFault(error);
    }
  }
}

/** The function is not ours: where it comes to something else, a heartbeat made of that would end the process. */
function listOfGpus(values: unknown): GpuTelemetry[] {
  const isList = Array.isArray(values) && values.every(value => typeof value === 'object' && value !== null);
  if (!isList) throw new TypeError('telemetry must come to a list of GPUs');
  return values;
}
