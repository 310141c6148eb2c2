import type { z } from 'zod';
import type { Gpu, JobAssignment } from '../messages/worker.ts';
import type { BackoffOptions, GpuhubError, WelcomeMessage, WireFactory } from './socket.ts';

/** The job as the hub assigned it. */
export type AssignedJob = Omit<z.infer<typeof JobAssignment>, 'type'>;
export type GpuSlot = z.input<typeof Gpu>;

/**
 * Does one job and returns its result (any JSON value; `undefined` counts as `null`). What it throws fails the
 * attempt: `code`, `retryable` (default true) and `details` of the error are passed on if it has them. It runs in
 * this thread, which also keeps the lease: long computations belong in a child process or a worker thread.
 */
export type JobHandler = (job: AssignedJob, context: JobContext) => unknown;

/** Telemetry of one GPU; every value may be absent. `gpu_util` is a percentage. */
export interface GpuTelemetry {
  /** The GPU's index. */
  index: number;
  gpu_util?: number | undefined;
  vram_used_mb?: number | undefined;
  vram_total_mb?: number | undefined;
  temperature_c?: number | undefined;
  power_w?: number | undefined;
  loaded_models?: string[] | undefined;
}

export interface WorkerOptions {
  /** `ws://host:port` (default `ws://127.0.0.1:8000`), or several hubs of one Redis. */
  url?: string | readonly string[];
  /** Names the machine in the fleet. Of two that register under one name the newest stays, the other ends. */
  machine_id: string;
  /** The GPUs, each one slot for one job; or only how many (`gpu_count`, default 1). */
  gpus?: GpuSlot[];
  gpu_count?: number;
  /** Default: the keys of `handler`, or all types if it is one function. */
  job_types?: string[];
  models?: string[];
  labels?: Record<string, string>;
  version?: string;
  token?: string;
  /** One for all jobs, or one a job type (`*` for the rest). */
  handler: JobHandler | Record<string, JobHandler>;
  /** Asked once a heartbeat; a slow answer is used with the next one, and never delays it. */
  telemetry?: () => GpuTelemetry[] | Promise<GpuTelemetry[]>;
  /**
   * Stop a job when its lease was not renewed for `lease_ms`, because another machine may have got it by then.
   * Default false: work on, and let the hub decide which result counts.
   */
  stop_when_lost?: boolean;
  backoff?: Partial<BackoffOptions>;
  factory?: WireFactory;
  /** Told what happens, for logs and displays. */
  on_event?: (event: WorkerEvent) => void;
}

export type WorkerEvent =
  | { type: 'registered'; welcome: WelcomeMessage; worker_ids: string[] }
  | { type: 'down'; error: GpuhubError; retry_in_ms: number }
  | { type: 'job_started'; job: AssignedJob }
  /** The job's end was put in the outbox; `outcome` is the type of the message. */
  | { type: 'job_ended'; job: AssignedJob; outcome: TerminalType }
  /** The hub's last word on that. */
  | { type: 'job_acked'; job: AssignedJob; accepted: boolean; code?: string | undefined }
  /** The hub has given the job to somebody else, or taken it back. */
  | { type: 'job_dropped'; job: AssignedJob; reason: string }
  | { type: 'draining' | 'resumed'; worker_ids: string[]; reason?: string | undefined }
  | { type: 'error'; error: GpuhubError }
  | { type: 'ended'; error: GpuhubError | undefined };

export type TerminalType = 'job_completed' | 'job_failed' | 'job_cancelled' | 'job_released' | 'job_rejected';

/** What a handler may do beside its work. All of it goes on when no hub is reachable, and is told later. */
export interface JobContext {
  /**
   * Aborted when the job shall stop; `reason` is a GpuhubError: `cancelled` (by the client or a timeout),
   * `released` (this worker stops), `abandoned`, `lost`, `replaced` (the job is no longer ours). A handler that
   * ends by throwing, or with `undefined`, has then stopped; one that returns a value has completed after all.
   */
  readonly signal: AbortSignal;
  /** The index of the GPU to work on. */
  readonly gpu: number;
  readonly gpus: readonly number[];
  readonly attempt: number;
  readonly lease_id: string;
  /**
   * How far it is, 0 to 1. At most ten a second are sent; the latest wins.
   *
   * @throws GpuhubError `payload_too_large`, `invalid_result` (of `data`)
   */
  progress(fraction: number, message?: string, data?: unknown): void;
  /**
   * Streams a piece of output (a token, a line, a frame): any JSON value, in order, none lost over a reconnect
   * while the buffer lasts (`OUTPUT_BUFFER`).
   *
   * @throws GpuhubError `payload_too_large`, `invalid_result` (not JSON)
   */
  output(data: unknown): void;
  /** The job is handed back unharmed when the handler ends: no attempt is counted. */
  release(reason?: string): void;
  /** Like release, and this worker is passed over for such jobs for a while, ms. */
  reject(reason: string, retry_after_ms?: number): void;
}

export function gpuIndexes({ gpus, gpu_count = 1 }: WorkerOptions): number[] {
  return gpus?.map(gpu => gpu.index) ?? Array.from({ length: gpu_count }, (_, index) => index);
}

export function jobTypes({ job_types, handler }: WorkerOptions): string[] {
  return job_types ?? (typeof handler === 'function' ? ['*'] : Object.keys(handler));
}

export function handlerOf(handler: WorkerOptions['handler'], job_type: string): JobHandler | undefined {
  if (typeof handler === 'function') return handler;
  const own = (key: string) => (Object.hasOwn(handler, key) ? handler[key] : undefined);
  return own(job_type) ?? own('*');
}
