import { afterAll, afterEach, beforeEach, expect } from 'vitest';
import { readConfig } from '../../core/config.ts';
import { keyOf } from '../../core/store/keys.ts';
import { RedisStore, type StoreOptions } from '../../core/store/redis_store.ts';
import type { Claimed } from '../../core/store/store.ts';
import { testRedis } from '../harness/redis.ts';
import { audit } from './audit.ts';
import { claim, finish, slot } from './operations.ts';

export const LEASE_MS = 60_000;
export const GRACE_MS = 10_000;
export const ENDED: ('c' | 'f' | 'x' | 'e')[] = ['c', 'f', 'x', 'e'];

export const key = (name: Parameters<typeof keyOf>[1], suffix = '') => keyOf(0, name, suffix);

/** Stores on a Redis of the test file's own: each test finds it empty, and leaves nothing in it that contradicts itself. */
export async function freshStores() {
  const server = await testRedis();
  const redis = server.client();
  const open: RedisStore[] = [];
  afterAll(() => server.stop());
  beforeEach(() => redis.flushall('SYNC'));
  afterEach(async () => {
    for (const store of open.splice(0)) store.close();
    expect(await audit(redis)).toEqual([]);
  });

  async function openStore(
    env: Record<string, string> = {},
    options: StoreOptions = { test_clock: true },
  ): Promise<RedisStore> {
    const shared = { LEASE_MS: String(LEASE_MS), CANCEL_GRACE_MS: String(GRACE_MS) };
    const store = new RedisStore(readConfig({ REDIS_URL: server.url, ...shared, ...env }), options);
    open.push(store);
    await store.open();
    return store;
  }

  /** Everything in Redis, to see whether anything changed. */
  async function dump(): Promise<Record<string, string>> {
    const keys = (await redis.keys('*')).sort();
    const texts = await Promise.all(
      keys.map(async name => (await redis.dumpBuffer(name))?.toString('hex') ?? ''),
    );
    return Object.fromEntries(keys.map((name, i) => [name, texts[i] as string]));
  }

  /** From now on the scripts' clock is this far ahead. */
  const passed = (ms: number) => redis.set('test_offset_ms', ms);

  return { redis, openStore, passed, dump };
}

export type Job = Extract<Claimed, { outcome: 'job' | 'held' }>;

export async function claimJob(store: RedisStore, address = slot()): Promise<Job> {
  const claimed = await claim(store, address);
  expect(claimed.outcome).toBe('job');
  return claimed as Job;
}

/** Claims and completes until nobody waits. @returns the ids in the order they came */
export async function runAll(store: RedisStore): Promise<string[]> {
  const ids: string[] = [];
  for (;;) {
    const claimed = await claim(store, slot());
    if (claimed.outcome !== 'job') return ids;
    ids.push(claimed.ref.slice(claimed.ref.indexOf('/') + 1));
    await finish(store, claimed, 'completed');
  }
}
