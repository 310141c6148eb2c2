import { monotonic, type RedisClock } from '../clock.ts';
import type { Config } from '../config.ts';
import type { Connection } from '../connections/connection.ts';
import { CLOSE, HubError } from '../errors.ts';
import type { Log } from '../log.ts';
import type { HeldLease } from '../messages/fields.ts';
import type { MessageOf } from '../messages/protocol.ts';
import type { WorkerState } from '../messages/stats.ts';
import { WORKER_STATES } from '../messages/stats.ts';
import type { Gpu, WorkerRecord } from '../messages/worker.ts';
import { inSlices } from '../slices.ts';
import { idOf, refOf } from '../store/keys.ts';
import type { Claimed, Effect, Held, HeldAnswer, KeptSlots, Registered, Store } from '../store/store.ts';
import { Dispatcher } from './dispatcher.ts';
import { type JobTraces, traceIdOf } from './job_traces.ts';
import type { Measures } from './measures.ts';
import { type Machine, Slot } from './slot.ts';

type Register = MessageOf<'worker', 'register_worker'>;
type Heartbeat = MessageOf<'worker', 'worker_heartbeat'>;
interface Registration {
  connection: Connection;
  message: Register;
  gpus: Gpu[];
  /** Everything it says it answers for, and of that what can be a lease of ours. */
  running: HeldLease[];
  ours: HeldLease[];
  fence: string;
}

export type WorkerChange = 'connected' | 'updated' | 'disconnected';

/** What a hub's slots are at. */
export interface Survey {
  machines: number;
  /** How many workers are in each state. */
  states: Record<WorkerState, number>;
  /** Signatures that workers turned down just now. */
  rejections: Record<string, string[]>;
  /** When an operator's drain of a worker ends, where it does; ms. */
  resume_at: Map<string, number>;
}

/** A survey of so many takes a fraction of a millisecond, which is what a job may have to wait for it. */
const MACHINES_A_TURN = 250;

/** Only such a lease can be one of ours; anything else is another lease, not a bad message. */
const OUR_LEASE = /^\d+-[A-Za-z0-9_-]{22}$/;

/** The machines that are connected to this hub: registration, heartbeats, assignments, drains. */
export class Fleet {
  readonly dispatcher: Dispatcher;
  readonly #store: Store;
  readonly #config: Config;
  readonly #clock: RedisClock;
  readonly #log: Log;
  readonly #measures: Measures;
  readonly #traces: JobTraces;
  readonly #machines = new Map<string, Machine>();
  readonly #leaving = new Set<Promise<void>>();
  /** Machines whose registration Redis may have taken already: orders for them wait until it is answered. */
  readonly #registering = new Map<string, { count: number; orders: Effect[] }>();
  /** Part of each fence, so that claims from before a registration do not pass for claims after it. */
  #registrations = 0;
  /** Slots that changed since they were last told. */
  readonly #changed = new Set<Slot>();
  readonly #onChange: ((change: WorkerChange, record: WorkerRecord, reason?: string) => void)[] = [];

  constructor(
    store: Store,
    config: Config,
    clock: RedisClock,
    log: Log,
    measures: Measures,
    traces: JobTraces,
  ) {
    this.#measures = measures;
    this.#traces = traces;
    this.#store = store;
    this.#config = config;
    this.#clock = clock;
    this.#log = log;
    this.dispatcher = new Dispatcher(
      store,
      log,
      (slot, job) => this.#assign(slot, job),
      slot => void this.#fenced(slot.machine),
    );
    store.onEffect(effect => this.#effect(effect));
    store.onChanged(() => this.reattach());
    store.onUp(() => this.#hearOperators());
  }

  onChange(listener: (change: WorkerChange, record: WorkerRecord, reason?: string) => void): void {
    this.#onChange.push(listener);
  }

  get machines(): Machine[] {
    return [...this.#machines.values()];
  }

  /** What all slots of this hub are at. With ten thousand machines it takes a few turns. */
  async survey(): Promise<Survey> {
    const states = Object.fromEntries(WORKER_STATES.map(state => [state, 0])) as Record<WorkerState, number>;
    const survey: Survey = { machines: this.#machines.size, states, rejections: {}, resume_at: new Map() };
    await inSlices(this.#machines.values(), MACHINES_A_TURN, machine => {
      for (const slot of machine.slots.values()) {
        states[slot.status] += 1;
        noteRejections(survey.rejections, slot);
        const resume_at = slot.operator?.resume_at ?? null;
        if (resume_at !== null) survey.resume_at.set(slot.worker_id, resume_at);
      }
    });
    return survey;
  }

  /** Signatures that slots of this hub turned down just now, by worker. */
  get rejections(): Record<string, string[]> {
    const rejections: Record<string, string[]> = {};
    for (const machine of this.#machines.values()) {
      for (const slot of machine.slots.values()) noteRejections(rejections, slot);
    }
    return rejections;
  }

  /**
   * Some records that changed, as they are now, until none is left. Of machines that left, others have told.
   *
   * @param most so many, so that one turn stays short
   */
  takeChanged(most: number): WorkerRecord[] {
    const records: WorkerRecord[] = [];
    for (const slot of this.#changed) {
      this.#changed.delete(slot);
      if (!slot.machine.gone) records.push(slot.record(this.#store.hub_id));
      if (records.length === most) break;
    }
    return records;
  }

  machineOf(connection: Connection): Machine | undefined {
    const machine = connection.machine as Machine | undefined;
    return machine && !machine.gone ? machine : undefined;
  }

  slotOf(worker_id: string): Slot | undefined {
    const at = worker_id.lastIndexOf(':gpu');
    return this.#machines.get(worker_id.slice(0, at))?.slots.get(Number(worker_id.slice(at + 4)));
  }

  /**
   * Makes this connection the machine's only one. What it names goes on or is told to stop; no job is assigned before
   * `answer` was called.
   *
   * @throws HubError `unavailable`
   */
  async register(
    connection: Connection,
    message: Register,
    answer: (jobs: (HeldLease & HeldAnswer)[]) => void,
  ): Promise<void> {
    const gpus =
      message.gpus ?? Array.from({ length: message.gpu_count ?? 1 }, (_, index): Gpu => ({ index }));
    const running = message.running ?? [];
    const registration = {
      connection,
      message,
      gpus,
      running,
      ours: running.filter(lease => OUR_LEASE.test(lease.lease_id)),
      fence: `${this.#store.hub_id}:${connection.id}.${this.#registrations++}`,
    };
    const waiting = this.#registering.get(message.machine_id) ?? { count: 0, orders: [] };
    waiting.count += 1;
    this.#registering.set(message.machine_id, waiting);
    try {
      await this.#register(registration, answer);
    } finally {
      waiting.count -= 1;
      if (waiting.count === 0) {
        this.#registering.delete(message.machine_id);
        for (const order of waiting.orders) this.#effect(order);
      }
    }
  }

  async #register(
    registration: Registration,
    answer: (jobs: (HeldLease & HeldAnswer)[]) => void,
  ): Promise<void> {
    const { connection, message, running, ours, fence } = registration;
    const reply = await this.#takeOver(registration);
    if (connection.closed) {
      await this.#store.disconnect(message.machine_id, fence);
      return;
    }
    this.#forget(connection, message.machine_id);
    const machine = this.#build(registration, reply.at);
    const answers = new Map(ours.map((lease, i) => [lease, reply.answers[i] as HeldAnswer]));
    answer(
      running.map(lease => ({ ...lease, ...(answers.get(lease) ?? { action: 'abandon', next_output: 0 }) })),
    );
    for (const [index, held] of reply.slots) {
      const slot = machine.slots.get(index);
      if (slot) slot.lease = { ref: held.ref, lease_id: held.lease_id, mark: held.mark, signature: null };
    }
    for (const [index, why] of reply.drained) {
      const slot = machine.slots.get(index);
      if (slot) slot.operator = JSON.parse(why);
    }
    this.#sayAgain(machine, running, answers);
    for (const slot of machine.slots.values()) {
      this.dispatcher.add(slot);
      this.#tell('connected', slot);
    }
    this.#log.info(
      { machine_id: machine.machine_id, slots: machine.slots.size, running: running.length },
      'machine registered',
    );
  }

  /** In Redis. Another machine that the socket spoke for before is left by the same script. */
  async #takeOver({ connection, message, gpus, ours, fence }: Registration): Promise<Registered> {
    const { machine_id } = message;
    const before = this.machineOf(connection);
    const left = before?.machine_id === machine_id ? undefined : before;
    const indexes = gpus.map(gpu => gpu.index);
    if (left === undefined) return this.#store.register(machine_id, fence, indexes, ours.map(toHeld));
    left.leaving = true;
    try {
      return await this.#store.register(machine_id, fence, indexes, ours.map(toHeld), {
        machine_id: left.machine_id,
        connection: left.fence,
      });
    } catch (error) {
      left.leaving = false;
      throw error;
    }
  }

  /** A machine that was away learns of what was asked of it meanwhile. */
  #sayAgain(machine: Machine, running: HeldLease[], answers: Map<HeldLease, HeldAnswer>): void {
    for (const lease of running) {
      if (answers.get(lease)?.action !== 'cancel') continue;
      this.#sendCancel(machine, lease.job_id, lease.lease_id, 'cancelled', this.#config.CANCEL_GRACE_MS);
      const slot = machine.leased.get(lease.lease_id);
      if (slot) slot.stopping = true;
    }
    const drained = [...machine.slots.values()].filter(slot => slot.operator);
    if (drained.length > 0) this.#sayDrain(machine, drained);
  }

  #build({ connection, fence, message, gpus }: Registration, registered_at: number): Machine {
    const now = this.#clock.now();
    const machine: Machine = {
      machine_id: message.machine_id,
      connection,
      fence,
      slots: new Map(),
      leased: new Map(),
      version: message.version ?? null,
      connected_at: now,
      registered_at,
      attaching: undefined,
      leaving: false,
      gone: false,
    };
    for (const gpu of gpus) {
      const profile = {
        job_types: message.job_types,
        gpu_name: gpu.name ?? null,
        vram_mb: gpu.vram_mb ?? null,
        models: message.models ?? [],
        labels: message.labels ?? {},
      };
      const slot = new Slot(machine, gpu, profile, now);
      slot.drained = message.draining ?? false;
      machine.slots.set(gpu.index, slot);
    }
    connection.machine = machine;
    this.#machines.set(machine.machine_id, machine);
    return machine;
  }

  /** Registration replaces: the same socket may have said other things before, another may have had the machine. */
  #forget(connection: Connection, machine_id: string): void {
    const before = this.machineOf(connection);
    if (before) {
      this.#retire(before);
      if (before.machine_id !== machine_id) void this.#leaves(this.#dropped(before));
    }
    const other = this.#machines.get(machine_id);
    if (other) this.#replaced(other);
  }

  /** The socket speaks for another machine now, and registration took this one's leases away: nothing of it stays. */
  async #dropped(machine: Machine): Promise<void> {
    const slots = [...machine.slots.values()];
    for (const slot of slots) slot.lease = null;
    const records = slots.map(slot => slot.record(null));
    for (const record of records) this.#emit('disconnected', record, 'its socket registered another machine');
    // Those of a machine that is on another hub by now are that hub's.
    await this.#store.dropLeft(records).catch(() => undefined);
  }

  #retire(machine: Machine): void {
    machine.gone = true;
    for (const slot of machine.slots.values()) this.dispatcher.remove(slot);
    if (this.#machines.get(machine.machine_id) === machine) this.#machines.delete(machine.machine_id);
  }

  /**
   * Says again which machines this hub has: Redis may have lost that or come back older, or other hubs took this one for
   * dead. The sockets stay; what the machines are at, their heartbeats tell.
   */
  reattach(): void {
    for (const machine of this.#machines.values()) void this.#fenced(machine);
  }

  /** Words of operators may have been missed. A lease that Redis has and the hub has not, the next claim is answered with. */
  #hearOperators(): void {
    // What is under way may have read too early.
    for (const machine of this.#machines.values())
      void Promise.resolve(machine.attaching).then(async () => {
        this.#catchUpOnDrains(machine, await this.#keptOf(machine));
      });
  }

  /** Redis names another connection of the machine, or none. */
  #fenced(machine: Machine): Promise<void> {
    this.#measures.tallies.fenced += 1;
    machine.attaching ??= this.#attach(machine).finally(() => {
      machine.attaching = undefined;
    });
    return machine.attaching;
  }

  async #attach(machine: Machine): Promise<void> {
    if (machine.gone || machine.leaving) return;
    const kept = await this.#keptOf(machine);
    if (machine.gone) return;
    for (const slot of machine.slots.values()) {
      const lease = kept?.slots.get(slot.index);
      // A lease Redis does not know stays until the worker no longer names it.
      if (lease && lease.lease_id === slot.lease?.lease_id) slot.lease.mark = lease.mark;
      else if (lease) slot.lease = { ...lease, signature: null };
      this.dispatcher.settle(slot);
      this.#tell('updated', slot);
    }
    this.#catchUpOnDrains(machine, kept);
  }

  /** Says that this hub has the machine. @returns what Redis keeps of it; undefined if it does not say, or the machine is gone */
  async #keptOf(machine: Machine): Promise<KeptSlots | undefined> {
    if (machine.gone || machine.leaving) return undefined;
    const { machine_id, fence, registered_at } = machine;
    // Redis is away: the next claim or heartbeat asks again.
    const kept = await this.#store.attach(machine_id, fence, registered_at).catch(() => undefined);
    if (machine.gone) return undefined;
    if (kept !== null) return kept;
    this.#replaced(machine);
    return undefined;
  }

  /** An operator's word is told once; one that this hub did not hear is found here. */
  #catchUpOnDrains(machine: Machine, kept: KeptSlots | undefined): void {
    if (kept === undefined || machine.gone) return;
    for (const slot of machine.slots.values()) {
      const why = kept.drained.get(slot.index) ?? null;
      if (why !== (slot.operator && JSON.stringify(slot.operator)))
        this.#operatorDrain([slot.worker_id], why);
    }
  }

  /** Another connection has the machine: the newest wins. */
  #replaced(machine: Machine): void {
    if (machine.gone) return;
    this.#retire(machine);
    machine.connection.close(CLOSE.replaced, 'the machine registered again elsewhere');
  }

  /** The socket is gone: the machine's leases run on, and it is offline while they do. */
  disconnected(connection: Connection): Promise<void> {
    return this.#leaves(this.#disconnect(connection));
  }

  /** Until it is `settled`. */
  #leaves(written: Promise<void>): Promise<void> {
    const leaving = written.finally(() => this.#leaving.delete(leaving));
    this.#leaving.add(leaving);
    return leaving;
  }

  /** Everything that disconnections had to write is written. */
  async settled(): Promise<void> {
    await Promise.all(this.#leaving);
  }

  async #disconnect(connection: Connection): Promise<void> {
    const machine = this.machineOf(connection);
    if (machine === undefined) return;
    this.#retire(machine);
    this.#log.info({ machine_id: machine.machine_id }, 'machine disconnected');
    const records = offline(machine);
    const held = await this.#store.disconnect(machine.machine_id, machine.fence, records).catch(() => []);
    // It is back already, elsewhere or here: it is not away.
    if (held === null || this.#machines.has(machine.machine_id)) return;
    for (const record of records) this.#emit('disconnected', record, 'connection lost');
  }

  /**
   * Renews what the heartbeat names. Idle machines cost no Redis command.
   *
   * @returns the leases that are not the present ones, and the next output wanted of the others
   * @throws HubError `unavailable`
   */
  async heartbeat(
    machine: Machine,
    message: Heartbeat,
  ): Promise<{ abandon: HeldLease[]; outputs: Record<string, number> }> {
    this.#notice(machine, message);
    const abandon = message.running.filter(lease => !OUR_LEASE.test(lease.lease_id));
    const named = message.running.filter(lease => OUR_LEASE.test(lease.lease_id));
    const outputs: Record<string, number> = {};
    const busy = [...machine.slots.values()].some(slot => slot.lease !== null);
    if (named.length === 0 && !busy) return { abandon, outputs };

    const before = [...machine.slots.values()].flatMap(slot =>
      slot.lease ? [{ slot, lease_id: slot.lease.lease_id }] : [],
    );
    const reply = await this.#renew(machine, named);
    if (reply === null) return { abandon: [], outputs };
    named.forEach((lease, i) => {
      const { action, next_output } = reply.answers[i] as HeldAnswer;
      if (action === 'abandon') abandon.push(lease);
      else {
        outputs[lease.lease_id] = next_output;
        this.#renewed(machine, lease, action === 'cancel');
      }
    });
    for (const index of reply.freed) this.free(machine.slots.get(index), null);
    const said = new Set(message.running.map(lease => lease.lease_id));
    for (const { slot, lease_id } of before) {
      // Neither Redis, which may have lost it, nor the worker knows of it any more.
      if (!said.has(lease_id) && !reply.leased.includes(slot.index)) this.free(slot, lease_id);
    }
    return { abandon, outputs };
  }

  /** Null if the machine turned out to be another connection's. */
  async #renew(machine: Machine, named: HeldLease[]) {
    const renew = () => this.#store.renew(machine.machine_id, machine.fence, named.map(toHeld));
    const reply = await renew();
    if (reply !== null || machine.gone) return reply;
    await this.#fenced(machine);
    return machine.gone ? null : renew();
  }

  #notice(machine: Machine, message: Heartbeat): void {
    const now = this.#clock.now();
    for (const slot of machine.slots.values()) slot.last_seen_at = now;
    for (const said of message.workers) {
      const slot = this.#ownSlot(machine, said.worker_id);
      if (!slot) continue;
      if (slot.profile.vram_mb === null && said.vram_total_mb != null)
        this.#learnMemory(slot, said.vram_total_mb);
      slot.telemetry = {
        gpu_util: said.gpu_util ?? null,
        vram_used_mb: said.vram_used_mb ?? null,
        temperature_c: said.temperature_c ?? null,
        power_w: said.power_w ?? null,
        loaded_models: said.loaded_models ?? null,
      };
      this.#tell('updated', slot);
    }
  }

  /** A machine that did not say at registration how much memory a GPU has: it can run more from now on. */
  #learnMemory(slot: Slot, vram_mb: number): void {
    this.dispatcher.remove(slot);
    slot.profile.vram_mb = vram_mb;
    this.dispatcher.add(slot);
  }

  /** The lease is the present one, again if it had run out. An order to stop that was lost on its way is said again. */
  #renewed(machine: Machine, lease: HeldLease, stop: boolean): void {
    const slot = machine.leased.get(lease.lease_id);
    if (!slot?.lease) return;
    slot.lease.mark = null;
    if (!stop || slot.stopping) return;
    slot.stopping = true;
    this.#sendCancel(machine, lease.job_id, lease.lease_id, 'cancelled', this.#config.CANCEL_GRACE_MS);
    this.#tell('updated', slot);
  }

  #ownSlot(machine: Machine, worker_id: string): Slot | undefined {
    const slot = this.slotOf(worker_id);
    return slot?.machine === machine ? slot : undefined;
  }

  /**
   * The slot's lease is over, as far as the worker is concerned: it can be given the next job. Called in the turn of the
   * terminal message, so that the claim goes to Redis with it; Redis refuses it if the lease was not over.
   *
   * @param lease_id only if it still has this one; null for any
   */
  free(slot: Slot | undefined, lease_id: string | null): void {
    if (!slot?.lease || (lease_id !== null && slot.lease.lease_id !== lease_id)) return;
    slot.lease = null;
    slot.stopping = false;
    this.dispatcher.settle(slot);
    this.#tell('updated', slot);
  }

  /** Redis did not take the terminal message: the slot is not free after all. */
  keep(slot: Slot, lease: NonNullable<Slot['lease']>): void {
    if (slot.lease || slot.machine.gone) return;
    slot.lease = lease;
    this.dispatcher.settle(slot);
    this.#tell('updated', slot);
  }

  /** The worker's own drain. @returns the workers it concerns */
  drain(machine: Machine, worker_ids: string[] | undefined, reason: string | undefined): string[] {
    return this.#setDrain(machine, worker_ids, reason ?? true);
  }

  resume(machine: Machine, worker_ids: string[] | undefined): string[] {
    return this.#setDrain(machine, worker_ids, false);
  }

  /** @throws HubError `not_found` when a worker is not of this machine */
  #setDrain(machine: Machine, worker_ids: string[] | undefined, drained: string | boolean): string[] {
    const slots = worker_ids?.map(worker_id => {
      const slot = this.#ownSlot(machine, worker_id);
      if (slot === undefined)
        throw new HubError('not_found', `field "worker_ids": ${worker_id} is no worker of this machine`);
      return slot;
    }) ?? [...machine.slots.values()];
    for (const slot of slots) {
      slot.drained = drained;
      this.dispatcher.settle(slot);
      this.#tell('updated', slot);
    }
    return slots.map(slot => slot.worker_id);
  }

  /** Sends a job to its worker; one whose machine left meanwhile, or wants no more, goes back at once. */
  #assign(slot: Slot, job: Extract<Claimed, { outcome: 'job' | 'held' }>): void {
    const { machine } = slot;
    const { ref, lease_id, attempt, body, signature } = job;
    // What is held may be at work there: only a new job can go back as one that nobody saw.
    const unwanted = slot.drained !== false && job.outcome === 'job';
    if (machine.gone || machine.connection.closed || unwanted) {
      const giveBack = {
        ref,
        lease_id,
        machine_id: machine.machine_id,
        kind: 'undelivered',
        payload: '',
        retryable: true,
      } as const;
      this.#store.finish(giveBack, () => undefined);
      return;
    }
    if (slot.lease?.lease_id === lease_id) return;
    slot.lease = { ref, lease_id, mark: null, signature };
    // None is sent twice: a worker that is done with it no longer names it, and the lease runs out.
    if (slot.sent === lease_id) return;
    slot.sent = lease_id;
    this.#count(slot, attempt, signature);
    this.#logAssigned(slot, idOf(ref), attempt, body);
    const sent = this.#traces.forWorker(ref, attempt, slot.worker_id, body);
    machine.connection.send(
      `{"type":"job_assigned","job_id":"${idOf(ref)}","lease_id":"${lease_id}","worker_id":"${slot.worker_id}","gpus":[${slot.index}],"attempt":${attempt},${sent}}`,
    );
    this.#tell('updated', slot);
  }

  #logAssigned(slot: Slot, job_id: string, attempt: number, body: string): void {
    if (!this.#log.isLevelEnabled('debug') || slot.lease === null) return;
    slot.lease.trace_id = traceIdOf(body);
    const { worker_id, lease } = slot;
    this.#log.debug({ job_id, worker_id, attempt, trace_id: lease.trace_id }, 'job assigned');
  }

  #count(slot: Slot, attempt: number, signature: string): void {
    const { tallies } = this.#measures;
    const tally = tallies.of(this.dispatcher.typeOf(signature));
    tally.started += 1;
    if (attempt > 1) tally.retried += 1;
    tallies.dispatch.observe(monotonic() - slot.claimed_at);
  }

  #effect(effect: Effect): void {
    // Most are events of jobs, which concern no machine.
    if (effect.kind === 'event') return;
    const registering = this.#registering.get(machineOf(effect) ?? '');
    if (registering) {
      registering.orders.push(effect);
      return;
    }
    switch (effect.kind) {
      case 'wake':
        return this.dispatcher.wake(effect.signature);
      case 'signature':
        return this.dispatcher.introduce(effect.signature);
      case 'cancel': {
        const slot = this.slotOf(effect.worker_id);
        if (slot?.lease?.lease_id !== effect.lease_id) return;
        slot.stopping = true;
        this.#sendCancel(slot.machine, idOf(effect.ref), effect.lease_id, effect.reason, effect.grace_ms);
        return this.#tell('updated', slot);
      }
      case 'drain':
        return this.#operatorDrain(effect.worker_ids, effect.why);
      case 'replaced': {
        const machine = this.#machines.get(effect.machine_id);
        if (machine?.fence === effect.connection) this.#replaced(machine);
        return;
      }
      case 'lost': {
        const slot = this.slotOf(effect.worker_id);
        if (slot?.lease?.lease_id !== effect.lease_id) return;
        slot.lease.mark = effect.mark;
        return this.#tell('updated', slot);
      }
      default:
        return;
    }
  }

  #sendCancel(machine: Machine, job_id: string, lease_id: string, reason: string, grace_ms: number): void {
    machine.connection.sendMessage({ type: 'cancel_job', job_id, lease_id, reason, grace_ms });
  }

  #operatorDrain(worker_ids: string[], why: string | null): void {
    const slots = worker_ids.flatMap(worker_id => this.slotOf(worker_id) ?? []);
    const machine = slots[0]?.machine;
    if (!machine) return;
    for (const slot of slots) {
      slot.operator = why === null ? null : JSON.parse(why);
      this.dispatcher.settle(slot);
      this.#tell('updated', slot);
    }
    if (why === null) machine.connection.sendMessage({ type: 'worker_resumed', worker_ids });
    else this.#sayDrain(machine, slots);
  }

  #sayDrain(machine: Machine, slots: Slot[]): void {
    const reason = slots[0]?.operator?.reason;
    const worker_ids = slots.map(slot => slot.worker_id);
    machine.connection.sendMessage({ type: 'worker_draining', worker_ids, ...(reason ? { reason } : {}) });
  }

  #tell(change: 'connected' | 'updated', slot: Slot): void {
    if (slot.machine.gone) return;
    this.#changed.add(slot);
    if (change === 'connected') this.#emit(change, slot.record(this.#store.hub_id));
  }

  #emit(change: WorkerChange, record: WorkerRecord, reason?: string): void {
    for (const listener of this.#onChange) listener(change, record, reason);
  }
}

function noteRejections(rejections: Survey['rejections'], slot: Slot): void {
  if (slot.rejections.size === 0) return;
  rejections[slot.worker_id] = [...slot.rejections]
    .filter(([, { active }]) => active)
    .map(([signature]) => signature);
}

/** What is listed of a machine that is away. */
const offline = (machine: Machine) => [...machine.slots.values()].map(slot => slot.record(null));

const machineOfWorker = (worker_id: string) => worker_id.slice(0, worker_id.lastIndexOf(':gpu'));

/** The machine that an order is for, if it is for one. */
function machineOf(effect: Effect): string | undefined {
  switch (effect.kind) {
    case 'cancel':
    case 'lost':
      return machineOfWorker(effect.worker_id);
    case 'drain':
      return machineOfWorker(effect.worker_ids[0] ?? '');
    case 'replaced':
      return effect.machine_id;
    default:
      return undefined;
  }
}

const toHeld = (lease: HeldLease): Held => ({ ref: refOf(lease.job_id), lease_id: lease.lease_id });
