/** What lists and watches read, in bytes and calls: the one link to Redis is everybody's. */
import { expect, test } from 'vitest';
import type { Submission } from '../../core/messages/job.ts';
import type { RedisStore } from '../../core/store/redis_store.ts';
import { freshStores, type Job } from './fresh_stores.ts';
import { bytesOf, callsOf, claim, finish, machine, slot, submit } from './operations.ts';

const { redis, openStore } = await freshStores();

const JOBS = 40;
const BIG = 'x'.repeat(100_000);
const PAGE = { limit: 500, full: false, max_bytes: 100_000_000 };

/** Jobs that have 100 kB of params each. */
async function bigJobs(more: Partial<Submission> = {}): Promise<RedisStore> {
  const store = await openStore();
  for (let i = 0; i < JOBS; i++) await submit(store, `j${i}`, { params: { BIG }, ...more });
  return store;
}

test('a list reads nothing of the params of jobs that it does not show', async () => {
  const store = await bigJobs();
  const { written } = await bytesOf(redis, () => store.list({ ...PAGE, job_type: 'other', full: true }));
  expect(written).toBeLessThan(BIG.length);
});

test('a short list reads no params, however many jobs it shows', async () => {
  const store = await bigJobs();
  let shown = 0;
  const { written } = await bytesOf(redis, async () => {
    shown = (await store.list(PAGE)).jobs.length;
  });
  expect(shown).toBe(JOBS);
  expect(written).toBeLessThan(BIG.length);
});

test('a full list reads a bounded part in one call, and no more than its page takes', async () => {
  const store = await bigJobs();
  const calls = await callsOf(redis, async () => {
    const { jobs } = await store.list({ ...PAGE, full: true });
    expect(jobs.map(job => (job.params as typeof BIG & object)['BIG' as never])).toEqual(
      Array.from({ length: JOBS }, () => BIG),
    );
  });
  // No call reads much more than half a MiB.
  expect(calls['evalsha']).toBeGreaterThanOrEqual(JOBS / 7);
  const page = { ...PAGE, full: true, max_bytes: 2 * BIG.length + 10_000 };
  const { written } = await bytesOf(redis, () => store.list(page));
  expect(written).toBeLessThan(10 * BIG.length);
});

test('a watch reads no params, and a bounded part in one call', async () => {
  const store = await bigJobs();
  const ids = Array.from({ length: JOBS }, (_, i) => `j${i}`);
  const watch = async () => {
    const jobs = await store.watch([...ids, 'none'], 'all');
    expect(jobs.map(job => job?.record(false).job_id)).toEqual([...ids, undefined]);
  };
  expect((await bytesOf(redis, watch)).written).toBeLessThan(BIG.length);
  expect((await callsOf(redis, watch))['evalsha']).toBeGreaterThanOrEqual(JOBS / 7);
});

test('a watch of ended jobs tells their results, a bounded part in one call', async () => {
  const store = await openStore();
  await machine(store);
  const result = JSON.stringify(BIG);
  for (let i = 0; i < JOBS; i++) {
    await submit(store, `j${i}`);
    await finish(store, (await claim(store, slot())) as Job, 'completed', { payload: result });
  }
  const ids = Array.from({ length: JOBS }, (_, i) => `j${i}`);
  const calls = await callsOf(redis, async () => {
    const jobs = await store.watch(ids, 'all');
    expect(jobs.every(job => job?.eventsAfter(0).at(-1)?.fields.includes(result))).toBe(true);
  });
  expect(calls['evalsha']).toBeGreaterThanOrEqual(JOBS / 7);
});

test('pages of both kinds show each job once, newest first', async () => {
  const store = await bigJobs();
  for (const full of [false, true]) {
    const ids: string[] = [];
    let cursor: string | undefined;
    do {
      const page = await store.list({ ...PAGE, full, limit: 7, cursor });
      ids.push(...page.jobs.map(({ job_id }) => job_id));
      cursor = page.next_cursor ?? undefined;
    } while (cursor !== undefined);
    expect(ids).toEqual(Array.from({ length: JOBS }, (_, i) => `j${JOBS - 1 - i}`));
  }
});

test.each<[string, Partial<Submission>]>([
  ['nothing else', {}],
  ['requirements', { requirements: { min_vram_mb: 1, labels: { '"params":{': '\n' } } }],
  ['settings without metadata', { max_attempts: 7, run_timeout_ms: 5 }],
  [
    'metadata like a body',
    { metadata: { job_type: 'image', params: '{"params":{', '"params":{': '}', '\\': '\\', e: '"\\"' } },
  ],
  ['both', { metadata: { a: '{"b":"' }, requirements: { models: ['"params":'] }, delay_ms: 5 }],
])('a short list shows the submission as it is, without its params, also with %s', async (_name, more) => {
  const store = await openStore();
  const params = { '"params":': '"metadata":{}', metadata: { a: 1 }, list: ['\n', '"'] };
  await submit(store, 'j', { params, ...more });
  const [full] = (await store.list({ ...PAGE, full: true })).jobs;
  expect(full).toMatchObject({ params, ...('metadata' in more ? { metadata: more.metadata } : {}) });
  const { params: _params, result: _result, attempts: _attempts, ...short } = full as typeof full & object;
  expect((await store.list(PAGE)).jobs).toEqual([short]);
});
