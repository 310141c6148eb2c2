/** What all hubs on one Redis must agree on, when several start at once. */
import { afterAll, beforeEach, expect, test } from 'vitest';
import { readConfig } from '../../core/config.ts';
import { RedisStore } from '../../core/store/redis_store.ts';
import { testRedis } from '../harness/redis.ts';

const redis = await testRedis();
afterAll(() => redis.stop());
beforeEach(() => redis.flush());

const open = async (settings: Record<string, string> = {}) => {
  const store = new RedisStore(readConfig({ REDIS_URL: redis.url, ...settings }));
  try {
    await store.open();
  } finally {
    store.close();
  }
};

test('hubs that start at the same moment on an empty Redis all start', async () => {
  for (let round = 0; round < 5; round++) {
    await redis.flush();
    await Promise.all(Array.from({ length: 8 }, () => open()));
  }
});

test('an empty Redis takes the values of a new hub, one with hubs does not', async () => {
  await open({ LEASE_MS: '5000' });
  await open({ LEASE_MS: '6000' });
  const store = new RedisStore(readConfig({ REDIS_URL: redis.url, LEASE_MS: '6000' }));
  await store.open();
  await store.beat('{}', false, 10_000, []);
  await expect(open({ LEASE_MS: '7000' })).rejects.toThrow('LEASE_MS is 6000 for the hubs on this Redis');
  store.close();
});
