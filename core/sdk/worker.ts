import type { z } from 'zod';
import type { CancelOrder, HeartbeatAck, JobAck, WorkerRegistered } from '../messages/worker.ts';
import { drainOnSignals, type SignalOptions } from './drain_signals.ts';
import { GpuSlots } from './gpu_slots.ts';
import { Heartbeats } from './heartbeats.ts';
import { JobReports } from './job_reports.ts';
import {
  type Ending,
  Lease,
  KnownLeases,
  Link,
  MESSAGE_BYTES_MAX,
  REASON_MAX,
  stoppedEnding,
} from './lease.ts';
import { jittered, Outbox } from './outbox.ts';
import { ShortLived } from './short_lived.ts';
import { bodyOf, GpuhubError, type HubMessage, HubSocket } from './socket.ts';
import { type AssignedJob, jobTypes, type WorkerEvent, type WorkerOptions } from './worker_options.ts';

export { OUTPUT_BUFFER } from './output_buffer.ts';
export { GpuhubError } from './socket.ts';
export type {
  AssignedJob,
  GpuSlot,
  GpuTelemetry,
  JobContext,
  JobHandler,
  TerminalType,
  WorkerEvent,
  WorkerOptions,
} from './worker_options.ts';

/** For a cancel that comes with the registration, which names no time. */
const CANCEL_GRACE_MS = 10_000;
/** An unanswered registration is sent again. */
const REGISTER_RETRY_MS = 10_000;

type Registered = z.infer<typeof WorkerRegistered>;

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
  readonly #link: Link;
  readonly #leases = new ShortLived<Lease>();
  readonly #known = new KnownLeases(this.#leases);
  readonly #reports: JobReports;
  readonly #outbox: Outbox;
  readonly #heartbeats: Heartbeats;
  readonly #slots: GpuSlots;
  #lease_ms: number | undefined;
  #draining = false;
  /** Why a registration was refused for good. */
  #refusal: GpuhubError | undefined;
  #register_at = 0;
  #lost_check: ReturnType<typeof setInterval> | undefined;
  #register_timer: ReturnType<typeof setTimeout> | undefined;
  #idle_waiters: (() => void)[] = [];
  /** The hub was asked to send no more jobs and has not answered: one may still be on its way. */
  #drain_request: string | undefined;
  #drains = 0;
  #first: { resolve: () => void; reject: (error: GpuhubError) => void } | undefined;
  #starting: Promise<void> | undefined;
  #stopping: Promise<void> | undefined;
  #close: (fault: GpuhubError | undefined) => void = () => {};

  constructor(options: WorkerOptions) {
    this.#options = options;
    this.machine_id = options.machine_id;
    this.closed = new Promise(resolve => {
      this.#close = resolve;
    });
    this.#socket = new HubSocket(
      { ...options, url: options.url ?? 'ws://127.0.0.1:8000', role: 'worker' },
      {
        open: welcome => {
          this.#link.message_bytes_max = welcome.limits?.max_message_bytes ?? MESSAGE_BYTES_MAX;
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
    const link = new Link(this.#socket);
    this.#link = link;
    this.#reports = new JobReports(link, this.#leases);
    this.#outbox = new Outbox(link, this.#leases, this.#reports, (lease, code, reason) =>
      this.#drop(lease, code, reason),
    );
    this.#heartbeats = new Heartbeats(link, this.#leases, this.#reports, options, {
      abandoned: lease => this.#abandon(lease),
      fault: error => this.#emit({ type: 'error', error }),
    });
    this.#slots = new GpuSlots(this.#reports, options, {
      started: ({ job }) => this.#emit({ type: 'job_started', job }),
      finish: (lease, ending) => this.#finish(lease, ending),
    });
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
    this.#askForNoMore(options.reason);
    return this.#idle(options.timeout_ms ?? Infinity);
  }

  /** Takes jobs again. */
  resume(): void {
    this.#draining = false;
    if (this.#link.ready) this.#socket.send({ type: 'worker_resume' });
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
  drainOnSignals(options: SignalOptions = {}): () => void {
    return drainOnSignals(this, options);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  async #stop(grace_ms: number, timeout_ms: number): Promise<void> {
    // Said before the jobs are handed back: else the hub may give them to this machine again.
    this.#askForNoMore('the worker is stopping');
    for (const lease of this.#leases.values()) {
      this.#askToStop(lease, 'job_released', 'released', 'the worker is stopping', grace_ms);
    }
    await this.#idle(this.#starting === undefined ? 0 : timeout_ms);
    await this.#socket.close();
  }

  #askForNoMore(reason: string | undefined): void {
    this.#draining = true;
    if (!this.#link.ready) return;
    this.#drain_request = `drain${++this.#drains}`;
    this.#socket.send({ type: 'worker_drain', request_id: this.#drain_request, ...(reason && { reason }) });
  }

  /** Nothing is held, and nothing can come. */
  get #is_idle(): boolean {
    return this.#leases.size === 0 && this.#drain_request === undefined;
  }

  #noMoreComes(): void {
    this.#drain_request = undefined;
    this.#tellIfIdle();
  }

  #tellIfIdle(): void {
    if (this.#is_idle) for (const waiter of this.#idle_waiters) waiter();
  }

  #idle(timeout_ms: number): Promise<boolean> {
    if (this.#is_idle) return Promise.resolve(true);
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
    this.#link.ready = true;
    this.#lease_ms = message.lease_ms;
    this.#outbox.resend_ms = message.resend_ms;
    for (const { lease_id, action, next_output } of message.jobs) {
      const lease = this.#leases.get(lease_id);
      if (lease === undefined) continue;
      if (action === 'abandon') this.#abandon(lease);
      else this.#resume(lease, next_output, action === 'cancel');
    }
    this.#heartbeats.start(message.heartbeat_interval_ms);
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
      this.#reports.sendStarted(lease);
      lease.progress_unsent = lease.progress !== undefined;
      this.#reports.sendProgress(lease);
      this.#reports.pump(lease);
    }
    if (lease.status === 'outbox') this.#outbox.send(lease);
    else if (cancel && lease.stop === undefined) {
      this.#askToStop(lease, 'job_cancelled', 'cancelled', 'the job was cancelled', CANCEL_GRACE_MS);
    }
  }

  #disconnected(): void {
    this.#link.ready = false;
    clearTimeout(this.#register_timer);
    this.#heartbeats.stop();
    this.#reports.stop();
    this.#outbox.stop();
    this.#noMoreComes();
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
    // `worker_draining`, or an error: either way nothing asked for before is on its way any more.
    if (message.request_id !== undefined && message.request_id === this.#drain_request) this.#noMoreComes();
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
        this.#heartbeats.acked(message as unknown as z.infer<typeof HeartbeatAck>);
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
    this.#known.add(job.lease_id);
    const lease = new Lease(job);
    this.#leases.set(lease.id, lease);
    if (this.#draining) this.#finish(lease, { type: 'job_released', reason: 'the worker is draining' });
    else this.#slots.take(lease);
  }

  #cancelled({ job_id, lease_id, reason, grace_ms }: z.infer<typeof CancelOrder>): void {
    const lease = this.#leases.get(lease_id);
    if (lease === undefined) {
      // The hub waits for the end of something this machine does not know of: then it has ended.
      this.#known.add(lease_id);
      this.#socket.send({ type: 'job_cancelled', job_id, lease_id });
      return;
    }
    const patience = typeof grace_ms === 'number' ? grace_ms : CANCEL_GRACE_MS;
    this.#askToStop(lease, 'job_cancelled', 'cancelled', reason || 'the job was cancelled', patience);
  }

  #acked({ lease_id, accepted, code, request_id }: z.infer<typeof JobAck>): void {
    const lease = this.#leases.get(lease_id);
    if (lease === undefined) return;
    if (lease.terminal === undefined) {
      if (!accepted) this.#drop(lease, 'abandoned', `the hub says ${code ?? 'no'} to this lease`);
      return;
    }
    // It speaks of an output that came again after the hub had taken the end of the job: that has its own answer.
    if (!accepted && request_id !== lease.terminal.request_id) return;
    this.#forget(lease);
    this.#emit({ type: 'job_acked', job: lease.job, accepted, code });
  }

  #refused(message: HubMessage): void {
    const error = new GpuhubError(String(message['code']), String(message['message']), message['details']);
    const details = (error.details ?? {}) as { lease_id?: string; retry_after_ms?: unknown };
    const lease = this.#outbox.leaseOf(message.request_id ?? '') ?? this.#leases.get(details.lease_id ?? '');
    const retry_after_ms = typeof details.retry_after_ms === 'number' ? details.retry_after_ms : undefined;
    this.#emit({ type: 'error', error });
    if (message.request_id === 'register') this.#registrationRefused(error, retry_after_ms);
    else if (error.code === 'not_registered') this.#registrationLost();
    else if (lease?.terminal !== undefined) this.#outbox.refused(lease, error, retry_after_ms);
    else this.#heartbeats.refused(message.request_id ?? '', error);
  }

  /** A hub that says so has forgotten this machine; several messages may be told the same. */
  #registrationLost(): void {
    if (!this.#link.ready) return;
    this.#link.ready = false;
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

  #stopLost(): void {
    const now = performance.now();
    for (const lease of this.#leases.values()) {
      const is_lost = this.#lease_ms !== undefined && now - lease.renewed_at >= this.#lease_ms;
      if (is_lost && lease.status !== 'outbox')
        this.#drop(lease, 'lost', 'its lease was not renewed in time');
    }
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
      this.#finish(lease, stoppedEnding(stop));
      return;
    }
    clearTimeout(lease.timer);
    lease.timer = setTimeout(() => this.#finish(lease, stoppedEnding(stop)), grace_ms);
    lease.abort(new GpuhubError(code, reason));
  }

  /** Puts the end of a job in the outbox. The first end counts. */
  #finish(lease: Lease, ending: Ending): void {
    if (lease.status === 'outbox' || lease.status === 'gone') return;
    this.#slots.leave(lease);
    lease.clearTimers();
    lease.status = 'outbox';
    this.#outbox.add(lease, ending);
    this.#emit({ type: 'job_ended', job: lease.job, outcome: lease.terminal?.type ?? ending.type });
  }

  #abandon(lease: Lease): void {
    this.#drop(lease, 'abandoned', 'the hub no longer counts on this machine for it');
    // A slot whose lease was taken away gets nothing until it hears that the worker is done with it.
    this.#socket.send({ type: 'job_cancelled', ...lease.names });
  }

  /** The job is no longer ours: its handler is told, its end is told to nobody. */
  #drop(lease: Lease, code: string, reason: string): void {
    this.#slots.leave(lease);
    this.#forget(lease);
    lease.abort(new GpuhubError(code, reason));
    this.#emit({ type: 'job_dropped', job: lease.job, reason });
  }

  #forget(lease: Lease): void {
    lease.clearTimers();
    lease.status = 'gone';
    this.#leases.delete(lease.id);
    this.#tellIfIdle();
  }

  #emit(event: WorkerEvent): void {
    this.#options.on_event?.(event);
  }
}
