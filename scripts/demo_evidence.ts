// What the demo saw with its own eyes, and what follows from it. Nothing here believes the SDK: every frame is
// counted as it comes off the wire, and compared with the records that the hub keeps.

import type { JobRecord, JobSubmission } from '../core/sdk/client.ts';

export interface DemoJob extends JobSubmission {
  job_id: string;
  priority: number;
}

export interface DemoMachine {
  machine_id: string;
  gpus: number;
  vram_mb: number;
  gpu_name: string;
  state: 'starting' | 'up' | 'killed';
}

/** One assignment of a job to a GPU. `seq` is the time of it by the clock of Redis, in µs. */
interface Assignment {
  job_id: string;
  worker_id: string;
  seq: number;
}

/** How a job stands, by the events of it that came. */
interface Seen {
  job: DemoJob;
  /** In order of submission: all go over one connection. */
  index: number;
  state: 'submitted' | 'waiting' | 'running' | 'ended';
  worker_id: string | undefined;
  /** When it began to wait, and until when, each time; µs of Redis. */
  waits: { from: number; until: number }[];
  endings: string[];
  result_fits: boolean;
}

interface EventFrame {
  type: string;
  job_id: string;
  seq: number;
  worker_id?: string;
  reason?: string;
  result?: { prompt?: unknown };
}

/** Why a job goes back to the queue when its machine is gone. */
const LOST = new Set(['lease_expired', 'undelivered']);
const TERMINAL = new Set(['job_completed', 'job_failed', 'job_cancelled', 'job_expired']);

/** All that the submitting client was told, frame by frame. */
export class Witness {
  readonly #jobs = new Map<string, Seen>();
  readonly #assignments: Assignment[] = [];
  readonly count = { submitted: 0, waiting: 0, running: 0, completed: 0, failed: 0 };
  readonly done_by = new Map<string, number>();
  /** Jobs that came back to the queue because their machine was gone. */
  readonly returned = new Set<string>();

  submitted(job: DemoJob): void {
    const index = this.#jobs.size;
    const seen = { job, index, state: 'submitted', worker_id: undefined } as const;
    this.#jobs.set(job.job_id, { ...seen, waits: [], endings: [], result_fits: false });
    this.count.submitted += 1;
  }

  /** The hub took the job at `seq`. Its events may have been read before this answer. */
  accepted(job_id: string, seq: number): void {
    const seen = this.#jobs.get(job_id);
    if (seen?.state === 'submitted') this.#waits(seen, seq);
    else if (seen !== undefined && !seen.waits.some(({ from }) => from <= seq)) {
      throw new Error(`the wait of ${job_id} before its first assignment was not told`);
    }
  }

  /** A frame as it came. */
  frame(text: string): void {
    const event = JSON.parse(text) as EventFrame;
    const seen = this.#jobs.get(event.job_id);
    if (seen === undefined) return;
    if (event.type === 'job_queued') {
      if (LOST.has(event.reason ?? '')) this.returned.add(event.job_id);
      this.#waits(seen, event.seq);
    } else if (event.type === 'job_assigned') this.#assigned(seen, event);
    else if (TERMINAL.has(event.type)) this.#ended(seen, event);
  }

  busy(machine_id: string): number {
    let busy = 0;
    for (const { state, worker_id } of this.#jobs.values()) {
      if (state === 'running' && worker_id?.startsWith(`${machine_id}:`)) busy += 1;
    }
    return busy;
  }

  get unfinished(): number {
    return this.#jobs.size - this.count.completed - this.count.failed;
  }

  /** Jobs that did not end with exactly one terminal event, `job_completed`. */
  notOnce(): string[] {
    const once = (seen: Seen) => seen.endings.length === 1 && seen.endings[0] === 'job_completed';
    return [...this.#jobs.values()].filter(seen => !once(seen)).map(seen => seen.job.job_id);
  }

  /** Jobs whose result is not that of their own prompt. */
  wrongResults(): string[] {
    return [...this.#jobs.values()].filter(seen => !seen.result_fits).map(seen => seen.job.job_id);
  }

  /**
   * Looks at every assignment and at all jobs that waited at that moment: an inversion is a waiting job that this
   * GPU could have run, and that was more urgent (higher priority; or equal, and submitted earlier). Both times
   * are of one clock, that of Redis: `seq` is its time in µs. Retried jobs count like all others.
   */
  inversions(machines: readonly DemoMachine[]): { assignments: number; inversions: number } {
    const vram_mb = new Map(machines.map(machine => [machine.machine_id, machine.vram_mb]));
    const jobs = [...this.#jobs.values()];
    let inversions = 0;
    for (const { job_id, worker_id, seq } of this.#assignments) {
      const taken = this.#jobs.get(job_id) as Seen;
      const memory = vram_mb.get(worker_id.split(':')[0] as string) ?? 0;
      for (const other of jobs) {
        if (other === taken || !isMoreUrgent(other, taken)) continue;
        if ((other.job.requirements?.min_vram_mb ?? 0) > memory) continue;
        if (other.waits.some(({ from, until }) => from < seq && seq < until)) inversions += 1;
      }
    }
    return { assignments: this.#assignments.length, inversions };
  }

  /** Jobs that a machine had when it was last heard of, and how many of them another one completed. */
  takenOver(machine_id: string): { held_by: number; rerun: number } {
    const of_machine = (worker_id: string | undefined) => worker_id?.startsWith(`${machine_id}:`) === true;
    const had = new Set(this.#assignments.filter(a => of_machine(a.worker_id)).map(a => a.job_id));
    const jobs = [...had].map(job_id => this.#jobs.get(job_id) as Seen);
    const not_its_own = jobs.filter(seen => !(seen.state === 'ended' && of_machine(seen.worker_id)));
    return {
      held_by: not_its_own.length,
      rerun: not_its_own.filter(seen => seen.endings.includes('job_completed')).length,
    };
  }

  #waits(seen: Seen, seq: number): void {
    this.#leave(seen);
    seen.state = 'waiting';
    this.count.waiting += 1;
    const last = seen.waits.at(-1);
    // The acceptance and `job_queued` tell the same wait.
    if (last === undefined || last.until !== Infinity) seen.waits.push({ from: seq, until: Infinity });
  }

  #assigned(seen: Seen, { job_id, worker_id = '', seq }: EventFrame): void {
    this.#leave(seen);
    seen.state = 'running';
    seen.worker_id = worker_id;
    this.count.running += 1;
    const wait = seen.waits.at(-1);
    if (wait !== undefined) wait.until = seq;
    this.#assignments.push({ job_id, worker_id, seq });
  }

  #ended(seen: Seen, event: EventFrame): void {
    seen.endings.push(event.type);
    if (seen.state === 'ended') return;
    this.#leave(seen);
    seen.state = 'ended';
    seen.result_fits = event.result?.prompt === seen.job.params['prompt'];
    if (event.type !== 'job_completed') {
      this.count.failed += 1;
      return;
    }
    this.count.completed += 1;
    const machine_id = (event.worker_id ?? '').split(':')[0] as string;
    this.done_by.set(machine_id, (this.done_by.get(machine_id) ?? 0) + 1);
  }

  #leave({ state }: Seen): void {
    if (state === 'waiting' || state === 'running') this.count[state] -= 1;
  }
}

function isMoreUrgent(a: Seen, b: Seen): boolean {
  return a.job.priority === b.job.priority ? a.index < b.index : a.job.priority > b.job.priority;
}

/** What the records of the hub say about all jobs. */
export interface Records {
  completed: number;
  /** Jobs whose history does not have exactly one accepted completion. */
  not_once: number;
  attempts: number;
  /** Attempts that ended because the machine was gone: under way, or not yet begun (these do not count as tries). */
  crashed: number;
  undelivered: number;
}

export function readRecords(records: readonly JobRecord[]): Records {
  const outcomes = records.map(record => (record.attempts ?? []).map(attempt => attempt.outcome));
  const count = (outcome: string) => outcomes.flat().filter(other => other === outcome).length;
  return {
    completed: records.filter(record => record.status === 'completed').length,
    not_once: outcomes.filter(of => of.filter(outcome => outcome === 'completed').length !== 1).length,
    attempts: outcomes.flat().length,
    crashed: count('lease_expired'),
    undelivered: count('undelivered'),
  };
}

/** From acceptance to the first assignment, ms. */
export function queueWaits(records: readonly JobRecord[]): number[] {
  return records.flatMap(({ attempts, created_at }) => {
    const assigned_at = attempts?.[0]?.assigned_at;
    return assigned_at == null ? [] : [assigned_at - created_at];
  });
}
