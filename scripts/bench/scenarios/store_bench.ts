import { Redis } from 'ioredis';
import { readConfig } from '../../../core/config.ts';
import { Submission } from '../../../core/messages/job.ts';
import { RedisStore } from '../../../core/store/redis_store.ts';
import { type Content, contentOf, type SlotAddress } from '../../../core/store/store.ts';
import { type RedisProcess, startRedis } from '../../redis_server.ts';
import { KEEP_FINISHED, makeParams, makeResult } from '../payload.ts';

/** As many operations as the hub puts into one script call at most. */
export const CALL_OPERATIONS = 32;
/** Submissions under way while a queue is filled. */
const FILL_IN_FLIGHT = 64 * CALL_OPERATIONS;
/** GPUs of one machine; the protocol has no larger ones. */
const MACHINE_SLOTS = 64;

export type Operation = 'submit' | 'claim' | 'finish';
/** Redis's own time for one operation, µs. */
export type Cost = Record<Operation, number>;

/** A private Redis without its append-only file, to be stopped by whoever asked. */
export const startMemoryRedis = (): Promise<RedisProcess> =>
  startRedis({ args: ['--appendonly', 'no', '--loglevel', 'warning'] });

/** What Redis holds, in bytes, by its own account. */
export async function usedMemory(redis: Redis): Promise<number> {
  return Number(/^used_memory:(\d+)/m.exec(await redis.info('memory'))?.[1]);
}

/** µs Redis has spent inside script calls since it began. */
async function scriptTime(redis: Redis): Promise<number> {
  return Number(/^cmdstat_evalsha:.*?usec=(\d+)/m.exec(await redis.info('commandstats'))?.[1] ?? 0);
}

/** The stored form of a job of 1 KB, as the hub makes it of a client's frame. */
export function contentFor(
  seed: number,
  { priority = 0, job_type = 'bench' }: { priority?: number; job_type?: string } = {},
): Content {
  const job = Submission.parse({ job_type, params: makeParams(seed), priority });
  return contentOf(job, { client_id: 'bench' });
}

/** As long as the ids that a hub makes up. */
const nextId = (count: number) => `j_${String(count).padStart(22, '0')}`;

/** Callbacks of the store as promises, all of one turn in one script call. */
function all<T, R>(
  inputs: readonly T[],
  start: (input: T, done: (error: Error | null, reply: R) => void) => void,
) {
  return Promise.all(
    inputs.map(
      input =>
        new Promise<R>((resolve, reject) => {
          start(input, (error, reply) => (error ? reject(error) : resolve(reply)));
        }),
    ),
  );
}

/** The hub's store on a Redis of its own, with idle slots, and what Redis spends on each operation. */
export class StoreBench {
  readonly redis: Redis;
  readonly #server: RedisProcess;
  readonly #store: RedisStore;
  readonly #slots = new Map<string, SlotAddress[]>();
  #jobs = 0;

  private constructor(server: RedisProcess, store: RedisStore) {
    this.#server = server;
    this.#store = store;
    this.redis = new Redis(server.port, server.host);
  }

  /**
   * @param server is stopped by `close`
   * @param keeps_bodies false: as if other hubs had accepted the jobs, each claim reads the body from Redis
   */
  static async open(server: RedisProcess, { keeps_bodies = true } = {}): Promise<StoreBench> {
    const config = readConfig({
      REDIS_URL: server.url,
      IDEMPOTENCY_MS: '1000',
      MAX_SIGNATURES: '10000',
    });
    // The store of a program that only adds jobs keeps no bodies, and is the same otherwise.
    const store = new RedisStore(config, { shares_layout: keeps_bodies });
    await store.open();
    return new StoreBench(server, store);
  }

  async close(): Promise<void> {
    this.#store.close();
    this.redis.disconnect();
    await this.#server.stop();
  }

  /** Registers idle slots of one class, on as few machines as there can be; they can run these signatures. */
  async addSlots(class_id: string, count: number, signatures: readonly string[]): Promise<void> {
    const slots: SlotAddress[] = [];
    for (let machine = 0; slots.length < count; machine++) {
      const machine_id = `${class_id}-${machine}`;
      const indexes = Array.from({ length: Math.min(MACHINE_SLOTS, count - slots.length) }, (_, i) => i);
      await this.#store.register(machine_id, 'connection', indexes, []);
      slots.push(...indexes.map(index => ({ machine_id, connection: 'connection', index, class_id })));
    }
    await this.#store.fit(class_id, [...signatures]);
    this.#slots.set(class_id, slots);
  }

  /** Makes so many jobs wait. @param contentOf of the i-th */
  async fill(count: number, contentOf: (i: number) => Content): Promise<void> {
    for (let done = 0; done < count; done += FILL_IN_FLIGHT) {
      const size = Math.min(FILL_IN_FLIGHT, count - done);
      await this.#submit(Array.from({ length: size }, (_, i) => contentOf(done + i)));
    }
  }

  async #submit(contents: readonly Content[]): Promise<void> {
    const answers = await all(contents, (content, done: Parameters<RedisStore['submit']>[3]) =>
      this.#store.submit(nextId(this.#jobs++), content, 'default', done),
    );
    const refused = answers.find(({ outcome }) => outcome !== 'new');
    if (refused) throw new Error(`a submission was answered ${JSON.stringify(refused)}`);
  }

  /**
   * Submits jobs, claims as many with idle slots of the class, and ends these: each in one script call, so that the
   * queues are as long after as before.
   *
   * @param take which of the class's slots, by number
   */
  async cycle(class_id: string, contents: readonly Content[], take: (i: number) => number): Promise<Cost> {
    const slots = this.#slots.get(class_id) as SlotAddress[];
    const chosen = contents.map((_, i) => slots[take(i) % slots.length] as SlotAddress);
    const times = [await scriptTime(this.redis)];
    await this.#submit(contents);
    times.push(await scriptTime(this.redis));
    const claimed = await all(chosen, (slot, done: Parameters<RedisStore['claim']>[1]) =>
      this.#store.claim(slot, done),
    );
    times.push(await scriptTime(this.redis));
    const finishes = claimed.map((claim, i) => {
      if (claim.outcome !== 'job') throw new Error(`a claim was answered ${JSON.stringify(claim)}`);
      const { machine_id } = chosen[i] as SlotAddress;
      const { ref, lease_id } = claim;
      const payload = JSON.stringify(makeResult({ seed: 1 }));
      return { ref, lease_id, machine_id, kind: 'completed' as const, payload, retryable: true };
    });
    await all(finishes, (finish, done: Parameters<RedisStore['finish']>[1]) =>
      this.#store.finish(finish, done),
    );
    times.push(await scriptTime(this.redis));
    const cost = (i: number) => ((times[i + 1] as number) - (times[i] as number)) / contents.length;
    return { submit: cost(0), claim: cost(1), finish: cost(2) };
  }

  /** What the hub's own round does: ended jobs beyond retention are forgotten. */
  async trim(): Promise<void> {
    while ((await this.#store.trim({ letters: ['c'], keep: KEEP_FINISHED, age_ms: 3_600_000 })).more);
  }
}
