import type { Durability } from './durability.ts';
import { nothingStored, type RedisLink } from './redis_link.ts';

type Argument = string | number;
/** Called once: with the operation's own reply, or with why there is none. */
export type Done<T> = (error: Error | null, reply: T) => void;
/** The same with what the script said of all its operations. */
type Answered<T, S> = (error: Error | null, reply: T, shared: S) => void;

/**
 * Operations of one kind in one script call. Larger batches make hub, Redis and workers take turns instead of working
 * side by side (measured: 16 to 32 are best, 128 loses a quarter).
 */
const BATCH_MAX = 32;

/** What is acknowledged to peers only when it is as safe as `DURABILITY` promises. */
const LASTING: ReadonlySet<BatchKind> = new Set<BatchKind>(['submit', 'finish']);

interface Operation {
  args: Argument[];
  done: Answered<unknown, unknown>;
  /** Told in the turn in which it is sent: what is added then goes out right behind it. */
  sent: (() => void) | undefined;
  /** How many ends of jobs were there before it. */
  after: number;
}

/**
 * The order of kinds within a turn, all of one before the next: a claim follows the submit, the match or the finish that
 * calls for it, without waiting for their replies, and the end of a job its last outputs. Only claims do not wait for the
 * ends of other slots: so workers have their next jobs while Redis is at the rest of a large turn.
 */
const ORDER = ['submit', 'fit', 'report', 'finish', 'claim'] as const;
export type BatchKind = (typeof ORDER)[number];

/**
 * Of these one call is under way at a time; what comes meanwhile makes the next. So a flood of new jobs leaves Redis and
 * hub time for the machines, which otherwise wait behind all of it: with 500 submissions always under way, three times
 * as many jobs end meanwhile.
 */
const PACED: BatchKind = 'submit';
/** So many that wait for their call are enough for the next two: whoever brings more need not be read meanwhile. */
const CROWD = 2 * BATCH_MAX;

/** The scripts for operations with the claims they call for: a submission meets an idle slot, an end frees one. */
const AND_CLAIM: Partial<Record<BatchKind, string>> = { submit: 'submit_claim', finish: 'finish_claim' };

/** For each operation one: lines where each is a word or two, which is read in half the time of a list. */
type Answers = string | unknown[];
const listOf = (answers: Answers) => (typeof answers === 'string' ? answers.split('\n') : answers);

/** Of a call: the answers, what is shared by them, the answers to claims that went along, what is shared by those; effects. */
type Reply = [[Answers, unknown, Answers, unknown], string];

/** Why no claim could be made, if so: then it is the second answer of lua/lib/claims.lua. */
const faultOf = (claimed: Answers, why: unknown) => (claimed.length === 0 ? new Error(String(why)) : null);

/** Told what a script made happen, with the operations of the call and its answers to them. */
type OnEffects = (
  effects: string,
  kind: BatchKind,
  operations: Argument[][],
  answers: readonly unknown[],
) => void;

/**
 * Gathers what all sockets bring in one turn of the event loop and sends each kind as few script calls, back to back. With
 * 16 machines that makes a third of the calls that one flush a socket makes, and 8 % more jobs a second.
 *
 * @guarantee callbacks of one call run in order and before its effects are handed out
 */
export class Batcher {
  readonly #link: RedisLink;
  readonly #durability: Durability;
  readonly #head: Record<BatchKind, () => Argument[]>;
  readonly #onEffects: OnEffects;
  readonly #waiting = new Map<BatchKind, Operation[]>(ORDER.map(kind => [kind, []]));
  #scheduled = false;
  /** Calls of the paced kind without their reply. */
  #paced = 0;
  /** Submits that were added, and those of them that were sent. */
  #submits = { added: 0, sent: 0 };
  /** Who waits for room, and how many submits must be sent before: in this order. */
  readonly #room: { sent: number; act: () => void }[] = [];
  /** Ends of jobs that were added, and those of them that were sent. */
  #ends = { added: 0, sent: 0 };

  /** @param head the arguments before the first operation, by kind */
  constructor(
    link: RedisLink,
    durability: Durability,
    head: Record<BatchKind, () => Argument[]>,
    onEffects: OnEffects,
  ) {
    this.#link = link;
    this.#durability = durability;
    this.#head = head;
    this.#onEffects = onEffects;
  }

  /**
   * @param sent called in the turn in which the operation goes out
   * @returns what `take` needs to take it back while it has not been sent
   */
  add<T, S = undefined>(kind: BatchKind, args: Argument[], done: Answered<T, S>, sent?: () => void): object {
    const operation = { args, done: done as Answered<unknown, unknown>, sent, after: this.#ends.added };
    if (kind === 'finish') this.#ends.added += 1;
    if (kind === PACED) this.#submits.added += 1;
    this.#waitingOf(kind).push(operation);
    if (kind !== PACED || this.#paced === 0) this.#schedule();
    return operation;
  }

  /** Do so many new jobs wait that more should stay where they are? */
  get crowded(): boolean {
    return this.#waitingOf(PACED).length >= CROWD;
  }

  /** Calls once, when of what waits now so much was sent that it was not crowded any more, whatever comes meanwhile. */
  onceRoom(act: () => void): void {
    this.#room.push({ sent: this.#submits.added - CROWD + 1, act });
  }

  /** Takes an operation back. False if it was sent already. */
  take(kind: BatchKind, operation: object): boolean {
    const waiting = this.#waitingOf(kind);
    const at = waiting.indexOf(operation as Operation);
    if (at >= 0) waiting.splice(at, 1);
    return at >= 0;
  }

  /** Sends all that waits: before anything that must not overtake it. */
  flush(): void {
    this.#sendAll(Infinity);
  }

  /** The same but for new jobs, which keep their pace. */
  flushMachines(): void {
    this.#sendAll(0);
  }

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(() => this.#sendAll(this.#paced === 0 ? BATCH_MAX : 0));
  }

  /** @param paced_max how many operations of the paced kind may go */
  #sendAll(paced_max: number): void {
    // What the sent ones add goes with them.
    this.#scheduled = true;
    this.#link.cork();
    for (const kind of ORDER) this.#sendSome(kind, kind === PACED ? paced_max : Infinity);
    this.#link.uncork();
    this.#scheduled = false;
  }

  #sendSome(kind: BatchKind, most: number): void {
    const going = this.#waitingOf(kind).splice(0, most);
    if (kind === PACED) this.#makeRoom(going.length);
    for (let i = 0; i < going.length; i += BATCH_MAX) {
      const operations = going.slice(i, i + BATCH_MAX);
      if (kind === 'finish') this.#ends.sent += operations.length;
      void this.#send(kind, operations);
      // Those that could not go along.
      if (kind === 'finish') this.#sendSome('claim', this.#freeClaims());
    }
  }

  #makeRoom(sent: number): void {
    this.#submits.sent += sent;
    while (this.#room[0] && this.#room[0].sent <= this.#submits.sent) this.#room.shift()?.act();
  }

  /** Of the claims that wait, how many have the ends before them sent. */
  #freeClaims(): number {
    const waiting = this.#waitingOf('claim');
    const held = waiting.findIndex(({ after }) => after > this.#ends.sent);
    return held < 0 ? waiting.length : held;
  }

  async #send(kind: BatchKind, operations: Operation[], with_claims = true): Promise<void> {
    for (const operation of operations) operation.sent?.();
    const claims = with_claims ? this.#takeRiders(kind) : [];
    const args = this.#head[kind]();
    if (claims.length > 0) args.push(operations.length);
    for (const operation of operations) args.push(...operation.args);
    for (const claim of claims) args.push(...claim.args);
    let reply: Reply;
    try {
      const script = claims.length > 0 ? (AND_CLAIM[kind] as string) : kind;
      reply = (await this.#run(kind, script, args)) as Reply;
    } catch (error) {
      return this.#failed(kind, operations, claims, error as Error);
    }
    // In doubt it has happened all the same, and whoever watches hears of it.
    const doubt = this.#durability.waits && LASTING.has(kind) ? await this.#doubt() : null;
    this.#answered(kind, operations, claims, reply, doubt);
  }

  #failed(kind: BatchKind, operations: Operation[], claims: Operation[], error: Error): Promise<void> | void {
    // A full Redis refuses new leases, but not the ends of jobs.
    const again = kind === 'finish' && claims.length > 0 && nothingStored(error);
    for (const { done } of again ? claims : [...operations, ...claims]) done(error, undefined, undefined);
    if (again) return this.#send(kind, operations, false);
    // Those that wait must not wait for one timeout after the other.
    return this.flush();
  }

  #answered(
    kind: BatchKind,
    operations: Operation[],
    claims: Operation[],
    [[answered, shared, claimed, left], effects]: Reply,
    doubt: Error | null,
  ): void {
    const answers = listOf(answered);
    const fault = kind === 'claim' ? faultOf(answered, shared) : doubt;
    operations.forEach(({ done }, i) => done(fault, answers[i], shared));
    if (claims.length > 0) {
      const leases = listOf(claimed);
      claims.forEach(({ done }, i) => done(faultOf(claimed, left), leases[i], left));
    }
    if (effects === '') return;
    const told = operations.map(({ args }) => args);
    this.#onEffects(effects, kind, told, answers);
  }

  /**
   * The claims that go with a call of submissions or ends, which saves a sixth of what both cost by themselves. Not such
   * as may need what has not been sent, and none that would have to wait for the disk.
   */
  #takeRiders(kind: BatchKind): Operation[] {
    if (AND_CLAIM[kind] === undefined || this.#durability.waits) return [];
    if (kind === 'submit' && this.#waitingOf('fit').length > 0) return [];
    return this.#waitingOf('claim').splice(0, Math.min(BATCH_MAX, this.#freeClaims()));
  }

  #waitingOf(kind: BatchKind): Operation[] {
    return this.#waiting.get(kind) as Operation[];
  }

  /** Frees the way for the next paced call as soon as Redis has answered: what is safe on disk is waited for apart. */
  async #run(kind: BatchKind, script: string, args: Argument[]): Promise<unknown> {
    if (kind !== PACED) return this.#link.run(script, args);
    this.#paced += 1;
    try {
      return await this.#link.run(script, args);
    } finally {
      this.#paced -= 1;
      if (this.#waitingOf(PACED).length > 0) this.#schedule();
    }
  }

  /** Null when what was written is safe, else what to tell the peer. */
  async #doubt(): Promise<Error | null> {
    try {
      await this.#durability.settle();
      return null;
    } catch (error) {
      return error as Error;
    }
  }
}
