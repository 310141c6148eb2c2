import { type IntervalHistogram, monitorEventLoopDelay } from 'node:perf_hooks';
import type { GateServer } from '../connections/server.ts';
import { type JobState, JOB_STATES, STATE_GROUPS } from '../messages/job.ts';
import { ROLES } from '../messages/shared.ts';
import { WORKER_STATES } from '../messages/stats.ts';
import type { Store } from '../store/store.ts';
import { Exposition, type Sample } from './exposition.ts';
import type { Fleet } from './fleet.ts';
import type { Slot } from './slot.ts';
import type { Statistics } from './statistics.ts';
import { type Tallies, TypeNames } from './tallies.ts';

/** How often the lag of the event loop is looked at, ms; what is measured includes it. */
const LAG_RESOLUTION_MS = 20;
/** GPUs with gauges of their own: a hub with more would make a scrape of many MB. */
const GPUS_MAX = 5000;

const PRESENT = [...STATE_GROUPS.waiting, ...STATE_GROUPS.active];
/** As `_total` since Redis was first used: they come to the same from every hub. */
const ENDED = STATE_GROUPS.finished;
const ALL_HUBS = 'The same from every hub.';

type Counts = Map<string, Partial<Record<JobState, number>>>;

/** What `/metrics` says. Nothing is computed until somebody asks, and Redis is not asked at all. */
export class Metrics {
  readonly #store: Store;
  readonly #fleet: Fleet;
  readonly #statistics: Statistics;
  readonly #server: GateServer;
  readonly #tallies: Tallies;
  readonly #types = new TypeNames();
  #found: IntervalHistogram | undefined;
  #lag = { mean: 0, p99: 0, max: 0 };

  constructor(store: Store, fleet: Fleet, statistics: Statistics, server: GateServer) {
    this.#store = store;
    this.#fleet = fleet;
    this.#statistics = statistics;
    this.#server = server;
    this.#tallies = statistics.measures.tallies;
  }

  start(): void {
    this.#found = monitorEventLoopDelay({ resolution: LAG_RESOLUTION_MS });
    this.#found.enable();
  }

  stop(): void {
    this.#found?.disable();
  }

  /** All metrics, in the text format of Prometheus. Those of all hubs together are left out while Redis is away. */
  text(): string {
    const out = new Exposition();
    out.gauge('gpuhub_info', 'The hub that answers; always 1.', [[{ hub_id: this.#store.hub_id }, 1]]);
    out.gauge('gpuhub_redis_up', 'Whether Redis can be reached: 1 or 0.', this.#store.up ? 1 : 0);
    if (this.#store.up) this.#jobsOfAll(out);
    this.#jobsOfThis(out);
    this.#slots(out);
    this.#redis(out);
    this.#sockets(out);
    this.#process(out);
    return out.text();
  }

  #jobsOfAll(out: Exposition): void {
    const counts = bounded(this.#statistics.counts, this.#types);
    const of = (states: readonly JobState[]): Sample[] =>
      [...counts].flatMap(([type, known]) =>
        states.map((state): Sample => [{ type, state }, known[state] ?? 0]),
      );
    const totals = (states: readonly JobState[]): Sample[] =>
      [...counts].map(([type, known]) => [
        { type },
        states.reduce((sum, state) => sum + (known[state] ?? 0), 0),
      ]);
    out.gauge('gpuhub_jobs', `Jobs that have not ended, by state and type. ${ALL_HUBS}`, of(PRESENT));
    out.counter('gpuhub_jobs_submitted_total', `Jobs accepted, by type. ${ALL_HUBS}`, totals(JOB_STATES));
    for (const state of ENDED) {
      out.counter(
        `gpuhub_jobs_${state}_total`,
        `Jobs that ended ${state}, by type. ${ALL_HUBS}`,
        totals([state]),
      );
    }
    const { oldest_queued_ms, hubs, workers, events_left_out } = this.#statistics.stats;
    out.gauge(
      'gpuhub_oldest_queued_seconds',
      `How long the job at the head of a queue has waited, the longest; 0 when none waits. ${ALL_HUBS}`,
      (oldest_queued_ms ?? 0) / 1000,
    );
    out.gauge('gpuhub_hubs', `Hubs that live. ${ALL_HUBS}`, hubs);
    out.gauge(
      'gpuhub_slots_offline',
      `Slots that are away while their leases run. ${ALL_HUBS}`,
      workers.offline,
    );
    out.counter(
      'gpuhub_monitor_events_left_out_total',
      `Events that monitors were not sent as they came too fast. ${ALL_HUBS}`,
      events_left_out,
    );
  }

  #jobsOfThis(out: Exposition): void {
    const { types, dispatch, leases_expired, fenced } = this.#tallies;
    const by = [...types].map(([type, tally]) => [{ type }, tally] as const);
    out.counter(
      'gpuhub_jobs_started_total',
      'Attempts that this hub sent to a worker, by type.',
      by.map(([type, { started }]) => [type, started]),
    );
    out.counter(
      'gpuhub_jobs_retried_total',
      'Those of them that were not the first of their job.',
      by.map(([type, { retried }]) => [type, retried]),
    );
    out.histogram(
      'gpuhub_job_queue_seconds',
      'How long jobs waited that completed on machines of this hub, by type.',
      by.map(([type, { queue }]) => [type, queue]),
    );
    out.histogram(
      'gpuhub_job_run_seconds',
      'How long jobs ran that completed on machines of this hub, by type.',
      by.map(([type, { run }]) => [type, run]),
    );
    out.histogram(
      'gpuhub_dispatch_seconds',
      'From asking Redis for a job for an idle slot until it was sent to its worker.',
      [[{}, dispatch]],
    );
    out.counter('gpuhub_leases_expired_total', 'Leases that ran out, found by this hub.', leases_expired);
    out.counter(
      'gpuhub_fenced_total',
      'Words of workers and claims refused as their lease or registration is not the present one.',
      fenced,
    );
  }

  #slots(out: Exposition): void {
    const slots = this.#fleet.machines.flatMap(machine => [...machine.slots.values()]);
    out.gauge(
      'gpuhub_slots',
      'Slots of machines connected to this hub, by state.',
      WORKER_STATES.filter(state => state !== 'offline').map(state => [
        { state },
        slots.filter(({ status }) => status === state).length,
      ]),
    );
    const shown = slots.slice(0, GPUS_MAX);
    const gauge = (name: string, help: string, value: (slot: Slot) => number | null) =>
      out.gauge(
        `gpuhub_gpu_${name}`,
        help,
        shown.flatMap((slot): Sample[] => {
          const known = value(slot);
          return known === null ? [] : [[{ worker: slot.worker_id }, known]];
        }),
      );
    const scaled = (value: number | null, by: number) => (value === null ? null : value * by);
    const MIB = 2 ** 20;
    gauge('busy', 'Whether the GPU has a job: 1 or 0.', slot => (slot.lease ? 1 : 0));
    gauge('utilization_ratio', 'How busy the GPU is by its own word, 0 to 1.', ({ telemetry }) =>
      scaled(telemetry.gpu_util, 0.01),
    );
    gauge('memory_used_bytes', 'Memory of the GPU in use.', ({ telemetry }) =>
      scaled(telemetry.vram_used_mb, MIB),
    );
    gauge('memory_bytes', 'Memory of the GPU.', ({ profile }) => scaled(profile.vram_mb, MIB));
    gauge('temperature_celsius', 'Temperature of the GPU.', ({ telemetry }) => telemetry.temperature_c);
    gauge('power_watts', 'Power drawn by the GPU.', ({ telemetry }) => telemetry.power_w);
    out.gauge('gpuhub_gpus_left_out', 'GPUs without gauges of their own.', slots.length - shown.length);
  }

  #redis(out: Exposition): void {
    const { round_trips, failed_trips } = this.#store;
    out.histogram('gpuhub_redis_round_trip_seconds', 'Script calls to Redis until their reply.', [
      [{}, round_trips],
    ]);
    out.counter('gpuhub_redis_failed_total', 'Script calls that failed or had no reply.', failed_trips);
  }

  #sockets(out: Exposition): void {
    const { connections, frames, buffered_bytes } = this.#server;
    out.gauge(
      'gpuhub_sockets',
      'WebSocket connections, by role.',
      ROLES.map(role => [{ role }, connections.of(role).size]),
    );
    out.gauge(
      'gpuhub_socket_buffered_bytes',
      'Bytes written that the kernel has not taken yet.',
      buffered_bytes,
    );
    out.counter('gpuhub_frames_received_total', 'WebSocket frames received.', frames.received);
    out.counter('gpuhub_frames_sent_total', 'WebSocket frames sent.', frames.sent);
  }

  /** What was found since the last call; what was found before, if it was just a moment ago. */
  #readLag(): { mean: number; p99: number; max: number } {
    const found = this.#found;
    if (found !== undefined && found.count > 0) {
      this.#lag = {
        mean: lagSeconds(found.mean),
        p99: lagSeconds(found.percentile(99)),
        max: lagSeconds(found.max),
      };
      found.reset();
    }
    return this.#lag;
  }

  #process(out: Exposition): void {
    const help = 'How late the event loop is, since the last scrape';
    const { mean, p99, max } = this.#readLag();
    out.gauge('gpuhub_event_loop_lag_mean_seconds', `${help}: mean.`, mean);
    out.gauge('gpuhub_event_loop_lag_p99_seconds', `${help}: 99th percentile.`, p99);
    out.gauge('gpuhub_event_loop_lag_max_seconds', `${help}: the worst.`, max);
    const { user, system } = process.cpuUsage();
    const { rss, heapUsed } = process.memoryUsage();
    out.counter('process_cpu_seconds_total', 'CPU time of the hub.', (user + system) / 1e6);
    out.gauge('process_resident_memory_bytes', 'Memory of the hub.', rss);
    out.gauge('process_start_time_seconds', 'When the hub started, since 1970.', startedAt);
    out.gauge('nodejs_heap_used_bytes', 'JavaScript heap in use.', heapUsed);
  }
}

/** The histogram counts the time between two looks: what is beyond the interval is lag. */
const lagSeconds = (ns: number) => Math.max(0, ns / 1e9 - LAG_RESOLUTION_MS / 1000);

const startedAt = performance.timeOrigin / 1000;

/** Counts of at most so many types; of the others together. */
function bounded(counts: Counts, names: TypeNames): Counts {
  const merged: Counts = new Map();
  for (const [type, known] of counts) {
    const name = names.nameOf(type);
    const sums = merged.get(name) ?? {};
    for (const state of JOB_STATES) sums[state] = (sums[state] ?? 0) + (known[state] ?? 0);
    merged.set(name, sums);
  }
  return merged;
}
