/** What the store promises where Redis is full, forgetful or silent. */
import { describe, expect, onTestFinished, test } from 'vitest';
import { readConfig } from '../../core/config.ts';
import { HubError } from '../../core/errors.ts';
import type { Submission } from '../../core/messages/job.ts';
import { RedisStore } from '../../core/store/redis_store.ts';
import { testRedis } from '../harness/redis.ts';
import { audit } from './audit.ts';
import { claimJob, ENDED, freshStores, GRACE_MS, LEASE_MS } from './fresh_stores.ts';
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

describe('deadlines, after a reaper was away for longer than it can be late', () => {
  const AWAY_MS = 4000;
  /** As often as a reaper looks. */
  const STEP_MS = 1000;

  /** A job at work, and a reaper that counts on from there. */
  async function atWork(times: Partial<Submission>) {
    const store = await openStore({}, { hub_id: 'h_test', test_clock: true });
    await machine(store);
    await submit(store, 'a', { max_attempts: 1, ...times });
    const job = await claimJob(store);
    const stops: string[] = [];
    store.onEffect(effect => {
      if (effect.kind === 'cancel') stops.push(effect.reason);
    });
    let now = 0;
    const look = async (after_ms: number) => {
      now += after_ms;
      await passed(now);
      await store.reap();
    };
    await look(0);
    /** Looks as usual for so long, and renews the lease. */
    const attend = async (ms: number) => {
      for (let left = ms; left > 0; left -= STEP_MS) {
        await store.renew('m', CONNECTION, [job]);
        await look(STEP_MS);
      }
    };
    return { store, job, stops, look, attend };
  }

  test('progress that could not be told meanwhile is waited for', async () => {
    const { store, job, stops, look, attend } = await atWork({ progress_timeout_ms: 2000 });
    await look(AWAY_MS);
    await attend(LEASE_MS / 2);
    await report(store, job, { kind: 'progress', progress: 0.5, data: '', message: '' });
    await attend(1000);
    expect(stops).toEqual([]);
    await attend(LEASE_MS);
    expect(stops).toEqual(['progress_timeout']);
  });

  test('a job that ended meanwhile is no timeout, one that goes on is stopped a lease later', async () => {
    const { store, job, stops, look, attend } = await atWork({ run_timeout_ms: 2000 });
    await look(AWAY_MS);
    await attend(LEASE_MS - STEP_MS);
    expect(stops).toEqual([]);
    expect(await audit(redis)).toEqual([]);
    await attend(STEP_MS);
    expect(stops).toEqual(['timeout']);
    expect(await finish(store, job, 'completed')).toMatchObject({ accepted: true });
  });

  test('a grace that ended meanwhile is a lease longer', async () => {
    const { store, look, attend } = await atWork({});
    await store.cancel('a', undefined);
    await look(GRACE_MS + AWAY_MS);
    await attend(LEASE_MS - STEP_MS);
    expect(await store.get('a')).toMatchObject({ status: 'assigned' });
    await attend(STEP_MS);
    expect(await store.get('a')).toMatchObject({ status: 'cancelled' });
  });

  test('those of waiting jobs count as ever, behind any number of others', async () => {
    const { store, look } = await atWork({ run_timeout_ms: 100 });
    const slots = Array.from({ length: 250 }, (_, i) => i);
    await machine(store, slots.length);
    await Promise.all(slots.map(i => submit(store, `j${i}`, { run_timeout_ms: 100 })));
    await Promise.all(slots.map(i => claim(store, slot(i))));
    await submit(store, 'late', { start_timeout_ms: 2000 });
    await look(AWAY_MS);
    while ((await store.reap()).more);
    expect(await store.get('late')).toMatchObject({ status: 'expired' });
  });

  test('a reaper that is a little late stops what it has to at once', async () => {
    const { stops, look } = await atWork({ run_timeout_ms: 2000 });
    await look(2500);
    expect(stops).toEqual(['timeout']);
  });
});
