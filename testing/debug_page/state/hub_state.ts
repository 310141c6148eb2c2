// What the page knows of the hub: plain Maps that frames overwrite. Memory is bounded by the caps below,
// never by the rate of events.

import type { JobRecord } from '../../../core/messages/job.ts';
import type { Pause, Stats } from '../../../core/messages/stats.ts';
import type { WorkerRecord } from '../../../core/messages/worker.ts';
import { afterEvent, type Job, type JobEvent, resultLine } from './job_events.ts';
import { hasEnded } from './job_times.ts';
import { touch } from './live.ts';
import { Ring } from './ring.ts';

export const JOBS_MAX = 5000;
const EVENTS_MAX = 500;
/** 15 minutes at one a second. */
const HISTORY_MAX = 900;
/** A machine that left stays in sight for a moment, so that its going is seen. */
const GONE_MS = 60_000;
const UNKNOWN_MAX = 2000;

export type Worker = WorkerRecord;

interface HubInfo {
  hub_id: string;
  clients: number;
  machines: number;
  monitors: number;
}

export interface LogEvent {
  type: string;
  at: number;
  subject: string;
  /** Of the frame only what is shown of it: results can be large. */
  fields: Record<string, unknown>;
}

const said = ({ worker_id, run_ms, reason, error }: Record<string, unknown>) => ({
  worker_id,
  run_ms,
  reason,
  error,
});

export interface SnapshotFrame {
  stats: Stats;
  history: Stats[];
  hubs: HubInfo[];
  workers: Worker[];
  jobs: JobRecord[];
  paused: Pause[];
}

class HubState {
  readonly jobs = new Map<string, Job>();
  readonly workers = new Map<string, Worker>();
  readonly events = new Ring<LogEvent>(EVENTS_MAX);
  /** Jobs that an event spoke of and that the page has no record of: they are asked for. */
  readonly unknown = new Set<string>();
  stats: Stats | undefined;
  history: Stats[] = [];
  hubs: HubInfo[] = [];
  paused: Pause[] = [];
  /** Counts up with each frame of news; the header makes a rate of it. */
  newsCount = 0;
  readonly #gone = new Map<string, ReturnType<typeof setTimeout>>();

  /** A new snapshot replaces everything: no ghosts of the time before. */
  takeSnapshot(snapshot: SnapshotFrame): void {
    this.jobs.clear();
    this.workers.clear();
    this.unknown.clear();
    for (const timer of this.#gone.values()) clearTimeout(timer);
    this.#gone.clear();
    for (const worker of snapshot.workers) this.workers.set(worker.worker_id, worker);
    this.stats = snapshot.stats;
    this.history = [...snapshot.history.filter(s => s.at < snapshot.stats.at), snapshot.stats];
    this.hubs = snapshot.hubs ?? [];
    this.paused = snapshot.paused ?? [];
    this.takeJobs(snapshot.jobs);
    touch('jobs', 'workers', 'stats', 'events');
  }

  /** Records from a list or an answer: each wins over what is held unless that is newer. */
  takeJobs(records: readonly JobRecord[]): void {
    for (const record of records) {
      const held = this.jobs.get(record.job_id);
      this.unknown.delete(record.job_id);
      if (held !== undefined && held.seq > record.seq) continue;
      const { params: _params, result, attempts: _attempts, ...light } = record;
      const note = resultLine(result) ?? held?.note ?? null;
      // 5,000 times the metadata of a client could be large, and only the whole record of a job shows it.
      const bounded = { ...light, metadata: null };
      this.jobs.set(record.job_id, { ...bounded, position: held?.position ?? null, note });
    }
    this.#forgetOldest();
    touch('jobs');
  }

  takeStats(stats: Stats): void {
    this.stats = stats;
    // A hub of before does not say it; what the snapshot said stands then.
    this.paused = stats.paused ?? this.paused;
    this.history.push(stats);
    if (this.history.length > HISTORY_MAX) this.history.splice(0, this.history.length - HISTORY_MAX);
    touch('stats');
  }

  takeJobEvent(event: JobEvent): void {
    this.newsCount++;
    const job = this.jobs.get(event.job_id);
    if (job !== undefined) {
      this.jobs.set(event.job_id, afterEvent(job, event));
    } else if (this.unknown.size < UNKNOWN_MAX) this.unknown.add(event.job_id);
    if (event.type !== 'job_progress' && event.type !== 'job_output') {
      this.events.push({ type: event.type, at: event.at, subject: event.job_id, fields: said(event) });
      touch('events');
    }
    touch('jobs');
  }

  /** The hub has confirmed it; no event tells of it. */
  setPriority(jobId: string, priority: number): void {
    const job = this.jobs.get(jobId);
    if (job === undefined) return;
    this.jobs.set(jobId, { ...job, priority });
    touch('jobs');
  }

  takeWorker(
    type: string,
    workerId: string,
    worker: Worker | undefined,
    frame: Record<string, unknown>,
  ): void {
    this.newsCount++;
    clearTimeout(this.#gone.get(workerId));
    const held = worker ?? this.workers.get(workerId);
    if (type === 'worker_disconnected') {
      if (held !== undefined) this.workers.set(workerId, { ...held, status: 'offline' });
      this.#gone.set(
        workerId,
        setTimeout(() => this.#forgetWorker(workerId), GONE_MS),
      );
    } else if (held !== undefined) this.workers.set(workerId, held);
    if (type !== 'worker_updated') {
      const at = this.stats?.at ?? Date.now();
      this.events.push({ type, at, subject: workerId, fields: said(frame) });
      touch('events');
    }
    touch('workers');
  }

  #forgetWorker(workerId: string): void {
    this.#gone.delete(workerId);
    this.workers.delete(workerId);
    touch('workers');
  }

  /** Drops ended jobs first, oldest first; what waits or runs is dropped only when there is nothing else. */
  #forgetOldest(): void {
    let excess = this.jobs.size - JOBS_MAX;
    if (excess <= 0) return;
    const oldestFirst = [...this.jobs.values()].sort(
      (a, b) => Number(hasEnded(b)) - Number(hasEnded(a)) || a.created_at - b.created_at,
    );
    for (const job of oldestFirst) {
      if (excess-- <= 0) return;
      this.jobs.delete(job.job_id);
    }
  }
}

export const hub = new HubState();
