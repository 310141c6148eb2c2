import type { Histogram } from '../histogram.ts';
import type { FinishedState, JobRecord, StateFilter, WatchLevel } from '../messages/job.ts';
import type { WorkerRecord } from '../messages/worker.ts';
import type { Done } from './batcher.ts';
import type { Content } from './content.ts';
import type { Advice } from './durability.ts';
import type { Effect } from './effects.ts';
import type { Letter, StoredJob } from './records.ts';

export type { Content } from './content.ts';
export { contentOf } from './content.ts';
export type { Done, Effect, StoredJob };
export type { JobEvent } from './effects.ts';

/** What became of a submission. `position` is null unless queued. */
export type Submitted =
  | {
      outcome: 'new' | 'duplicate';
      status: JobRecord['status'];
      seq: number;
      position: number | null;
      created_at: number;
    }
  | { outcome: 'conflict' | 'full' };

export interface MachineAddress {
  machine_id: string;
  connection: string;
}

export interface SlotAddress extends MachineAddress {
  index: number;
  class_id: string;
}

/**
 * What a slot got. `job`: a new lease. `held`: the lease it has already. `none`: nobody waits for it. `more`: how many
 * jobs may be left for its class. `stuck`: its lease was lost and the worker has not said a word of it. `fenced`: the machine
 * registered elsewhere. `class`: Redis does not know the class.
 */
export type Claimed =
  | {
      outcome: 'job' | 'held';
      ref: string;
      lease_id: string;
      attempt: number;
      body: string;
      more: number;
      signature: string;
    }
  | { outcome: 'stuck'; ref: string; lease_id: string }
  | { outcome: 'none' | 'fenced' | 'drained' | 'class' };

export interface Held {
  ref: string;
  lease_id: string;
}

/** A sign of work. Opaque values are JSON texts, absent ones empty. */
export type Sign =
  | { kind: 'started' }
  | { kind: 'progress'; progress: number; message: string; data: string }
  /** Progress that was told and not written: no sign of its own. */
  | { kind: 'late_progress'; progress: number; message: string }
  | { kind: 'output'; index: number; data: string };
export type Report = Held & { machine_id: string } & Sign;
/** `late`: the progress was told, but is not in the record. A number is the next index of output. */
export type Reported = 'ok' | 'late' | 'stale' | number;

/** `undelivered` is the hub's own word: the worker was gone before the job could be sent. */
export type FinishKind = 'completed' | 'failed' | 'cancelled' | 'released' | 'rejected' | 'undelivered';

export interface Finish extends Held {
  machine_id: string;
  kind: FinishKind;
  /** Result or error as JSON text. */
  payload: string;
  retryable: boolean;
}

/** What Redis decided about a terminal message; final. `freed` is the worker whose slot is free now. */
export interface Finished {
  accepted: boolean;
  code: 'stale_lease' | 'conflict' | 'not_found' | null;
  queued_ms: number;
  run_ms: number;
  freed: string | null;
}

export interface HeldAnswer {
  action: 'continue' | 'abandon' | 'cancel';
  next_output: number;
}

/** What Redis keeps of a machine's slots. */
export interface KeptSlots {
  /** Those with a lease: mark `x` it ran out, `t` it was taken away. */
  slots: Map<number, Held & { mark: 'x' | 't' | null }>;
  /** Those an operator drained, with why (JSON). */
  drained: Map<number, string>;
}

export interface Registered extends KeptSlots {
  answers: HeldAnswer[];
  /** ms of the time of Redis. */
  at: number;
}

export interface ListFilter {
  status?: StateFilter | undefined;
  job_type?: string | undefined;
  client_id?: string | undefined;
  worker_id?: string | undefined;
  limit: number;
  cursor?: string | undefined;
  full: boolean;
  /** A page ends early at this size. */
  max_bytes: number;
}

export interface Beat {
  now: number;
  dead: string[];
  hubs: Map<string, string>;
  /** The others had taken this hub for dead, or never knew it. */
  returned: boolean;
  /** Redis lost everything, or comes from an earlier time than before. */
  loss: 'empty' | 'older' | null;
}

export interface StoredOutput {
  index: number;
  /** JSON text. */
  data: string;
}

/** What time did by itself. `expired`: leases that ran out; `ended`: refs of jobs that are over now. */
export interface Reaped {
  more: boolean;
  next_due: number | null;
  expired: number;
  ended: string[];
}

export interface Trim {
  letters: Letter[];
  keep: number;
  age_ms: number;
}

/**
 * What the hub keeps in Redis. Each operation that changes state is one script: atomic, and idempotent by its ids, so
 * that one without an answer can be sent again. Operations with a `done` callback are gathered with others of their turn;
 * they call back in order, before their effects are handed out.
 *
 * @throws HubError `unavailable` from every operation while Redis cannot do it; `details.outcome` says whether it may have
 */
export interface Store {
  readonly hub_id: string;
  /** Can Redis serve now? If not, why. */
  readonly up: boolean;
  readonly why: string;
  /** Script calls until their reply, and those that failed. */
  readonly round_trips: Histogram;
  readonly failed_trips: number;
  /** Do so many new jobs wait for their call to Redis that whoever brings more should be read no further? */
  readonly crowded: boolean;
  /** Why new work cannot be taken now, as a sentence; null if it can, as far as `probe` found. */
  readonly trouble: string | null;

  /** Connects, and checks that this hub may share what is in Redis. @throws Error with a sentence when it may not */
  open(): Promise<void>;
  close(): void;
  /** What about this Redis may lose jobs. */
  advice(): Promise<Advice[]>;
  /** Asks whether Redis takes new work; `trouble` tells. Never throws. */
  probe(): Promise<void>;
  /** All that was sent to Redis before has been answered or has failed. Never throws. */
  settled(): Promise<void>;
  /** Calls once, when of what waits now so much was sent that it was not crowded any more, whatever comes meanwhile. */
  onceRoom(act: () => void): void;
  onEffect(listener: (effect: Effect) => void): void;
  /** Told when Redis can be served again: hints may have been missed. */
  onUp(listener: () => void): void;
  onDown(listener: (why: string) => void): void;
  /** Another server process answers than before, perhaps with older data. Told before `onUp`. */
  onChanged(listener: () => void): void;

  /**
   * Accepts a job. Redis holds it when this is answered; the same content under the same id makes nothing new.
   *
   * @param sent called when it goes to Redis: a claim made then comes right behind it
   */
  submit(
    job_id: string,
    content: Content,
    watch: WatchLevel | null,
    done: Done<Submitted>,
    sent?: () => void,
  ): void;
  /** Leases the most urgent job an idle slot can run. @guarantee at most one present lease a job, one job a slot */
  claim(slot: SlotAddress, done: Done<Claimed>): void;
  /** Makes a class of slots known, and which signatures it can run. */
  fit(class_id: string, signatures: string[]): Promise<void>;
  /** The signatures of which Redis holds that a class can run them. */
  fitting(class_id: string): Promise<Set<string>>;
  /** Notes a sign of work; `stale` if the lease is not the present one. Of outputs: the next index wanted. */
  report(report: Report, done: Done<Reported>): void;
  /** Ends a lease as its worker says, if it is the present one. A repeat gets the same answer. */
  finish(finish: Finish, done: Done<Finished>): void;

  /**
   * Makes the connection the machine's only one; what it does not name goes back to the queue.
   *
   * @param left the machine that the socket spoke for before, if it was another: all its jobs go back, named or not
   */
  register(
    machine_id: string,
    connection: string,
    indexes: number[],
    running: Held[],
    left?: MachineAddress,
  ): Promise<Registered>;
  /**
   * Makes the connection the machine's again where Redis lost or forgot it, unless the machine registered elsewhere later.
   *
   * @param registered_at ms, as `register` said
   * @returns null if another connection has the machine
   */
  attach(machine_id: string, connection: string, registered_at: number): Promise<KeptSlots | null>;
  /** Renews the leases named. `leased`: the slots that have one now. Null if it is not the machine's connection. */
  renew(
    machine_id: string,
    connection: string,
    running: Held[],
  ): Promise<{ answers: HeldAnswer[]; freed: number[]; leased: number[] } | null>;
  /**
   * The socket is gone.
   *
   * @param offline the records of its workers from now on: those whose slots still have a lease stay listed with them
   * @returns the slots that still have a lease, or null if another connection has the machine: then its records stay
   */
  disconnect(machine_id: string, connection: string, offline?: WorkerRecord[]): Promise<number[] | null>;

  cancel(
    job_id: string,
    reason: string | undefined,
  ): Promise<'cancelled' | 'cancelling' | 'ended' | 'not_found'>;
  setPriority(job_id: string, priority: number): Promise<'ok' | 'ended' | 'not_found'>;
  /** `why` null resumes. */
  pause(job_type: string | null, why: { reason: string | null; at: number } | null): Promise<void>;
  paused(): Promise<{ job_type: string | null; reason: string | null; at: number }[]>;
  /** `why` null resumes. */
  drain(worker_ids: string[], why: { reason: string | null; resume_at: number | null } | null): Promise<void>;

  get(job_id: string): Promise<StoredJob | null>;
  /** Where it stands among the waiting jobs of its signature, from 1, null unless queued; and how many these are. */
  place(job: StoredJob): Promise<{ position: number | null; waiting: number }>;
  list(filter: ListFilter): Promise<{ jobs: JobRecord[]; next_cursor: string | null }>;
  /** The jobs without params, and past only as far as replays need it, each as it is at the moment from which on this hub hears of it. */
  watch(job_ids: string[], level: WatchLevel): Promise<(StoredJob | null)[]>;
  /** The kept outputs of the present assignment from an index on. */
  outputs(job_id: string, from: number): Promise<StoredOutput[]>;

  /** Counts by job type and state. */
  counts(): Promise<Map<string, Partial<Record<JobRecord['status'], number>>>>;
  /** Age in ms of the oldest job at the head of a queue, or null. */
  oldestQueued(now: number): Promise<number | null>;
  signatures(): Promise<Map<string, string>>;

  /** What time does by itself, a bounded part of it. */
  reap(): Promise<Reaped>;
  /** Forgets ended jobs beyond retention and tombstones that are over, a bounded number. */
  trim(trim: Trim): Promise<{ forgotten: number; more: boolean }>;
  purge(status: FinishedState, older_than_ms: number): Promise<number>;
  purgeSignatures(): Promise<void>;

  beat(info: string, has_monitor: boolean, dead_after_ms: number, classes: string[]): Promise<Beat>;
  leave(): Promise<void>;
  putWorkers(records: WorkerRecord[]): Promise<void>;
  /** Drops the records of offline workers that no longer hold a lease. */
  dropLeft(records: WorkerRecord[]): Promise<void>;
  /** A frame about a worker for the monitors of another hub; a hint, nobody waits for it. */
  tellHub(hub_id: string, frame: string): void;
  workers(): Promise<WorkerRecord[]>;
  workerCount(): Promise<number>;
}
