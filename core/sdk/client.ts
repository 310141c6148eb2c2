import type { z } from 'zod';
import type { CancelJob, ListJobs } from '../messages/client.ts';
import type { JobRecord } from '../messages/job.ts';
import type { Stats } from '../messages/stats.ts';
import type { JobEvent } from './event_queue.ts';
import { type CancelAnswer, type HandleHost, JobHandle } from './job_handle.ts';
import { type AcceptedJob, LiveJob } from './live_job.ts';
import {
  gaveUp,
  type HubError,
  hubError,
  type RequestOptions,
  Requests,
  unavailableDelay,
} from './requests.ts';
import {
  type BackoffOptions,
  bodyOf,
  GpuhubError,
  type HubMessage,
  HubSocket,
  type WelcomeMessage,
  type WireFactory,
} from './socket.ts';
import {
  type AnySubmission,
  batchFrame,
  inBatches,
  type Item,
  type Prepared,
  prepare,
  randomId,
  submitFrame,
} from './submission.ts';
import { Watches } from './watches.ts';

export type { JobRecord } from '../messages/job.ts';
export type { Stats } from '../messages/stats.ts';
export type { JobEvent } from './event_queue.ts';
export { JobCancelledError, JobExpiredError, JobFailedError } from './job_errors.ts';
export { type CancelAnswer, JobHandle } from './job_handle.ts';
export { JsonText } from './json_text.ts';
export type { AcceptedJob } from './live_job.ts';
export type { RequestOptions } from './requests.ts';
export { GpuhubError } from './socket.ts';
export type { AnySubmission, JobSubmission } from './submission.ts';

/** Which jobs to list. */
export type JobFilter = Omit<z.input<typeof ListJobs>, 'type' | 'request_id'>;
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
  /** Reads a frame, in place of `JSON.parse`: for who wants its text too, or numbers with all their digits. */
  parse?: (text: string) => HubMessage;
  /** Told about the connection, for logs and displays. */
  on_status?: (status: ClientStatus) => void;
}

export type ClientStatus =
  | { state: 'open'; welcome: WelcomeMessage }
  | { state: 'down'; error: GpuhubError; retry_in_ms: number }
  | { state: 'ended'; error: GpuhubError | undefined }
  /** An `error` that answers no request of ours. */
  | { state: 'error'; error: GpuhubError };

const REQUEST_TIMEOUT_MS = 30_000;
/** Batches on their way at once: enough to keep a hub busy, few enough to keep buffers small. */
const BATCHES_IN_FLIGHT = 4;

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
  readonly #requests: Requests;
  readonly #watches: Watches;
  readonly #host: HandleHost;

  constructor(options: ClientOptions = {}) {
    this.#options = options;
    this.client_id = options.client_id ?? `client-${randomId().slice(0, 8)}`;
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
    this.#requests = new Requests(this.#socket, options.request_timeout_ms ?? REQUEST_TIMEOUT_MS);
    this.#watches = new Watches(this.#socket, this.#requests);
    this.#host = {
      cancel: (job_id, reason, request) => this.cancel(job_id, reason, request),
      follow: job => this.#watches.follow(job),
      unfollow: job => this.#watches.unfollow(job),
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
    return this.#requests.send({ type: 'ping' }, read, { timeout_ms: 10_000, ...options });
  }

  /**
   * Submits a job and resolves when Redis holds it. Lost connections and an unavailable Redis are waited out, as
   * long as it takes unless `timeout_ms` or `signal` is given; the job runs once however often it was sent.
   *
   * @throws GpuhubError with the hub's code (`invalid_message`, `conflict`, `payload_too_large`, `queue_full` ...);
   *   `timeout` or `aborted` when the caller gave up: whether the job was accepted is then unknown, and
   *   `details.job_id` tells the id to ask for
   */
  submit(job: AnySubmission, options: RequestOptions = {}): Promise<JobHandle> {
    const prepared = prepare(job);
    return this.#requests.send(
      (request_id, again) => submitFrame(prepared, request_id, again),
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
    jobs: readonly AnySubmission[],
    options: RequestOptions = {},
  ): Promise<(JobHandle | GpuhubError)[]> {
    const { signal, over } = this.#requests.patience({ timeout_ms: Infinity, ...options });
    try {
      return await this.#submitAll(jobs, { timeout_ms: Infinity, signal });
    } finally {
      over();
    }
  }

  async #submitAll(
    jobs: readonly AnySubmission[],
    patience: { timeout_ms: number; signal: AbortSignal },
  ): Promise<(JobHandle | GpuhubError)[]> {
    const results: (JobHandle | GpuhubError)[] = [];
    await this.connect(patience);
    let left = jobs.map((job, index) => ({ index, prepared: prepare(job) }));
    for (let tries = 0; left.length > 0; tries++) {
      if (tries > 0) await pause(unavailableDelay(tries, undefined), patience.signal);
      const batches = inBatches(left, this.#requests.limits, (index, error) => {
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
    const present = this.#watches.get(job_id);
    if (present !== undefined) {
      present.level = 'all';
      return Promise.resolve(new JobHandle(present, this.#host));
    }
    const job = new LiveJob(job_id, 'all');
    job.seq = options.after_seq ?? 0;
    job.output = options.after_output ?? -1;
    return new Promise((resolve, reject) => {
      const over = this.#requests.deadline(options, { job_id }, error => {
        reject(error);
        this.#watches.unfollow(job);
      });
      job.on_watched = fault => {
        over();
        if (fault === undefined) resolve(new JobHandle(job, this.#host));
        else reject(fault);
      };
      this.#watches.follow(job);
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
      return await this.#requests.send(
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
    return this.#requests.send({ type: 'get_job', job_id }, answer => answer['job'] as JobRecord, options);
  }

  /** One page of jobs, newest first; `next_cursor` is `null` on the last. */
  listJobs(
    filter: JobFilter = {},
    options: RequestOptions = {},
  ): Promise<{ jobs: JobRecord[]; next_cursor: string | null }> {
    return this.#requests.send(
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
    return this.#requests.send({ type: 'get_stats' }, answer => bodyOf(answer) as unknown as Stats, options);
  }

  /** Ends the connection. Unanswered requests and the results of unfinished jobs reject with `closed`; jobs go on. */
  async close(): Promise<void> {
    await this.#socket.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #submitBatch(batch: Item[], options: RequestOptions): Promise<(JobHandle | GpuhubError)[]> {
    return this.#requests
      .send(
        (request_id, again) => batchFrame(batch, request_id, again),
        (answer, again) =>
          (answer['results'] as (AcceptedJob & { error?: HubError })[]).map((result, i) =>
            result.error === undefined
              ? this.#accept((batch[i] as Item).prepared, result, again)
              : hubError(result.error),
          ),
        options,
      )
      .catch((error: GpuhubError) =>
        batch.map(({ prepared }) =>
          options.signal?.aborted ? unknownFate(prepared, options.signal) : error,
        ),
      );
  }

  #accept(prepared: Prepared, answer: AcceptedJob, again: boolean): JobHandle {
    return new JobHandle(this.#watches.accept(prepared, answer, again), this.#host);
  }

  #opened(welcome: WelcomeMessage): void {
    this.#requests.opened(welcome.limits);
    this.#watches.opened();
    this.#requests.sendAgain();
    this.#options.on_status?.({ state: 'open', welcome });
  }

  #wentDown(error: GpuhubError, retry_in_ms: number): void {
    this.#watches.wentDown();
    this.#requests.wentDown(error);
    this.#options.on_status?.({ state: 'down', error, retry_in_ms });
  }

  #read(message: HubMessage): void {
    if (message.request_id !== undefined) this.#requests.answered(message);
    else if (typeof message['job_id'] === 'string') this.#watches.event(message as unknown as JobEvent);
    else if (message.type === 'error') {
      this.#options.on_status?.({ state: 'error', error: hubError(message as unknown as HubError) });
    }
  }

  #end(fault: GpuhubError | undefined): void {
    const error = fault ?? new GpuhubError('closed', 'the client was closed');
    this.#requests.end(error);
    this.#watches.end(error);
    this.#options.on_status?.({ state: 'ended', error: fault });
  }
}

/** Whether the job was accepted is not known to a caller who gave up. */
function unknownFate({ job_id }: Prepared, signal: AbortSignal): GpuhubError {
  return gaveUp(signal, { job_id, outcome: 'unknown' });
}

/** Ends early when the caller gives up. */
function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise(resolve => {
    const end = () => {
      clearTimeout(timer);
      signal.removeEventListener('abort', end);
      resolve();
    };
    const timer = setTimeout(end, ms);
    signal.addEventListener('abort', end);
    if (signal.aborted) end();
  });
}
