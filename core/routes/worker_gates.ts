import { monotonic } from '../clock.ts';
import type { Report, Store } from '../store/store.ts';

/** A worker that goes on under a lost lease is told so at most this often. */
const STALE_NOTICE_MS = 1000;
const STALE_MAX = 10_000;

/** Remembers which lost leases were spoken of just now. */
export class StaleNotices {
  readonly #told = new Map<string, number>();

  mayTell(lease_id: string): boolean {
    const now = monotonic();
    const last = this.#told.get(lease_id);
    if (last !== undefined && now - last < STALE_NOTICE_MS) return false;
    if (this.#told.size >= STALE_MAX) this.#told.clear();
    this.#told.set(lease_id, now);
    return true;
  }
}

interface Gate {
  next_at: number;
  latest: (() => void) | null;
  timer: NodeJS.Timeout | null;
}

/** Lets through so many progress reports a second a job; of those that come faster, the latest. */
export class ProgressGate {
  readonly #interval_ms: number;
  readonly #gates = new Map<string, Gate>();

  constructor(rate: number) {
    this.#interval_ms = 1000 / rate;
  }

  offer(lease_id: string, report: () => void): void {
    const now = monotonic();
    const gate = this.#gates.get(lease_id);
    if (gate === undefined || (gate.timer === null && now >= gate.next_at)) {
      this.#gates.set(lease_id, { next_at: now + this.#interval_ms, latest: null, timer: null });
      this.#expire(lease_id);
      return report();
    }
    gate.latest = report;
    gate.timer ??= setTimeout(() => this.#release(lease_id, gate), gate.next_at - now);
  }

  /** The job is over: what still waits is never told. */
  forget(lease_id: string): void {
    const gate = this.#gates.get(lease_id);
    if (gate?.timer) clearTimeout(gate.timer);
    this.#gates.delete(lease_id);
  }

  #release(lease_id: string, gate: Gate): void {
    gate.timer = null;
    gate.next_at = monotonic() + this.#interval_ms;
    gate.latest?.();
    gate.latest = null;
    this.#expire(lease_id);
  }

  /** Leases that end without a word must not stay here for ever. */
  #expire(lease_id: string): void {
    if (this.#gates.size < STALE_MAX) return;
    const now = monotonic();
    for (const [id, gate] of this.#gates) {
      if (id !== lease_id && gate.timer === null && gate.next_at < now) this.#gates.delete(id);
    }
  }
}

type Progress = Extract<Report, { kind: 'progress' | 'late_progress' }>;

/** Redis writes the progress of a lease once a second. */
const LATE_MS = 1000;

/** Brings progress that Redis told and did not write, if nothing newer came: so the record has the latest in the end. */
export class LateProgress {
  readonly #store: Store;
  /** By lease, the newest that was sent and is not known to be written. */
  readonly #newest = new Map<string, Progress>();
  readonly #late = new Set<Progress>();
  #is_due = false;

  constructor(store: Store) {
    this.#store = store;
  }

  sent(progress: Progress): void {
    this.#newest.set(progress.lease_id, progress);
  }

  answered(progress: Progress, is_late: boolean): void {
    if (this.#newest.get(progress.lease_id) !== progress) return;
    if (!is_late) {
      this.#newest.delete(progress.lease_id);
      return;
    }
    this.#late.add(progress);
    if (this.#is_due) return;
    this.#is_due = true;
    setTimeout(() => this.#bring(), LATE_MS).unref();
  }

  /** The job is over: its record says so. */
  forget(lease_id: string): void {
    this.#newest.delete(lease_id);
  }

  #bring(): void {
    this.#is_due = false;
    for (const progress of this.#late) {
      this.#late.delete(progress);
      if (this.#newest.get(progress.lease_id) !== progress) continue;
      this.#store.report({ ...progress, kind: 'late_progress' }, (error, answer) =>
        this.answered(progress, error === null && answer === 'late'),
      );
    }
  }
}
