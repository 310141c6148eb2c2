import { monotonic } from '../clock.ts';
import type { Log } from '../log.ts';
import { HubError } from '../errors.ts';
import type { Claimed, Store } from '../store/store.ts';
import { classOf, fits, type Need, parseDefinition } from './matching.ts';
import type { Slot } from './slot.ts';

/** Slots that can run the same jobs. */
interface SlotClass {
  id: string;
  slots: Set<Slot>;
  idle: Set<Slot>;
  fits(signature: string, need: Need): boolean;
  /** May there be a job for it? False after a claim that found nothing, until something wakes it. */
  maybe: boolean;
  /** Counts what woke it, so that a job submitted while a claim is under way is not missed. */
  wakes: number;
}

/** How often idle slots look by themselves: hints of other hubs can be lost. */
const SWEEP_MS = 1000;
/** How often a hub reads which signatures there are and how they are matched: hints of new ones can be lost as well. */
const LEARN_MS = 10_000;
const REJECT_MS = 1000;
const REJECT_MS_MAX = 60_000;
const NONE: ReadonlySet<string> = new Set();

/**
 * Finds work for the idle slots of this hub's machines: pushes each job to one chosen slot.
 *
 * What wakes it: a submit of this hub (one claim for one job, sent with it), a slot that got free (one claim, sent with
 * the message that freed it), a hint that a queue got a job (then as many claims as there can be jobs), and a slow sweep.
 */
export class Dispatcher {
  readonly #store: Store;
  readonly #log: Log;
  readonly #onJob: (slot: Slot, job: Extract<Claimed, { outcome: 'job' | 'held' }>) => void;
  readonly #onFenced: (slot: Slot) => void;
  readonly #classes = new Map<string, SlotClass>();
  readonly #needs = new Map<string, Need>();
  /** The classes that can run a signature, the smallest GPU first: large ones stay free for jobs that need them. */
  readonly #takers = new Map<string, SlotClass[]>();
  #sweep: NodeJS.Timeout | undefined;
  #relearn: NodeJS.Timeout | undefined;
  readonly #timers = new Set<NodeJS.Timeout>();
  /** For each read of Redis's signatures under way: those that will be forgotten if Redis does not name them. */
  readonly #asked = new Set<Set<string>>();

  /**
   * @param onJob a slot got a job; it must be sent to the worker
   * @param onFenced the machine registered elsewhere
   */
  constructor(
    store: Store,
    log: Log,
    onJob: (slot: Slot, job: Extract<Claimed, { outcome: 'job' | 'held' }>) => void,
    onFenced: (slot: Slot) => void,
  ) {
    this.#store = store;
    this.#log = log;
    this.#onJob = onJob;
    this.#onFenced = onFenced;
    store.onUp(() => void this.#refresh());
  }

  async start(): Promise<void> {
    await this.#learnAll();
    this.#sweep = setInterval(() => this.#look(), SWEEP_MS);
    this.#relearn = setInterval(() => void this.#reconcile(), LEARN_MS);
  }

  stop(): void {
    clearInterval(this.#sweep);
    clearInterval(this.#relearn);
    for (const timer of this.#timers) clearTimeout(timer);
  }

  /** The classes this hub speaks for. */
  get classes(): string[] {
    return [...this.#classes.keys()];
  }

  /** The job type of a signature, if this hub knows it. */
  typeOf(signature: string): string | null {
    return this.#needs.get(signature)?.job_type ?? null;
  }

  /** Puts a slot into its class; it is looked after from now on. */
  add(slot: Slot): void {
    const passed_over = [...slot.rejections]
      .filter(([, { active }]) => active)
      .map(([signature]) => signature);
    slot.class_id = classOf(slot.profile, passed_over);
    let of = this.#classes.get(slot.class_id);
    if (of === undefined) {
      of = this.#makeClass(slot, passed_over);
      this.#classes.set(of.id, of);
      this.#match(of);
    }
    of.slots.add(slot);
    of.maybe = true;
    this.settle(slot);
  }

  remove(slot: Slot): void {
    const of = this.#classes.get(slot.class_id);
    if (of === undefined) return;
    of.slots.delete(slot);
    of.idle.delete(slot);
    if (of.slots.size > 0) return;
    this.#classes.delete(of.id);
    for (const takers of this.#takers.values()) {
      const at = takers.indexOf(of);
      if (at >= 0) takers.splice(at, 1);
    }
  }

  /** The slot's state changed: it is idle now, or no longer. Claims at once if there may be work. */
  settle(slot: Slot): void {
    const of = this.#classes.get(slot.class_id);
    if (of === undefined || !of.slots.has(slot)) return;
    if (!slot.idle) {
      of.idle.delete(slot);
    } else if (of.maybe) {
      this.#claim(of, slot);
    } else {
      of.idle.add(slot);
    }
  }

  /** A job was sent to Redis in this turn: claim it with the next script call, if an idle slot fits. */
  submitted(signature: string): void {
    for (const of of this.#takers.get(signature) ?? []) {
      of.wakes += 1;
      of.maybe = true;
      const [slot] = of.idle;
      if (slot !== undefined) return this.#claim(of, slot);
    }
  }

  /** Redis took a job. A signature that is new here is matched only now: what Redis refuses must leave nothing behind. */
  accepted(signature: string, definition: string): void {
    if (this.#needs.has(signature)) return;
    this.#learn(signature, definition);
    this.submitted(signature);
  }

  /** A queue got a job, here or on another hub. */
  wake(signature: string): void {
    if (!this.#needs.has(signature)) return void this.#learnAll();
    for (const of of this.#takers.get(signature) ?? []) this.#rouse(of, 1);
  }

  /** Redis had not known this signature: the classes must be matched with it (again). */
  introduce(signature: string): void {
    const need = this.#needs.get(signature);
    if (need === undefined) return void this.#learnAll();
    for (const asked of this.#asked) asked.delete(signature);
    for (const of of this.#takers.get(signature) ?? []) this.#tellFit(of, [signature]);
    this.wake(signature);
  }

  /** The worker turned down a job of this signature: others first, for a while, doubled each time. */
  reject(slot: Slot, signature: string, retry_after_ms: number | undefined): void {
    const before = slot.rejections.get(signature);
    const wait_ms = Math.min(REJECT_MS_MAX, retry_after_ms ?? (before ? before.wait_ms * 2 : REJECT_MS));
    const rejection = { wait_ms, active: true };
    slot.rejections.set(signature, rejection);
    this.#reclass(slot);
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      rejection.active = false;
      if (!slot.machine.gone) this.#reclass(slot);
    }, wait_ms);
    this.#timers.add(timer);
  }

  #reclass(slot: Slot): void {
    this.remove(slot);
    this.add(slot);
  }

  #makeClass(slot: Slot, passed_over: string[]): SlotClass {
    const { profile, class_id } = slot;
    return {
      id: class_id,
      slots: new Set(),
      idle: new Set(),
      fits: (signature, need) => !passed_over.includes(signature) && fits(profile, need),
      maybe: true,
      wakes: 0,
    };
  }

  /** Matches a new class with all signatures known. */
  #match(of: SlotClass): void {
    const fitting: string[] = [];
    for (const [signature, need] of this.#needs) {
      if (!of.fits(signature, need)) continue;
      fitting.push(signature);
      this.#addTaker(signature, of);
    }
    this.#tellFit(of, fitting);
  }

  #addTaker(signature: string, of: SlotClass): void {
    const takers = this.#takers.get(signature) as SlotClass[];
    const size = (one: SlotClass) => [...one.slots][0]?.profile.vram_mb ?? 0;
    takers.push(of);
    takers.sort((a, b) => size(a) - size(b));
  }

  #learn(signature: string, definition: string): void {
    const need = parseDefinition(definition);
    this.#needs.set(signature, need);
    this.#takers.set(signature, []);
    for (const of of this.#classes.values()) {
      if (!of.fits(signature, need)) continue;
      this.#addTaker(signature, of);
      this.#tellFit(of, [signature]);
    }
  }

  #tellFit(of: SlotClass, signatures: string[]): void {
    this.#store.fit(of.id, signatures).catch((error: Error) => this.#trouble(error));
  }

  /**
   * Reads the signatures Redis has; forgets those it has not. One that was learnt or introduced while the answer was on
   * its way stays: the answer is older.
   */
  async #learnAll(): Promise<void> {
    const asked = new Set(this.#needs.keys());
    this.#asked.add(asked);
    const known = await this.#store.signatures().catch((error: Error) => this.#trouble(error));
    this.#asked.delete(asked);
    if (!known) return;
    for (const [signature, definition] of known) {
      if (this.#needs.has(signature)) continue;
      this.#learn(signature, definition);
      this.wake(signature);
    }
    for (const signature of asked) {
      if (known.has(signature)) continue;
      this.#needs.delete(signature);
      this.#takers.delete(signature);
    }
  }

  /** Redis was away: it may have forgotten, and hints may have been missed. */
  async #refresh(): Promise<void> {
    await this.#reconcile();
    this.#look();
  }

  /**
   * Tells Redis what it should hold of this hub's classes and does not. A signature that was forgotten and is back looks
   * like one that never left; only what Redis holds says that it must be matched again. One class after the other: in
   * all they may be large.
   */
  async #reconcile(): Promise<void> {
    await this.#learnAll();
    for (const of of [...this.#classes.values()]) {
      const held = await this.#store.fitting(of.id).catch((error: Error) => this.#trouble(error));
      if (!held) return;
      const missing = this.#fitting(of, held);
      if (missing.length > 0) this.#tellFit(of, missing);
    }
  }

  /** The known signatures that a class can run, but for some. */
  #fitting(of: SlotClass, but: ReadonlySet<string> = NONE): string[] {
    const needs = [...this.#needs].filter(
      ([signature, need]) => !but.has(signature) && of.fits(signature, need),
    );
    return needs.map(([signature]) => signature);
  }

  #look(): void {
    for (const of of this.#classes.values()) this.#rouse(of, 1);
  }

  /** Claims for at most so many idle slots; each answer says how many more there may be. */
  #rouse(of: SlotClass, most: number): void {
    of.wakes += 1;
    of.maybe = true;
    let left = most;
    for (const slot of of.idle) {
      if (left-- === 0) return;
      this.#claim(of, slot);
    }
  }

  #claim(of: SlotClass, slot: Slot): void {
    of.idle.delete(slot);
    slot.claiming = true;
    slot.claimed_at = monotonic();
    const wakes = of.wakes;
    const { machine_id, fence } = slot.machine;
    this.#store.claim(
      { machine_id, connection: fence, index: slot.index, class_id: of.id },
      (error, claimed) => {
        slot.claiming = false;
        if (error) {
          this.#trouble(error);
          // The sweep tries again; at once would only hammer a Redis in trouble.
          if (slot.idle) this.#classes.get(slot.class_id)?.idle.add(slot);
          return;
        }
        this.#claimed(of, slot, claimed, wakes);
      },
    );
  }

  #claimed(of: SlotClass, slot: Slot, claimed: Claimed, wakes: number): void {
    switch (claimed.outcome) {
      case 'job':
      case 'held':
        this.#onJob(slot, claimed);
        if (claimed.more === 0) of.maybe = of.wakes !== wakes;
        else if (of.idle.size > 0) this.#rouse(of, claimed.more);
        return;
      case 'fenced':
        return this.#onFenced(slot);
      case 'class':
        this.#tellFit(of, this.#fitting(of));
        return this.settle(slot);
      case 'none':
        of.maybe = of.wakes !== wakes;
        return this.settle(slot);
      case 'stuck':
        slot.lease = { ref: claimed.ref, lease_id: claimed.lease_id, mark: 't', signature: null };
        return;
      case 'drained':
        // An operator's word that is on its way to us.
        return;
    }
  }

  #trouble(error: Error): void {
    if (!(error instanceof HubError)) this.#log.error({ err: error }, 'dispatch failed');
  }
}
