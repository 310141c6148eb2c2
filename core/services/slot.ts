import type { Connection } from '../connections/connection.ts';
import type { WorkerState } from '../messages/stats.ts';
import type { Gpu, WorkerRecord } from '../messages/worker.ts';
import type { Profile } from './matching.ts';

/** A machine that registered on this hub. */
export interface Machine {
  machine_id: string;
  connection: Connection;
  /** `<hub>:<connection>.<registration>`, the fence in Redis. */
  fence: string;
  slots: Map<number, Slot>;
  /** Those of them that have a lease, by its id. Kept by the slots. */
  leased: Map<string, Slot>;
  version: string | null;
  connected_at: number;
  /** ms of the time of Redis: of two registrations of a machine the later one counts. */
  registered_at: number;
  /** Under way while Redis is asked whether this is still the machine's connection. */
  attaching: Promise<void> | undefined;
  /** Its socket is registering another machine: a claim that Redis refuses by then must not make this one return. */
  leaving: boolean;
  /** No longer the machine's connection: claims that still come back are given back. */
  gone: boolean;
}

export interface Lease {
  lease_id: string;
  ref: string;
  /** x it ran out, t it was taken away: the slot waits for a word of the worker. */
  mark: 'x' | 't' | null;
  /** Null for leases from before this connection. */
  signature: string | null;
  /** For the log, where it is told of jobs. */
  trace_id?: string | undefined;
}

export interface Rejection {
  wait_ms: number;
  /** Is the slot passed over now? Afterwards the entry stays, so that the next rejection lasts twice as long. */
  active: boolean;
}

/**
 * One GPU of a machine, as this hub sees it. Redis decides; this is what it last said.
 *
 *     idle -claim-> claiming -job-> busy -terminal message-> idle
 *     busy -lease lost-> stopping -terminal message, heartbeat without it, registration-> idle
 */
export class Slot {
  readonly machine: Machine;
  readonly index: number;
  readonly worker_id: string;
  readonly gpu: Gpu;
  readonly profile: Profile;
  #lease: Lease | null = null;
  /** The lease that was last sent: none is sent twice. */
  sent: string | null = null;
  /** A claim is on its way. */
  claiming = false;
  /** When that was sent; of the hub's own clock, ms. */
  claimed_at = 0;
  /** A stop was asked of the worker: cancel or timeout. */
  stopping = false;
  /** The worker's own drain. */
  drained: string | boolean = false;
  /** An operator's drain, with its reason. */
  operator: { reason: string | null; resume_at: number | null } | null = null;
  /** Signatures it rejected since it last took a job of them. */
  readonly rejections = new Map<string, Rejection>();
  class_id = '';
  last_seen_at: number;
  telemetry: WorkerRecord['telemetry'] = {
    gpu_util: null,
    vram_used_mb: null,
    temperature_c: null,
    power_w: null,
    loaded_models: null,
  };

  constructor(machine: Machine, gpu: Gpu, profile: Profile, now: number) {
    this.machine = machine;
    this.gpu = gpu;
    this.index = gpu.index;
    this.worker_id = `${machine.machine_id}:gpu${gpu.index}`;
    this.profile = profile;
    this.last_seen_at = now;
  }

  get lease(): Lease | null {
    return this.#lease;
  }

  set lease(lease: Lease | null) {
    const { leased } = this.machine;
    if (this.#lease !== null) leased.delete(this.#lease.lease_id);
    if (lease !== null) leased.set(lease.lease_id, this);
    this.#lease = lease;
  }

  /** May it be given a job? */
  get idle(): boolean {
    return !this.machine.gone && !this.#lease && !this.claiming && !this.drained && !this.operator;
  }

  get status(): WorkerState {
    if (this.machine.gone) return 'offline';
    if (this.stopping || this.lease?.mark) return 'stopping';
    if (this.drained || this.operator) return 'draining';
    return this.lease ? 'busy' : 'idle';
  }

  record(hub_id: string | null): WorkerRecord {
    const { machine, profile } = this;
    const own = typeof this.drained === 'string' ? this.drained : null;
    return {
      worker_id: this.worker_id,
      machine_id: machine.machine_id,
      index: this.index,
      status: this.status,
      gpu_name: profile.gpu_name,
      vram_mb: profile.vram_mb,
      job_types: profile.job_types,
      models: profile.models,
      labels: profile.labels,
      job_id: this.lease && !this.lease.mark ? this.lease.ref.slice(this.lease.ref.indexOf('/') + 1) : null,
      hub_id,
      version: machine.version,
      connected_at: machine.connected_at,
      last_seen_at: this.last_seen_at,
      status_reason: this.operator?.reason ?? own,
      resume_at: this.operator?.resume_at ?? null,
      telemetry: this.telemetry,
    };
  }
}
