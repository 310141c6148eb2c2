import type { Connection } from '../connections/connection.ts';
import { TERMINAL_EVENTS } from '../messages/job.ts';
import type { WorkerRecord } from '../messages/worker.ts';
import type { JobEvent, Store } from '../store/store.ts';
import { frameOf } from './broadcaster.ts';
import type { Fleet, WorkerChange } from './fleet.ts';
import type { Statistics } from './statistics.ts';

/** How often changed workers are told, and events that had to wait. */
const FLUSH_MS = 100;

/** Records of workers written at once: a millisecond. Thousands of machines change each second, by their heartbeats alone. */
const RECORDS_A_TURN = 64;

/** Events that wait for one monitor are at most those of so many seconds of its rate, and of so many bytes. */
const WAITING_MAX_S = 10;

/** What a frame about a worker says of which: the newest of these stands for those before. */
const subjectOf = (frame: string) => frame.split(',', 2).join();

/**
 * What one monitor is told: events at a bounded rate, beyond it the newest of each job, ended jobs first. Nothing goes out
 * before the snapshot, and what happens while that is gathered follows it: it may say things the snapshot knows already.
 */
class Feed {
  readonly #connection: Connection;
  readonly #rate: number;
  readonly #waiting_max_bytes: number;
  /** News of workers that wait for the snapshot or for a slow reader, the newest of each kind. */
  readonly #workers = new Map<string, string>();
  #opened = false;
  readonly #waiting = new Map<string, { frame: string; ended: boolean }>();
  #waiting_bytes = 0;
  #tokens: number;
  left_out = 0;

  constructor(connection: Connection, rate: number, waiting_max_bytes: number) {
    this.#connection = connection;
    this.#rate = rate;
    this.#waiting_max_bytes = waiting_max_bytes;
    this.#tokens = rate;
  }

  /** Sends the snapshot, and what it may have missed. */
  open(snapshot: object): void {
    this.#connection.sendMessage(snapshot);
    this.#opened = true;
    this.flush();
  }

  get #free(): boolean {
    return this.#opened && !this.#connection.behind;
  }

  worker(frame: string): void {
    if (this.#workers.size === 0 && this.#free) return this.#connection.send(frame);
    const subject = subjectOf(frame);
    // Behind what was said of it before, as it happened.
    this.#workers.delete(subject);
    this.#workers.set(subject, frame);
  }

  stats(frame: string): void {
    // A snapshot has its own.
    if (this.#opened) this.#connection.send(frame);
  }

  offer(event: JobEvent, frame: string): void {
    if (this.#tokens >= 1 && this.#waiting.size === 0 && this.#free) {
      this.#tokens -= 1;
      return this.#connection.send(frame);
    }
    const before = this.#waiting.get(event.ref);
    // What came before the snapshot is in it.
    if (before && this.#opened) this.left_out += 1;
    // Nothing may take the place of the end of a job.
    if (!before?.ended) {
      this.#waiting_bytes += frame.length - (before?.frame.length ?? 0);
      this.#waiting.set(event.ref, { frame, ended: TERMINAL_EVENTS.has(event.type) });
    }
    while (this.#overfull) this.#leaveOutOldest();
  }

  get #overfull(): boolean {
    return this.#waiting.size > WAITING_MAX_S * this.#rate || this.#waiting_bytes > this.#waiting_max_bytes;
  }

  #leaveOutOldest(): void {
    const [oldest] = this.#waiting;
    if (oldest) this.#forget(oldest[0], oldest[1].frame);
    this.left_out += 1;
  }

  #forget(ref: string, frame: string): void {
    this.#waiting.delete(ref);
    this.#waiting_bytes -= frame.length;
  }

  flush(): void {
    this.#tokens = Math.min(this.#rate, this.#tokens + (this.#rate * FLUSH_MS) / 1000);
    for (const [subject, frame] of this.#workers) {
      if (!this.#free) return;
      this.#workers.delete(subject);
      this.#connection.send(frame);
    }
    if (this.#waiting.size === 0 || !this.#free) return;
    for (const ended of [true, false]) {
      for (const [ref, waiting] of this.#waiting) {
        if (waiting.ended !== ended) continue;
        if (this.#tokens < 1) return;
        this.#tokens -= 1;
        this.#forget(ref, waiting.frame);
        this.#connection.send(waiting.frame);
      }
    }
  }
}

/** Tells the monitors of this hub about jobs, workers and statistics, and other hubs' monitors about our workers. */
export class Monitors {
  readonly #store: Store;
  readonly #fleet: Fleet;
  readonly #statistics: Statistics;
  readonly #rate: number;
  readonly #waiting_max_bytes: number;
  readonly #feeds = new Map<Connection, Feed>();
  #timer: NodeJS.Timeout | undefined;
  /** New machines are about to be saved. */
  #soon = false;
  #beats = 0;

  /** @param waiting_max_bytes of events that wait for one monitor, at its rate or until it has read */
  constructor(store: Store, fleet: Fleet, statistics: Statistics, rate: number, waiting_max_bytes: number) {
    this.#waiting_max_bytes = waiting_max_bytes;
    this.#store = store;
    this.#fleet = fleet;
    this.#statistics = statistics;
    this.#rate = rate;
    store.onEffect(effect => {
      if (effect.kind === 'event') this.#event(effect.event);
      if (effect.kind === 'worker') this.#tell(effect.frame);
    });
    fleet.onChange((change, record, reason) => {
      this.#worker(change, record, reason);
      // Other hubs must know of a machine even if this one dies in the next moment.
      if (change !== 'connected' || this.#soon) return;
      this.#soon = true;
      setImmediate(() => void this.#save());
    });
    statistics.onStats(stats => {
      const frame = JSON.stringify({ type: 'stats', ...stats });
      for (const feed of this.#feeds.values()) feed.stats(frame);
    });
    statistics.onDeadWorkers(records => {
      for (const record of records) this.#worker('disconnected', record, 'its hub died');
    });
  }

  start(): void {
    this.#timer = setInterval(() => this.#flush(), FLUSH_MS);
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await this.#save();
  }

  /**
   * Of what this hub hears from now on, the monitor will miss nothing; of what others hear, from the next beat on.
   *
   * @returns to be called with the snapshot, which goes before all of it
   */
  add(connection: Connection): (snapshot: object) => void {
    const feed = new Feed(connection, this.#rate, this.#waiting_max_bytes);
    this.#feeds.set(connection, feed);
    connection.onClose(() => this.#feeds.delete(connection));
    return snapshot => feed.open(snapshot);
  }

  #event(event: JobEvent): void {
    if (this.#feeds.size === 0) return;
    const frame = frameOf(event);
    for (const feed of this.#feeds.values()) feed.offer(event, frame);
  }

  #worker(change: WorkerChange, record: WorkerRecord, reason: string | undefined): void {
    const hubs = this.#statistics.monitoringHubs;
    if (this.#feeds.size === 0 && hubs.length === 0) return;
    const frame = JSON.stringify({
      type: `worker_${change}`,
      worker_id: record.worker_id,
      ...(reason ? { reason } : {}),
      worker: record,
    });
    this.#tell(frame);
    for (const hub of hubs) this.#store.tellHub(hub, frame);
  }

  #tell(frame: string): void {
    for (const feed of this.#feeds.values()) feed.worker(frame);
  }

  #flush(): void {
    for (const feed of this.#feeds.values()) {
      feed.flush();
      this.#statistics.left_out += feed.left_out;
      feed.left_out = 0;
    }
    if (
      ++this.#beats % (1000 / FLUSH_MS) === 0 ||
      this.#feeds.size > 0 ||
      this.#statistics.monitoringHubs.length > 0
    )
      void this.#save();
  }

  /** What changed of our workers: into Redis, where other hubs read it, and to the monitors. */
  async #save(): Promise<void> {
    this.#soon = false;
    for (;;) {
      const changed = this.#fleet.takeChanged(RECORDS_A_TURN);
      if (changed.length === 0) return;
      for (const record of changed) this.#worker('updated', record, undefined);
      await this.#store.putWorkers(changed).catch(() => undefined);
    }
  }
}
