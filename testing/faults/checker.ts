/** Judges a run by what its processes wrote down and by what Redis holds at the end. */
import type { JobRecord } from '../../core/messages/job.ts';
import type { Entry } from './ledger.ts';
import type { Allowed } from './scenario.ts';

export interface Evidence {
  entries: Entry[];
  /** What Redis holds of each job that was submitted. */
  records: Map<string, JobRecord>;
  lease_ms: number;
  heartbeat_ms: number;
  /** When the run was over, by the ledgers' clock. */
  ended_at: number;
}

export interface Verdict {
  jobs: number;
  completed: number;
  lost: number;
  accepted_twice: number;
  executed_twice: number;
  /** GPU time of executions whose result does not count, s. */
  wasted_gpu_s: number;
  lease_taken: number;
  stuck: number;
  inversions: number;
  missed_ends: number;
  /** From losing a connection, or a worker, to being at work again; ms, sorted. */
  recoveries: number[];
  /** Sentences; none: the scenario passed. */
  violations: string[];
}

interface Execution {
  job_id: string;
  lease_id: string;
  machine: string;
  gpu: number;
  begin: number;
  end: number | undefined;
  how: string | undefined;
  told: string | undefined;
  accepted: boolean | undefined;
  code: string | undefined;
  dropped: string | undefined;
}

interface Absence {
  from: number;
  to: number;
  why: string;
}

interface Event {
  who: string;
  job_id: string;
  type: string;
  seq: number;
  lease_id: string | undefined;
}

const TERMINAL = new Map([
  ['job_completed', 'completed'],
  ['job_failed', 'failed'],
  ['job_cancelled', 'cancelled'],
  ['job_expired', 'expired'],
]);
const UNNUMBERED = ['job_progress', 'job_output'];
/** Redis tells times in whole ms. */
const CLOCK_STEP_MS = 1;
/** So many sentences of one kind are told; the figures have the rest. */
const TOLD_MAX = 5;

export function check(evidence: Evidence, allowed: Allowed): Verdict {
  return new Check(evidence, allowed).verdict();
}

class Check {
  readonly #evidence: Evidence;
  readonly #allowed: Allowed;
  readonly #violations: string[] = [];
  readonly #told = new Map<string, number>();
  readonly #executions: Map<string, Execution[]>;
  readonly #absences: Map<string, Absence[]>;

  constructor(evidence: Evidence, allowed: Allowed) {
    this.#evidence = evidence;
    this.#allowed = allowed;
    this.#absences = absences(evidence);
    this.#executions = executions(evidence.entries, (kind, what) => this.#tell(kind, what));
  }

  verdict(): Verdict {
    const { records } = this.#evidence;
    return {
      jobs: records.size,
      completed: [...records.values()].filter(({ status }) => status === 'completed').length,
      ...this.#jobs(),
      accepted_twice: this.#acceptedTwice(),
      ...this.#executedTwice(),
      lease_taken: this.#leaseTaken(),
      inversions: this.#inversions(),
      missed_ends: this.#watchers(),
      recoveries: this.#recoveries(),
      violations: [...this.#slots(), ...this.#violations],
    };
  }

  #tell(kind: string, what: string): void {
    const times = (this.#told.get(kind) ?? 0) + 1;
    this.#told.set(kind, times);
    if (times <= TOLD_MAX) this.#violations.push(`${kind}: ${what}`);
    else if (times === TOLD_MAX + 1) this.#violations.push(`${kind}: and more`);
  }

  /** Every job that was acknowledged is in Redis, and has ended as it should. */
  #jobs(): { lost: number; stuck: number } {
    let [lost, stuck] = [0, 0];
    const acknowledged = new Set<string>();
    const ended = new Set<string>();
    for (const { op, outcome, job_id, type } of this.#evidence.entries) {
      if (op === 'submitted' && outcome === 'ok') acknowledged.add(job_id as string);
      if (op === 'event' && TERMINAL.has(type as string)) ended.add(job_id as string);
    }
    for (const job_id of acknowledged) {
      if (this.#evidence.records.has(job_id)) continue;
      // Submitted and ended in the time that Redis lost: its client has what it wanted.
      if (this.#allowed.rolled_back && ended.has(job_id)) continue;
      lost += 1;
      this.#tell('lost', `${job_id} was acknowledged, and Redis does not hold it`);
    }
    for (const [job_id, { status, error }] of this.#evidence.records) {
      if (!['completed', 'failed', 'cancelled', 'expired'].includes(status)) {
        stuck += 1;
        this.#tell('stuck', `${job_id} is still ${status}`);
      } else if (!(this.#allowed.ends?.(job_id) ?? ['completed']).includes(status)) {
        this.#tell('ended wrong', `${job_id} is ${status} (${JSON.stringify(error)})`);
      }
    }
    return { lost, stuck };
  }

  /** One outcome, the same for its worker, its watchers and Redis. */
  #acceptedTwice(): number {
    let twice = 0;
    const ends = new Map<string, Set<string>>();
    for (const { job_id, type, seq } of events(this.#evidence.entries)) {
      if (!TERMINAL.has(type)) continue;
      const of = ends.get(job_id) ?? new Set();
      of.add(`${type} ${seq}`);
      ends.set(job_id, of);
    }
    for (const [job_id, record] of this.#evidence.records) {
      const taken = (this.#executions.get(job_id) ?? []).filter(
        ({ accepted, told }) => accepted && told === 'job_completed',
      );
      const told = ends.get(job_id)?.size ?? 0;
      if ((taken.length > 1 || told > 1) && !this.#allowed.rolled_back) {
        twice += 1;
        this.#tell('accepted twice', `${job_id}: ${taken.length} results taken, ${told} different ends told`);
      }
      if (this.#allowed.rolled_back) continue;
      const lease_id = (record.result as { lease_id?: string } | null)?.lease_id;
      if (taken[0] && taken[0].lease_id !== lease_id)
        this.#tell('wrong result', `${job_id}: taken of ${taken[0].lease_id}, Redis has that of ${lease_id}`);
    }
    return twice;
  }

  #executedTwice(): { executed_twice: number; wasted_gpu_s: number } {
    const rule = this.#allowed.executed_twice ?? 'never';
    let [extra, wasted_ms] = [0, 0];
    for (const [job_id, runs] of this.#executions) {
      for (const run of runs) if (!run.accepted) wasted_ms += this.#endOf(run) - run.begin;
      // The last is the one that counts; those before it that ended in order were retries.
      for (const run of runs.slice(0, -1)) {
        if (run.accepted && run.told !== 'job_completed') continue;
        extra += 1;
        const away = this.#wasAway(run);
        if (rule === 'any' || (rule === 'away' && away)) continue;
        const why = away ? `, though ${away}` : ', whose worker was there all the time';
        this.#tell('executed twice', `${job_id} again after ${run.lease_id} on ${run.machine}${why}`);
      }
    }
    return { executed_twice: extra, wasted_gpu_s: Math.round(wasted_ms / 10) / 100 };
  }

  /** An execution whose lease went to another while its worker was there. */
  #leaseTaken(): number {
    if (this.#allowed.executed_twice === 'any') return 0;
    let taken = 0;
    for (const [job_id, runs] of this.#executions) {
      runs.forEach((run, i) => {
        const next = runs[i + 1];
        const refused = run.dropped !== undefined || run.code === 'stale_lease' || run.code === 'not_found';
        const overtaken = next !== undefined && next.begin < this.#endOf(run);
        if ((!refused && !overtaken) || this.#wasAway(run)) return;
        taken += 1;
        const how = run.dropped ?? run.code ?? 'another began';
        this.#tell('lease taken', `${job_id}: ${run.lease_id} of ${run.machine} (${how})`);
      });
    }
    return taken;
  }

  /** A job of higher priority that waited while a lower one was assigned. */
  #inversions(): number {
    if (this.#allowed.inversions) return 0;
    const waits: { priority: number; from: number; to: number; job_id: string }[] = [];
    for (const record of this.#evidence.records.values()) {
      const first = record.attempts?.[0]?.assigned_at;
      if (first === undefined || first === null || record.run_at !== null) continue;
      waits.push({ priority: record.priority, from: record.created_at, to: first, job_id: record.job_id });
    }
    waits.sort((a, b) => a.to - b.to);
    let count = 0;
    const open = [...waits].sort((a, b) => a.from - b.from);
    for (const low of waits) {
      const passed = open.find(
        high =>
          high.priority > low.priority &&
          high.from + CLOCK_STEP_MS < low.to &&
          high.to > low.to + CLOCK_STEP_MS,
      );
      if (!passed) continue;
      count += 1;
      this.#tell('inversion', `${low.job_id} was assigned while ${passed.job_id} waited`);
    }
    return count;
  }

  /** Each client saw the end of each job it was told was accepted, and events in order. */
  #watchers(): number {
    const last = new Map<string, number>();
    const ended = new Map<string, string>();
    for (const { who, job_id, type, seq } of events(this.#evidence.entries)) {
      const key = `${who} ${job_id}`;
      const before = last.get(key) ?? 0;
      const in_order = UNNUMBERED.includes(type) ? seq >= before : seq > before;
      if (!in_order && !this.#allowed.rolled_back)
        this.#tell('out of order', `${who} got ${type} ${seq} of ${job_id} after ${before}`);
      if (ended.has(key) && !this.#allowed.rolled_back)
        this.#tell('after the end', `${who} got ${type} of ${job_id} after ${ended.get(key)}`);
      last.set(key, Math.max(before, seq));
      if (TERMINAL.has(type)) ended.set(key, type);
    }
    let missed = 0;
    for (const { op, outcome, who, job_id } of this.#evidence.entries) {
      if (op !== 'submitted' || outcome !== 'ok') continue;
      const record = this.#evidence.records.get(job_id as string);
      const type = ended.get(`${who} ${job_id}`);
      if (type !== undefined && TERMINAL.get(type) === record?.status) continue;
      if (this.#allowed.rolled_back && type !== undefined) continue;
      if (record && !TERMINAL_STATES.has(record.status)) continue; // stuck, which is told already
      missed += 1;
      this.#tell(
        'missed',
        `${who} was told ${type ?? 'no end'} of ${job_id}, which is ${record?.status ?? 'lost'}`,
      );
    }
    return missed;
  }

  /** From a lost connection to the next, and from the end of a killed worker to the next run of its job. */
  #recoveries(): number[] {
    const times: number[] = [];
    const down = new Map<string, number>();
    for (const { op, who, at } of this.#evidence.entries) {
      if (op === 'down' && !down.has(who)) down.set(who, at);
      const since = down.get(who);
      if (op !== 'up' || since === undefined) continue;
      times.push(at - since);
      down.delete(who);
    }
    for (const runs of this.#executions.values()) {
      runs.slice(1).forEach((run, i) => {
        const killed = this.#absencesOf(runs[i] as Execution).find(({ why }) => why === 'killed');
        if (killed) times.push(run.begin - killed.from);
      });
    }
    return times.sort((a, b) => a - b);
  }

  /** One slot, one job; and what a machine said at the end of a job was answered. */
  #slots(): string[] {
    const of = new Map<string, Execution[]>();
    const is_any = this.#allowed.executed_twice === 'any';
    for (const run of [...this.#executions.values()].flat()) {
      const slot = `${run.machine}:gpu${run.gpu}`;
      of.set(slot, [...(of.get(slot) ?? []), run]);
      if (run.how === 'done' && run.accepted === undefined && run.dropped === undefined && !this.#isGone(run))
        this.#tell('unanswered', `${run.machine} got no answer to the end of ${run.job_id}`);
    }
    const problems: string[] = [];
    for (const [slot, runs] of of) {
      runs.sort((a, b) => a.begin - b.begin);
      runs.forEach((run, i) => {
        const next = runs[i + 1];
        if (next && run.end !== undefined && next.begin < run.end && !is_any)
          problems.push(`two on one slot: ${slot} began ${next.job_id} before it ended ${run.job_id}`);
      });
    }
    return problems.slice(0, TOLD_MAX);
  }

  #isGone({ machine }: Execution): boolean {
    const { ended_at } = this.#evidence;
    return (this.#absences.get(machine) ?? []).some(({ to }) => to > ended_at);
  }

  #endOf(run: Execution): number {
    const killed = this.#absencesOf(run).find(({ why }) => why === 'killed');
    return run.end ?? killed?.from ?? this.#evidence.ended_at;
  }

  /** Absences of the machine while it answered for this job. */
  #absencesOf({ machine, begin, end }: Execution): Absence[] {
    const until = end ?? this.#evidence.ended_at;
    return (this.#absences.get(machine) ?? []).filter(
      ({ from, to }) => from < until + this.#evidence.lease_ms && to > begin,
    );
  }

  /** Why the machine could not keep this lease, if it could not. */
  #wasAway(run: Execution): string | undefined {
    // The last renewal may have been a heartbeat before the absence began, and the next one comes after it ended.
    const least = this.#evidence.lease_ms - 2 * this.#evidence.heartbeat_ms;
    const absence = this.#absencesOf(run).find(({ from, to }) => to - from >= least);
    return (
      absence &&
      `${run.machine} was ${absence.why} for ${Math.round(Math.min(absence.to, this.#evidence.ended_at) - absence.from)} ms`
    );
  }
}

const TERMINAL_STATES: ReadonlySet<string> = new Set(TERMINAL.values());

function events(entries: Entry[]): Event[] {
  return entries.filter(({ op }) => op === 'event') as unknown as Event[];
}

/** The executions of each job, in the order of their beginning. */
function executions(entries: Entry[], tell: (kind: string, what: string) => void): Map<string, Execution[]> {
  const by_job = new Map<string, Execution[]>();
  const by_lease = new Map<string, Execution>();
  for (const entry of entries) {
    const { op, who, at, job_id, lease_id, gpu } = entry as Entry & Execution;
    if (op === 'begin') {
      if (by_lease.has(lease_id)) tell('delivered twice', `${lease_id} of ${job_id} on ${who}`);
      const run: Execution = {
        job_id,
        lease_id,
        machine: who,
        gpu,
        begin: at,
        end: undefined,
        how: undefined,
        told: undefined,
        accepted: undefined,
        code: undefined,
        dropped: undefined,
      };
      by_lease.set(lease_id, run);
      by_job.set(job_id, [...(by_job.get(job_id) ?? []), run]);
      continue;
    }
    const run = by_lease.get(lease_id);
    if (!run) continue;
    if (op === 'end') Object.assign(run, { end: at, how: entry['how'] });
    if (op === 'told') run.told = entry['type'] as string;
    if (op === 'answer')
      Object.assign(run, { accepted: entry['accepted'], code: entry['code'] ?? undefined });
    if (op === 'dropped') run.dropped = entry['why'] as string;
  }
  return by_job;
}

/** When each machine was away: what the harness did to it, and the times it had no connection. */
function absences({ entries, ended_at }: Evidence): Map<string, Absence[]> {
  const of = new Map<string, Absence[]>();
  const add = (machine: string, absence: Absence) => of.set(machine, [...(of.get(machine) ?? []), absence]);
  const down = new Map<string, number>();
  for (const entry of entries) {
    const { op, who, at } = entry;
    if (op === 'away') {
      const { machines, from, to, why } = entry as Entry & Absence & { machines: string[] };
      for (const machine of machines) add(machine, { from, to, why });
    }
    if (op === 'down' && !down.has(who)) down.set(who, at);
    if (op === 'ended') add(who, { from: at, to: Number.MAX_SAFE_INTEGER, why: 'refused for good' });
    const since = down.get(who);
    if (op !== 'up' || since === undefined) continue;
    add(who, { from: since, to: at, why: 'not connected' });
    down.delete(who);
  }
  for (const [who, from] of down) add(who, { from, to: ended_at, why: 'not connected' });
  return of;
}
