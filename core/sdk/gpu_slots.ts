import { jobError } from './handler_error.ts';
import type { JobReports } from './job_reports.ts';
import { type Ending, type Lease, REASON_MAX, stoppedEnding } from './lease.ts';
import {
  gpuIndexes,
  handlerOf,
  type JobContext,
  type JobHandler,
  type WorkerOptions,
} from './worker_options.ts';

/** A handler that goes on after its job was taken away may keep its GPU this long before new jobs are rejected. */
const SLOT_WAIT_MS = 10_000;

/** What each GPU is doing; `busy` until its handler has ended, whatever the hub says. */
interface Slot {
  busy: boolean;
  waiting: Lease | undefined;
}

/** The job that a context speaks of. */
const LEASE = Symbol('lease');
/** One getter for all: an object literal with a getter of its own takes ten times as long to make. */
const SIGNAL: PropertyDescriptor & ThisType<Context> = {
  enumerable: true,
  get() {
    return this[LEASE].signal;
  },
};

/** Everything is a property of its own: handlers take contexts apart, and spread them. */
class Context implements JobContext {
  readonly [LEASE]: Lease;
  declare readonly signal: AbortSignal;
  readonly gpu: number;
  readonly gpus: readonly number[];
  readonly attempt: number;
  readonly lease_id: string;
  readonly progress: JobContext['progress'];
  readonly output: JobContext['output'];
  readonly release: JobContext['release'];
  readonly reject: JobContext['reject'];

  constructor(lease: Lease, reports: JobReports) {
    this[LEASE] = lease;
    this.gpu = lease.gpu;
    this.gpus = lease.job.gpus;
    this.attempt = lease.job.attempt;
    this.lease_id = lease.id;
    this.progress = (fraction, message, data) => reports.progress(lease, fraction, message, data);
    this.output = data => reports.output(lease, data);
    this.release = reason => {
      lease.verdict = { type: 'job_released', ...(reason && { reason: reason.slice(0, REASON_MAX) }) };
    };
    this.reject = (reason, retry_after_ms) => {
      lease.verdict = {
        type: 'job_rejected',
        reason: reason.slice(0, REASON_MAX),
        ...(retry_after_ms !== undefined && { retry_after_ms: Math.max(0, Math.round(retry_after_ms)) }),
      };
    };
    Object.defineProperty(this, 'signal', SIGNAL);
  }
}

/** Runs the handler of each job on its GPU, one at a time. */
export class GpuSlots {
  readonly #reports: JobReports;
  readonly #handler: WorkerOptions['handler'];
  readonly #slots: Map<number, Slot>;
  readonly #on: { started: (lease: Lease) => void; finish: (lease: Lease, ending: Ending) => void };

  /** @param on.finish may be told twice of a lease: the first end counts */
  constructor(
    reports: JobReports,
    options: WorkerOptions,
    on: { started: (lease: Lease) => void; finish: (lease: Lease, ending: Ending) => void },
  ) {
    this.#reports = reports;
    this.#handler = options.handler;
    this.#slots = new Map(gpuIndexes(options).map(index => [index, { busy: false, waiting: undefined }]));
    this.#on = on;
  }

  /** Runs the job now, when its GPU is free, or rejects it. */
  take(lease: Lease): void {
    const slot = this.#slots.get(lease.gpu);
    const reject = (reason: string) => this.#on.finish(lease, { type: 'job_rejected', reason });
    if (slot === undefined) reject(`there is no GPU ${lease.gpu}`);
    else if (handlerOf(this.#handler, lease.job.job_type) === undefined) {
      reject(`no handler for the type "${lease.job.job_type}"`);
    } else if (!slot.busy) this.#run(lease, slot);
    else this.#wait(lease, slot);
  }

  /** A job that waits for its GPU does so no more. */
  leave(lease: Lease): void {
    const slot = this.#slots.get(lease.gpu);
    if (slot?.waiting === lease) slot.waiting = undefined;
  }

  /** The hub may think a GPU free that a handler still uses, which was told to stop. */
  #wait(lease: Lease, slot: Slot): void {
    const reject = (other: Lease) => {
      slot.waiting = undefined;
      this.#on.finish(other, { type: 'job_rejected', reason: 'the GPU is still busy with a former job' });
    };
    if (slot.waiting !== undefined) {
      clearTimeout(slot.waiting.timer);
      reject(slot.waiting);
    }
    slot.waiting = lease;
    lease.timer = setTimeout(reject, SLOT_WAIT_MS, lease);
  }

  #run(lease: Lease, slot: Slot): void {
    slot.busy = true;
    lease.status = 'running';
    this.#reports.sendStarted(lease);
    this.#on.started(lease);
    void this.#work(lease, slot);
  }

  async #work(lease: Lease, slot: Slot): Promise<void> {
    try {
      const handler = handlerOf(this.#handler, lease.job.job_type) as JobHandler;
      this.#done(lease, await handler(lease.job, new Context(lease, this.#reports)));
    } catch (error) {
      if (lease.verdict === undefined && lease.stop === undefined) {
        this.#on.finish(lease, { type: 'job_failed', error: jobError(error) });
      } else this.#done(lease, undefined);
    }
    slot.busy = false;
    const next = slot.waiting;
    slot.waiting = undefined;
    if (next === undefined) return;
    clearTimeout(next.timer);
    this.#run(next, slot);
  }

  /** The handler has ended without a fault of its own. */
  #done(lease: Lease, result: unknown): void {
    if (lease.verdict !== undefined) this.#on.finish(lease, lease.verdict);
    else if (lease.stop !== undefined && result === undefined)
      this.#on.finish(lease, stoppedEnding(lease.stop));
    else this.#on.finish(lease, { type: 'job_completed', result: result ?? null });
  }
}
