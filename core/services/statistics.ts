import { z } from 'zod';
import type { RedisClock } from '../clock.ts';
import type { Registry } from '../connections/registry.ts';
import { HubError } from '../errors.ts';
import type { Log } from '../log.ts';
import { FINISHED_STATES, JOB_STATES, type JobState, STATE_GROUPS } from '../messages/job.ts';
import {
  type Pause,
  PAUSE_REASON_MAX,
  PAUSES_MAX,
  type Stats,
  TYPES_MAX,
  WORKER_STATES,
} from '../messages/stats.ts';
import type { WorkerRecord } from '../messages/worker.ts';
import type { Beat, Store } from '../store/store.ts';
import type { Fleet, Survey } from './fleet.ts';
import { type Measures, mergeWindows, perSecond, quantile, Window, WINDOW_S } from './measures.ts';

const BEAT_MS = 1000;
/** A hub silent for so long is dead: its workers are offline, and nothing of it stays. */
const DEAD_AFTER_MS = 5000;
/** 15 minutes of history, one sample in five seconds. */
const HISTORY_MAX = 180;
const HISTORY_EVERY = 5;

const count = z.number();
/** Jobs by type and state: present ones, and ended ones since Redis was first used. */
type Counts = Map<string, Partial<Record<JobState, number>>>;
const HubInfo = z.object({
  clients: count,
  machines: count,
  monitors: count,
  left_out: count,
  workers: z.record(z.string(), count),
  /** Signatures that its slots turned down just now. */
  rejections: z.record(z.string(), z.array(z.string())).default({}),
  window: Window,
});
type HubInfo = z.infer<typeof HubInfo>;

/**
 * The hub's heartbeat in Redis, and what all hubs together know: counts, rates, latencies, workers. Once a second it says
 * what this hub measured, reads what the others did, and notices hubs that died.
 */
export class Statistics {
  readonly measures: Measures;
  readonly #store: Store;
  readonly #fleet: Fleet;
  readonly #connections: Registry;
  readonly #clock: RedisClock;
  readonly #log: Log;
  readonly #onStats: ((stats: Stats) => void)[] = [];
  readonly #onDeadWorkers: ((records: WorkerRecord[]) => void)[] = [];
  #hubs = new Map<string, HubInfo>();
  #history: Stats[] = [];
  #beats = 0;
  #latest: Stats | undefined;
  #counts: Counts = new Map();
  #timer: NodeJS.Timeout | undefined;
  #running: Promise<void> | undefined;
  /** What was last told of Redis's trouble. */
  #trouble: string | null = null;
  /** Records of workers may be wrong, ours too. */
  #doubtful = false;
  /** Events monitors were not sent, as they came too fast. */
  left_out = 0;

  constructor(
    store: Store,
    fleet: Fleet,
    connections: Registry,
    clock: RedisClock,
    log: Log,
    measures: Measures,
  ) {
    this.measures = measures;
    this.#store = store;
    this.#fleet = fleet;
    this.#connections = connections;
    this.#clock = clock;
    this.#log = log;
  }

  onStats(listener: (stats: Stats) => void): void {
    this.#onStats.push(listener);
  }

  /** Workers of a hub that died. */
  onDeadWorkers(listener: (records: WorkerRecord[]) => void): void {
    this.#onDeadWorkers.push(listener);
  }

  get history(): Stats[] {
    return this.#history;
  }

  get hubs(): { hub_id: string; clients: number; machines: number; monitors: number }[] {
    return [...this.#hubs].map(([hub_id, { clients, machines, monitors }]) => ({
      hub_id,
      clients,
      machines,
      monitors,
    }));
  }

  /** Other hubs that have a monitor. */
  get monitoringHubs(): string[] {
    return [...this.#hubs]
      .filter(([hub, info]) => hub !== this.#store.hub_id && info.monitors > 0)
      .map(([hub]) => hub);
  }

  /** As of the last beat. */
  get counts(): Counts {
    return this.#counts;
  }

  /** Signatures passed over just now, by worker, of all hubs; others' at most a second old. */
  get rejections(): Map<string, Set<string>> {
    const said = [...this.#hubs]
      .filter(([hub]) => hub !== this.#store.hub_id)
      .map(([, info]) => info.rejections);
    return new Map(
      [...said, this.#fleet.rejections].flatMap(workers =>
        Object.entries(workers).map(([worker_id, signatures]) => [worker_id, new Set(signatures)] as const),
      ),
    );
  }

  /** What all hubs measured of a job type over the last minute. */
  measured(job_type: string): { completed: number; run_ms: number; window_ms: number } {
    const all = { completed: 0, run_ms: 0, window_ms: WINDOW_S * 1000 };
    for (const { window } of this.#hubs.values()) {
      if (!Object.hasOwn(window.run_by_type, job_type)) continue;
      const [run_ms, completed] = window.run_by_type[job_type] as [number, number];
      all.run_ms += run_ms;
      all.completed += completed;
    }
    return all;
  }

  async start(): Promise<void> {
    await this.beat();
    this.#timer = setInterval(() => {
      void this.#store.probe().then(() => this.#tellTrouble());
      void this.beat();
    }, BEAT_MS);
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await this.#running;
    await this.#store.leave().catch(() => undefined);
  }

  /** The present statistics, at most a second old. @throws HubError `unavailable` when there are none yet */
  get stats(): Stats {
    if (this.#latest === undefined || !this.#store.up)
      throw new HubError('unavailable', `Redis is away (${this.#store.why})`, { outcome: 'none' });
    return this.#latest;
  }

  /** The same after one that is under way, which does not say yet what has just changed, e.g. that a monitor came. */
  async beatAnew(): Promise<void> {
    await this.#running;
    await this.beat();
  }

  /** Says and learns now. */
  beat(): Promise<void> {
    this.#running ??= this.#beat()
      .catch((error: Error) => {
        if (!(error instanceof HubError)) this.#log.error({ err: error }, 'heartbeat failed');
      })
      .finally(() => {
        this.#running = undefined;
      });
    return this.#running;
  }

  /** Redis can stand there and refuse all work: said once when it begins and when it is over. */
  #tellTrouble(): void {
    const { trouble, up } = this.#store;
    // Links that break are told where they are kept.
    if (!up || trouble === this.#trouble) return;
    if (trouble === null) this.#log.info('Redis takes new work again');
    else this.#log.warn(trouble);
    this.#trouble = trouble;
  }

  /** Redis lost what it had acknowledged, or this hub was taken for dead. */
  #recover({ loss, returned }: Beat): void {
    if (loss === 'empty')
      this.#log.error(
        'ALARM: Redis came back empty, all jobs it held are lost: machines stop their jobs, clients must submit again',
      );
    if (loss === 'older')
      this.#log.error(
        'ALARM: Redis came back older, the jobs it accepted last are lost and the last ends are undone: jobs may run again',
      );
    if (loss === null && !(returned && this.#beats > 0)) return;
    this.#doubtful = true;
    this.#fleet.reattach();
  }

  async #beat(): Promise<void> {
    if (!this.#store.up) return;
    const survey = await this.#fleet.survey();
    const info = this.#ownInfo(survey);
    const beat = await this.#store.beat(
      JSON.stringify(info),
      info.monitors > 0,
      DEAD_AFTER_MS,
      this.#fleet.dispatcher.classes,
    );
    this.#clock.sync(beat.now);
    this.#recover(beat);
    this.#hubs = new Map([...beat.hubs].map(([hub, text]) => [hub, HubInfo.parse(JSON.parse(text))]));
    await this.#bury(beat.dead);
    await this.#resumeDue(survey, beat.now);
    this.#latest = await this.#compute(beat.now);
    if (this.#beats++ % HISTORY_EVERY === 0)
      this.#history = [...this.#history, this.#latest].slice(-HISTORY_MAX);
    for (const listener of this.#onStats) listener(this.#latest);
  }

  #ownInfo({ machines, states, rejections }: Survey): HubInfo {
    return {
      clients: this.#connections.of('client').size,
      machines,
      monitors: this.#connections.of('monitor').size,
      left_out: this.left_out,
      workers: states,
      rejections,
      window: this.measures.window(),
    };
  }

  /** Machines of a hub that is no more: their leases run on, they are offline while they do. */
  async #bury(dead: string[]): Promise<void> {
    if (dead.length === 0 && !this.#doubtful && (this.#latest?.workers.offline ?? 1) === 0) return;
    const doubtful = this.#doubtful;
    this.#doubtful = false;
    const records = await this.#store.workers();
    const orphans: WorkerRecord[] = [];
    for (const record of records) {
      if (record.hub_id === null || this.#isServed(record, doubtful)) continue;
      const orphan: WorkerRecord = { ...record, status: 'offline', hub_id: null };
      // Null: it has registered elsewhere, and its new hub writes its record.
      if ((await this.#store.disconnect(record.machine_id, record.hub_id, [orphan])) !== null)
        orphans.push(orphan);
    }
    if (orphans.length > 0) for (const listener of this.#onDeadWorkers) listener(orphans);
    await this.#store.dropLeft(records.filter(record => record.hub_id === null));
  }

  /** Does the hub that the record names live? This one lives, but an older Redis may name machines it no longer has. */
  #isServed({ hub_id, worker_id }: WorkerRecord, doubtful: boolean): boolean {
    if (hub_id === this.#store.hub_id) return !doubtful || this.#fleet.slotOf(worker_id) !== undefined;
    return hub_id !== null && this.#hubs.has(hub_id);
  }

  /** Drains with an end. */
  async #resumeDue({ resume_at }: Survey, now: number): Promise<void> {
    const due = [...resume_at].filter(([, at]) => at <= now).map(([worker_id]) => worker_id);
    if (due.length > 0) await this.#store.drain(due, null);
  }

  async #compute(at: number): Promise<Stats> {
    const [counts, oldest, records, pauses] = await Promise.all([
      this.#store.counts(),
      this.#store.oldestQueued(at),
      this.#store.workerCount(),
      this.#store.paused(),
    ]);
    this.#counts = counts;
    const infos = [...this.#hubs.values()];
    const window = mergeWindows(infos.map(info => info.window));
    const sum = (pick: (info: HubInfo) => number) => infos.reduce((total, info) => total + pick(info), 0);
    const workers = Object.fromEntries(
      WORKER_STATES.map(state => [state, sum(info => info.workers[state] ?? 0)]),
    ) as Stats['workers'];
    const connected = Object.values(workers).reduce((total, number) => total + number, 0);
    workers.offline = Math.max(0, records - connected);
    const jobs = Object.fromEntries(JOB_STATES.map(state => [state, 0])) as Stats['jobs'];
    const by_type: Stats['by_type'] = {};
    for (const states of counts.values()) for (const state of JOB_STATES) jobs[state] += states[state] ?? 0;
    for (const [type, states] of busiest(counts)) {
      const [run_sum, runs] = window.run_by_type[type] ?? [0, 0];
      by_type[type] = {
        queued: (states.queued ?? 0) + (states.scheduled ?? 0),
        active: (states.assigned ?? 0) + (states.processing ?? 0),
        completed: states.completed ?? 0,
        failed: states.failed ?? 0,
        avg_run_ms: runs === 0 ? null : Math.round(run_sum / runs),
      };
    }
    return {
      at,
      jobs,
      workers,
      clients: sum(info => info.clients),
      hubs: infos.length,
      rates: {
        submitted_per_s: perSecond(window.submitted),
        completed_per_s: perSecond(window.completed),
        failed_per_s: perSecond(window.failed),
      },
      latency_ms: {
        queue_p50: quantile(window.queue, 0.5),
        queue_p99: quantile(window.queue, 0.99),
        run_p50: quantile(window.run, 0.5),
        run_p99: quantile(window.run, 0.99),
      },
      oldest_queued_ms: oldest,
      by_type,
      paused: named(pauses),
      events_left_out: sum(info => info.left_out),
    };
  }
}

const sumOf = (counts: Partial<Record<JobState, number>>, states: readonly JobState[]) =>
  states.reduce((sum, state) => sum + (counts[state] ?? 0), 0);

/** The types that statistics name: those with the most jobs that have not ended, then those with the most that have. */
export function busiest(counts: Counts): Counts {
  if (counts.size <= TYPES_MAX) return counts;
  const open = [...STATE_GROUPS.waiting, ...STATE_GROUPS.active];
  const ranked = [...counts].map(entry => ({
    entry,
    open: sumOf(entry[1], open),
    ended: sumOf(entry[1], FINISHED_STATES),
  }));
  ranked.sort((a, b) => b.open - a.open || b.ended - a.ended);
  return new Map(ranked.slice(0, TYPES_MAX).map(({ entry }) => entry));
}

/** What statistics say of the pauses: that of all types first, then the newest, cut so that a second stays small. */
function named(pauses: Pause[]): Pause[] {
  return pauses
    .toSorted((a, b) => Number(b.job_type === null) - Number(a.job_type === null) || b.at - a.at)
    .slice(0, PAUSES_MAX)
    .map(pause => ({ ...pause, reason: pause.reason?.slice(0, PAUSE_REASON_MAX) ?? null }));
}
