import { decode } from '@msgpack/msgpack';
import {
  type AttemptRecord,
  BACKOFF_MS_DEFAULT,
  type EventType,
  type JobRecord,
  type JobState,
  MAX_ATTEMPTS_DEFAULT,
  type Submission,
} from '../messages/job.ts';
import { ObjectText } from '../messages/object_text.ts';
import { type JobEvent, makeEvent } from './effects.ts';
import { idOf } from './keys.ts';

/** The state letters of lua/lib/job.lua. */
export const LETTERS = {
  s: 'scheduled',
  q: 'queued',
  a: 'assigned',
  p: 'processing',
  c: 'completed',
  f: 'failed',
  x: 'cancelled',
  e: 'expired',
} as const satisfies Record<string, JobState>;
export type Letter = keyof typeof LETTERS;

export const LETTER_OF = Object.fromEntries(
  Object.entries(LETTERS).map(([letter, state]) => [state, letter]),
) as Record<JobState, Letter>;

/** The packed fields of a job; names as in lua/lib/job.lua, which explains them. */
interface Packed {
  st: Letter;
  n: number;
  ty: string;
  sg: string;
  pr?: number;
  sc?: number;
  ci?: string;
  rf?: string;
  ma?: number;
  bo?: number;
  so?: number;
  ro?: number;
  po?: number;
  ca: number;
  ra?: number;
  fa?: number;
  cr?: number;
  cw?: string;
  qa?: number;
  qn?: number;
  qr?: string;
  sn?: number;
  at?: number;
  aa?: number;
  an?: number;
  ta?: number;
  tn?: number;
  cn?: number;
  l?: string;
  lw?: string;
  lx?: string;
  lo?: string;
  la?: number;
  pg?: string;
  pm?: string;
  oi?: number;
  w?: string;
}

interface PastLease {
  at: number;
  lw: string;
  aa: number;
  ta?: number;
  la: number;
  lo: string;
  e?: string;
}

/** A job's HASH as it was read: `[b, o, d, r, e, h]`. */
export type RawJob = [Buffer, Buffer | null, Buffer, Buffer | null, Buffer | null, Buffer | null];
export const RAW_FIELDS = ['b', 'o', 'd', 'r', 'e', 'h'] as const;

const ENDED = new Set<Letter>(['c', 'f', 'x', 'e']);

/** A stored job: its parts decoded as far as they are asked for. */
export class StoredJob {
  readonly ref: string;
  readonly packed: Packed;
  readonly #raw: RawJob;

  constructor(ref: string, raw: RawJob) {
    this.ref = ref;
    this.#raw = raw;
    this.packed = decode(raw[2]) as Packed;
  }

  get status(): JobState {
    return LETTERS[this.packed.st];
  }

  get ended(): boolean {
    return ENDED.has(this.packed.st);
  }

  /** The submission as it was accepted. */
  get submission(): Record<string, unknown> {
    return JSON.parse(this.#submission);
  }

  get submission_text(): ObjectText {
    return new ObjectText(this.#submission);
  }

  get #submission(): string {
    const [b, o] = this.#raw;
    return `{${b.toString()}${o === null || o.length === 0 ? '' : `,${o.toString()}`}}`;
  }

  /** The full record as JSON, with params, metadata, result and error as they were written. */
  get text(): string {
    const {
      params: _params,
      metadata: _metadata,
      result: _result,
      error: _error,
      ...others
    } = this.record(true);
    const submission = this.submission_text;
    const [, , , result, error] = this.#raw;
    return `${JSON.stringify(others).slice(0, -1)},"error":${error?.toString() ?? null},"metadata":${submission.member('metadata')},"params":${submission.member('params')},"result":${result?.toString() ?? null}}`;
  }

  /** The record of section 2 of the protocol. @param full with params, result and attempts */
  record(full: boolean): JobRecord {
    const d = this.packed;
    const submission = this.submission;
    const running = !this.ended && (d.st === 'a' || d.st === 'p');
    const record: JobRecord = {
      job_id: idOf(this.ref),
      job_type: d.ty,
      status: this.status,
      priority: d.pr ?? 0,
      requirements: (submission['requirements'] as JobRecord['requirements']) ?? null,
      client_id: d.ci ?? null,
      worker_id: running || this.ended ? (d.lw ?? null) : null,
      attempt: d.at ?? 0,
      max_attempts: d.ma ?? MAX_ATTEMPTS_DEFAULT,
      progress: Number(d.pg ?? 0),
      progress_message: d.pm === undefined ? null : (JSON.parse(d.pm) as string),
      error: this.#json(4),
      metadata: (submission['metadata'] as JobRecord['metadata']) ?? null,
      retry_of: d.rf ?? null,
      cancel_requested_at: d.cr ?? null,
      created_at: d.ca,
      run_at: d.ra ?? null,
      queued_at: d.qa ?? null,
      assigned_at: d.aa ?? null,
      started_at: d.ta ?? null,
      finished_at: d.fa ?? null,
      updated_at: Math.floor(d.n / 1000),
      seq: d.n,
    };
    if (!full) return record;
    return {
      ...record,
      params: submission['params'] as Record<string, unknown>,
      result: this.#json(3),
      attempts: this.#attempts(),
    };
  }

  #json(index: 3 | 4): unknown {
    const text = this.#raw[index];
    return text === null ? null : JSON.parse(text.toString());
  }

  #attempts(): AttemptRecord[] {
    const past = this.#raw[5] === null ? [] : (decode(this.#raw[5]) as PastLease[]);
    const attempts = past.map(lease => ({
      attempt: lease.at,
      worker_id: lease.lw,
      assigned_at: lease.aa,
      started_at: lease.ta ?? null,
      ended_at: lease.la,
      outcome: lease.lo,
      error: lease.e === undefined ? null : JSON.parse(lease.e),
    }));
    const d = this.packed;
    if (d.l === undefined) return attempts;
    const failed =
      d.lo !== undefined && !['completed', 'cancelled', 'released', 'rejected', 'undelivered'].includes(d.lo);
    const present: AttemptRecord = {
      attempt: Number.parseInt(d.l, 10),
      worker_id: d.lw ?? null,
      assigned_at: d.aa ?? null,
      started_at: d.ta ?? null,
      ended_at: d.la ?? null,
      outcome: d.lo ?? (d.lx === 'c' ? 'lease_expired' : d.lx === 'u' ? 'undelivered' : null),
      error: failed || d.lx === 'c' ? this.#json(4) : null,
    };
    return [...attempts, present].slice(-20);
  }

  /**
   * The kept events with a higher seq, in order: those that led to the present state, and the terminal one.
   * Each kind is kept once, with its last seq.
   */
  eventsAfter(seq: number): JobEvent[] {
    const d = this.packed;
    const at = d.at ?? 0;
    const make = (
      type: EventType,
      n: number | undefined,
      time: number | undefined,
      parts: (string | number)[],
    ) =>
      n !== undefined && n > seq
        ? [makeEvent(type, this.ref, n, time ?? Math.floor(n / 1000), at, parts)]
        : [];
    const events = [
      ...this.#waitEvents(make),
      ...make('job_assigned', d.an, d.aa, [d.lw ?? '']),
      ...make('job_started', d.tn, d.ta, [d.lw ?? '']),
      ...make('job_cancelling', d.cn, d.cr, [d.cw ?? '']),
      ...this.#endEvents(make),
    ];
    return events.sort((a, b) => a.seq - b.seq);
  }

  #waitEvents(make: Make): JobEvent[] {
    const d = this.packed;
    const error = this.#raw[4]?.toString() ?? 'null';
    const waited =
      d.sn === undefined || d.ra === undefined
        ? []
        : (d.at ?? 0) === 0
          ? make('job_scheduled', d.sn, undefined, [d.ra])
          : make('job_retrying', d.sn, undefined, [d.ra, d.ma ?? MAX_ATTEMPTS_DEFAULT, error]);
    return [...waited, ...make('job_queued', d.qn, d.qa, ['null', d.qr ?? 'submitted'])];
  }

  #endEvents(make: Make): JobEvent[] {
    const d = this.packed;
    if (!this.ended) return [];
    const error = this.#raw[4]?.toString() ?? 'null';
    if (d.st === 'c') {
      const queued = Math.max(0, (d.aa ?? 0) - Math.max(d.ca, d.ra ?? 0));
      const run = Math.max(0, (d.fa ?? 0) - (d.aa ?? 0));
      return make('job_completed', d.n, d.fa, [d.lw ?? '', queued, run, this.#raw[3]?.toString() ?? 'null']);
    }
    if (d.st === 'f') return make('job_failed', d.n, d.fa, [d.lw ?? '', error]);
    if (d.st === 'x') return make('job_cancelled', d.n, d.fa, [d.cw ?? '']);
    return make('job_expired', d.n, d.fa, []);
  }
}

type Make = (
  type: EventType,
  n: number | undefined,
  time: number | undefined,
  parts: (string | number)[],
) => JobEvent[];

/** What scripts need of a submission beside its content, as arguments of lua/submit.lua. */
export type Constants = [job_type: string, fp: string, client_id: string, priority: number, further: string];

/** Leaves out what is the default, as the scripts expect. Small numbers and names only: JSON is exact in Lua for them. */
export function constantsOf(
  job: Submission,
  more: { client_id?: string; retry_of?: string; fp: string },
): Constants {
  const further = JSON.stringify({
    ma: job.max_attempts === MAX_ATTEMPTS_DEFAULT ? undefined : job.max_attempts,
    bo: job.backoff_ms === BACKOFF_MS_DEFAULT ? undefined : job.backoff_ms,
    so: job.start_timeout_ms,
    ro: job.run_timeout_ms,
    po: job.progress_timeout_ms,
    rf: more.retry_of,
  });
  return [job.job_type, more.fp, more.client_id ?? '', job.priority, further === '{}' ? '' : further];
}
