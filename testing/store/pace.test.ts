/** New jobs keep their pace: what keeps house, and what machines say, does not let hundreds of them through at once. */
import type { Redis } from 'ioredis';
import { afterAll, beforeEach, expect, test } from 'vitest';
import { readConfig } from '../../core/config.ts';
import { RedisStore } from '../../core/store/redis_store.ts';
import { loadScripts } from '../../core/store/scripts.ts';
import { testRedis } from '../harness/redis.ts';
import { CONNECTION, machine, submit } from './operations.ts';

const BATCH = 32;

const redis = await testRedis();
afterAll(() => redis.stop());
beforeEach(() => redis.flush());

/** The scripts that Redis runs while something is done, in order. */
async function scriptsDuring(client: Redis, act: () => Promise<unknown>): Promise<string[]> {
  const names = new Map([...loadScripts(readConfig({})).values()].map(({ name, sha }) => [sha, name]));
  const monitor = await client.monitor();
  const ran: string[] = [];
  const over = new Promise<void>(resolve => {
    monitor.on('monitor', (_time: string, [command, what]: [string, string]) => {
      if (command === 'echo') resolve();
      else if (command === 'evalsha') ran.push(names.get(what) ?? what);
    });
  });
  await act();
  await client.echo('over');
  await over;
  monitor.disconnect();
  return ran;
}

const LETTERS = ['c', 'f', 'x', 'e'] as const;
const ACTS: [string, string, (store: RedisStore) => Promise<unknown>][] = [
  ['a trim', 'trim', store => store.trim({ letters: [...LETTERS], keep: 0, age_ms: 0 })],
  ['a look for what is due', 'reap', store => store.reap()],
  ['a beat of the hub', 'beat', store => store.beat('{}', false, 10_000, [])],
  ['a heartbeat', 'renew', store => store.renew('m', CONNECTION, [])],
];

test.each(ACTS)(
  '%s goes before the new jobs that wait, and does not let them through',
  async (_, name, act) => {
    const store = new RedisStore(readConfig({ REDIS_URL: redis.url }));
    await store.open();
    await machine(store);
    const ran = await scriptsDuring(redis.client(), async () => {
      const submitted = Array.from({ length: 3 * BATCH }, (_job, i) => submit(store, `job${i}`));
      // The first of them are under way.
      await new Promise(setImmediate);
      await act(store);
      await Promise.all(submitted);
    });
    expect(ran).toEqual(['submit', name, 'submit', 'submit']);
    store.close();
  },
);

test('a cancel goes behind them: its job may be among them', async () => {
  const store = new RedisStore(readConfig({ REDIS_URL: redis.url }));
  await store.open();
  const submitted = Array.from({ length: 3 * BATCH }, (_job, i) => submit(store, `job${i}`));
  await new Promise(setImmediate);
  expect(await store.cancel(`job${3 * BATCH - 1}`, undefined)).toBe('cancelled');
  await Promise.all(submitted);
  store.close();
});
