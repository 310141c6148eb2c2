/** What the store promises of the ends of jobs and of leases, of what is left of a job, and of its output. */
import { describe, expect, test, vi } from 'vitest';
import { refOf } from '../../core/store/keys.ts';
import { claimJob, ENDED, freshStores, key, LEASE_MS, runAll } from './fresh_stores.ts';
import {
  claim,
  CONNECTION,
  content,
  finish,
  machine,
  report,
  SIGNATURE,
  slot,
  submit,
} from './operations.ts';

const { openStore, passed, redis } = await freshStores();

describe('the ends of jobs', () => {
  test('what a lease that is over says of a result in the turn of the present one is not told', async () => {
    const store = await openStore();
    await machine(store, 2);
    await submit(store, 'a');
    const old = await claimJob(store);
    await finish(store, old, 'failed');
    await passed(5000);
    await store.reap();
    const present = await claimJob(store, slot(1));
    await store.watch(['a'], 'all');
    const told: string[] = [];
    store.onEffect(effect => {
      if (effect.kind === 'event') told.push(effect.event.fields);
    });
    const ends = await Promise.all([
      finish(store, old, 'completed', { payload: '"old"' }),
      finish(store, present, 'completed', { payload: '"new"' }),
    ]);
    expect(ends.map(({ accepted }) => accepted)).toEqual([false, true]);
    expect(told.at(-1)).toContain('"result":"new"');
  });

  test('a heartbeat may name ten thousand leases, and be the first sign of thousands', async () => {
    const store = await openStore();
    const count = 4200;
    await machine(store, count);
    await Promise.all(Array.from({ length: count }, (_, i) => submit(store, `job${i}`)));
    const claimed = await Promise.all(Array.from({ length: count }, (_, i) => claim(store, slot(i))));
    const held = claimed.flatMap(job =>
      job.outcome === 'job' ? [{ ref: job.ref, lease_id: job.lease_id }] : [],
    );
    expect(held).toHaveLength(count);
    const gone = Array.from({ length: 10_000 - count }, (_, i) => ({
      ref: refOf(`gone${i}`),
      lease_id: '1-x',
    }));
    const renewed = await store.renew('m', CONNECTION, [...held, ...gone]);
    const actions = renewed?.answers.map(({ action }) => action) ?? [];
    expect(actions.filter(action => action === 'continue')).toHaveLength(count);
    expect(actions.filter(action => action === 'abandon')).toHaveLength(gone.length);
  });

  test('a terminal message sent again gets the same answer', async () => {
    const store = await openStore();
    await machine(store);
    await submit(store, 'a');
    const job = await claimJob(store);
    const yes = { accepted: true, code: null };
    expect(await finish(store, job, 'completed')).toMatchObject({ ...yes, freed: 'm:gpu0' });
    expect(await finish(store, job, 'completed')).toMatchObject({ ...yes, freed: null });
    expect(await finish(store, job, 'failed')).toMatchObject({ accepted: false, code: 'conflict' });
    expect(await store.get('a')).toMatchObject({ status: 'completed' });
  });

  test('a failed message sent again gets the same answer after the next worker has the job', async () => {
    const store = await openStore();
    await machine(store, 2);
    await submit(store, 'a', { backoff_ms: 0 });
    const job = await claimJob(store);
    expect(await finish(store, job, 'failed')).toMatchObject({ accepted: true });
    const next = await claimJob(store, slot(1));
    expect(await finish(store, job, 'failed')).toMatchObject({ accepted: true });
    expect(await finish(store, job, 'completed')).toMatchObject({ accepted: false, code: 'conflict' });
    expect(await store.get('a')).toMatchObject({ status: 'assigned' });
    expect(await finish(store, next, 'completed')).toMatchObject({ accepted: true });
  });

  test('a terminal message that names another job does not free the slot of its lease', async () => {
    const store = await openStore();
    await machine(store);
    await submit(store, 'a');
    await submit(store, 'b');
    const job = await claimJob(store);
    const astray = await finish(store, { ...job, ref: refOf('nobody') }, 'completed');
    expect(astray).toMatchObject({ accepted: false, code: 'not_found', freed: null });
    expect(await claim(store, slot())).toMatchObject({ outcome: 'held', ref: job.ref });
  });

  test('a job that is being cancelled ends cancelled when its slot is gone', async () => {
    const store = await openStore();
    await machine(store, 2);
    await submit(store, 'a');
    const job = await claimJob(store, slot(1));
    expect(await store.cancel('a', undefined)).toBe('cancelling');
    const { answers } = await store.register('m', 'h_test:c2.0', [0], [job]);
    expect(answers).toMatchObject([{ action: 'abandon' }]);
    expect(await store.get('a')).toMatchObject({ status: 'cancelled' });
  });

  test('a lease that ran out cannot come back to a slot that has another job by now', async () => {
    const store = await openStore();
    await machine(store, 1, [SIGNATURE]);
    await store.fit('other', [content({ job_type: 'other' }).signature]);
    await submit(store, 'a');
    await submit(store, 'b', { job_type: 'other' });
    const lost = await claimJob(store);
    for (let i = 0; i <= 4; i++) {
      await passed((i * LEASE_MS) / 4);
      await store.reap();
    }
    expect(await store.renew('m', CONNECTION, [])).toMatchObject({ freed: [0] });
    const next = await claimJob(store, slot(0, { class_id: 'other' }));
    const { answers } = (await store.renew('m', CONNECTION, [lost, next])) as { answers: unknown[] };
    expect(answers).toMatchObject([{ action: 'abandon' }, { action: 'continue' }]);
    expect(await report(store, lost, { kind: 'started' })).toBe('stale');
    expect(await store.get('a')).toMatchObject({ status: 'queued' });
  });

  test('the error of a lost lease says whether its worker went silent or came back without the job', async () => {
    const store = await openStore();
    await machine(store);
    await submit(store, 'a', { max_attempts: 2 });
    const error = async () => (await store.get('a'))?.record(false).error;
    await report(store, await claimJob(store), { kind: 'started' });
    await store.register('m', CONNECTION, [0], []);
    expect(await error()).toEqual({
      code: 'lease_expired',
      message: 'the machine registered again without the job',
      retryable: true,
    });
    await report(store, await claimJob(store), { kind: 'started' });
    for (let i = 0; i <= 4; i++) {
      await passed((i * LEASE_MS) / 4);
      await store.reap();
    }
    expect(await error()).toMatchObject({
      code: 'lease_expired',
      message: 'the worker went silent and its lease ran out',
    });
  });

  test('a renewal takes back its own crash, not an earlier one of the same worker', async () => {
    const store = await openStore({ POISON_AFTER: '2' });
    await machine(store, 2);
    await submit(store, 'a', { max_attempts: 10 });
    const crash = async (index: number) => {
      const job = await claimJob(store, slot(index));
      await report(store, job, { kind: 'started' });
      return job;
    };
    let now = 0;
    const expire = async () => {
      for (let i = 0; i < 4; i++) {
        now += LEASE_MS / 4;
        await passed(now);
        await store.reap();
      }
    };
    await store.reap();
    await crash(0);
    await expire();
    await store.renew('m', CONNECTION, []);
    const again = await crash(0);
    await expire();
    await store.renew('m', CONNECTION, [again]);
    await finish(store, again, 'released');
    await crash(1);
    await expire();
    // Two workers went down with it.
    expect((await store.get('a'))?.record(false)).toMatchObject({
      status: 'failed',
      error: { code: 'poison' },
    });
  });

  test('a trimmed job leaves a tombstone: its id runs once until IDEMPOTENCY_MS is over', async () => {
    const store = await openStore({ IDEMPOTENCY_MS: '300' }, {});
    await machine(store);
    const first = (await submit(store, 'a', { params: { n: 1 } })) as { created_at: number };
    await runAll(store);
    const n = (await store.get('a'))?.fields.n;
    expect(await store.trim({ letters: ENDED, keep: 0, age_ms: 0 })).toEqual({ forgotten: 1, more: false });
    expect(await store.get('a')).toBeNull();
    expect(await submit(store, 'a', { params: { n: 1 } })).toEqual({
      outcome: 'duplicate',
      status: 'completed',
      seq: n,
      position: null,
      created_at: first.created_at,
    });
    expect(await submit(store, 'a', { params: { n: 2 } })).toEqual({ outcome: 'conflict' });
    await vi.waitFor(
      async () => expect(await submit(store, 'a', { params: { n: 2 } })).toMatchObject({ outcome: 'new' }),
      { interval: 20 },
    );
    await store.trim({ letters: ENDED, keep: 0, age_ms: 0 });
    expect(await redis.hlen(key('tomb'))).toBe(0);
  });

  test('tombstones are bounded by IDEMPOTENCY_MAX, the oldest go first', async () => {
    const store = await openStore({ IDEMPOTENCY_MAX: '5' });
    await machine(store);
    for (let i = 0; i < 8; i++) {
      await passed(i);
      await submit(store, `j${i}`);
      await runAll(store);
      await store.trim({ letters: ENDED, keep: 0, age_ms: 0 });
    }
    const kept = await redis.hkeys(key('tomb'));
    expect(kept.sort()).toEqual([3, 4, 5, 6, 7].map(i => refOf(`j${i}`)));
    expect(await redis.llen(key('tombs'))).toBe(5);
  });

  test('retention keeps the newest of each kind', async () => {
    const store = await openStore();
    await machine(store);
    for (let i = 0; i < 5; i++) {
      await passed(i * 10);
      await submit(store, `j${i}`);
      await runAll(store);
    }
    await submit(store, 'x');
    await store.cancel('x', undefined);
    expect((await store.trim({ letters: ENDED, keep: 2, age_ms: LEASE_MS })).forgotten).toBe(3);
    const left = await redis.zrange(key('all'), '0', '-1');
    expect(left).toEqual(['j3', 'j4', 'x'].map(id => refOf(id)));
    // Ended jobs stay counted.
    expect((await store.counts()).get('image')).toEqual({ completed: 5, cancelled: 1 });
  });
});

describe('outputs', () => {
  async function working(env: Record<string, string> = {}) {
    const store = await openStore(env);
    await machine(store);
    await submit(store, 'a');
    return { store, job: await claimJob(store) };
  }

  test('a repeat is dropped, a gap is taken, and each assignment starts at 0', async () => {
    const { store, job } = await working();
    const output = (index: number, data = `"${index}"`) =>
      report(store, job, { kind: 'output', index, data });
    expect([await output(0), await output(1), await output(0, '"again"'), await output(5)]).toEqual([
      1, 2, 2, 6,
    ]);
    expect(await store.outputs('a', 0)).toEqual([0, 1, 5].map(index => ({ index, data: `"${index}"` })));
    expect(await store.outputs('a', 2)).toEqual([{ index: 5, data: '"5"' }]);
    await finish(store, job, 'released');
    await claimJob(store);
    expect(await store.outputs('a', 0)).toEqual([]);
  });

  test('at most OUTPUT_KEEP entries are kept, the newest', async () => {
    const { store, job } = await working({ OUTPUT_KEEP: '50' });
    for (let index = 0; index < 1000; index++) {
      void report(store, job, { kind: 'output', index, data: '"x"' });
    }
    expect(await report(store, job, { kind: 'output', index: 1000, data: '"x"' })).toBe(1001);
    const kept = await store.outputs('a', 0);
    // Redis trims whole nodes of a stream, which have a hundred entries.
    expect(kept.length).toBeGreaterThanOrEqual(50);
    expect(kept.length).toBeLessThanOrEqual(150);
    expect(kept.at(-1)?.index).toBe(1000);
  });

  test('about OUTPUT_KEEP_BYTES are kept, the newest', async () => {
    const { store, job } = await working({ OUTPUT_KEEP_BYTES: '10000' });
    const data = JSON.stringify('x'.repeat(998));
    for (let index = 0; index < 100; index++) await report(store, job, { kind: 'output', index, data });
    const kept = await store.outputs('a', 0);
    const bytes = kept.reduce((sum, output) => sum + output.data.length, 0);
    expect(bytes).toBeGreaterThanOrEqual(4000);
    expect(bytes).toBeLessThanOrEqual(10_000);
    expect(kept.at(-1)?.index).toBe(99);
  });
});
