import type { JobEvent } from './event_queue.ts';
import { type AcceptedJob, LiveJob } from './live_job.ts';
import type { Requests } from './requests.ts';
import { ShortLived } from './short_lived.ts';
import { GpuhubError, type HubSocket } from './socket.ts';
import { type Prepared, submitFrame } from './submission.ts';

/** What one job takes in `watch_jobs` at most: its id three times, a seq and an index. */
const WATCH_BYTES = 450;

/**
 * The jobs that a client follows: each is watched again on every new connection, from where it is, until it ends or
 * nobody asks for it any more.
 */
export class Watches {
  readonly #socket: HubSocket;
  readonly #requests: Requests;
  readonly #live = new ShortLived<LiveJob>();
  /** Jobs whose watch is asked for at the end of this turn. */
  readonly #to_watch = new Set<LiveJob>();
  #flushing = false;

  constructor(socket: HubSocket, requests: Requests) {
    this.#socket = socket;
    this.#requests = requests;
  }

  get(job_id: string): LiveJob | undefined {
    return this.#live.get(job_id);
  }

  /** Takes what the hub said to a submission. Runs as that is read, so that the job is known before its first event. */
  accept(prepared: Prepared, answer: AcceptedJob, again: boolean): LiveJob {
    const { job_id, watch } = prepared;
    const present = this.#live.get(job_id);
    const job = present ?? new LiveJob(job_id, watch || 'default', prepared.json);
    job.accepted = acceptedOf(answer);
    if (watch === false) return job;
    // What happened before this answer is only told by a replay.
    if (answer.duplicate || again || present !== undefined) this.#rewatch(job);
    else job.synced = true;
    if (present === undefined) this.#live.set(job_id, job);
    return job;
  }

  /** Watches a job from now on; if it is watched already, returns the state to share. */
  follow(job: LiveJob): LiveJob {
    if (job.outcome !== undefined) return job;
    const present = this.#live.get(job.job_id);
    if (present !== undefined) {
      present.accepted ??= job.accepted;
      present.submission ??= job.submission;
      return present;
    }
    if (this.#requests.ended !== undefined) {
      job.fail(this.#requests.ended);
      return job;
    }
    this.#live.set(job.job_id, job);
    this.#socket.start();
    this.#rewatch(job);
    return job;
  }

  unfollow(job: LiveJob): void {
    if (this.#live.get(job.job_id) !== job) return;
    this.#live.delete(job.job_id);
    this.#to_watch.delete(job);
    job.synced = false;
    job.leave(new GpuhubError('unwatched', `the watch of "${job.job_id}" was taken back`));
    this.#socket.send({ type: 'unwatch_jobs', job_ids: [job.job_id] });
  }

  event(event: JobEvent): void {
    const job = this.#live.get(event.job_id);
    if (job?.apply(event)) this.#live.delete(event.job_id);
  }

  opened(): void {
    for (const job of this.#live.values()) {
      job.synced = false;
      this.#to_watch.add(job);
    }
    this.#sendWatches();
  }

  wentDown(): void {
    for (const job of this.#live.values()) job.synced = false;
  }

  end(error: GpuhubError): void {
    for (const job of this.#live.values()) job.fail(error);
    this.#live.clear();
    this.#to_watch.clear();
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
    const { max_watch, max_message_bytes } = this.#requests.limits;
    const most = Math.max(1, Math.min(max_watch, Math.floor(max_message_bytes / WATCH_BYTES)));
    for (let i = 0; i < jobs.length; i += most) this.#sendWatch(jobs.slice(i, i + most));
  }

  #sendWatch(jobs: LiveJob[]): void {
    this.#requests.sendOnce(
      {
        type: 'watch_jobs',
        job_ids: jobs.map(job => job.job_id),
        after_seq: Object.fromEntries(jobs.map(job => [job.job_id, job.seq])),
        after_output: Object.fromEntries(jobs.map(job => [job.job_id, job.output])),
      },
      answer => this.#watched(jobs, new Set(answer['not_found'] as string[])),
      error => {
        // One bad id must not end the others of its batch.
        if (jobs.length > 1 && this.#requests.ended === undefined)
          for (const job of jobs) this.#sendWatch([job]);
        else for (const job of jobs) this.#drop(job, error);
      },
    );
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
    this.#requests
      .send(
        request_id => submitFrame(prepared, request_id, true),
        answer => this.accept(prepared, answer as unknown as AcceptedJob, true),
        { timeout_ms: Infinity },
      )
      .catch((error: GpuhubError) => this.#drop(job, error));
  }

  #drop(job: LiveJob, error: GpuhubError): void {
    this.#live.delete(job.job_id);
    this.#to_watch.delete(job);
    job.fail(error);
  }
}

/** The answer to a submission without its envelope. Those to a batch say less. */
function acceptedOf({ status, duplicate, seq, position, created_at, warnings }: AcceptedJob): AcceptedJob {
  const accepted: AcceptedJob =
    position === undefined || created_at === undefined
      ? { status, duplicate, seq }
      : { status, duplicate, seq, position, created_at };
  if (warnings !== undefined) accepted.warnings = warnings;
  return accepted;
}
