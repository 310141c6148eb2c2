/** What the store promises where Redis is full, forgetful or silent. */
import { describe, expect, onTestFinished, test } from 'vitest';
import { readConfig } from '../../core/config.ts';
import { HubError } from '../../core/errors.ts';
import { RedisStore } from '../../core/store/redis_store.ts';
import { testRedis } from '../harness/redis.ts';
import { claimJob, ENDED, freshStores, LEASE_MS } from './fresh_stores.ts';
import { claim, CONNECTION, finish, machine, report, slot, submit } from './operations.ts';

const { dump, openStore, passed, redis } = await freshStores();

describe('Redis in trouble', () => {
  test('out of memory, a submission leaves nothing behind, no job begins, and work can still end', async () => {
    const store = await openStore({}, {});
    await machine(store, 3);
    for (const id of ['a', 'b', 'c', 'd', 'f']) await submit(store, id);
    const [a, b, c] = [
      await claimJob(store, slot(0)),
      await claimJob(store, slot(1)),
      await claimJob(store, slot(2)),
    ];
    const before = await dump();
    await redis.config('SET', 'maxmemory', '1mb');
    try {
      const refused = await submit(store, 'late').catch((error: unknown) => error);
      expect(refused).toBeInstanceOf(HubError);
      expect(refused).toMatchObject({ code: 'unavailable', details: { outcome: 'none' } });
      expect(await dump()).toEqual(before);
      expect(await report(store, a, { kind: 'started' })).toBe('ok');
      // The claim of the next job would go with the end, in one script.
      const [ended, next] = await Promise.allSettled([finish(store, a, 'completed'), claim(store, slot(0))]);
      expect(ended).toMatchObject({ value: { accepted: true } });
      expect(next).toMatchObject({ reason: { code: 'unavailable', details: { outcome: 'none' } } });
      expect(await finish(store, c, 'failed')).toMatchObject({ accepted: true });
      expect(await store.renew('m', CONNECTION, [b])).toMatchObject({ answers: [{ action: 'continue' }] });
      expect(await store.cancel('f', undefined)).toBe('cancelled');
      await store.reap();
      await store.trim({ letters: ENDED, keep: 0, age_ms: 0 });
      expect(await store.register('m', 'h_test:c2.0', [0, 1, 2], [b])).toMatchObject({
        answers: [{ action: 'continue' }],
      });
    } finally {
      await redis.config('SET', 'maxmemory', '0');
    }
    expect(await submit(store, 'late')).toMatchObject({ outcome: 'new' });
  });

  test('scripts that Redis forgot are sent again', async () => {
    const store = await openStore();
    await machine(store);
    await redis.script('FLUSH');
    await submit(store, 'a');
    await redis.script('FLUSH');
    const job = await claimJob(store);
    await redis.script('FLUSH');
    expect(await store.watch(['a'], 'all')).toHaveLength(1);
    await redis.script('FLUSH');
    expect(await finish(store, job, 'completed')).toMatchObject({ accepted: true });
  });

  test('a worker is sent what Redis holds, not what came under the same id while that was in doubt', async () => {
    await using silent = await testRedis();
    const config = readConfig({ REDIS_URL: silent.url, REDIS_COMMAND_TIMEOUT_MS: '1000' });
    const store = new RedisStore(config);
    await store.open();
    onTestFinished(() => store.close());
    await submit(store, 'waits for ever', { delay_ms: 3_600_000 });
    await machine(store);
    await silent.server.kill('SIGSTOP');
    const doubtful = await submit(store, 'x', { params: { n: 1 } }).catch((error: unknown) => error);
    const second = submit(store, 'x', { params: { n: 2 } });
    const claimed = claim(store, slot());
    // What machines ask goes ahead of new jobs.
    const renewed = store.renew('m', CONNECTION, []);
    await silent.server.kill('SIGCONT');
    expect(doubtful).toMatchObject({ details: { outcome: 'unknown' } });
    expect(await claimed).toMatchObject({
      outcome: 'job',
      body: expect.stringContaining('"params":{"n":1}'),
    });
    expect(await second).toEqual({ outcome: 'conflict' });
    await renewed;
  });

  test('after a silence of the reaper leases get one lease more', async () => {
    const store = await openStore();
    await machine(store);
    await submit(store, 'a');
    await claimJob(store);
    await store.reap();
    await passed(10 * LEASE_MS);
    await store.reap();
    expect(await store.get('a')).toMatchObject({ status: 'assigned' });
    for (let i = 1; i <= 4; i++) {
      await passed((10 + i / 4) * LEASE_MS + i);
      await store.reap();
    }
    expect(await store.get('a')).toMatchObject({ status: 'queued' });
  });
});
