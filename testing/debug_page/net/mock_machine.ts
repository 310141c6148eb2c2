// A GPU machine in the page, by the rules of section 5 of the protocol: it registers, works, tells progress,
// heartbeats, keeps what was not acknowledged and sends it again. It knows nothing of sockets: `send` goes
// out, `take` comes in, so the console can show every frame, and a test can play the hub.

import { type MockJob, mockResult, mockTelemetry } from './mock_work.ts';

type Frame = { type: string } & Record<string, unknown>;

const PROGRESS_STEPS = 12;
const HEARTBEAT_DEFAULT_MS = 15_000;
const RESEND_DEFAULT_MS = 10_000;
const STATUS_EVERY_MS = 2000;
const VRAM_MB = 49_152;
const GPU_NAME = 'NVIDIA L40S';
const MODELS = ['sdxl', 't5-xxl'];

export interface MockSettings {
  gpuCount: number;
  /** 2 works twice as fast. */
  speed: number;
  /** The part of attempts that fail, 0 to 1. */
  failRate: number;
  /** How long a job takes at speed 1 that does not say so in `params.duration_ms`. */
  durationMs: number;
  jobTypes: string[];
}

interface Running extends MockJob {
  workerId: string;
  done: number;
  /** Outputs sent so far of those in `params.output`. */
  told: number;
  timer: ReturnType<typeof setTimeout> | undefined;
}

export class MockMachine {
  readonly machineId: string;
  readonly settings: MockSettings;
  completed = 0;
  failed = 0;
  registered = false;
  onChange: () => void = () => {};
  readonly #send: (frame: Frame) => void;
  /** By lease. */
  readonly #running = new Map<string, Running>();
  /** What the hub has not acknowledged yet, by lease. */
  readonly #outbox = new Map<string, Frame>();
  #heartbeatTimer: ReturnType<typeof setInterval> | undefined;
  #resendTimer: ReturnType<typeof setInterval> | undefined;

  constructor(machineId: string, settings: MockSettings, send: (frame: Frame) => void) {
    this.machineId = machineId;
    this.settings = settings;
    this.#send = send;
  }

  get busy(): number {
    return this.#running.size;
  }

  get unacknowledged(): number {
    return this.#outbox.size;
  }

  /** Call when the socket is open, also after it was lost: `running` is the whole truth. */
  connected(): void {
    const gpus = Array.from({ length: this.settings.gpuCount }, (_, index) => ({
      index,
      name: GPU_NAME,
      vram_mb: VRAM_MB,
    }));
    const models = [...MODELS];
    const about = {
      machine_id: this.machineId,
      gpus,
      models,
      job_types: this.settings.jobTypes,
      labels: { mock: 'browser' },
    };
    this.#send({ type: 'register_worker', ...about, version: 'debug-page', running: this.#held() });
  }

  disconnected(): void {
    this.registered = false;
    clearInterval(this.#heartbeatTimer);
    clearInterval(this.#resendTimer);
    this.onChange();
  }

  /** Stops all work at once, as a machine that loses power. */
  stop(): void {
    for (const job of this.#running.values()) clearTimeout(job.timer);
    this.#running.clear();
    this.#outbox.clear();
    this.disconnected();
  }

  take(frame: Frame): void {
    if (frame.type === 'worker_registered') this.#registered(frame);
    else if (frame.type === 'job_assigned') this.#assigned(frame);
    else if (frame.type === 'cancel_job') this.#cancelled(frame);
    else if (frame.type === 'job_ack') this.#acknowledged(frame);
    else if (frame.type === 'heartbeat_ack') this.#abandon(frame['abandon']);
    else if (frame.type === 'error') this.#refused(frame);
    this.onChange();
  }

  #registered(frame: Frame): void {
    this.registered = true;
    const jobs = (frame['jobs'] ?? []) as {
      job_id: string;
      lease_id: string;
      action: string;
      next_output?: number;
    }[];
    this.#abandon(jobs.filter(job => job.action === 'abandon'));
    for (const job of jobs) if (job.action === 'cancel') this.#cancelled({ type: 'cancel_job', ...job });
    for (const message of this.#outbox.values()) this.#send(message);
    for (const job of jobs) this.#repeat(job.lease_id, job.next_output);
    clearInterval(this.#heartbeatTimer);
    clearInterval(this.#resendTimer);
    const beat = Number(frame['heartbeat_interval_ms'] ?? HEARTBEAT_DEFAULT_MS);
    // More often than owed, so that the gauges of the page move.
    this.#heartbeatTimer = setInterval(() => this.#heartbeat(), Math.min(beat, STATUS_EVERY_MS));
    this.#resendTimer = setInterval(() => this.#resend(), Number(frame['resend_ms'] ?? RESEND_DEFAULT_MS));
    this.#heartbeat();
  }

  #held(): { job_id: unknown; lease_id: string }[] {
    const outbox = [...this.#outbox].map(([lease_id, message]) => ({ job_id: message['job_id'], lease_id }));
    return [...[...this.#running.values()].map(({ job_id, lease_id }) => ({ job_id, lease_id })), ...outbox];
  }

  #heartbeat(): void {
    const busy = new Set([...this.#running.values()].map(job => job.workerId));
    const workers = Array.from({ length: this.settings.gpuCount }, (_, index) => {
      const worker_id = `${this.machineId}:gpu${index}`;
      return { worker_id, vram_total_mb: VRAM_MB, ...mockTelemetry(busy.has(worker_id), VRAM_MB) };
    });
    this.#send({ type: 'worker_heartbeat', workers, running: this.#held() });
  }

  #resend(): void {
    for (const message of this.#outbox.values()) this.#send(message);
  }

  #assigned(frame: Frame): void {
    const lease_id = String(frame['lease_id']);
    if (this.#running.has(lease_id) || this.#outbox.has(lease_id)) return;
    const params = (frame['params'] ?? {}) as Record<string, unknown>;
    const job: Running = {
      job_id: String(frame['job_id']),
      lease_id,
      job_type: String(frame['job_type']),
      params,
      workerId: String(frame['worker_id']),
      done: 0,
      told: 0,
      timer: undefined,
    };
    this.#running.set(lease_id, job);
    this.#send({ type: 'job_started', job_id: job.job_id, lease_id });
    this.#nextStep(job, Math.random() < this.settings.failRate);
  }

  #nextStep(job: Running, willFail: boolean): void {
    const asked = job.params['duration_ms'];
    const whole = typeof asked === 'number' ? asked : this.settings.durationMs;
    const step = Math.max(0, whole) / PROGRESS_STEPS / this.settings.speed;
    job.timer = setTimeout(() => this.#step(job, willFail), step);
  }

  #step(job: Running, willFail: boolean): void {
    job.done++;
    if (willFail && job.done > PROGRESS_STEPS / 2) return this.#fail(job);
    if (job.done >= PROGRESS_STEPS) return this.#complete(job);
    const { job_id, lease_id } = job;
    const message = `step ${job.done} of ${PROGRESS_STEPS}`;
    this.#send({ type: 'job_progress', job_id, lease_id, progress: job.done / PROGRESS_STEPS, message });
    this.#tell(job);
    this.#nextStep(job, willFail);
  }

  /** The hub has the outputs before this one; the others may be lost with the old connection. */
  #repeat(lease: string, next_output = 0): void {
    const job = this.#running.get(lease);
    if (job === undefined) return;
    job.told = Math.min(job.told, next_output);
    this.#tell(job);
  }

  /** What is due of `params.output`, a list of anything. */
  #tell(job: Running): void {
    const all: unknown[] = Array.isArray(job.params['output']) ? job.params['output'] : [];
    const { job_id, lease_id } = job;
    for (const due = Math.ceil((job.done / PROGRESS_STEPS) * all.length); job.told < due; job.told++) {
      this.#send({ type: 'job_output', job_id, lease_id, index: job.told, data: all[job.told] });
    }
  }

  #complete(job: Running): void {
    this.#tell(job);
    this.completed++;
    this.#end(job, { type: 'job_completed', result: mockResult(job) });
  }

  #fail(job: Running): void {
    this.failed++;
    const error = { code: 'mock_failure', message: 'this attempt was meant to fail', retryable: true };
    this.#end(job, { type: 'job_failed', error });
  }

  #cancelled(frame: Frame): void {
    const job = this.#running.get(String(frame['lease_id']));
    if (job !== undefined) this.#end(job, { type: 'job_cancelled' });
  }

  /** A terminal message stays in the outbox until the hub has decided. */
  #end({ job_id, lease_id, timer }: Running, message: Frame): void {
    clearTimeout(timer);
    this.#running.delete(lease_id);
    const whole = { ...message, request_id: `end:${lease_id}`, job_id, lease_id };
    this.#outbox.set(lease_id, whole);
    this.#send(whole);
    this.onChange();
  }

  #acknowledged(frame: Frame): void {
    const lease = String(frame['lease_id']);
    this.#outbox.delete(lease);
    // Refused also while it still works: the lease is not the present one any more.
    if (frame['accepted'] === false) this.#abandon([{ lease_id: lease }]);
  }

  /** A result the hub can never take is not repeated: the attempt failed. `unavailable` is tried again. */
  #refused(frame: Frame): void {
    const id = String(frame['request_id'] ?? '');
    const message = id.startsWith('end:') ? this.#outbox.get(id.slice(4)) : undefined;
    if (message === undefined || frame['code'] === 'unavailable' || message.type === 'job_failed') return;
    const error = { code: 'bad_result', message: String(frame['message']).slice(0, 1000), retryable: false };
    const { job_id, lease_id } = message as Frame & { lease_id: string };
    const instead = { type: 'job_failed', request_id: id, job_id, lease_id, error };
    this.#outbox.set(lease_id, instead);
    this.#send(instead);
  }

  #abandon(leases: unknown): void {
    for (const { lease_id } of (Array.isArray(leases) ? leases : []) as { lease_id: string }[]) {
      clearTimeout(this.#running.get(lease_id)?.timer);
      this.#running.delete(lease_id);
      this.#outbox.delete(lease_id);
    }
  }
}
