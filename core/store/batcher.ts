import type { Durability } from './durability.ts';
import type { RedisLink } from './redis_link.ts';

type Argument = string | number;
/** Called once: with the operation's own reply, or with why there is none. */
export type Done<T> = (error: Error | null, reply: T) => void;

/**
 * Operations of one kind in one script call. Larger batches make hub, Redis and workers take turns instead of working
 * side by side (measured: 16 to 32 are best, 128 loses a quarter).
 */
const BATCH_MAX = 32;

/** What is acknowledged to peers only when it is as safe as `DURABILITY` promises. */
const LASTING: ReadonlySet<BatchKind> = new Set<BatchKind>(['submit', 'finish']);

interface Operation {
  args: Argument[];
  done: Done<unknown>;
}

/**
 * The order of kinds within a turn: a claim follows the submit, the match or the finish that calls for it, without
 * waiting for their replies.
 */
const ORDER = ['submit', 'fit', 'report', 'finish', 'claim'] as const;
export type BatchKind = (typeof ORDER)[number];

/**
 * Gathers the operations of one event-loop turn and sends each kind as few script calls, back to back.
 *
 * @guarantee callbacks of one call run in order and before its effects are handed out
 */
export class Batcher {
  readonly #link: RedisLink;
  readonly #durability: Durability;
  readonly #head: Record<BatchKind, () => Argument[]>;
  readonly #onEffects: (effects: string[], kind: BatchKind, operations: Argument[][]) => void;
  readonly #waiting = new Map<BatchKind, Operation[]>(ORDER.map(kind => [kind, []]));
  #scheduled = false;

  /** @param head the arguments before the first operation, by kind */
  constructor(
    link: RedisLink,
    durability: Durability,
    head: Record<BatchKind, () => Argument[]>,
    onEffects: (effects: string[], kind: BatchKind, operations: Argument[][]) => void,
  ) {
    this.#link = link;
    this.#durability = durability;
    this.#head = head;
    this.#onEffects = onEffects;
  }

  /** @returns what `take` needs to take it back while it has not been sent */
  add<T>(kind: BatchKind, args: Argument[], done: Done<T>): object {
    const operation = { args, done: done as Done<unknown> };
    (this.#waiting.get(kind) as Operation[]).push(operation);
    if (!this.#scheduled) {
      this.#scheduled = true;
      process.nextTick(() => this.flush());
    }
    return operation;
  }

  /** Takes an operation back. False if it was sent already. */
  take(kind: BatchKind, operation: object): boolean {
    const waiting = this.#waiting.get(kind) as Operation[];
    const at = waiting.indexOf(operation as Operation);
    if (at >= 0) waiting.splice(at, 1);
    return at >= 0;
  }

  /** Sends what waits: before anything that must not overtake it. */
  flush(): void {
    if (!this.#scheduled) return;
    this.#scheduled = false;
    this.#link.cork();
    for (const kind of ORDER) {
      const operations = this.#waiting.get(kind) as Operation[];
      if (operations.length === 0) continue;
      this.#waiting.set(kind, []);
      for (let i = 0; i < operations.length; i += BATCH_MAX) {
        void this.#send(kind, operations.slice(i, i + BATCH_MAX));
      }
    }
    this.#link.uncork();
  }

  async #send(kind: BatchKind, operations: Operation[]): Promise<void> {
    const args = this.#head[kind]();
    for (const operation of operations) args.push(...operation.args);
    let reply: [unknown[], string[]];
    try {
      reply = (await this.#link.run(kind, args)) as [unknown[], string[]];
    } catch (error) {
      for (const operation of operations) operation.done(error as Error, undefined);
      return;
    }
    // In doubt it has happened all the same, and whoever watches hears of it.
    const doubt = this.#durability.waits && LASTING.has(kind) ? await this.#doubt() : null;
    for (let i = 0; i < operations.length; i++) (operations[i] as Operation).done(doubt, reply[0][i]);
    if (reply[1].length > 0)
      this.#onEffects(
        reply[1],
        kind,
        operations.map(operation => operation.args),
      );
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
