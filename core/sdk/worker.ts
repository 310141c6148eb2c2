import type { z } from 'zod';
import type {
  CancelOrder,
  Gpu,
  HeartbeatAck,
  JobAck,
  JobAssignment,
  WorkerRegistered,
} from '../messages/worker.ts';
import {
  type BackoffOptions,
  bodyOf,
  GpuhubError,
  type HubMessage,
  HubSocket,
  isLarger,
  type WelcomeMessage,
  type WireFactory,
} from './socket.ts';

export { GpuhubError } from './socket.ts';

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
   * while the buffer lasts ({@link OUTPUT_BUFFER}).
   *
   * @throws GpuhubError `payload_too_large`, `invalid_result` (not JSON)
   */
  output(data: unknown): void;
  /** The job is handed back unharmed when the handler ends: no attempt is counted. */
  release(reason?: string): void;
  /** Like release, and this worker is passed over for such jobs for a while, ms. */
  reject(reason: string, retry_after_ms?: number): void;
}

/** How much output of a job may wait to be stored by the hub; beyond it the oldest is lost (watchers get a gap). */
export const OUTPUT_BUFFER = { entries_max: 10_000, bytes_max: 8 * 1024 * 1024 };
/** Outputs wait while more than this has not left the socket. */
const SOCKET_BYTES_MAX = 4 * 1024 * 1024;
const PUMP_INTERVAL_MS = 100;
/** Ten a second, as the hub forwards no more. */
const PROGRESS_INTERVAL_MS = 100;
/** The hub takes longer ones, but nobody reads them. */
const TEXT_MAX = 4000;
const REASON_MAX = 1000;
const CODE_MAX = 128;
const DETAILS_MAX = 16_384;
/** A handler that goes on after its job was taken away may keep its GPU this long before new jobs are rejected. */
const SLOT_WAIT_MS = 10_000;
/** For a cancel that comes with the registration, which names no time. */
const CANCEL_GRACE_MS = 10_000;
/** Leases that ended are remembered, so that a repeated assignment is not run again. */
const KNOWN_MAX = 4096;
/** A hub that leaves more heartbeats unanswered does not answer any. */
const BEATS_MAX = 64;
/** What hubs allow, before one has said so. */
const MESSAGE_BYTES_MAX = 1_048_576;
const RESEND_MS = 10_000;
/** An unanswered registration is sent again. */
const REGISTER_RETRY_MS = 10_000;

/** Outputs of one job that the hub has not stored yet, numbered without gaps. */
class OutputBuffer {
  #entries: { index: number; text: string }[] = [];
  #bytes = 0;
  #next = 0;
  /** The index that is to be sent next. */
  sent = 0;

  push(text: string): void {
    this.#entries.push({ index: this.#next++, text });
    this.#bytes += text.length;
    while (this.#entries.length > OUTPUT_BUFFER.entries_max || this.#bytes > OUTPUT_BUFFER.bytes_max) {
      this.#bytes -= this.#entries.shift()?.text.length ?? 0;
    }
  }

  /** The hub has everything below `next`. */
  stored(next: number): void {
    let count = 0;
    for (const { index, text } of this.#entries) {
      if (index >= next) break;
      count += 1;
      this.#bytes -= text.length;
    }
    if (count > 0) this.#entries.splice(0, count);
  }

  /** The next entry to send, if there is one. */
  take(): { index: number; text: string } | undefined {
    const first = this.#entries[0];
    if (first === undefined) return undefined;
    const entry = this.#entries[Math.max(0, this.sent - first.index)];
    if (entry !== undefined) this.sent = entry.index + 1;
    return entry;
  }
}

interface Terminal {
  type: TerminalType;
  request_id: string;
  text: string;
  /** How often the hub called such a message of this job bad. */
  refusals: number;
}

/**
 * A job this machine answers for.
 *
 *     waiting (its GPU is still busy) -> running -> outbox (its end is told, not yet acknowledged) -> gone
 *
 * `stop` says that it shall end early, and how. A lease that the hub takes away goes from anywhere to gone.
 */
class Lease {
  readonly job: AssignedJob;
  readonly gpu: number;
  readonly controller = new AbortController();
  readonly outputs = new OutputBuffer();
  status: 'waiting' | 'running' | 'outbox' | 'gone' = 'waiting';
  stop: { ending: 'job_cancelled' | 'job_released'; reason: string } | undefined;
  /** The handler's own wish for the end. */
  verdict: { type: 'job_released' | 'job_rejected'; [field: string]: unknown } | undefined;
  terminal: Terminal | undefined;
  progress: string | undefined;
  progress_unsent = false;
  progress_at = Number.NEGATIVE_INFINITY;
  /** By this machine's monotonic clock. */
  renewed_at = performance.now();
  progress_timer: ReturnType<typeof setTimeout> | undefined;
  /** Of the wait for a GPU, of a grace, or of the next try of the terminal message. */
  timer: ReturnType<typeof setTimeout> | undefined;

  constructor(job: AssignedJob, gpu: number) {
    this.job = job;
    this.gpu = gpu;
  }

  get id(): string {
    return this.job.lease_id;
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

/** What each GPU is doing; `busy` until its handler has ended, whatever the hub says. */
interface Slot {
  busy: boolean;
  waiting: Lease | undefined;
}

type Registered = z.infer<typeof WorkerRegistered>;
interface Beat {
  at: number;
  /** How much output of each lease had been sent by then. */
  sent: Map<string, number>;
}

/**
 * A GPU machine's side of gpuhub: one connection, one job a GPU.
 *
 * It promises that a job is run once for a lease, that a lost connection never stops it, and that its end is told
 * until a hub has acknowledged it. It ends by {@link stop}, or when the hub refuses it for good.
 *
 *     const worker = new GpuhubWorker({ machine_id: 'm1', gpu_count: 2, handler: async (job, { progress }) => {...} });
 *     await worker.start();
 *     worker.drainOnSignals();
 */
export class GpuhubWorker implements AsyncDisposable {
  readonly machine_id: string;
  /** Resolves when it is over: with the fault that ended it, or with `undefined` after {@link stop}. */
  readonly closed: Promise<GpuhubError | undefined>;
  readonly #options: WorkerOptions;
  readonly #socket: HubSocket;
  readonly #slots: Map<number, Slot>;
  readonly #leases = new Map<string, Lease>();
  readonly #known = new Set<string>();
  /** Terminal messages by request id, to pair errors with them. */
  readonly #terminals = new Map<string, Lease>();
  readonly #beats = new Map<string, Beat>();
  /** `undefined` while not registered on the present connection. */
  #registered: Registered | undefined;
  #resend_ms = RESEND_MS;
  #lease_ms: number | undefined;
  #message_bytes_max = MESSAGE_BYTES_MAX;
  #draining = false;
  /** Why a registration was refused for good. */
  #refusal: GpuhubError | undefined;
  #next_request = 1;
  #register_at = 0;
  #telemetry: GpuTelemetry[] = [];
  #probing = false;
  #heartbeat: ReturnType<typeof setInterval> | undefined;
  #lost_check: ReturnType<typeof setInterval> | undefined;
  #register_timer: ReturnType<typeof setTimeout> | undefined;
  #pump_timer: ReturnType<typeof setTimeout> | undefined;
  #idle_waiters: (() => void)[] = [];
  #first: { resolve: () => void; reject: (error: GpuhubError) => void } | undefined;
  #starting: Promise<void> | undefined;
  #stopping: Promise<void> | undefined;
  #close: (fault: GpuhubError | undefined) => void = () => {};

  constructor(options: WorkerOptions) {
    this.#options = options;
    this.machine_id = options.machine_id;
    this.#slots = new Map(gpuIndexes(options).map(index => [index, { busy: false, waiting: undefined }]));
    this.closed = new Promise(resolve => {
      this.#close = resolve;
    });
    this.#socket = new HubSocket(
      { ...options, url: options.url ?? 'ws://127.0.0.1:8000', role: 'worker' },
      {
        open: welcome => {
          this.#message_bytes_max = welcome.limits?.max_message_bytes ?? MESSAGE_BYTES_MAX;
          this.#register();
        },
        message: message => this.#read(message),
        down: (error, retry_in_ms) => {
          this.#disconnected();
          this.#emit({ type: 'down', error, retry_in_ms });
        },
        end: error => this.#ended(error),
      },
    );
  }

  /** How many jobs this machine answers for: at work, or ended and not yet acknowledged. */
  get held(): number {
    return this.#leases.size;
  }

  /**
   * Connects and registers; resolves at the first registration, however long that takes.
   *
   * @throws GpuhubError `unauthorized`, `forbidden`, `replaced`, `invalid_message` (a bad option), `closed`
   */
  start(): Promise<void> {
    this.#starting ??= new Promise((resolve, reject) => {
      this.#first = { resolve, reject };
      if (this.#options.stop_when_lost) this.#lost_check = setInterval(() => this.#stopLost(), 1000);
      this.#socket.start();
    });
    return this.#starting;
  }

  /**
   * Takes no new job, also after a reconnect, until {@link resume}.
   *
   * @param options.timeout_ms how long to wait for the running ones; default for ever
   * @returns true when no job is left, false when the time was over before
   */
  drain(options: { reason?: string; timeout_ms?: number } = {}): Promise<boolean> {
    this.#draining = true;
    const { reason, timeout_ms = Infinity } = options;
    if (this.#registered) this.#socket.send({ type: 'worker_drain', ...(reason && { reason }) });
    return this.#idle(timeout_ms);
  }

  /** Takes jobs again. */
  resume(): void {
    this.#draining = false;
    if (this.#registered) this.#socket.send({ type: 'worker_resume' });
  }

  /**
   * Hands running jobs back and ends. Handlers are aborted and given `grace_ms` (default 1000) to end; then the
   * hub is given until `timeout_ms` (default 5000) to acknowledge. What it has not acknowledged by then goes to
   * another machine when the lease runs out.
   */
  stop(options: { grace_ms?: number; timeout_ms?: number } = {}): Promise<void> {
    this.#stopping ??= this.#stop(options.grace_ms ?? 1000, options.timeout_ms ?? 5000);
    return this.#stopping;
  }

  /**
   * On SIGTERM or SIGINT (Node only): drains, waits for running jobs, releases the rest, closes, exits with 0. A
   * second signal ends the waiting.
   *
   * @param options.wait_ms for running jobs; default 25,000, below the usual 30 s of container runtimes
   * @param options.exit whether to end the process; default true
   * @returns takes the signal handlers away again
   */
  drainOnSignals(options: { wait_ms?: number; signals?: NodeJS.Signals[]; exit?: boolean } = {}): () => void {
    const { wait_ms = 25_000, signals = ['SIGTERM', 'SIGINT'], exit = true } = options;
    let asked = 0;
    const onSignal = async (signal: NodeJS.Signals) => {
      asked += 1;
      if (asked === 1) await this.drain({ reason: signal, timeout_ms: wait_ms });
      await this.stop();
      remove();
      if (exit) process.exit(0);
    };
    const listener = (signal: NodeJS.Signals) => void onSignal(signal);
    const remove = () => {
      for (const signal of signals) process.off(signal, listener);
    };
    for (const signal of signals) process.on(signal, listener);
    return remove;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  async #stop(grace_ms: number, timeout_ms: number): Promise<void> {
    this.#draining = true;
    for (const lease of this.#leases.values()) {
      this.#askToStop(lease, 'job_released', 'released', 'the worker is stopping', grace_ms);
    }
    await this.#idle(this.#starting === undefined ? 0 : timeout_ms);
    await this.#socket.close();
  }

  #idle(timeout_ms: number): Promise<boolean> {
    if (this.#leases.size === 0) return Promise.resolve(true);
    return new Promise(resolve => {
      const done = () => {
        clearTimeout(timer);
        this.#idle_waiters = this.#idle_waiters.filter(waiter => waiter !== done);
        resolve(this.#leases.size === 0);
      };
      const timer = timeout_ms === Infinity ? undefined : setTimeout(done, timeout_ms);
      this.#idle_waiters.push(done);
    });
  }

  // ---- connection and registration

  #register(): void {
    const { machine_id, gpus, gpu_count, models, labels, version } = this.#options;
    this.#register_at = performance.now();
    this.#socket.send({
      type: 'register_worker',
      request_id: 'register',
      machine_id,
      ...(gpus ? { gpus } : { gpu_count: gpu_count ?? 1 }),
      job_types: jobTypes(this.#options),
      models,
      labels,
      version,
      draining: this.#draining,
      running: this.#running(),
    });
    this.#registerAgain(REGISTER_RETRY_MS);
  }

  #registerAgain(after_ms: number): void {
    clearTimeout(this.#register_timer);
    this.#register_timer = setTimeout(() => this.#register(), after_ms);
  }

  #running(): { job_id: string; lease_id: string }[] {
    return Array.from(this.#leases.values(), lease => lease.names);
  }

  #onRegistered(message: Registered): void {
    clearTimeout(this.#register_timer);
    this.#registered = message;
    this.#lease_ms = message.lease_ms;
    this.#resend_ms = message.resend_ms;
    for (const { lease_id, action, next_output } of message.jobs) {
      const lease = this.#leases.get(lease_id);
      if (lease === undefined) continue;
      if (action === 'abandon')
        this.#drop(lease, 'abandoned', 'the hub no longer counts on this machine for it');
      else this.#resume(lease, next_output, action === 'cancel');
    }
    clearInterval(this.#heartbeat);
    this.#heartbeat = setInterval(() => this.#beat(), message.heartbeat_interval_ms);
    this.#probe();
    const welcome = this.#socket.welcome;
    if (welcome) this.#emit({ type: 'registered', welcome, worker_ids: message.worker_ids });
    this.#first?.resolve();
    this.#first = undefined;
  }

  /** Tells a new connection what the former one may have lost. */
  #resume(lease: Lease, next_output: number, cancel: boolean): void {
    lease.renewed_at = this.#register_at;
    lease.outputs.stored(next_output);
    lease.outputs.sent = next_output;
    if (lease.status === 'running') {
      this.#socket.send({ type: 'job_started', ...lease.names });
      lease.progress_unsent = lease.progress !== undefined;
      this.#sendProgress(lease);
      this.#pump(lease);
    }
    if (lease.status === 'outbox') this.#sendTerminal(lease);
    else if (cancel && lease.stop === undefined) {
      this.#askToStop(lease, 'job_cancelled', 'cancelled', 'the job was cancelled', CANCEL_GRACE_MS);
    }
  }

  #disconnected(): void {
    this.#registered = undefined;
    clearInterval(this.#heartbeat);
    clearTimeout(this.#register_timer);
    clearTimeout(this.#pump_timer);
    this.#pump_timer = undefined;
    this.#beats.clear();
    for (const lease of this.#leases.values()) if (lease.status === 'outbox') clearTimeout(lease.timer);
  }

  #ended(socket_fault: GpuhubError | undefined): void {
    const fault = socket_fault ?? this.#refusal;
    this.#disconnected();
    clearInterval(this.#lost_check);
    const why = fault ?? new GpuhubError('closed', 'the worker was stopped');
    for (const lease of this.#leases.values()) this.#drop(lease, why.code, why.message);
    this.#first?.reject(why);
    this.#first = undefined;
    this.#emit({ type: 'ended', error: fault });
    this.#close(fault);
  }

  // ---- what the hub says

  #read(message: HubMessage): void {
    switch (message.type) {
      case 'job_assigned':
        this.#assigned(bodyOf(message) as unknown as AssignedJob);
        break;
      case 'job_ack':
        this.#acked(message as unknown as z.infer<typeof JobAck>);
        break;
      case 'cancel_job':
        this.#cancelled(message as unknown as z.infer<typeof CancelOrder>);
        break;
      case 'heartbeat_ack':
        this.#beatAcked(message as unknown as z.infer<typeof HeartbeatAck>);
        break;
      case 'worker_registered':
        this.#onRegistered(message as unknown as Registered);
        break;
      case 'worker_draining':
      case 'worker_resumed':
        this.#emit({
          type: message.type === 'worker_draining' ? 'draining' : 'resumed',
          worker_ids: message['worker_ids'] as string[],
          reason: message['reason'] as string | undefined,
        });
        break;
      case 'error':
        this.#refused(message);
        break;
      default: // pong, and what later versions may add
    }
  }

  #assigned(job: AssignedJob): void {
    if (this.#known.has(job.lease_id)) return;
    this.#remember(job.lease_id);
    const gpu = gpuOf(job);
    const slot = this.#slots.get(gpu);
    const lease = new Lease(job, gpu);
    this.#leases.set(lease.id, lease);
    const reject = (reason: string) => this.#finish(lease, { type: 'job_rejected', reason });
    if (this.#draining) this.#finish(lease, { type: 'job_released', reason: 'the worker is draining' });
    else if (slot === undefined) reject(`there is no GPU ${gpu}`);
    else if (handlerOf(this.#options.handler, job.job_type) === undefined) {
      reject(`no handler for the type "${job.job_type}"`);
    } else if (!slot.busy) this.#run(lease, slot);
    else this.#waitForSlot(lease, slot);
  }

  /** The hub may think a GPU free that a handler still uses, which was told to stop. */
  #waitForSlot(lease: Lease, slot: Slot): void {
    const reject = (other: Lease) => {
      slot.waiting = undefined;
      this.#finish(other, { type: 'job_rejected', reason: 'the GPU is still busy with a former job' });
    };
    if (slot.waiting !== undefined) {
      clearTimeout(slot.waiting.timer);
      reject(slot.waiting);
    }
    slot.waiting = lease;
    lease.timer = setTimeout(reject, SLOT_WAIT_MS, lease);
  }

  #cancelled({ job_id, lease_id, reason, grace_ms }: z.infer<typeof CancelOrder>): void {
    const lease = this.#leases.get(lease_id);
    if (lease === undefined) {
      // The hub waits for the end of something this machine does not know of: then it has ended.
      this.#remember(lease_id);
      this.#socket.send({ type: 'job_cancelled', job_id, lease_id });
      return;
    }
    const patience = typeof grace_ms === 'number' ? grace_ms : CANCEL_GRACE_MS;
    this.#askToStop(lease, 'job_cancelled', 'cancelled', reason || 'the job was cancelled', patience);
  }

  #acked({ lease_id, accepted, code }: z.infer<typeof JobAck>): void {
    const lease = this.#leases.get(lease_id);
    if (lease === undefined) return;
    if (lease.terminal === undefined) {
      if (!accepted) this.#drop(lease, 'abandoned', `the hub says ${code ?? 'no'} to this lease`);
      return;
    }
    this.#forget(lease);
    this.#emit({ type: 'job_acked', job: lease.job, accepted, code });
  }

  #refused(message: HubMessage): void {
    const error = new GpuhubError(String(message['code']), String(message['message']), message['details']);
    const details = (error.details ?? {}) as { lease_id?: string; retry_after_ms?: unknown };
    const lease = this.#terminals.get(message.request_id ?? '') ?? this.#leases.get(details.lease_id ?? '');
    const retry_after_ms = typeof details.retry_after_ms === 'number' ? details.retry_after_ms : undefined;
    this.#emit({ type: 'error', error });
    if (message.request_id === 'register') this.#registrationRefused(error, retry_after_ms);
    else if (error.code === 'not_registered') this.#registrationLost();
    else if (lease?.terminal !== undefined) this.#terminalRefused(lease, error, retry_after_ms);
    else if (this.#beats.delete(message.request_id ?? '') && error.code === 'invalid_message') {
      // Bad telemetry must not cost the leases.
      this.#telemetry = [];
      this.#socket.send({ type: 'worker_heartbeat', workers: [], running: this.#running() });
    }
  }

  /** A hub that says so has forgotten this machine; several messages may be told the same. */
  #registrationLost(): void {
    if (this.#registered === undefined) return;
    this.#registered = undefined;
    this.#register();
  }

  #registrationRefused(error: GpuhubError, retry_after_ms: number | undefined): void {
    if (['unavailable', 'internal', 'rate_limited', 'queue_full'].includes(error.code)) {
      this.#registerAgain(jittered(retry_after_ms ?? 1000));
      return;
    }
    clearTimeout(this.#register_timer);
    this.#first?.reject(error);
    this.#first = undefined;
    this.#refusal = error;
    void this.#socket.close();
  }

  // ---- heartbeats

  #beat(): void {
    this.#probe();
    const request_id = `h${this.#next_request++}`;
    const sent = new Map<string, number>();
    for (const lease of this.#leases.values()) sent.set(lease.id, lease.outputs.sent);
    if (this.#beats.size >= BEATS_MAX) this.#beats.clear();
    this.#beats.set(request_id, { at: performance.now(), sent });
    const workers = this.#telemetry.map(({ index, ...values }) => ({
      worker_id: `${this.machine_id}:gpu${index}`,
      ...values,
    }));
    this.#socket.send({ type: 'worker_heartbeat', request_id, workers, running: this.#running() });
  }

  #beatAcked({ request_id, abandon, outputs }: z.infer<typeof HeartbeatAck>): void {
    const beat = this.#beats.get(request_id ?? '');
    this.#beats.delete(request_id ?? '');
    for (const { lease_id } of abandon) {
      const lease = this.#leases.get(lease_id);
      if (lease) this.#drop(lease, 'abandoned', 'the hub no longer counts on this machine for it');
    }
    for (const [lease_id, sent] of beat?.sent ?? []) {
      const lease = this.#leases.get(lease_id);
      if (lease === undefined || beat === undefined) continue;
      lease.renewed_at = Math.max(lease.renewed_at, beat.at);
      const next = outputs[lease_id];
      if (next === undefined) continue;
      lease.outputs.stored(next);
      // What had been sent before the heartbeat and was not stored was lost on the hub's side.
      if (next < sent) lease.outputs.sent = next;
      this.#pump(lease);
    }
  }

  /** Fetches telemetry for the next heartbeat; never more than one probe is on its way, as drivers may hang. */
  #probe(): void {
    const { telemetry } = this.#options;
    if (telemetry === undefined || this.#probing) return;
    const onFault = (error: unknown) => {
      this.#telemetry = [];
      this.#emit({ type: 'error', error: new GpuhubError('telemetry', String(error)) });
    };
    try {
      const answer = telemetry();
      if (Array.isArray(answer)) {
        this.#telemetry = answer;
        return;
      }
      this.#probing = true;
      answer
        .then(values => {
          this.#telemetry = values;
        }, onFault)
        .finally(() => {
          this.#probing = false;
        });
    } catch (error) {
      onFault(error);
    }
  }

  #stopLost(): void {
    const now = performance.now();
    for (const lease of this.#leases.values()) {
      const is_lost = this.#lease_ms !== undefined && now - lease.renewed_at >= this.#lease_ms;
      if (is_lost && lease.status !== 'outbox')
        this.#drop(lease, 'lost', 'its lease was not renewed in time');
    }
  }

  // ---- a job's run

  #run(lease: Lease, slot: Slot): void {
    slot.busy = true;
    lease.status = 'running';
    if (this.#registered) this.#socket.send({ type: 'job_started', ...lease.names });
    this.#emit({ type: 'job_started', job: lease.job });
    void this.#work(lease).then(() => {
      slot.busy = false;
      const next = slot.waiting;
      slot.waiting = undefined;
      if (next === undefined) return;
      clearTimeout(next.timer);
      this.#run(next, slot);
    });
  }

  async #work(lease: Lease): Promise<void> {
    try {
      const handler = handlerOf(this.#options.handler, lease.job.job_type) as JobHandler;
      this.#done(lease, await handler(lease.job, this.#context(lease)));
    } catch (error) {
      if (lease.verdict === undefined && lease.stop === undefined) {
        this.#finish(lease, { type: 'job_failed', error: jobError(error) });
      } else this.#done(lease, undefined);
    }
  }

  /** The handler has ended without a fault of its own. */
  #done(lease: Lease, result: unknown): void {
    if (lease.verdict !== undefined) this.#finish(lease, lease.verdict);
    else if (lease.stop !== undefined && result === undefined) this.#finishStopped(lease, lease.stop);
    else this.#finish(lease, { type: 'job_completed', result: result ?? null });
  }

  #finishStopped(lease: Lease, { ending, reason }: NonNullable<Lease['stop']>): void {
    this.#finish(lease, ending === 'job_released' ? { type: ending, reason } : { type: ending });
  }

  #context(lease: Lease): JobContext {
    const { job } = lease;
    return {
      signal: lease.controller.signal,
      gpu: lease.gpu,
      gpus: job.gpus,
      attempt: job.attempt,
      lease_id: lease.id,
      progress: (fraction, message, data) => this.#progress(lease, fraction, message, data),
      output: data => this.#output(lease, data),
      release: reason => {
        lease.verdict = { type: 'job_released', ...(reason && { reason: reason.slice(0, REASON_MAX) }) };
      },
      reject: (reason, retry_after_ms) => {
        lease.verdict = {
          type: 'job_rejected',
          reason: reason.slice(0, REASON_MAX),
          ...(retry_after_ms !== undefined && { retry_after_ms: Math.max(0, Math.round(retry_after_ms)) }),
        };
      },
    };
  }

  #progress(lease: Lease, fraction: number, message?: string, data?: unknown): void {
    if (lease.status !== 'running') return;
    const progress = Number.isFinite(fraction) ? Math.min(1, Math.max(0, fraction)) : 0;
    lease.progress = this.#encoded({
      type: 'job_progress',
      ...lease.names,
      progress,
      message: message?.slice(0, TEXT_MAX),
      data,
    });
    lease.progress_unsent = true;
    if (lease.progress_timer !== undefined) return;
    const wait_ms = lease.progress_at + PROGRESS_INTERVAL_MS - performance.now();
    if (wait_ms <= 0) this.#sendProgress(lease);
    else lease.progress_timer = setTimeout(() => this.#sendProgress(lease), wait_ms);
  }

  #sendProgress(lease: Lease): void {
    clearTimeout(lease.progress_timer);
    lease.progress_timer = undefined;
    if (!this.#registered || !lease.progress_unsent || lease.progress === undefined) return;
    lease.progress_unsent = false;
    lease.progress_at = performance.now();
    this.#socket.send(lease.progress);
  }

  #output(lease: Lease, data: unknown): void {
    if (lease.status !== 'running') return;
    lease.outputs.push(this.#encoded(data ?? null));
    this.#pump(lease);
  }

  /** JSON that fits into a frame, with room for the rest of it. */
  #encoded(value: unknown): string {
    const text = toJson(value);
    const bytes_max = this.#message_bytes_max - 1024;
    if (isLarger(text, bytes_max)) {
      throw new GpuhubError('payload_too_large', `this is larger than the hub's ${bytes_max} bytes`);
    }
    return text;
  }

  /** Sends the outputs that were not sent yet, as far as the socket takes them; all of them before the end. */
  #pump(lease: Lease, all = false): void {
    if (!this.#registered || lease.status === 'gone') return;
    const names = `"job_id":${JSON.stringify(lease.job.job_id)},"lease_id":${JSON.stringify(lease.id)}`;
    while (all || this.#socket.buffered < SOCKET_BYTES_MAX) {
      const entry = lease.outputs.take();
      if (entry === undefined) return;
      this.#socket.send(`{"type":"job_output",${names},"index":${entry.index},"data":${entry.text}}`);
    }
    this.#pump_timer ??= setTimeout(() => {
      this.#pump_timer = undefined;
      for (const other of this.#leases.values()) this.#pump(other);
    }, PUMP_INTERVAL_MS);
  }

  // ---- a job's end

  #askToStop(
    lease: Lease,
    ending: 'job_cancelled' | 'job_released',
    code: string,
    reason: string,
    grace_ms: number,
  ): void {
    if (lease.status === 'outbox' || lease.status === 'gone') return;
    // A cancel stays a cancel when the worker is stopped as well.
    if (lease.stop?.ending !== 'job_cancelled') lease.stop = { ending, reason: reason.slice(0, REASON_MAX) };
    const { stop } = lease;
    if (lease.status === 'waiting') {
      this.#finishStopped(lease, stop);
      return;
    }
    clearTimeout(lease.timer);
    lease.timer = setTimeout(() => this.#finishStopped(lease, stop), grace_ms);
    lease.controller.abort(new GpuhubError(code, reason));
  }

  /** Puts the end of a job in the outbox. The first end counts. */
  #finish(lease: Lease, message: { type: TerminalType; [field: string]: unknown }): void {
    if (lease.status === 'outbox' || lease.status === 'gone') return;
    this.#leaveSlot(lease);
    lease.clearTimers();
    this.#pump(lease, true);
    lease.status = 'outbox';
    this.#setTerminal(lease, message, 0);
    this.#sendTerminal(lease);
    this.#emit({ type: 'job_ended', job: lease.job, outcome: lease.terminal?.type ?? message.type });
  }

  #setTerminal(
    lease: Lease,
    message: { type: TerminalType; [field: string]: unknown },
    refusals: number,
  ): void {
    const request_id = `t${this.#next_request++}`;
    if (lease.terminal !== undefined) this.#terminals.delete(lease.terminal.request_id);
    let type = message.type;
    let text: string;
    try {
      text = toJson({ ...message, ...lease.names, request_id });
    } catch (error) {
      type = 'job_failed';
      text = toJson({ type, ...lease.names, request_id, error: { ...jobError(error), retryable: false } });
    }
    lease.terminal = { type, request_id, text, refusals };
    this.#terminals.set(request_id, lease);
  }

  #sendTerminal(lease: Lease): void {
    const { terminal } = lease;
    if (!this.#registered || terminal === undefined) return;
    if (isLarger(terminal.text, this.#message_bytes_max)) {
      const message = `larger than a frame of ${this.#message_bytes_max} bytes`;
      this.#terminalRefused(lease, new GpuhubError('payload_too_large', message), undefined);
      return;
    }
    // A hub of which this is the first connection may lack outputs that it never acknowledged.
    this.#pump(lease, true);
    this.#socket.send(terminal.text);
    this.#resendAfter(lease, this.#resend_ms);
  }

  #resendAfter(lease: Lease, after_ms: number): void {
    clearTimeout(lease.timer);
    lease.timer = setTimeout(() => this.#sendTerminal(lease), after_ms);
  }

  /** A message the hub calls bad is not repeated: `job_failed` goes in its place, at last one without anything of the handler's. */
  #terminalRefused(lease: Lease, error: GpuhubError, retry_after_ms: number | undefined): void {
    const terminal = lease.terminal as Terminal;
    if (error.code !== 'invalid_message' && error.code !== 'payload_too_large') {
      this.#resendAfter(lease, jittered(retry_after_ms ?? this.#resend_ms));
      return;
    }
    if (terminal.refusals >= 2) {
      this.#drop(lease, error.code, error.message);
      return;
    }
    const plain = { code: error.code.slice(0, CODE_MAX), message: 'the hub refused the message' };
    const message = `the hub refused ${terminal.type}: ${error.message}`.slice(0, TEXT_MAX);
    const reported = terminal.refusals === 0 ? { ...plain, message } : plain;
    this.#setTerminal(
      lease,
      { type: 'job_failed', error: { ...reported, retryable: false } },
      terminal.refusals + 1,
    );
    this.#sendTerminal(lease);
  }

  /** The job is no longer ours: its handler is told, its end is told to nobody. */
  #drop(lease: Lease, code: string, reason: string): void {
    this.#leaveSlot(lease);
    this.#forget(lease);
    lease.controller.abort(new GpuhubError(code, reason));
    this.#emit({ type: 'job_dropped', job: lease.job, reason });
  }

  #leaveSlot(lease: Lease): void {
    const slot = this.#slots.get(lease.gpu);
    if (slot?.waiting === lease) slot.waiting = undefined;
  }

  #forget(lease: Lease): void {
    lease.clearTimers();
    lease.status = 'gone';
    this.#leases.delete(lease.id);
    if (lease.terminal !== undefined) this.#terminals.delete(lease.terminal.request_id);
    if (this.#leases.size > 0) return;
    for (const waiter of this.#idle_waiters) waiter();
  }

  #remember(lease_id: string): void {
    this.#known.add(lease_id);
    if (this.#known.size <= KNOWN_MAX) return;
    // A Set yields its oldest first.
    for (const oldest of this.#known) {
      if (this.#leases.has(oldest)) continue;
      this.#known.delete(oldest);
      break;
    }
  }

  #emit(event: WorkerEvent): void {
    this.#options.on_event?.(event);
  }
}

function gpuIndexes({ gpus, gpu_count = 1 }: WorkerOptions): number[] {
  return gpus?.map(gpu => gpu.index) ?? Array.from({ length: gpu_count }, (_, index) => index);
}

function jobTypes({ job_types, handler }: WorkerOptions): string[] {
  return job_types ?? (typeof handler === 'function' ? ['*'] : Object.keys(handler));
}

function handlerOf(handler: WorkerOptions['handler'], job_type: string): JobHandler | undefined {
  if (typeof handler === 'function') return handler;
  const own = (key: string) => (Object.hasOwn(handler, key) ? handler[key] : undefined);
  return own(job_type) ?? own('*');
}

/** `machine1:gpu3` -> 3 */
function gpuOf({ worker_id, gpus }: AssignedJob): number {
  const digits = /:gpu(\d+)$/.exec(worker_id)?.[1];
  return digits === undefined ? (gpus[0] ?? 0) : Number(digits);
}

function toJson(value: unknown): string {
  try {
    const text = JSON.stringify(value);
    if (text !== undefined) return text;
  } catch (error) {
    throw new GpuhubError('invalid_result', `cannot be written as JSON: ${(error as Error).message}`);
  }
  throw new GpuhubError('invalid_result', `a ${typeof value} cannot be written as JSON`);
}

/** What `job_failed` says of whatever a handler threw. */
function jobError(thrown: unknown) {
  const error = (typeof thrown === 'object' && thrown !== null ? thrown : {}) as Record<string, unknown>;
  const text = typeof error['message'] === 'string' ? error['message'] : String(thrown);
  const code = typeof error['code'] === 'string' && error['code'] !== '' ? error['code'] : 'handler_error';
  return {
    code: code.slice(0, CODE_MAX),
    message: text.slice(0, TEXT_MAX),
    retryable: error['retryable'] !== false,
    ...smallDetails(error['details']),
  };
}

function smallDetails(details: unknown): { details?: unknown } {
  if (details === undefined) return {};
  try {
    return toJson(details).length <= DETAILS_MAX ? { details } : {};
  } catch {
    return {};
  }
}

/** A little later, so that the workers that were told the same do not all come at once. */
function jittered(ms: number): number {
  return ms * (1 + Math.random() / 4);
}
