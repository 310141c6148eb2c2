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
import { submissionText } from './bodies.ts';
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

/** What each record begins with, in this order. */
const USUAL = 'st ix n w ty sg fp ci pr sc ca hb qr qn at l lw an tn'.split(' ');
const NUMBERS = new Set('n pr ca at qn an tn ma ra cr sn cn aa ta la oi'.split(' '));

/** The fields of a job's record; names as in lua/lib/job.lua, which explains them. Seqs and times are numbers here. */
interface Fields {
  st: Letter;
  n: number;
  ty: string;
  sg: string;
  ca: number;
  at: number;
  pr?: number;
  ci?: string;
  qr?: string;
  qn?: number;
  l?: string;
  lw?: string;
  an?: number;
  tn?: number;
  rf?: string;
  ma?: number;
  ra?: number;
  cr?: number;
  cw?: string;
  sn?: number;
  cn?: number;
  aa?: number;
  ta?: number;
  lx?: string;
  lo?: string;
  la?: number;
  er?: string;
  xc?: string;
  sp?: string;
  pg?: string;
  pm?: string;
  oi?: number;
}

const msOf = (seq: number) => Math.floor(seq / 1000);

/** Reads a record, the text that lua/lib/job.lua writes; what the record leaves to its seqs and its state is filled in. */
function readFields(record: string): Fields {
  const texts = record.split('\0');
  const lines = texts[USUAL.length]?.split('\n').slice(1) ?? [];
  const written: [string, string][] = [
    ...USUAL.map((name, i): [string, string] => [name, texts[i] ?? '']),
    ...lines.map((line): [string, string] => [line.slice(0, 2), line.slice(2)]),
  ];
  const given = written.filter(([, text]) => text !== '');
  const fields = Object.fromEntries(
    given.map(([name, text]) => [name, NUMBERS.has(name) ? Number(text) : text]),
  ) as unknown as Fields;
  fields.ca ??= msOf(fields.n);
  if (fields.st === 'q') fields.qn ??= fields.n;
  if (fields.st === 'c') Object.assign(fields, { lo: 'completed', la: msOf(fields.n), pg: '1' });
  if (fields.an !== undefined) fields.aa ??= msOf(fields.an);
  if (fields.tn !== undefined) fields.ta ??= msOf(fields.tn);
  return fields;
}

/** When the job of this record was last queued (ms); null if it never was. */
export function queuedAt(record: string): number | null {
  const { qn } = readFields(record);
  return qn === undefined ? null : msOf(qn);
}

/** What Redis holds of a job, as far as it was asked for. */
export type RawJob = [
  body: string | null,
  record: string | null,
  result?: string | null,
  past?: string | null,
];

const ENDED = new Set<Letter>(['c', 'f', 'x', 'e']);

/** Ended leases from their lines. */
function readPast(past: string): AttemptRecord[] {
  return past.split('\n').map(line => {
    const [lease, worker_id, assigned, started, ended, outcome, , , ...error] = line.split(' ');
    return {
      attempt: Number.parseInt(lease as string, 10),
      worker_id: worker_id as string,
      assigned_at: Number(assigned),
      started_at: started === '' ? null : Number(started),
      ended_at: Number(ended),
      outcome: outcome as string,
      error: error.join(' ') === '' ? null : JSON.parse(error.join(' ')),
    };
  });
}

/** A stored job: its parts decoded as far as they are asked for. */
export class StoredJob {
  readonly ref: string;
  readonly fields: Fields;
  readonly #body: string;
  readonly #result: string | null;
  readonly #past: string | null;

  constructor(ref: string, body: string, record: string, result: string | null, past: string | null) {
    this.ref = ref;
    this.fields = readFields(record);
    this.#body = body;
    this.#result = result;
    this.#past = past;
  }

  /** Null if there is no such job. */
  static of(ref: string, [body, record, result = null, past = null]: RawJob): StoredJob | null {
    return body === null || record === null ? null : new StoredJob(ref, body, record, result, past);
  }

  get status(): JobState {
    return LETTERS[this.fields.st];
  }

  get ended(): boolean {
    return ENDED.has(this.fields.st);
  }

  /** The submission as it was accepted. */
  get submission(): Record<string, unknown> {
    return JSON.parse(this.#submission);
  }

  get submission_text(): ObjectText {
    return new ObjectText(this.#submission);
  }

  get #submission(): string {
    return submissionText(this.#body);
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
    return `${JSON.stringify(others).slice(0, -1)},"error":${this.fields.er ?? null},"metadata":${submission.member('metadata')},"params":${submission.member('params')},"result":${this.#result}}`;
  }

  /** The record of section 2 of the protocol. @param full with params, result and attempts */
  record(full: boolean): JobRecord {
    const d = this.fields;
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
      attempt: d.at,
      max_attempts: d.ma ?? MAX_ATTEMPTS_DEFAULT,
      progress: Number(d.pg ?? 0),
      progress_message: d.pm === undefined ? null : (JSON.parse(d.pm) as string),
      error: this.#error,
      metadata: (submission['metadata'] as JobRecord['metadata']) ?? null,
      retry_of: d.rf ?? null,
      cancel_requested_at: d.cr ?? null,
      created_at: d.ca,
      run_at: d.ra ?? null,
      queued_at: d.qn === undefined ? null : msOf(d.qn),
      assigned_at: d.aa ?? null,
      started_at: d.ta ?? null,
      finished_at: this.finished_at,
      updated_at: msOf(d.n),
      seq: d.n,
    };
    if (!full) return record;
    return {
      ...record,
      params: submission['params'] as Record<string, unknown>,
      result: this.#result === null ? null : JSON.parse(this.#result),
      attempts: this.#attempts(),
    };
  }

  /** ms; null while it has not ended. */
  get finished_at(): number | null {
    return this.ended ? msOf(this.fields.n) : null;
  }

  get #error(): JobRecord['error'] {
    return this.fields.er === undefined ? null : JSON.parse(this.fields.er);
  }

  #attempts(): AttemptRecord[] {
    const attempts = this.#past === null ? [] : readPast(this.#past);
    const d = this.fields;
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
      error: failed || d.lx === 'c' ? this.#error : null,
    };
    return [...attempts, present].slice(-20);
  }

  /** The attempt of the newest lease; outputs, assignment and start are of it, also when it was not counted. */
  get lease_attempt(): number {
    return this.fields.l === undefined ? 0 : Number.parseInt(this.fields.l, 10);
  }

  /**
   * The kept events with a higher seq, in order: those that led to the present state, and the terminal one.
   * Each kind is kept once, with its last seq.
   */
  eventsAfter(seq: number): JobEvent[] {
    const d = this.fields;
    const make: Make = (type, n, attempt, parts, time) =>
      n !== undefined && n > seq ? [makeEvent(type, this.ref, n, time ?? msOf(n), attempt, parts)] : [];
    const events = [
      ...this.#waitEvents(make),
      ...make('job_assigned', d.an, this.lease_attempt, [d.lw ?? ''], d.aa),
      ...make('job_started', d.tn, this.lease_attempt, [d.lw ?? ''], d.ta),
      ...make('job_cancelling', d.cn, d.at, [d.cw ?? ''], d.cr),
      ...this.#endEvents(make),
    ];
    return events.sort((a, b) => a.seq - b.seq);
  }

  #waitEvents(make: Make): JobEvent[] {
    const d = this.fields;
    // Assigned since, which counts one more.
    const before = (d.an ?? 0) > (d.qn ?? 0) ? this.lease_attempt - 1 : d.at;
    const queued = make('job_queued', d.qn, before, ['null', d.qr ?? 'submitted']);
    if (d.sn === undefined || d.ra === undefined) return queued;
    const failed = this.#failedBefore(d.sn);
    const waited =
      failed === null
        ? make('job_scheduled', d.sn, 0, [d.ra])
        : make('job_retrying', d.sn, failed.attempt, [d.ra, d.ma ?? MAX_ATTEMPTS_DEFAULT, failed.error]);
    return [...waited, ...queued];
  }

  /** The last attempt that had failed when an event with this seq was told; null if none had: the job was new. */
  #failedBefore(seq: number): { attempt: number; error: string } | null {
    const d = this.fields;
    if (d.lo !== undefined && d.er !== undefined && (d.an ?? 0) < seq && (d.la ?? 0) <= msOf(seq))
      return { attempt: this.lease_attempt, error: d.er };
    for (const line of this.#past?.split('\n').reverse() ?? []) {
      const [lease, , , , ended, , , , ...error] = line.split(' ');
      if (Number(ended) <= msOf(seq) && error.join(' ') !== '')
        return { attempt: Number.parseInt(lease as string, 10), error: error.join(' ') };
    }
    return null;
  }

  #endEvents(make: Make): JobEvent[] {
    const d = this.fields;
    if (!this.ended) return [];
    const error = d.er ?? 'null';
    if (d.st === 'c') {
      const queued = Math.max(0, (d.aa ?? 0) - Math.max(d.ca, d.ra ?? 0));
      const run = Math.max(0, msOf(d.n) - (d.aa ?? 0));
      return make('job_completed', d.n, d.at, [d.lw ?? '', queued, run, this.#result ?? 'null']);
    }
    if (d.st === 'f') return make('job_failed', d.n, d.at, [d.lw ?? '', error]);
    if (d.st === 'x') return make('job_cancelled', d.n, d.at, [d.cw ?? '']);
    return make('job_expired', d.n, d.at, []);
  }
}

type Make = (
  type: EventType,
  n: number | undefined,
  attempt: number,
  parts: (string | number)[],
  time?: number,
) => JobEvent[];

/** What scripts need of a submission beside its content, as arguments of lua/submit.lua. */
export type Constants = [job_type: string, fp: string, client_id: string, priority: string, further: string];

const line = (name: string, value: string | number | undefined) =>
  value === undefined ? '' : `\n${name}${value}`;

/** Leaves out what is the default, as the scripts expect. */
export function constantsOf(
  job: Submission,
  more: { client_id?: string; retry_of?: string; fp: string },
): Constants {
  const lines =
    line('ma', job.max_attempts === MAX_ATTEMPTS_DEFAULT ? undefined : job.max_attempts) +
    line('bo', job.backoff_ms === BACKOFF_MS_DEFAULT ? undefined : job.backoff_ms) +
    line('so', job.start_timeout_ms) +
    line('ro', job.run_timeout_ms) +
    line('po', job.progress_timeout_ms) +
    line('rf', more.retry_of);
  const priority = job.priority === 0 ? '' : String(job.priority);
  return [job.job_type, more.fp, more.client_id ?? '', priority, lines];
}
