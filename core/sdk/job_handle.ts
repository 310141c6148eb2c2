import type { JobEvent } from './event_queue.ts';
import type { AcceptedJob, LiveJob } from './live_job.ts';
import type { RequestOptions } from './requests.ts';

/** What a handle may ask of its client. */
export interface HandleHost {
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
 * A slow reader loses old progress and, beyond some thousand events, old outputs (a `job_output_gap` says which).
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
   *   the client was closed before, `unwatched` when the watch was taken back, `not_found` when the hub no longer knows the job
   */
  result<T = unknown>(): Promise<T> {
    this.#job = this.#host.follow(this.#job);
    return this.#job.result() as Promise<T>;
  }

  /** Asks to cancel the job; `result()` then rejects with JobCancelledError when it has ended. */
  cancel(reason?: string, options?: RequestOptions): Promise<CancelAnswer> {
    return this.#host.cancel(this.id, reason, options);
  }

  /**
   * No more events of it: its readers end, and `result()` that is waited for rejects with `unwatched`. The job goes on;
   * `result()` and a new reader begin to watch it again.
   */
  unwatch(): void {
    this.#host.unfollow(this.#job);
  }

  [Symbol.asyncIterator](): AsyncIterableIterator<JobEvent> {
    this.#job = this.#host.follow(this.#job);
    return this.#job.iterate();
  }
}
