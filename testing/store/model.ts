/**
 * The hub's store as the protocol tells it: small, in memory, and without Redis. Model and Redis are given the same
 * operations and must say the same.
 *
 * Time is counted in units so long that a whole run takes no noticeable part of one. Who waits longer than a unit says
 * waits whole units, so what is due at a time is never in doubt.
 */
import type { JobState } from '../../core/messages/job.ts';
import type {
  Claimed,
  Finished,
  FinishKind,
  Held,
  HeldAnswer,
  Reported,
  Submitted,
} from '../../core/store/store.ts';

/** Durations in units. */
export interface Rules {
  lease: number;
  grace: number;
  poison_after: number;
  idempotency: number;
  /** What one level of priority is worth, or null if no waiting makes up for it. */
  aging: number | null;
}

/** What was asked for; durations in units. */
export interface Spec {
  job_type: string;
  signature: string;
  priority: number;
  max_attempts: number;
  /** Whether a failed attempt waits (less than a unit) or not at all. */
  backoff: boolean;
  delay: number;
  start_timeout: number | null;
  run_timeout: number | null;
  progress_timeout: number | null;
  /** Makes contents differ that are otherwise equal. */
  note: string;
}

type Stop = 'timeout' | 'progress_timeout';

/** One assignment of a job to a worker. */
export interface Lease {
  lease_id: string;
  attempt: number;
  machine: string;
  index: number;
  /** `held`: the worker has the job. `ran_out`: the job waits again, but the worker may still take it back. */
  state: 'held' | 'ran_out' | 'over';
  expires: number;
  assigned: number;
  /** Last assigned, started, progress or output. */
  heard: number;
  started: boolean;
  /** The worker showed that it knows of it: then its end is a crash, else it was never delivered. */
  sign: boolean;
  /** Its crash was the first of that worker with the job. */
  first_crash: boolean;
  stop: Stop | null;
  next_output: number;
  accepted: FinishKind | null;
  refused: boolean;
}

export interface Job {
  job_id: string;
  spec: Spec;
  state: JobState;
  priority: number;
  /** Its place among equals; null until it first waited in the queue. */
  arrival: { at: number; number: number } | null;
  attempt: number;
  created: number;
  run_at: number;
  /** The newest one granted. */
  lease: Lease | null;
  /** Ended ones, newest last. */
  past: Lease[];
  crashed_on: string[];
  cancelling: boolean;
  grace_ends: number | null;
  error: string | null;
  finished: number | null;
  /** Times as Redis told them, where their order decides. */
  told: { run_at: number; finished_at: number };
}

interface Slot {
  lease_id: string;
  job_id: string;
  /** The job was lost while the worker may still be at it: x the lease ran out, t it was taken away. */
  mark: 'x' | 't' | null;
}

interface Machine {
  connection: string | null;
  /** It said so itself, as from before any registration. */
  from_long_ago: boolean;
  slots: Map<number, Slot>;
  drained: Set<number>;
}

interface SlotClass {
  fit: Set<string>;
}

/** The history of a job remembers this many leases; an older one was never granted, as far as anybody knows. */
const PAST_MAX = 20;
const ENDED: readonly JobState[] = ['completed', 'failed', 'cancelled', 'expired'];

export const hasEnded = (job: Job) => ENDED.includes(job.state);
const workerOf = (lease: Lease) => `${lease.machine}:gpu${lease.index}`;

export type ModelClaim =
  | { outcome: 'job' | 'held'; job: Job; lease: Lease | null }
  | { outcome: 'stuck'; job_id: string; lease_id: string }
  | { outcome: Exclude<Claimed['outcome'], 'job' | 'held' | 'stuck'> };

/** What an answer to a submission says, times and seq aside. */
export type ModelSubmitted =
  | { outcome: 'new' | 'duplicate'; status: JobState; position: number | null }
  | { outcome: Extract<Submitted['outcome'], 'conflict'> };

export class Model {
  readonly rules: Rules;
  now = 0;
  readonly jobs = new Map<string, Job>();
  /** Jobs forgotten so recently that their ids still run only once. */
  readonly tombs = new Map<string, { spec: Spec; state: JobState; until: number }>();
  readonly machines = new Map<string, Machine>();
  readonly classes = new Map<string, SlotClass>();
  readonly signatures = new Set<string>();
  /** Job types, or `*`. */
  readonly paused = new Set<string>();
  readonly reaper = { at: null as number | null, hold: 0 };
  /** Every lease ever granted, with its job. */
  readonly granted: { job_id: string; lease: Lease }[] = [];
  #arrivals = 0;

  constructor(rules: Rules) {
    this.rules = rules;
  }

  // Clients

  submit(job_id: string, spec: Spec): ModelSubmitted {
    const known = this.jobs.get(job_id) ?? this.tombs.get(job_id);
    if (known !== undefined) {
      if (JSON.stringify(known.spec) !== JSON.stringify(spec)) return { outcome: 'conflict' };
      return { outcome: 'duplicate', status: known.state, position: this.position(job_id) };
    }
    const job: Job = {
      job_id,
      spec,
      state: 'scheduled',
      priority: spec.priority,
      arrival: null,
      attempt: 0,
      created: this.now,
      run_at: this.now + spec.delay,
      lease: null,
      past: [],
      crashed_on: [],
      cancelling: false,
      grace_ends: null,
      error: null,
      finished: null,
      told: { run_at: 0, finished_at: 0 },
    };
    this.jobs.set(job_id, job);
    this.signatures.add(spec.signature);
    if (spec.delay === 0) this.#enqueue(job);
    return { outcome: 'new', status: job.state, position: this.position(job_id) };
  }

  /** From 1 among the waiting jobs of its signature, null unless queued. */
  position(job_id: string): number | null {
    const job = this.jobs.get(job_id);
    return job?.state === 'queued' ? this.queue(job.spec.signature).indexOf(job) + 1 : null;
  }

  cancel(job_id: string): 'cancelled' | 'cancelling' | 'ended' | 'not_found' {
    const job = this.jobs.get(job_id);
    if (job === undefined) return 'not_found';
    if (hasEnded(job)) return 'ended';
    if (job.cancelling) return 'cancelling';
    job.cancelling = true;
    if (job.lease?.state === 'held') {
      job.lease.stop = null;
      job.grace_ends = this.now + this.rules.grace;
      return 'cancelling';
    }
    // A worker may still be at it: its result is refused for the cancel's sake.
    if (job.lease?.state === 'ran_out') job.lease.refused = true;
    this.#end(job, 'cancelled');
    return 'cancelled';
  }

  setPriority(job_id: string, priority: number): 'ok' | 'ended' | 'not_found' {
    const job = this.jobs.get(job_id);
    if (job === undefined) return 'not_found';
    if (hasEnded(job)) return 'ended';
    job.priority = priority;
    return 'ok';
  }

  // The queue

  /** The waiting jobs of a signature, or of all those in a set, most urgent first. */
  queue(of: string | Set<string>): Job[] {
    const fits = (signature: string) => (typeof of === 'string' ? of === signature : of.has(signature));
    return [...this.jobs.values()]
      .filter(job => job.state === 'queued' && fits(job.spec.signature))
      .sort((a, b) => this.#compare(a, b));
  }

  #compare(a: Job, b: Job): number {
    const [first, second] = [
      a.arrival as { at: number; number: number },
      b.arrival as typeof a.arrival & object,
    ];
    const { aging } = this.rules;
    const urgency =
      aging === null
        ? b.priority - a.priority
        : first.at - a.priority * aging - (second.at - b.priority * aging);
    // Sums of fractions that should be equal differ by less than this.
    return Math.abs(urgency) > 1e-6 ? urgency : first.number - second.number;
  }

  #enqueue(job: Job): void {
    job.state = 'queued';
    job.arrival ??= { at: this.now, number: ++this.#arrivals };
  }

  /** What slots of a class can be given, most urgent first. */
  eligible(class_id: string): Job[] {
    return this.queue(this.classes.get(class_id)?.fit ?? new Set()).filter(job => !this.#isPaused(job));
  }

  #isPaused(job: Job): boolean {
    return this.paused.has('*') || this.paused.has(job.spec.job_type);
  }

  // How jobs and leases end

  #end(job: Job, state: JobState): void {
    this.#over(job.lease);
    job.grace_ends = null;
    job.state = state;
    job.finished = this.now;
  }

  #over(lease: Lease | null): void {
    if (lease === null) return;
    lease.state = 'over';
    lease.stop = null;
  }

  /** The attempt counts as failed. */
  #fail(job: Job, code: string, retryable: boolean): void {
    this.#over(job.lease);
    job.grace_ends = null;
    job.error = code;
    if (!retryable || job.attempt >= job.spec.max_attempts) return this.#end(job, 'failed');
    job.state = 'scheduled';
    // A back-off is shorter than a unit.
    job.run_at = job.spec.backoff ? this.now + 0.5 : this.now;
    if (!job.spec.backoff) this.#enqueue(job);
  }

  /** Back to its place; the attempt is not counted. */
  #giveBack(job: Job): void {
    this.#over(job.lease);
    job.grace_ends = null;
    job.attempt -= 1;
    this.#enqueue(job);
  }

  /** The lease was lost without a word. */
  #lose(job: Job, lease: Lease, how: 'ran_out' | 'unnamed'): void {
    const { stop, sign } = lease;
    job.grace_ends = null;
    lease.state = how === 'unnamed' || job.cancelling || stop !== null ? 'over' : 'ran_out';
    if (job.cancelling) return this.#end(job, 'cancelled');
    if (stop !== null) return this.#fail(job, stop, true);
    if (!sign) {
      job.attempt -= 1;
      return this.#enqueue(job);
    }
    lease.first_crash = !job.crashed_on.includes(workerOf(lease));
    if (lease.first_crash) job.crashed_on.push(workerOf(lease));
    job.error = 'lease_expired';
    if (job.crashed_on.length >= this.rules.poison_after) job.error = 'poison';
    else if (job.attempt < job.spec.max_attempts) return this.#enqueue(job);
    this.#end(job, 'failed');
  }

  /** A lease that ran out is heard of before somebody else got the job. */
  #takeBack(job: Job, lease: Lease): void {
    if (lease.sign) {
      job.error = null;
      if (lease.first_crash) job.crashed_on.pop();
    }
    lease.first_crash = false;
    lease.state = 'held';
    lease.expires = this.now + this.rules.lease;
    job.attempt = lease.attempt;
    job.state = lease.started ? 'processing' : 'assigned';
    if (!this.#slotTaken(lease))
      this.machine(lease.machine).slots.set(lease.index, {
        lease_id: lease.lease_id,
        job_id: job.job_id,
        mark: null,
      });
  }

  // Slots

  machine(machine_id: string): Machine {
    let machine = this.machines.get(machine_id);
    if (machine === undefined) {
      machine = { connection: null, from_long_ago: false, slots: new Map(), drained: new Set() };
      this.machines.set(machine_id, machine);
    }
    return machine;
  }

  /** One slot, one job: has it another one by now? */
  #slotTaken(lease: Lease): boolean {
    const slot = this.machine(lease.machine).slots.get(lease.index);
    return slot !== undefined && slot.lease_id !== lease.lease_id;
  }

  /** The worker may still be at it, so the slot waits for a word of it; a machine that is away says it when it comes. */
  #markSlot(lease: Lease, mark: 'x' | 't'): void {
    const machine = this.machine(lease.machine);
    const slot = machine.slots.get(lease.index);
    if (slot === undefined || slot.lease_id !== lease.lease_id) return;
    if (machine.connection === null) machine.slots.delete(lease.index);
    else slot.mark = mark;
  }

  #freeSlot(machine_id: string, lease_id: string, job_id: string): string | null {
    const { slots } = this.machine(machine_id);
    for (const [index, slot] of slots) {
      if (slot.lease_id !== lease_id || slot.job_id !== job_id) continue;
      slots.delete(index);
      return `${machine_id}:gpu${index}`;
    }
    return null;
  }

  /** The lease of this id that the job remembers, if it was this machine's. */
  #find(job: Job | undefined, lease_id: string, machine_id: string): Lease | null {
    if (job === undefined) return null;
    const known = [...job.past.slice(-PAST_MAX), ...(job.lease === null ? [] : [job.lease])];
    const lease = known.find(one => one.lease_id === lease_id);
    return lease !== undefined && lease.machine === machine_id ? lease : null;
  }

  /** May the worker go on under the lease? */
  #mayHold(job: Job, lease: Lease): boolean {
    if (lease !== job.lease || lease.state === 'over') return false;
    if (lease.state === 'ran_out' && this.#slotTaken(lease)) {
      lease.state = 'over';
      return false;
    }
    return true;
  }

  // Workers

  claim(machine_id: string, connection: string, index: number, class_id: string): ModelClaim {
    const machine = this.machine(machine_id);
    if (machine.connection !== connection) return { outcome: 'fenced' };
    const slot = machine.slots.get(index);
    if (slot !== undefined) {
      const job = this.jobs.get(slot.job_id);
      if (job?.lease?.lease_id === slot.lease_id && job.lease.state === 'held')
        return { outcome: 'held', job, lease: job.lease };
      return { outcome: 'stuck', job_id: slot.job_id, lease_id: slot.lease_id };
    }
    if (machine.drained.has(index)) return { outcome: 'drained' };
    if (!this.classes.has(class_id)) return { outcome: 'class' };
    for (;;) {
      const [job] = this.eligible(class_id);
      if (job === undefined) return { outcome: 'none' };
      if (this.#startDeadline(job) <= this.now) this.#end(job, 'expired');
      else return { outcome: 'job', job, lease: null };
    }
  }

  /** The job that a claim answered is the slot's, under the lease that Redis made. */
  assign(job: Job, lease_id: string, machine_id: string, index: number): void {
    if (job.lease !== null) {
      this.#over(job.lease);
      job.past.push(job.lease);
    }
    job.attempt += 1;
    const lease: Lease = {
      lease_id,
      attempt: job.attempt,
      machine: machine_id,
      index,
      state: 'held',
      expires: this.now + this.rules.lease,
      assigned: this.now,
      heard: this.now,
      started: false,
      sign: false,
      first_crash: false,
      stop: null,
      next_output: 0,
      accepted: null,
      refused: false,
    };
    job.lease = lease;
    job.state = 'assigned';
    this.machine(machine_id).slots.set(index, { lease_id, job_id: job.job_id, mark: null });
    this.granted.push({ job_id: job.job_id, lease });
  }

  /** @param output the index of an output, if it is one */
  report(job_id: string, lease_id: string, machine_id: string, output: number | null): Reported {
    const job = this.jobs.get(job_id);
    const lease = this.#find(job, lease_id, machine_id);
    if (job === undefined || lease === null || !this.#mayHold(job, lease)) return 'stale';
    if (lease.state === 'ran_out') this.#takeBack(job, lease);
    lease.sign = true;
    lease.started = true;
    lease.heard = this.now;
    job.state = 'processing';
    if (output === null) return 'ok';
    lease.next_output = Math.max(lease.next_output, output + 1);
    return lease.next_output;
  }

  finish(
    job_id: string,
    lease_id: string,
    machine_id: string,
    kind: FinishKind,
    retryable: boolean,
  ): Pick<Finished, 'accepted' | 'code' | 'freed'> {
    const job = this.jobs.get(job_id);
    if (job === undefined)
      return { accepted: false, code: 'not_found', freed: this.#freeSlot(machine_id, lease_id, job_id) };
    const lease = this.#find(job, lease_id, machine_id);
    if (lease === null) return { accepted: false, code: 'stale_lease', freed: null };
    let code: Finished['code'];
    if (lease === job.lease && lease.state !== 'over')
      code = this.#finishPresent(job, lease, kind, retryable);
    else if (lease.accepted === kind) code = null;
    else code = lease.accepted !== null || lease.refused ? 'conflict' : 'stale_lease';
    return { accepted: code === null, code, freed: this.#freeSlot(machine_id, lease_id, job_id) };
  }

  #finishPresent(job: Job, lease: Lease, kind: FinishKind, retryable: boolean): 'conflict' | null {
    const worked = kind === 'completed' || kind === 'failed';
    if (job.cancelling) {
      if (worked) lease.refused = true;
      else lease.accepted = kind;
      this.#end(job, 'cancelled');
      return worked ? 'conflict' : null;
    }
    lease.accepted = kind;
    if (lease.state === 'ran_out') {
      if (!worked) {
        // The job waits already; a crash that was counted stays counted.
        this.#over(lease);
        return null;
      }
      this.#takeBack(job, lease);
    }
    if (kind === 'completed') {
      job.error = null;
      this.#end(job, 'completed');
    } else if (lease.stop !== null) this.#fail(job, lease.stop, true);
    else if (kind === 'failed') this.#fail(job, 'boom', retryable);
    else this.#giveBack(job);
    return null;
  }

  /** The machine names a lease it answers for. */
  #hold({ ref: job_id, lease_id }: Held, machine_id: string): { answer: HeldAnswer; present: Lease | null } {
    const abandon = { action: 'abandon', next_output: 0 } as const;
    const job = this.jobs.get(job_id);
    const lease = this.#find(job, lease_id, machine_id);
    if (job === undefined || lease === null) return { answer: abandon, present: null };
    if (!this.#mayHold(job, lease)) {
      const action = lease.accepted !== null ? 'continue' : 'abandon';
      return { answer: { ...abandon, action }, present: null };
    }
    if (lease.state === 'ran_out') this.#takeBack(job, lease);
    lease.sign = true;
    lease.expires = this.now + this.rules.lease;
    const action = job.cancelling || lease.stop !== null ? 'cancel' : 'continue';
    return { answer: { action, next_output: lease.next_output }, present: lease };
  }

  /** @param running with job ids for refs */
  register(machine_id: string, connection: string, indexes: number[], running: Held[]): HeldAnswer[] {
    const machine = this.machine(machine_id);
    machine.connection = connection;
    machine.from_long_ago = false;
    const named = new Set<string>();
    const answers = running.map(held => {
      const { answer, present } = this.#hold(held, machine_id);
      if (present === null) return answer;
      if (indexes.includes(present.index)) {
        named.add(present.lease_id);
        machine.slots.set(present.index, { lease_id: present.lease_id, job_id: held.ref, mark: null });
        return answer;
      }
      const job = this.jobs.get(held.ref) as Job;
      if (job.cancelling) this.#end(job, 'cancelled');
      else this.#giveBack(job);
      return { ...answer, action: 'abandon' } as const;
    });
    for (const [index, slot] of machine.slots) {
      if (named.has(slot.lease_id)) continue;
      machine.slots.delete(index);
      const job = this.jobs.get(slot.job_id);
      if (job?.lease?.lease_id !== slot.lease_id) continue;
      if (job.lease.state === 'ran_out') job.lease.state = 'over';
      else if (job.lease.state === 'held') this.#lose(job, job.lease, 'unnamed');
    }
    return answers;
  }

  renew(
    machine_id: string,
    connection: string,
    running: Held[],
  ): { answers: HeldAnswer[]; freed: number[]; leased: number[] } | null {
    const machine = this.machine(machine_id);
    if (machine.connection !== connection) return null;
    const before = [...machine.slots.keys()];
    const lost = [...machine.slots].filter(([, { mark }]) => mark === 'x');
    const answers = running.map(held => this.#hold(held, machine_id).answer);
    const named = new Set(running.map(held => held.lease_id));
    const freed = lost.filter(([, { lease_id }]) => !named.has(lease_id)).map(([index]) => index);
    for (const index of freed) machine.slots.delete(index);
    const leased = before.filter(index => !freed.includes(index));
    return { answers, freed: freed.sort(), leased: leased.sort() };
  }

  /** @param later did this connection register after any other, or before? */
  attach(machine_id: string, connection: string, later: boolean): Machine | null {
    const machine = this.machine(machine_id);
    const other = machine.connection !== null && machine.connection !== connection;
    if (other && !later && !machine.from_long_ago) return null;
    machine.connection = connection;
    machine.from_long_ago = !later;
    return machine;
  }

  /** @param connection or the id of a hub that died: any of its connections */
  disconnect(machine_id: string, connection: string): number[] | null {
    const machine = this.machine(machine_id);
    const present = machine.connection;
    if (present !== null && present !== connection && present.split(':')[0] !== connection) return null;
    machine.connection = null;
    for (const [index, { mark }] of machine.slots) if (mark !== null) machine.slots.delete(index);
    return [...machine.slots.keys()].sort();
  }

  drain(machine_id: string, index: number, drained: boolean): void {
    if (drained) this.machine(machine_id).drained.add(index);
    else this.machine(machine_id).drained.delete(index);
  }

  // Classes and signatures

  fit(class_id: string, signatures: string[]): void {
    const known = this.classes.get(class_id)?.fit ?? new Set();
    this.classes.set(class_id, { fit: new Set([...known, ...signatures]) });
  }

  /** Signatures no unfinished job has are forgotten, by the classes too: a hub tells them again when they are back. */
  purgeSignatures(): void {
    const used = new Set(
      [...this.jobs.values()].filter(job => !hasEnded(job)).map(job => job.spec.signature),
    );
    for (const signature of this.signatures) {
      if (used.has(signature)) continue;
      this.signatures.delete(signature);
      for (const { fit } of this.classes.values()) fit.delete(signature);
    }
  }

  // Time

  #startDeadline(job: Job): number {
    const { start_timeout } = job.spec;
    if (start_timeout === null || job.attempt > 0) return Number.POSITIVE_INFINITY;
    return Math.max(job.created, job.run_at) + start_timeout;
  }

  reap(): void {
    const may_expire = this.#mayExpire();
    if (may_expire) {
      for (const job of this.jobs.values()) {
        const { lease } = job;
        if (lease?.state !== 'held' || lease.expires > this.now) continue;
        this.#markSlot(lease, 'x');
        this.#lose(job, lease, 'ran_out');
      }
    }
    for (const job of this.jobs.values()) this.#deadline(job, may_expire);
    const due = [...this.jobs.values()].filter(job => job.state === 'scheduled' && job.run_at <= this.now);
    due.sort((a, b) => a.told.run_at - b.told.run_at || (a.job_id < b.job_id ? -1 : 1));
    for (const job of due) this.#enqueue(job);
  }

  /** After a silence of the reaper, or a jump of the clock, leases and their deadlines get one lease more. */
  #mayExpire(): boolean {
    const { at } = this.reaper;
    if (at !== null && this.now - at > this.rules.lease / 2) this.reaper.hold = this.now + this.rules.lease;
    this.reaper.at = this.now;
    return this.now >= this.reaper.hold;
  }

  /** @param judged may those of leases be judged? */
  #deadline(job: Job, judged: boolean): void {
    const { lease } = job;
    if (hasEnded(job)) return;
    if (lease?.state !== 'held') {
      if (this.#startDeadline(job) <= this.now) this.#end(job, 'expired');
    } else if (!judged) {
      return;
    } else if (job.grace_ends !== null) {
      if (job.grace_ends > this.now) return;
      this.#markSlot(lease, 't');
      if (job.cancelling) this.#end(job, 'cancelled');
      else this.#fail(job, lease.stop as Stop, true);
    } else {
      const stop = this.#lateness(job, lease);
      if (stop === null) return;
      lease.stop = stop;
      job.grace_ends = this.now + this.rules.grace;
    }
  }

  #lateness(job: Job, lease: Lease): Stop | null {
    const { run_timeout, progress_timeout } = job.spec;
    if (run_timeout !== null && lease.assigned + run_timeout <= this.now) return 'timeout';
    if (progress_timeout !== null && lease.heard + progress_timeout <= this.now) return 'progress_timeout';
    return null;
  }

  /** Forgets ended jobs: those older than `age`, and the oldest above `keep` of each kind. @returns how many */
  trim(keep: number, age: number): number {
    let forgotten = 0;
    for (const state of ENDED) {
      const ended = [...this.jobs.values()]
        .filter(job => job.state === state)
        .sort((a, b) => a.told.finished_at - b.told.finished_at || (a.job_id < b.job_id ? -1 : 1));
      const old = ended.filter(job => (job.finished as number) <= this.now - age).length;
      for (const job of ended.slice(0, Math.max(ended.length - keep, old, 0))) {
        this.#forget(job);
        forgotten += 1;
      }
    }
    return forgotten;
  }

  /** Its id runs only once until `idempotency` after the job ended. */
  #forget(job: Job): void {
    const until = (job.finished as number) + this.rules.idempotency;
    this.jobs.delete(job.job_id);
    if (until > this.now) this.tombs.set(job.job_id, { spec: job.spec, state: job.state, until });
  }

  /** Time passes: ids may be used anew. */
  pass(amount: number): void {
    this.now += amount;
    for (const [job_id, { until }] of this.tombs) if (until <= this.now) this.tombs.delete(job_id);
  }
}
