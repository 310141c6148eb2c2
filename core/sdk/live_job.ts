import type { z } from 'zod';
import type { JobAccepted } from '../messages/client.ts';
import type { WatchLevel } from '../messages/job.ts';
import { EventQueue, type JobEvent, outputRange, pushEvent } from './event_queue.ts';
import { endError } from './job_errors.ts';
import type { GpuhubError } from './socket.ts';

/** What the hub said when it took a job. */
export type AcceptedJob = Pick<z.infer<typeof JobAccepted>, 'status' | 'duplicate' | 'seq'> &
  Partial<Pick<z.infer<typeof JobAccepted>, 'position' | 'created_at' | 'warnings'>>;

/** Declared a second time: importing them from job.ts would bring all of zod into a browser. */
const TERMINAL = new Set<string>(['job_completed', 'job_failed', 'job_cancelled', 'job_expired']);
/** What only `watch: "all"` is told. */
const ONLY_ALL = new Set<string>(['job_queued', 'job_scheduled', 'job_assigned']);

/** How a job ended, or why nobody can know. */
type Outcome = { event: JobEvent; error?: undefined } | { event?: undefined; error: GpuhubError };

/**
 * What the client knows of a job it follows.
 *
 * `synced` says whether events of the present connection may be taken: not between a reconnect (or a duplicate
 * submission) and `jobs_watched`, because the replay brings them in order.
 */
export class LiveJob {
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
  /** What came before anybody read. */
  #backlog: JobEvent[] | undefined;
  #queues: EventQueue[] | undefined;
  #settled: Settled | undefined;

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
      if (this.#queues === undefined) this.#backlog = pushEvent(this.#backlog ?? [], event);
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

  /** Nobody watches it any more: who reads is done, who waits is told. It may be watched again. */
  leave(error: GpuhubError): void {
    for (const queue of this.#queues ?? []) queue.end();
    this.#queues = undefined;
    if (this.#settled !== undefined) reject(this.#settled, error);
    this.#settled = undefined;
    this.on_watched?.(error);
    this.on_watched = undefined;
  }

  /** The first reader also gets what came before it; after the end, every reader gets the end. */
  iterate(): EventQueue {
    const backlog = this.#backlog;
    this.#backlog = undefined;
    const queue = new EventQueue(backlog ?? [], ended => {
      this.#queues = this.#queues?.filter(other => other !== ended);
    });
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

  #finish(outcome: Outcome): void {
    this.outcome = outcome;
    // Only a job that has not ended is submitted again.
    this.submission = undefined;
    for (const queue of this.#queues ?? []) queue.end(outcome.error);
    if (this.#settled !== undefined) this.#settle(outcome);
  }

  #settle({ event, error }: Outcome): void {
    const settled = this.#settled as Settled;
    if (event?.type === 'job_completed') settled.resolve(event.result);
    else reject(settled, error ?? endError(event));
  }
}

/** A caller may ask for the result and look at it later: that is no unhandled rejection. */
function reject(settled: Settled, error: GpuhubError): void {
  settled.promise.catch(() => {});
  settled.reject(error);
}

interface Settled {
  promise: Promise<unknown>;
  resolve: (result: unknown) => void;
  reject: (error: Error) => void;
}

function withResolvers(): Settled {
  let resolve: (value: unknown) => void = () => {};
  let reject: (error: Error) => void = () => {};
  const promise = new Promise<unknown>((yes, no) => {
    resolve = yes;
    reject = no;
  });
  return { promise, resolve, reject };
}
