import { OutputBuffer } from './output_buffer.ts';
import type { ShortLived } from './short_lived.ts';
import type { HubSocket } from './socket.ts';
import type { AssignedJob, TerminalType } from './worker_options.ts';

/** The hub takes longer ones, but nobody reads them. */
export const TEXT_MAX = 4000;
export const REASON_MAX = 1000;

/** How a job ended, as the hub is to be told it. */
export interface Ending {
  type: TerminalType;
  [field: string]: unknown;
}

/** What hubs allow, before one has said so. */
export const MESSAGE_BYTES_MAX = 1_048_576;

/** A machine's connection, as the parts of a worker see it. */
export class Link {
  readonly socket: HubSocket;
  /** Registered on the present connection: only then may jobs be spoken of. */
  ready = false;
  message_bytes_max = MESSAGE_BYTES_MAX;

  constructor(socket: HubSocket) {
    this.socket = socket;
  }
}

/** The message that tells the end of a job. */
export interface Terminal {
  type: TerminalType;
  request_id: string;
  text: string;
  /** How often the hub called such a message of this job bad. */
  refusals: number;
  /** When it is sent next, by this machine's monotonic clock. */
  due_at: number;
}

/** That a job shall end before it is done, and how that is to be told. */
export interface Stop {
  ending: 'job_cancelled' | 'job_released';
  reason: string;
}

export function stoppedEnding({ ending, reason }: Stop): Ending {
  return ending === 'job_released' ? { type: ending, reason } : { type: ending };
}

/**
 * A job this machine answers for.
 *
 *     waiting (its GPU is still busy) -> running -> outbox (its end is told, not yet acknowledged) -> gone
 *
 * `stop` says that it shall end early, and how. A lease that the hub takes away goes from anywhere to gone.
 */
export class Lease {
  readonly job: AssignedJob;
  readonly gpu: number;
  /** {@link names} as members of a JSON object. */
  readonly names_text: string;
  readonly outputs = new OutputBuffer();
  status: 'waiting' | 'running' | 'outbox' | 'gone' = 'waiting';
  stop: Stop | undefined;
  /** The handler's own wish for the end. */
  verdict: { type: 'job_released' | 'job_rejected'; [field: string]: unknown } | undefined;
  terminal: Terminal | undefined;
  progress: string | undefined;
  progress_unsent = false;
  progress_at = Number.NEGATIVE_INFINITY;
  /** By this machine's monotonic clock. */
  renewed_at = performance.now();
  progress_timer: ReturnType<typeof setTimeout> | undefined;
  /** Of the wait for a GPU, or of a grace. */
  timer: ReturnType<typeof setTimeout> | undefined;
  /** Made when it is asked for: most handlers of short jobs never look, and it is dear. */
  #controller: AbortController | undefined;

  constructor(job: AssignedJob) {
    this.job = job;
    this.gpu = gpuOf(job);
    this.names_text = JSON.stringify(this.names).slice(1, -1);
  }

  get id(): string {
    return this.job.lease_id;
  }

  /** Aborted when the job shall end early or is no longer ours. */
  get signal(): AbortSignal {
    this.#controller ??= new AbortController();
    return this.#controller.signal;
  }

  abort(reason: Error): void {
    this.#controller ??= new AbortController();
    this.#controller.abort(reason);
  }

  get names(): { job_id: string; lease_id: string } {
    return { job_id: this.job.job_id, lease_id: this.job.lease_id };
  }

  clearTimers(): void {
    clearTimeout(this.timer);
    clearTimeout(this.progress_timer);
    this.timer = undefined;
    this.progress_timer = undefined;
  }
}

/** `machine1:gpu3` -> 3 */
function gpuOf({ worker_id, gpus }: AssignedJob): number {
  const colon = worker_id.lastIndexOf(':gpu');
  const index = colon < 0 ? Number.NaN : Number.parseInt(worker_id.slice(colon + 4), 10);
  return Number.isNaN(index) ? (gpus[0] ?? 0) : index;
}

/** The leases that a machine holds, by their ids. */
export type Leases = Pick<ShortLived<Lease>, 'get' | 'values'>;

/** At least so many leases that ended are remembered, so that a repeated assignment is not run again. */
const KNOWN_MIN = 4096;

/** The leases that this machine has heard of: all it holds, and the last ones it held. */
export class KnownLeases {
  readonly #held: Leases;
  #ids = new Set<string>();
  /** Those before: forgotten all at once, because a Set finds its oldest the more slowly the more of it was deleted. */
  #former: ReadonlySet<string> = new Set();

  constructor(held: Leases) {
    this.#held = held;
  }

  has(lease_id: string): boolean {
    return this.#ids.has(lease_id) || this.#former.has(lease_id) || this.#held.get(lease_id) !== undefined;
  }

  add(lease_id: string): void {
    this.#ids.add(lease_id);
    if (this.#ids.size < KNOWN_MIN) return;
    this.#former = this.#ids;
    this.#ids = new Set();
  }
}
