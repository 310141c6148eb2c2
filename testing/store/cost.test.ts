/**
 * What a job costs Redis, in things that can be counted: script calls, commands, bytes. The numbers are exact and are
 * to be changed by hand, with a reason: a regression is seen at once, however fast the machine.
 */
import type { Redis } from 'ioredis';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { readConfig } from '../../core/config.ts';
import { keyOf, refOf } from '../../core/store/keys.ts';
import { RedisStore } from '../../core/store/redis_store.ts';
import type { Claimed, Submitted } from '../../core/store/store.ts';
import { type TestRedis, testRedis } from '../harness/redis.ts';
import { bytesOf, callsOf, claim, content, finish, machine, promised, report, slot } from './operations.ts';

const BATCH = 32;
/** 970 bytes of JSON, like the prompt and settings of a picture. */
const params = { prompt: 'x'.repeat(957) };

let server: TestRedis;
let redis: Redis;
let store: RedisStore;

beforeAll(async () => {
  server = await testRedis();
  redis = server.client();
});
afterAll(async () => {
  store?.close();
  await server?.stop();
});

beforeEach(async () => {
  store?.close();
  await redis.flushall('SYNC');
  store = new RedisStore(readConfig({ REDIS_URL: server.url, RETENTION_COUNT: '64' }));
  await store.open();
  await machine(store, BATCH);
  // The first job of a signature makes it known, and the first that is trimmed makes the index of tombstones.
  for (let i = 0; i < 4; i++) await life(BATCH, `warm${i}_`);
});

const ids = (count: number, name: string) =>
  Array.from({ length: count }, (_, i) => name + String(i).padStart(4, '0'));

/** The stages of some jobs, each stage one script call where that can be. */
const stages = (count: number, name: string) => {
  let taken: Extract<Claimed, { outcome: 'job' }>[] = [];
  return {
    submit: () =>
      Promise.all(
        ids(count, name).map(id =>
          promised<Submitted>(done => store.submit(id, content({ params }), 'default', done)),
        ),
      ),
    claim: async () => {
      const claimed = await Promise.all(ids(count, name).map((_, i) => claim(store, slot(i))));
      expect(claimed.every(({ outcome }) => outcome === 'job')).toBe(true);
      taken = claimed as typeof taken;
    },
    start: () => Promise.all(taken.map(job => report(store, job, { kind: 'started' }))),
    finish: () => Promise.all(taken.map(job => finish(store, job, 'completed'))),
    trim: () => store.trim({ letters: ['c', 'f', 'x', 'e'], keep: 64, age_ms: 3_600_000 }),
  };
};

async function life(count: number, name: string): Promise<void> {
  for (const act of Object.values(stages(count, name))) await act();
}

/** Resolves when the clock of Redis shows another millisecond. */
async function nextMillisecond(): Promise<void> {
  const ms = async () => {
    const [seconds, us] = await redis.time();
    return Number(seconds) * 1000 + Math.floor(Number(us) / 1000);
  };
  const before = await ms();
  while ((await ms()) === before);
}

const sum = (counts: Record<string, number>) =>
  Object.values(counts).reduce((total, count) => total + count, 0);

/** What each stage costs, and the whole. */
async function measure<T>(count: number, how: (act: () => Promise<unknown>) => Promise<T>) {
  const cost: Record<string, T> = {};
  for (const [stage, act] of Object.entries(stages(count, `job${count}_`))) cost[stage] = await how(act);
  return cost;
}

describe('a job costs Redis', () => {
  test('one script call a stage, also with 31 others', async () => {
    for (const count of [1, BATCH]) {
      const calls = await measure(count, async act => (await callsOf(redis, act))['evalsha']);
      expect(calls).toEqual({ submit: 1, claim: 1, start: 1, finish: 1, trim: 1 });
      await life(BATCH, `between${count}_`);
    }
  });

  test('so many commands alone, those inside scripts too', async () => {
    const commands = await measure(1, async act => sum(await callsOf(redis, act)));
    expect(commands).toEqual({ submit: 18, claim: 23, start: 8, finish: 16, trim: 20 });
  });

  test('one script call instead of two, and 33 commands instead of 41, when a slot is idle as it comes', async () => {
    const calls = await callsOf(redis, async () => {
      const { submit, claim: claimed } = stages(1, 'at_once');
      await Promise.all([submit(), claimed()]);
    });
    expect(calls['evalsha']).toBe(1);
    expect(sum(calls)).toBe(33);
  });

  test('one script call and 31 commands instead of two and 39 for its end with the claim of the next', async () => {
    const [first, second] = [stages(1, 'first'), stages(1, 'second')];
    await first.submit();
    await first.claim();
    await second.submit();
    const calls = await callsOf(redis, () => Promise.all([first.finish(), second.claim()]));
    expect(calls['evalsha']).toBe(1);
    expect(sum(calls)).toBe(31);
  });

  test('hardly a command more with 31 others: what they need is read and written together', async () => {
    const commands = await measure(BATCH, async act => sum(await callsOf(redis, act)));
    expect(commands).toEqual({ submit: 19, claim: 23, start: 8, finish: 16, trim: 20 });
  });

  test('so many bytes read and written, of which its params are read once and never written', async () => {
    expect(await measure(1, act => bytesOf(redis, act))).toEqual({
      submit: { read: 1247, written: 44 },
      claim: { read: 180, written: 94 },
      start: { read: 190, written: 91 },
      finish: { read: 205, written: 171 },
      trim: { read: 149, written: 22 },
    });
    await life(BATCH, 'between');
    const { submit, claim: claimed, start, finish: ended } = await measure(BATCH, act => bytesOf(redis, act));
    const each = (bytes: { read: number; written: number } | undefined) =>
      [bytes?.read, bytes?.written].map(all => Math.ceil((all ?? Number.NaN) / BATCH));
    expect([submit, claimed, start].map(each)).toEqual([
      [1142, 5],
      [75, 60],
      [85, 76],
    ]);
    expect(each(ended)[0]).toBe(89);
  });

  test('so many bytes of record besides what was submitted', async () => {
    const { submit: accept, claim: assign, finish: end } = stages(1, 'kept');
    const ref = refOf('kept0000');
    const sizes: number[] = [];
    for (const act of [accept, assign, end]) {
      await act();
      // What happens in the millisecond of the submission need not say when that was: 13 bytes.
      await nextMillisecond();
      sizes.push(await redis.hstrlen(keyOf(0, 'jobs'), ref));
    }
    expect(sizes).toEqual([108, 179, 164]);
  });
});
