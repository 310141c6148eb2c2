import type { z } from 'zod';
import type { ErrorCode } from '../errors.ts';
import type { CancelJob, JobAccepted, ListJobs } from '../messages/client.ts';
import type { JobError } from '../messages/fields.ts';
import type { EVENTS, EventType, eventFields, JobRecord, Submission, WatchLevel } from '../messages/job.ts';
import type { Stats } from '../messages/stats.ts';
import {
  type BackoffOptions,
  base64url,
  bodyOf,
  GpuhubError,
  type HubLimits,
  type HubMessage,
  HubSocket,
  isLarger,
  type LocalErrorCode,
  type WelcomeMessage,
  type WireFactory,
} from './socket.ts';

export type { JobRecord } from '../messages/job.ts';
export type { Stats } from '../messages/stats.ts';
export { GpuhubError } from './socket.ts';

/** What `submit_job` takes; see section 3 of the protocol. */
export type JobSubmission = Omit<z.input<typeof Submission>, 'params'> & { params: Record<string, unknown> };
/** Which jobs to list. */
export type JobFilter = Omit<z.input<typeof ListJobs>, 'type' | 'request_id'>;
/** What the hub said when it took a job. */
export type AcceptedJob = Pick<z.infer<typeof JobAccepted>, 'status' | 'duplicate' | 'seq'> &
  Partial<Pick<z.infer<typeof JobAccepted>, 'position' | 'created_at' | 'warnings'>>;

type FieldsOf<F> = F extends z.ZodRawShape ? z.infer<z.ZodObject<F>> : never;
type EventOf<T> = T extends EventType
  ? { type: T } & FieldsOf<typeof eventFields> & FieldsOf<(typeof EVENTS)[T]>
  : never;
/** An event of a job; see section 4 of the protocol. */
export type JobEvent = EventOf<EventType>;

/** How long a request may take. Until then it is sent again after each lost connection. */
export interface RequestOptions {
  /** ms; `Infinity` waits for ever. */
  timeout_ms?: number;
  signal?: AbortSignal;
}

/** The job ended as `failed`: code, message, retryable and details are those of its last error. */
export class JobFailedError extends GpuhubError {
  readonly job_id: string;
  readonly retryable: boolean;

  constructor(job_id: string, error: unknown) {
    const { code, message, retryable, details } = (error ?? {}) as Partial<JobError>;
    super(code ?? 'failed', message ?? 'the job failed', details);
    this.name = 'JobFailedError';
    this.job_id = job_id;
    this.retryable = retryable !== false;
  }
}

/** The job ended as `cancelled`. */
export class JobCancelledError extends GpuhubError {
  readonly job_id: string;

  constructor(job_id: string, reason: string | undefined) {
    super('cancelled', reason ? `the job was cancelled: ${reason}` : 'the job was cancelled');
    this.name = 'JobCancelledError';
    this.job_id = job_id;
  }
}

/** The job ended as `expired`: no worker took it within `start_timeout_ms`. */
export class JobExpiredError extends GpuhubError {
  readonly job_id: string;

  constructor(job_id: string) {
    super('expired', 'the job was not started in time');
    this.name = 'JobExpiredError';
    this.job_id = job_id;
  }
}

/** Declared a second time: importing them from job.ts would bring all of zod into a browser. */
const TERMINAL = new Set<string>(['job_completed', 'job_failed', 'job_cancelled', 'job_expired']);
/** What only `watch: "all"` is told. */
const ONLY_ALL = new Set<string>(['job_queued', 'job_scheduled', 'job_assigned']);

/** Events that wait for a slow reader; beyond it the oldest outputs give way to a `job_output_gap`. */
const EVENTS_MAX = 512;
const OUTPUTS_KEPT = EVENTS_MAX / 2;

/** Events on their way to one reader. Of progress only the latest waits. */
class EventQueue implements AsyncIterableIterator<JobEvent> {
  #events: JobEvent[] = [];
  #readers: { resolve: (r: IteratorResult<JobEvent>) => void; reject: (e: Error) => void }[] = [];
  #over: { error?: GpuhubError } | undefined;
  readonly #detach: (queue: EventQueue) => void;

  constructor(detach: (queue: EventQueue) => void) {
    this.#detach = detach;
  }

  push(event: JobEvent): void {
    const reader = this.#readers.shift();
    if (reader !== undefined) {
      reader.resolve({ done: false, value: event });
      return;
    }
    if (event.type === 'job_progress' && this.#events.at(-1)?.type === 'job_progress') this.#events.pop();
    this.#events.push(event);
    if (this.#events.length > EVENTS_MAX) this.#events = trimmed(this.#events);
  }

  /** No further event comes; what waits is still read, then the error if there is one. */
  end(error?: GpuhubError): void {
    if (this.#over !== undefined) return;
    this.#over = error === undefined ? {} : { error };
    for (const reader of this.#readers.splice(0)) {
      if (error === undefined) reader.resolve({ done: true, value: undefined });
      else reader.reject(error);
    }
  }

  next(): Promise<IteratorResult<JobEvent>> {
    const event = this.#events.shift();
    if (event !== undefined) return Promise.resolve({ done: false, value: event });
    if (this.#over?.error !== undefined) return Promise.reject(this.#over.error);
    if (this.#over !== undefined) return Promise.resolve({ done: true, value: undefined });
    return new Promise((resolve, reject) => this.#readers.push({ resolve, reject }));
  }

  return(): Promise<IteratorResult<JobEvent>> {
    this.#events = [];
    this.end();
    this.#detach(this);
    return Promise.resolve({ done: true, value: undefined });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }
}

/** The same events without all but the latest progress and the newest outputs; gaps stand for what is left out. */
function trimmed(events: JobEvent[]): JobEvent[] {
  const isOutput = (event: JobEvent) => event.type === 'job_output' || event.type === 'job_output_gap';
  const last_progress = events.findLast(event => event.type === 'job_progress');
  let surplus = events.filter(isOutput).length - OUTPUTS_KEPT;
  const kept: JobEvent[] = [];
  for (const event of events) {
    if (event.type === 'job_progress' && event !== last_progress) continue;
    if (surplus <= 0 || !isOutput(event)) {
      kept.push(event);
      continue;
    }
    surplus -= 1;
    const [from, to] = outputRange(event);
    const previous = kept.at(-1);
    if (previous?.type === 'job_output_gap') kept[kept.length - 1] = { ...previous, to };
    else {
      const { job_id, seq, at, attempt } = event;
      kept.push({ type: 'job_output_gap', job_id, seq, at, attempt, from, to });
    }
  }
  return kept;
}

function outputRange(event: JobEvent): [from: number, to: number] {
  if (event.type === 'job_output') return [event.index, event.index];
  return event.type === 'job_output_gap' ? [event.from, event.to] : [0, 0];
}

/** How a job ended, or why nobody can know. */
type Outcome = { event: JobEvent; error?: undefined } | { event?: undefined; error: GpuhubError };

/**
 * What the client knows of a job it follows.
 *
 * `synced` says whether events of the present connection may be taken: not between a reconnect (or a duplicate
 * submission) and `jobs_watched`, because the replay brings them in order.
 */
class LiveJob {
  readonly job_id: string;
  submission: string | undefined;
  level: WatchLevel;
  accepted: AcceptedJob | undefined;
  seq = 0;
  output = -1;
  synced = false;
  /** It was submitted again because the hub had lost it, and nothing was heard of it since. */
  resubmitted = false;
  outcome: Outcome | undefined;
  /** Told once when the hub confirmed or refused the watch. */
  on_watched: ((fault?: GpuhubError) => void) | undefined;
  #backlog: EventQueue | undefined;
  #queues: EventQueue[] | undefined;
  #settled:
    | { promise: Promise<unknown>; resolve: (r: unknown) => void; reject: (e: Error) => void }
    | undefined;

  constructor(job_id: string, level: WatchLevel, submission?: string) {
    this.job_id = job_id;
    this.level = level;
    this.submission = submission;
  }

  /** Takes an event if it is news; `true` when the job has ended with it. */
  apply(event: JobEvent): boolean {
    if (!this.synced || this.outcome !== undefined || !this.#isNews(event)) return false;
    this.seq = event.seq;
    this.resubmitted = false;
    const ended = TERMINAL.has(event.type);
    if (ended || this.level === 'all' || (this.level === 'default' && !ONLY_ALL.has(event.type))) {
      if (this.#queues === undefined) this.#buffer(event);
      else for (const queue of this.#queues) queue.push(event);
    }
    if (ended) this.#finish({ event });
    return ended;
  }

  /** Nothing more can be learnt: the client was closed, or the hub does not know the job. */
  fail(error: GpuhubError): void {
    if (this.outcome === undefined) this.#finish({ error });
    this.on_watched?.(error);
    this.on_watched = undefined;
  }

  /** The first reader also gets what came before it; after the end, every reader gets the end. */
  iterate(): EventQueue {
    const backlog = this.#backlog;
    this.#backlog = undefined;
    const queue = backlog ?? this.#newQueue();
    this.#queues ??= [];
    if (this.outcome === undefined) this.#queues.push(queue);
    else {
      if (backlog === undefined && this.outcome.event !== undefined) queue.push(this.outcome.event);
      queue.end(this.outcome.error);
    }
    return queue;
  }

  result(): Promise<unknown> {
    if (this.#settled === undefined) {
      this.#settled = withResolvers();
      // A caller may ask for the result and look at it later: that is no unhandled rejection.
      this.#settled.promise.catch(() => {});
      if (this.outcome !== undefined) this.#settle(this.outcome);
    }
    return this.#settled.promise;
  }

  #isNews(event: JobEvent): boolean {
    switch (event.type) {
      case 'job_progress':
        return event.seq >= this.seq;
      case 'job_output':
      case 'job_output_gap': {
        const [, to] = outputRange(event);
        if (event.seq < this.seq || to <= this.output) return false;
        this.output = to;
        return true;
      }
      default:
        if (event.seq <= this.seq) return false;
        if (event.type === 'job_assigned' || event.type === 'job_started') this.output = -1;
        return true;
    }
  }

  #buffer(event: JobEvent): void {
    this.#backlog ??= this.#newQueue();
    this.#backlog.push(event);
  }

  #newQueue(): EventQueue {
    return new EventQueue(queue => {
      this.#queues = this.#queues?.filter(other => other !== queue);
    });
  }

  #finish(outcome: Outcome): void {
    this.outcome = outcome;
    for (const queue of this.#queues ?? []) queue.end(outcome.error);
    if (this.#settled !== undefined) this.#settle(outcome);
  }

  #settle({ event, error }: Outcome): void {
    if (event?.type === 'job_completed') this.#settled?.resolve(event.result);
    else this.#settled?.reject(error ?? endError(event));
  }
}

function withResolvers() {
  let resolve: (value: unknown) => void = () => {};
  let reject: (error: Error) => void = () => {};
  const promise = new Promise<unknown>((yes, no) => {
    resolve = yes;
    reject = no;
  });
  return { promise, resolve, reject };
}

function endError(event: JobEvent): GpuhubError {
  if (event.type === 'job_failed') return new JobFailedError(event.job_id, event.error);
  if (event.type === 'job_cancelled') return new JobCancelledError(event.job_id, event.reason);
  return new JobExpiredError(event.job_id);
}

/** What a handle may ask of its client. */
interface HandleHost {
  cancel(job_id: string, reason?: string, options?: RequestOptions): Promise<CancelAnswer>;
  /** Watches it from now on; another handle may have begun to, then that state is the one to share. */
  follow(job: LiveJob): LiveJob;
  unfollow(job: LiveJob): void;
}

export interface CancelAnswer {
  job_id: string;
  /** `cancelling`: a worker was told and is stopping. */
  status: 'cancelled' | 'cancelling';
}

/**
 * A job that was submitted or watched. As an async iterable it yields the job's events with strictly growing
 * `seq` (progress and output aside), none twice, whatever hub they come from, and ends after the terminal one.
 * A slow reader loses old progress and, beyond some hundred events, old outputs (a `job_output_gap` says which).
 */
export class JobHandle implements AsyncIterable<JobEvent> {
  readonly id: string;
  #job: LiveJob;
  readonly #host: HandleHost;

  constructor(job: LiveJob, host: HandleHost) {
    this.id = job.job_id;
    this.#job = job;
    this.#host = host;
  }

  /** What the hub said when it took the job; absent if this client did not submit it. */
  get accepted(): AcceptedJob | undefined {
    return this.#job.accepted;
  }

  /**
   * The result, once there is one.
   *
   * @throws JobFailedError, JobCancelledError, JobExpiredError by how the job ended; GpuhubError `closed` when
   *   the client was closed before, `not_found` when the hub no longer knows the job
   */
  result<T = unknown>(): Promise<T> {
    this.#job = this.#host.follow(this.#job);
    return this.#job.result() as Promise<T>;
  }

  /** Asks to cancel the job; `result()` then rejects with JobCancelledError when it has ended. */
  cancel(reason?: string, options?: RequestOptions): Promise<CancelAnswer> {
    return this.#host.cancel(this.id, reason, options);
  }

  /** No more events of it. The job goes on; `result()` and a new reader begin to watch it again. */
  unwatch(): void {
    this.#host.unfollow(this.#job);
  }

  [Symbol.asyncIterator](): AsyncIterableIterator<JobEvent> {
    this.#job = this.#host.follow(this.#job);
    return this.#job.iterate();
  }
}

export interface ClientOptions {
  /** `ws://host:port` (default `ws://127.0.0.1:8000`), or several hubs of one Redis. */
  url?: string | readonly string[];
  /** Names the owner of the jobs, kept over reconnects. Made up when absent. */
  client_id?: string;
  token?: string;
  /** For all requests but submissions, which wait as long as it takes. ms, default 30,000. */
  request_timeout_ms?: number;
  backoff?: Partial<BackoffOptions>;
  /** Opens the sockets, in place of `ws` (Node) or WebSocket (browser). */
  factory?: WireFactory;
  /** Told about the connection, for logs and displays. */
  on_status?: (status: ClientStatus) => void;
}

export type ClientStatus =
  | { state: 'open'; welcome: WelcomeMessage }
  | { state: 'down'; error: GpuhubError; retry_in_ms: number }
  | { state: 'ended'; error: GpuhubError | undefined }
  /** An `error` that answers no request of ours. */
  | { state: 'error'; error: GpuhubError };

/** A request without its answer. */
interface Pending {
  request_id: string;
  /** The frame; `again` if it was sent before. */
  frame(again: boolean): string;
  sent: number;
  unavailable: number;
  /** Not sent again on a new connection. */
  once: boolean;
  answer(message: HubMessage, again: boolean): void;
  fail(error: GpuhubError): void;
  retry?: ReturnType<typeof setTimeout>;
}

/** What hubs allow unless they say otherwise. */
const LIMITS: Pick<HubLimits, 'max_message_bytes' | 'max_batch' | 'max_watch'> = {
  max_message_bytes: 1_048_576,
  max_batch: 1000,
  max_watch: 1000,
};
/** What one job takes in `watch_jobs` at most: its id three times, a seq and an index. */
const WATCH_BYTES = 450;
/** Batches on their way at once: enough to keep a hub busy, few enough to keep buffers small. */
const BATCHES_IN_FLIGHT = 4;
/** Room for `type`, `request_id` and brackets beside the jobs of a batch. */
const BATCH_ENVELOPE_BYTES = 256;
/** Between tries while Redis is away: full jitter, ms. */
const UNAVAILABLE = { base_ms: 250, cap_ms: 10_000 };

/** A submission in the form it is sent. */
interface Prepared {
  job_id: string;
  watch: WatchLevel | false;
  json: string;
}

/**
 * A connection to gpuhub for applications, in Node and in browsers. It connects at the first use, comes back by
 * itself, on any of the hubs it was given, and goes on where it was: unanswered requests are sent again (a
 * submission runs once, because the client chooses the `job_id`), and every job it follows is watched again.
 *
 *     const client = new GpuhubClient({ url: 'ws://127.0.0.1:8000' });
 *     const job = await client.submit({ job_type: 'image', params: { prompt: 'a red fox' } });
 *     for await (const event of job) console.log(event.type);
 *     console.log(await job.result());
 */
export class GpuhubClient implements AsyncDisposable {
  readonly client_id: string;
  readonly #options: ClientOptions;
  readonly #socket: HubSocket;
  readonly #pending = new Map<string, Pending>();
  readonly #live = new Map<string, LiveJob>();
  /** Jobs whose watch is asked for at the end of this turn. */
  readonly #to_watch = new Set<LiveJob>();
  readonly #host: HandleHost;
  #limits = LIMITS;
  #next_request = 1;
  #flushing = false;
  #down: GpuhubError | undefined;
  #ended: GpuhubError | undefined;

  constructor(options: ClientOptions = {}) {
    this.#options = options;
    this.client_id = options.client_id ?? `client-${randomId(6)}`;
    this.#socket = new HubSocket(
      {
        ...options,
        url: options.url ?? 'ws://127.0.0.1:8000',
        role: 'client',
        query: { client_id: this.client_id },
      },
      {
        open: welcome => this.#opened(welcome),
        message: message => this.#read(message),
        down: (error, retry_in_ms) => this.#wentDown(error, retry_in_ms),
        end: error => this.#end(error),
      },
    );
    this.#host = {
      cancel: (job_id, reason, request) => this.cancel(job_id, reason, request),
      follow: job => this.#follow(job),
      unfollow: job => this.#unfollow(job),
    };
  }

  /**
   * Waits for a connection. Not needed before other calls; it tells early that no hub is there.
   *
   * @param options.timeout_ms default 10,000
   * @throws GpuhubError `unreachable`, `unauthorized`, `forbidden`, `closed`, `aborted`
   */
  connect(options: RequestOptions = {}): Promise<WelcomeMessage> {
    const read = () => this.#socket.welcome as WelcomeMessage;
    return this.#request({ type: 'ping' }, read, { timeout_ms: 10_000, ...options });
  }

  /**
   * Submits a job and resolves when Redis holds it. Lost connections and an unavailable Redis are waited out, as
   * long as it takes unless `timeout_ms` or `signal` is given; the job runs once however often it was sent.
   *
   * @throws GpuhubError with the hub's code (`invalid_message`, `conflict`, `payload_too_large`, `queue_full` ...);
   *   `timeout` or `aborted` when the caller gave up: whether the job was accepted is then unknown, and
   *   `details.job_id` tells the id to ask for
   */
  submit(job: JobSubmission, options: RequestOptions = {}): Promise<JobHandle> {
    const prepared = prepare(job);
    return this.#request(
      (request_id, again) =>
        `${withWatch(prepared, again).slice(0, -1)},"type":"submit_job","request_id":"${request_id}"}`,
      (answer, again) => this.#accept(prepared, answer as unknown as AcceptedJob, again),
      { timeout_ms: Infinity, ...options },
      { job_id: prepared.job_id, outcome: 'unknown' },
    );
  }

  /**
   * Submits many jobs in batches that the hub can take; the promises of {@link submit} hold for each.
   *
   * @returns for each job, in order, its handle or the error that refused it (a GpuhubError, not thrown)
   */
  async submitMany(
    jobs: readonly JobSubmission[],
    options: RequestOptions = {},
  ): Promise<(JobHandle | GpuhubError)[]> {
    const results: (JobHandle | GpuhubError)[] = [];
    const patience = { timeout_ms: Infinity, ...options };
    await this.connect(patience);
    let left = jobs.map((job, index) => ({ index, prepared: prepare(job) }));
    for (let tries = 0; left.length > 0; tries++) {
      if (tries > 0) await pause(unavailableDelay(tries, undefined));
      const batches = inBatches(left, this.#limits, (index, error) => {
        results[index] = error;
      });
      const again: typeof left = [];
      const sendNext = async (): Promise<void> => {
        for (let batch = batches.shift(); batch !== undefined; batch = batches.shift()) {
          const answers = await this.#submitBatch(batch, patience);
          for (const [i, item] of batch.entries()) {
            const answer = answers[i] as JobHandle | GpuhubError;
            results[item.index] = answer;
            if (answer instanceof GpuhubError && answer.code === 'unavailable') again.push(item);
          }
        }
      };
      await Promise.all(Array.from({ length: BATCHES_IN_FLIGHT }, sendNext));
      if (options.signal?.aborted) break;
      left = again;
    }
    return results;
  }

  /**
   * Follows a job that this client did not submit, or no longer follows. A job it follows already goes on from
   * where it is.
   *
   * @param options.after_seq only events with a higher `seq`; default 0, all that is kept
   * @param options.after_output only outputs with a higher index, of the assignment that `after_seq` falls in
   * @throws GpuhubError `not_found`, `timeout`, `aborted`
   */
  watch(
    job_id: string,
    options: RequestOptions & { after_seq?: number; after_output?: number } = {},
  ): Promise<JobHandle> {
    const present = this.#live.get(job_id);
    if (present !== undefined) {
      present.level = 'all';
      return Promise.resolve(new JobHandle(present, this.#host));
    }
    const job = new LiveJob(job_id, 'all');
    job.seq = options.after_seq ?? 0;
    job.output = options.after_output ?? -1;
    return new Promise((resolve, reject) => {
      const over = this.#deadline(options, { job_id }, error => {
        this.#unfollow(job);
        reject(error);
      });
      job.on_watched = fault => {
        over();
        if (fault === undefined) resolve(new JobHandle(job, this.#host));
        else reject(fault);
      };
      this.#follow(job);
    });
  }

  /**
   * Cancels a job: at once while it waits, by its worker while it runs.
   *
   * @throws GpuhubError `not_found`; `conflict` if the job had ended
   */
  async cancel(job_id: string, reason?: string, options: RequestOptions = {}): Promise<CancelAnswer> {
    let sent_again = false;
    const message: z.input<typeof CancelJob> = { type: 'cancel_job', job_id, ...(reason && { reason }) };
    try {
      return await this.#request(
        (request_id, again) => {
          sent_again = again;
          return JSON.stringify({ ...message, request_id });
        },
        answer => ({ job_id, status: answer['status'] as CancelAnswer['status'] }),
        options,
      );
    } catch (error) {
      // The first try may have done it, and its answer been lost.
      const is_conflict = error instanceof GpuhubError && error.code === 'conflict';
      if (!sent_again || !is_conflict) throw error;
      if ((await this.getJob(job_id, options)).status !== 'cancelled') throw error;
      return { job_id, status: 'cancelled' };
    }
  }

  /**
   * The whole record of a job.
   *
   * @throws GpuhubError `not_found`
   */
  getJob(job_id: string, options: RequestOptions = {}): Promise<JobRecord> {
    return this.#request({ type: 'get_job', job_id }, answer => answer['job'] as JobRecord, options);
  }

  /** One page of jobs, newest first; `next_cursor` is `null` on the last. */
  listJobs(
    filter: JobFilter = {},
    options: RequestOptions = {},
  ): Promise<{ jobs: JobRecord[]; next_cursor: string | null }> {
    return this.#request(
      { ...filter, type: 'list_jobs' },
      answer => ({
        jobs: answer['jobs'] as JobRecord[],
        next_cursor: (answer['next_cursor'] as string | null) ?? null,
      }),
      options,
    );
  }

  /** All jobs that match, newest first, page by page; one that stays in the filter comes exactly once. */
  async *iterateJobs(filter: JobFilter = {}, options: RequestOptions = {}): AsyncGenerator<JobRecord> {
    let cursor = filter.cursor;
    do {
      const page = await this.listJobs(cursor === undefined ? filter : { ...filter, cursor }, options);
      yield* page.jobs;
      cursor = page.next_cursor ?? undefined;
    } while (cursor !== undefined);
  }

  /** The statistics of all hubs, at most 1 s old. */
  stats(options: RequestOptions = {}): Promise<Stats> {
    return this.#request({ type: 'get_stats' }, answer => bodyOf(answer) as unknown as Stats, options);
  }

  /** Ends the connection. Unanswered requests and the results of unfinished jobs reject with `closed`; jobs go on. */
  async close(): Promise<void> {
    await this.#socket.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #submitBatch(batch: Item[], options: RequestOptions): Promise<(JobHandle | GpuhubError)[]> {
    return this.#request(
      (request_id, again) => {
        const jobs = batch.map(({ prepared }) => withWatch(prepared, again)).join(',');
        return `{"type":"submit_jobs","request_id":"${request_id}","jobs":[${jobs}]}`;
      },
      (answer, again) =>
        (answer['results'] as (AcceptedJob & { error?: HubError })[]).map((result, i) =>
          result.error === undefined
            ? this.#accept((batch[i] as Item).prepared, result, again)
            : hubError(result.error),
        ),
      options,
    ).catch((error: GpuhubError) => batch.map(() => error));
  }

  /** Runs as the answer is read, so that the job is known before its first event. */
  #accept(prepared: Prepared, answer: AcceptedJob, again: boolean): JobHandle {
    const { job_id, watch } = prepared;
    const job = this.#live.get(job_id) ?? new LiveJob(job_id, watch || 'default', prepared.json);
    const { status, duplicate, seq, position, created_at, warnings } = answer;
    job.accepted = { status, duplicate, seq };
    if (position !== undefined) job.accepted.position = position;
    if (created_at !== undefined) job.accepted.created_at = created_at;
    if (warnings !== undefined) job.accepted.warnings = warnings;
    if (watch !== false) {
      // What happened before this answer is only told by a replay.
      if (duplicate || again || this.#live.has(job_id)) this.#rewatch(job);
      else job.synced = true;
      this.#live.set(job_id, job);
    }
    return new JobHandle(job, this.#host);
  }

  #follow(job: LiveJob): LiveJob {
    if (job.outcome !== undefined) return job;
    const present = this.#live.get(job.job_id);
    if (present !== undefined) {
      present.accepted ??= job.accepted;
      present.submission ??= job.submission;
      return present;
    }
    if (this.#ended !== undefined) {
      job.fail(this.#ended);
      return job;
    }
    this.#live.set(job.job_id, job);
    this.#socket.start();
    this.#rewatch(job);
    return job;
  }

  #unfollow(job: LiveJob): void {
    if (this.#live.get(job.job_id) !== job) return;
    this.#live.delete(job.job_id);
    this.#to_watch.delete(job);
    job.synced = false;
    this.#socket.send({ type: 'unwatch_jobs', job_ids: [job.job_id] });
  }

  #rewatch(job: LiveJob): void {
    job.synced = false;
    this.#to_watch.add(job);
    if (this.#flushing) return;
    this.#flushing = true;
    queueMicrotask(() => {
      this.#flushing = false;
      this.#sendWatches();
    });
  }

  #sendWatches(): void {
    if (this.#socket.welcome === undefined || this.#to_watch.size === 0) return;
    const jobs = [...this.#to_watch];
    this.#to_watch.clear();
    const { max_watch, max_message_bytes } = this.#limits;
    const most = Math.max(1, Math.min(max_watch, Math.floor(max_message_bytes / WATCH_BYTES)));
    for (let i = 0; i < jobs.length; i += most) this.#sendWatch(jobs.slice(i, i + most));
  }

  #sendWatch(jobs: LiveJob[]): void {
    const message = {
      type: 'watch_jobs',
      job_ids: jobs.map(job => job.job_id),
      after_seq: Object.fromEntries(jobs.map(job => [job.job_id, job.seq])),
      after_output: Object.fromEntries(jobs.map(job => [job.job_id, job.output])),
    };
    this.#transmit({
      ...this.#newPending(message),
      once: true,
      answer: answer => this.#watched(jobs, new Set(answer['not_found'] as string[])),
      fail: error => {
        // One bad id must not end the others of its batch.
        if (jobs.length > 1 && this.#ended === undefined) for (const job of jobs) this.#sendWatch([job]);
        else for (const job of jobs) this.#drop(job, error);
      },
    });
  }

  #watched(jobs: LiveJob[], not_found: ReadonlySet<string>): void {
    for (const job of jobs) {
      if (this.#live.get(job.job_id) !== job || this.#to_watch.has(job)) continue;
      if (not_found.has(job.job_id)) {
        this.#lost(job);
        continue;
      }
      job.synced = true;
      job.on_watched?.();
      job.on_watched = undefined;
    }
  }

  /** The hub does not know the job. If it had accepted it, Redis has lost it: it is submitted again, once. */
  #lost(job: LiveJob): void {
    const { submission, job_id } = job;
    if (submission === undefined || job.accepted === undefined || job.resubmitted) {
      this.#drop(job, new GpuhubError('not_found', `the hub does not know the job "${job_id}"`, { job_id }));
      return;
    }
    job.resubmitted = true;
    const prepared: Prepared = { job_id, watch: job.level, json: submission };
    this.#request(
      request_id =>
        `${withWatch(prepared, true).slice(0, -1)},"type":"submit_job","request_id":"${request_id}"}`,
      answer => this.#accept(prepared, answer as unknown as AcceptedJob, true),
      { timeout_ms: Infinity },
    ).catch((error: GpuhubError) => this.#drop(job, error));
  }

  #drop(job: LiveJob, error: GpuhubError): void {
    this.#live.delete(job.job_id);
    this.#to_watch.delete(job);
    job.fail(error);
  }

  #newPending(message: object): Pick<Pending, 'request_id' | 'frame' | 'sent' | 'unavailable'> {
    const request_id = `r${this.#next_request++}`;
    const text = JSON.stringify({ ...message, request_id });
    return { request_id, frame: () => text, sent: 0, unavailable: 0 };
  }

  /**
   * Sends a request and pairs it with its answer.
   *
   * @param make the message, or a function that makes the frame for a request id
   * @param read runs as the answer is read, before any later frame
   * @param details told with `timeout` and `aborted`
   */
  #request<T>(
    make: object | ((request_id: string, again: boolean) => string),
    read: (answer: HubMessage, again: boolean) => T,
    options: RequestOptions,
    details?: object,
  ): Promise<T> {
    if (this.#ended !== undefined) return Promise.reject(this.#ended);
    this.#socket.start();
    return new Promise((resolve, reject) => {
      let over = () => {};
      const request_id = `r${this.#next_request++}`;
      const pending: Pending = {
        request_id,
        frame: again =>
          typeof make === 'function' ? make(request_id, again) : JSON.stringify({ ...make, request_id }),
        sent: 0,
        unavailable: 0,
        once: false,
        answer: (message, again) => (over(), resolve(read(message, again))),
        fail: error => (over(), reject(error)),
      };
      over = this.#deadline(options, details, error => {
        this.#forget(pending);
        reject(error);
      });
      if (!options.signal?.aborted) this.#transmit(pending);
    });
  }

  /** Calls `expired` when the caller's patience is over; returns what ends the waiting. */
  #deadline(
    options: RequestOptions,
    details: object | undefined,
    expired: (error: GpuhubError) => void,
  ): () => void {
    const { signal } = options;
    const timeout_ms = options.timeout_ms ?? this.#options.request_timeout_ms ?? 30_000;
    const onAbort = () => expired(new GpuhubError('aborted', 'the caller gave up', details));
    if (signal?.aborted) {
      onAbort();
      return () => {};
    }
    signal?.addEventListener('abort', onAbort, { once: true });
    const onTime = () => {
      signal?.removeEventListener('abort', onAbort);
      const seconds = timeout_ms / 1000;
      const nobody = this.#socket.welcome === undefined;
      const why = nobody ? (this.#down?.message ?? 'no hub answered') : 'the hub did not answer';
      const code: LocalErrorCode = nobody ? 'unreachable' : 'timeout';
      expired(new GpuhubError(code, `${why} (waited ${seconds} s)`, details));
    };
    const timer = timeout_ms === Infinity ? undefined : setTimeout(onTime, timeout_ms);
    return () => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', onAbort);
    };
  }

  #transmit(pending: Pending): void {
    this.#pending.set(pending.request_id, pending);
    if (this.#socket.welcome === undefined) return;
    const frame = pending.frame(pending.sent > 0);
    const { max_message_bytes } = this.#limits;
    if (isLarger(frame, max_message_bytes)) {
      this.#forget(pending);
      const code: ErrorCode = 'payload_too_large';
      pending.fail(new GpuhubError(code, `the message is larger than ${max_message_bytes} bytes`));
      return;
    }
    if (this.#socket.send(frame)) pending.sent += 1;
  }

  #forget(pending: Pending): void {
    clearTimeout(pending.retry);
    this.#pending.delete(pending.request_id);
  }

  #opened(welcome: WelcomeMessage): void {
    this.#limits = { ...LIMITS, ...welcome.limits };
    this.#down = undefined;
    for (const job of this.#live.values()) {
      job.synced = false;
      this.#to_watch.add(job);
    }
    this.#sendWatches();
    for (const pending of this.#pending.values()) {
      if (!pending.once && pending.retry === undefined) this.#transmit(pending);
    }
    this.#options.on_status?.({ state: 'open', welcome });
  }

  #wentDown(error: GpuhubError, retry_in_ms: number): void {
    this.#down = error;
    for (const job of this.#live.values()) job.synced = false;
    for (const pending of this.#pending.values()) if (pending.once) this.#forget(pending);
    this.#options.on_status?.({ state: 'down', error, retry_in_ms });
  }

  #read(message: HubMessage): void {
    if (message.request_id !== undefined) {
      const pending = this.#pending.get(message.request_id);
      if (pending === undefined) return;
      if (message.type === 'error') this.#refused(pending, message);
      else {
        this.#forget(pending);
        pending.answer(message, pending.sent > 1);
      }
      return;
    }
    const job_id = message['job_id'];
    if (typeof job_id === 'string') {
      const job = this.#live.get(job_id);
      if (job?.apply(message as unknown as JobEvent)) this.#live.delete(job_id);
    } else if (message.type === 'error') {
      this.#options.on_status?.({ state: 'error', error: hubError(message as unknown as HubError) });
    }
  }

  /** Only Redis being away is worth waiting for; all else is the caller's to judge. */
  #refused(pending: Pending, message: HubMessage): void {
    const error = hubError(message as unknown as HubError);
    if (error.code !== 'unavailable') {
      this.#forget(pending);
      pending.fail(error);
      return;
    }
    const hint = (error.details as { retry_after_ms?: unknown } | undefined)?.retry_after_ms;
    pending.unavailable += 1;
    pending.retry = setTimeout(
      () => {
        delete pending.retry;
        this.#transmit(pending);
      },
      unavailableDelay(pending.unavailable, hint),
    );
  }

  #end(fault: GpuhubError | undefined): void {
    this.#ended = fault ?? new GpuhubError('closed', 'the client was closed');
    for (const pending of this.#pending.values()) {
      this.#forget(pending);
      pending.fail(this.#ended);
    }
    for (const job of this.#live.values()) job.fail(this.#ended);
    this.#live.clear();
    this.#to_watch.clear();
    this.#options.on_status?.({ state: 'ended', error: fault });
  }
}

interface HubError {
  code: string;
  message: string;
  details?: unknown;
}

interface Item {
  index: number;
  prepared: Prepared;
}

function hubError({ code, message, details }: HubError): GpuhubError {
  return new GpuhubError(code, message, details);
}

function randomId(bytes: number): string {
  return base64url(crypto.getRandomValues(new Uint8Array(bytes)));
}

/** The client chooses the id, so that sending again makes nothing new. */
function prepare({ watch = true, ...job }: JobSubmission): Prepared {
  const job_id = job.job_id ?? `j_${randomId(16)}`;
  return {
    job_id,
    watch: watch === true ? 'default' : watch,
    json: JSON.stringify({ ...job, job_id }),
  };
}

/** Sent again, a submission does not watch: `watch_jobs` follows, which also tells what was missed. */
function withWatch({ json, watch }: Prepared, again: boolean): string {
  const value = again ? false : watch === 'default' ? true : watch;
  return `${json.slice(0, -1)},"watch":${JSON.stringify(value)}}`;
}

/** Splits jobs into batches below the hub's limits; one that is too large by itself is refused here. */
function inBatches(
  items: Item[],
  limits: typeof LIMITS,
  refuse: (index: number, error: GpuhubError) => void,
): Item[][] {
  const bytes_max = limits.max_message_bytes - BATCH_ENVELOPE_BYTES;
  const batches: Item[][] = [];
  let batch: Item[] = [];
  let bytes = 0;
  for (const item of items) {
    const text = withWatch(item.prepared, false);
    if (isLarger(text, bytes_max)) {
      const code: ErrorCode = 'payload_too_large';
      refuse(item.index, new GpuhubError(code, `the job is larger than ${bytes_max} bytes`));
      continue;
    }
    const size = byteLength(text) + 1;
    if (batch.length === limits.max_batch || bytes + size > bytes_max) {
      batches.push(batch);
      batch = [];
      bytes = 0;
    }
    batch.push(item);
    bytes += size;
  }
  if (batch.length > 0) batches.push(batch);
  return batches;
}

const encoder = new TextEncoder();

function byteLength(text: string): number {
  return encoder.encode(text).length;
}

function unavailableDelay(tries: number, hint: unknown): number {
  const most = Math.min(UNAVAILABLE.cap_ms, UNAVAILABLE.base_ms * 2 ** (tries - 1));
  return Math.random() * most + (typeof hint === 'number' ? hint : 0);
}

function pause(ms: number): Promise<void> {
  return new Promise(resolve => setTimeout(resolve, ms));
}
