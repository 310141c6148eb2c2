/** What the store promises, one promise a test, on a real Redis with the real scripts. */
import fc from 'fast-check';
import type { Redis } from 'ioredis';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { readConfig } from '../../core/config.ts';
import { HubError } from '../../core/errors.ts';
import { keyOf, refOf } from '../../core/store/keys.ts';
import { RedisStore, type StoreOptions } from '../../core/store/redis_store.ts';
import type { Claimed, Effect } from '../../core/store/store.ts';
import { type TestRedis, testRedis } from '../harness/redis.ts';
import { audit } from './audit.ts';
import {
  callsOf,
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

const LEASE_MS = 60_000;
const GRACE_MS = 10_000;
const ENDED: ('c' | 'f' | 'x' | 'e')[] = ['c', 'f', 'x', 'e'];

let server: TestRedis;
let redis: Redis;
const open: RedisStore[] = [];
const key = (name: Parameters<typeof keyOf>[1], suffix = '') => keyOf(0, name, suffix);

beforeAll(async () => {
  server = await testRedis();
  redis = server.client();
});

afterAll(() => server?.stop());

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

const passed = (ms: number) => redis.set('test_offset_ms', ms);

type Job = Extract<Claimed, { outcome: 'job' | 'held' }>;

async function claimJob(store: RedisStore, address = slot()): Promise<Job> {
  const claimed = await claim(store, address);
  expect(claimed.outcome).toBe('job');
  return claimed as Job;
}

/** Claims and completes until nobody waits. @returns the ids in the order they came */
async function runAll(store: RedisStore): Promise<string[]> {
  const ids: string[] = [];
  for (;;) {
    const claimed = await claim(store, slot());
    if (claimed.outcome !== 'job') return ids;
    ids.push(claimed.ref.slice(claimed.ref.indexOf('/') + 1));
    await finish(store, claimed, 'completed');
  }
}

/** Everything in Redis, to see whether anything changed. */
async function dump(): Promise<Record<string, string>> {
  const keys = (await redis.keys('*')).sort();
  const texts = await Promise.all(
    keys.map(async name => (await redis.dumpBuffer(name))?.toString('hex') ?? ''),
  );
  return Object.fromEntries(keys.map((name, i) => [name, texts[i] as string]));
}

describe('submission', () => {
  test('the same job sent again answers duplicate and makes nothing new', async () => {
    const store = await openStore();
    const first = await submit(store, 'a', { params: { n: 1 } });
    const before = await dump();
    expect(first).toMatchObject({ outcome: 'new', status: 'queued', position: 1 });
    expect(await submit(store, 'a', { params: { n: 1 } })).toEqual({ ...first, outcome: 'duplicate' });
    expect(await dump()).toEqual(before);
  });

  test('the same id twice in one batch is one job, and other content is a conflict', async () => {
    const store = await openStore();
    const answers = await Promise.all([
      submit(store, 'a'),
      submit(store, 'a'),
      submit(store, 'a', { priority: 1 }),
    ]);
    expect(answers.map(answer => answer.outcome)).toEqual(['new', 'duplicate', 'conflict']);
  });

  test('the position counts the jobs of the same signature in front', async () => {
    const store = await openStore();
    const positions = [];
    for (const [id, priority] of [
      ['a', 0],
      ['b', 0],
      ['c', 5],
      ['d', -5],
    ] as const) {
      positions.push(await submit(store, id, { priority }));
    }
    expect(positions).toMatchObject([{ position: 1 }, { position: 2 }, { position: 1 }, { position: 4 }]);
    expect(await submit(store, 'other', { job_type: 'text' })).toMatchObject({ position: 1 });
    expect(await submit(store, 'a')).toMatchObject({ outcome: 'duplicate', position: 2 });
    expect(await submit(store, 'late', { delay_ms: 1000 })).toMatchObject({
      status: 'scheduled',
      position: null,
    });
  });

  test('the position in one batch is the position at that moment, whatever the priorities', async () => {
    const store = await openStore();
    const priorities = [0, 0, 5, 5, 0, -5, 5, 0];
    const answers = await Promise.all(priorities.map((priority, i) => submit(store, `j${i}`, { priority })));
    expect(answers.map(answer => 'position' in answer && answer.position)).toEqual([1, 2, 1, 2, 5, 6, 3, 7]);
  });

  test('params come back as they went in', { timeout: 60_000 }, async () => {
    const store = await openStore();
    // Another hub has the body from Redis, not from the submission.
    const other = await openStore();
    await machine(other);
    const values = [
      { list: [], map: {}, nested: [[], {}, [[]]], none: null },
      {
        large: 1.7976931348623157e308,
        tiny: 5e-324,
        third: 0.1 + 0.2,
        safe: Number.MAX_SAFE_INTEGER,
        minus: -0.5,
      },
      { text: 'żółć 😀 \u0000 \u2028 \\ " \n \r\n %s {gpuhub:0}', '': 'empty', __proto__x: 1 },
    ];
    let n = 0;
    const roundTrip = async (params: Record<string, unknown>) => {
      const id = `j${n++}`;
      await submit(store, id, { params });
      const expected = JSON.parse(JSON.stringify(params));
      expect((await store.get(id))?.record(true).params).toEqual(expected);
      const job = await claimJob(other);
      expect((JSON.parse(`{${job.body}}`) as { params: unknown }).params).toEqual(expected);
      await finish(store, job, 'completed', { payload: JSON.stringify(params) });
      expect((await store.get(id))?.record(true).result).toEqual(expected);
    };
    for (const params of values) await roundTrip(params);
    const Params = fc.dictionary(
      fc.string({ unit: 'binary' }).filter(name => name !== '__proto__'),
      fc.jsonValue(),
    );
    await fc.assert(fc.asyncProperty(Params, roundTrip), {
      numRuns: 50,
      seed: Number(process.env['FC_SEED'] ?? 7),
    });
  });

  test('more signatures than MAX_SIGNATURES are refused, and make room when their jobs have ended', async () => {
    const store = await openStore({ MAX_SIGNATURES: '2' });
    await machine(store, 1, [SIGNATURE]);
    await submit(store, 'a');
    await submit(store, 'b', { job_type: 'second', delay_ms: 1000 });
    expect(await submit(store, 'c', { job_type: 'third' })).toEqual({ outcome: 'full' });
    expect(await store.get('c')).toBeNull();
    // A known one is never refused.
    expect(await submit(store, 'd', { job_type: 'second' })).toMatchObject({ outcome: 'new' });
    await finish(store, await claimJob(store), 'completed');
    expect(await submit(store, 'c', { job_type: 'third' })).toMatchObject({ outcome: 'new' });
    expect((await store.signatures()).has(SIGNATURE)).toBe(false);
  });

  test('one batch cannot push out the signature of a delayed job it just accepted', async () => {
    const store = await openStore({ MAX_SIGNATURES: '1' });
    const answers = await Promise.all([
      submit(store, 'a', { delay_ms: 1000 }),
      submit(store, 'b', { job_type: 'second' }),
    ]);
    expect(answers.map(answer => answer.outcome)).toEqual(['new', 'full']);
  });

  test.each(['leased', 'delayed'])(
    'a signature is kept for a %s job, so that it is found when it is back',
    async how => {
      const store = await openStore();
      await machine(store);
      await submit(store, 'a', how === 'delayed' ? { delay_ms: 1000 } : {});
      const job = how === 'leased' ? await claimJob(store) : null;
      await store.purgeSignatures();
      if (job) await finish(store, job, 'released');
      else {
        await passed(1000);
        await store.reap();
      }
      expect((await claimJob(store)).ref).toBe(refOf('a'));
    },
  );
});

describe('claims', () => {
  test('the hub that accepted a job has its body at hand; any other, or later, gets it from Redis', async () => {
    const [store, other] = [await openStore(), await openStore()];
    await machine(store, 3);
    const body = (n: number) => expect.stringContaining(`"params":{"n":${n}}`);
    await submit(store, 'a', { params: { n: 1 } });
    const calls = await callsOf(redis, async () => expect((await claimJob(store)).body).toEqual(body(1)));
    expect(calls['hget']).toBe(1); // how far the class has read

    await submit(store, 'b', { params: { n: 2 } });
    expect((await claimJob(other, slot(1))).body).toEqual(body(2));

    await submit(store, 'c', { params: { n: 3 } });
    await passed(50_001);
    expect((await claimJob(store, slot(2))).body).toEqual(body(3));
  });

  test('a second claim of a job gets its body from Redis', async () => {
    const store = await openStore();
    await machine(store);
    await submit(store, 'a', { params: { n: 1 } });
    const first = await claimJob(store);
    await finish(store, first, 'released');
    expect((await claimJob(store)).body).toBe(first.body);
  });

  test('a submission in doubt keeps no body that is not the stored one', async () => {
    const store = await openStore();
    await machine(store);
    await submit(store, 'a', { params: { n: 1 } });
    expect(await submit(store, 'a', { params: { n: 2 } })).toEqual({ outcome: 'conflict' });
    expect((await claimJob(store)).body).toContain('"params":{"n":1}');
  });

  test('a slot that holds a lease gets that one back and no other', async () => {
    const store = await openStore();
    await machine(store);
    await submit(store, 'a');
    await submit(store, 'b');
    const first = await claimJob(store);
    expect(await claim(store, slot())).toEqual({ ...first, outcome: 'held', more: 0 });
    expect(await store.get('b')).toMatchObject({ status: 'queued' });
  });

  test('a claim by a fenced connection gets nothing', async () => {
    const store = await openStore();
    await machine(store);
    await submit(store, 'a');
    await store.register('m', 'h_other:c9.0', [0], []);
    expect(await claim(store, slot())).toEqual({ outcome: 'fenced' });
    expect(await store.get('a')).toMatchObject({ status: 'queued' });
    expect(await claim(store, slot(0, { connection: 'h_other:c9.0' }))).toMatchObject({ outcome: 'job' });
  });

  test('slots of one batch get different jobs, the most urgent first', async () => {
    const store = await openStore();
    await machine(store, 4);
    for (const [id, priority] of [
      ['a', 0],
      ['b', 9],
      ['c', 0],
    ] as const)
      await submit(store, id, { priority });
    const answers = await Promise.all([0, 1, 2, 3].map(index => claim(store, slot(index))));
    expect(answers.map(answer => ('ref' in answer ? answer.ref : answer.outcome))).toEqual([
      refOf('b'),
      refOf('a'),
      refOf('c'),
      'none',
    ]);
  });

  test('jobs nobody can run delay nobody: a claim costs the same with 500 of their signatures in front', async () => {
    const store = await openStore();
    await machine(store);
    const cost = async (id: string) => {
      await submit(store, id);
      let job: Job | undefined;
      const calls = await callsOf(redis, async () => {
        job = await claimJob(store);
      });
      await finish(store, job as Job, 'completed');
      return calls;
    };
    // The first claim of a class finds more to read than the others.
    await cost('first');
    const alone = await cost('alone');
    for (let i = 0; i < 500; i += 50) {
      const batch = Array.from({ length: 50 }, (_, k) => i + k);
      await Promise.all(
        batch.flatMap(n => {
          const needs = { job_type: 'video', priority: 100, requirements: { min_vram_mb: 1_000_000 + n } };
          return [submit(store, `x${n}`, needs), submit(store, `y${n}`, needs)];
        }),
      );
    }
    // What is new is read once, by whoever looks next.
    expect(await claim(store, slot())).toEqual({ outcome: 'none' });
    expect(await cost('crowded')).toEqual(alone);
    expect((await store.signatures()).size).toBe(501);
  });

  test('jobs of the same microsecond come in the order of acceptance', async () => {
    const store = await openStore();
    await machine(store);
    const ids = Array.from({ length: 30 }, (_, i) => `j${i}`);
    // One script: to all of them Redis says the same time.
    await Promise.all(ids.map(id => submit(store, id)));
    expect(await runAll(store)).toEqual(ids);
  });

  test('first come first served also while the clock of Redis goes back', async () => {
    const store = await openStore();
    await machine(store);
    const ids = Array.from({ length: 10 }, (_, i) => `j${i}`);
    for (const [i, id] of ids.entries()) {
      await passed(-i * 3_600_000);
      await submit(store, id);
    }
    expect(await runAll(store)).toEqual(ids);
  });

  test('seq grows also when the clock of Redis goes back', async () => {
    const store = await openStore();
    await machine(store);
    const { seq } = (await submit(store, 'a')) as { seq: number };
    await passed(-3_600_000);
    const job = await claimJob(store);
    const assigned = (await store.get('a'))?.fields.n as number;
    await finish(store, job, 'completed');
    const ended = (await store.get('a'))?.fields.n as number;
    expect([assigned, ended]).toEqual([seq + 1, seq + 2]);
  });

  test('numbers of 16 digits are exact', async () => {
    const store = await openStore();
    // From 2200 on arrival numbers and seqs have 16 digits that matter; the last one counts the jobs.
    await redis.set(key('clock'), '5000000000000000');
    const ids = Array.from({ length: 20 }, (_, i) => `j${i}`);
    const answers = (await Promise.all(ids.map(id => submit(store, id)))) as { seq: number }[];
    const scores = await redis.zrange(key('queue', SIGNATURE), '0', '-1', 'WITHSCORES');
    const read = scores.filter((_, i) => i % 2 === 1).map(Number);
    const first = read[0] as number;
    expect(first).toBeGreaterThan(5e15);
    for (let i = 1; i < read.length; i++) {
      expect(Number.isSafeInteger(read[i])).toBe(true);
      expect(read[i]).toBeGreaterThan(read[i - 1] as number);
    }
    expect(Number(await redis.get(key('clock')))).toBeGreaterThanOrEqual(read.at(-1) as number);
    for (const [i, id] of ids.entries()) expect((await store.get(id))?.fields.n).toBe(answers[i]?.seq);
    expect(String(answers[0]?.seq)).toHaveLength(16);
    // Priorities are one addition, and back again.
    await store.setPriority('j0', -100);
    await store.setPriority('j0', 100);
    await store.setPriority('j0', 0);
    expect(Number(await redis.zscore(key('queue', SIGNATURE), refOf('j0')))).toBe(first);
  });
});

describe('the ends of jobs', () => {
  test('a claim that meets thousands of jobs nobody started in time ends some of them, and asks to be made again', async () => {
    const store = await openStore();
    await machine(store);
    await Promise.all(
      Array.from({ length: 4200 }, (_, i) => submit(store, `late${i}`, { start_timeout_ms: 1000 })),
    );
    await submit(store, 'patient');
    await passed(2000);
    const woken = new Promise<void>(resolve =>
      store.onEffect(effect => effect.kind === 'wake' && effect.signature === SIGNATURE && resolve()),
    );
    // With a new job of the same kind, which by itself wakes no hub that claims for it anyway.
    const newer = submit(store, 'newer');
    expect(await claim(store, slot())).toEqual({ outcome: 'none' });
    await newer;
    await woken;
    let claimed = await claim(store, slot());
    while (claimed.outcome === 'none') claimed = await claim(store, slot());
    expect(claimed).toMatchObject({ outcome: 'job', ref: refOf('patient') });
    expect((await store.counts()).get('image')?.expired).toBe(4200);
  });

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

  test('a record that cannot be read stops claims, and no job leaves its queue', async () => {
    const store = await openStore();
    await machine(store, 4);
    await submit(store, 'atwork');
    const running = await claimJob(store, slot(3));
    for (const id of ['a', 'b', 'c']) await submit(store, id);
    const record = (await redis.hget(key('jobs'), refOf('b'))) as string;
    await redis.hset(key('jobs'), refOf('b'), 'garbage');
    const claims = () => Promise.all([0, 1, 2].map(index => claim(store, slot(index))));
    await expect(claims()).rejects.toThrow('unfinished string');
    expect(await redis.zcard(key('queue', SIGNATURE))).toBe(3);
    // A job that comes with such claims is taken all the same, and one that ends has ended.
    const submitted = submit(store, 'd');
    await expect(claims()).rejects.toThrow('unfinished string');
    expect(await submitted).toMatchObject({ outcome: 'new', position: 4 });
    const finished = finish(store, running, 'completed');
    await expect(claims()).rejects.toThrow('unfinished string');
    expect(await finished).toMatchObject({ accepted: true, freed: 'm:gpu3' });
    expect((await store.get('atwork'))?.status).toBe('completed');
    await redis.hset(key('jobs'), refOf('b'), record);
    expect((await claims()).map(({ outcome }) => outcome)).toEqual(['job', 'job', 'job']);
    expect((await store.get('d'))?.record(false)).toMatchObject({ status: 'queued' });
  });

  test('a record that cannot be read takes no job along that was claimed before it', async () => {
    const store = await openStore();
    const other = content({ job_type: 'other' });
    await machine(store, 2, [SIGNATURE, other.signature]);
    await submit(store, 'good');
    await submit(store, 'bad', { job_type: 'other' });
    const record = (await redis.hget(key('jobs'), refOf('bad'))) as string;
    await redis.hset(key('jobs'), refOf('bad'), 'garbage');
    await expect(Promise.all([claim(store, slot(0)), claim(store, slot(1))])).rejects.toThrow('unfinished');
    await redis.hset(key('jobs'), refOf('bad'), record);
    expect((await store.get('good'))?.status).toBe('assigned');
    expect(await claim(store, slot(0))).toMatchObject({ outcome: 'held', ref: refOf('good') });
    expect(await claim(store, slot(1))).toMatchObject({ outcome: 'job', ref: refOf('bad') });
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

describe('several hubs on one Redis', () => {
  const watching = (store: RedisStore) => {
    const effects: Effect[] = [];
    const wakes: string[] = [];
    store.onEffect(effect => effects.push(effect));
    store.onWake(signature => wakes.push(signature));
    return { effects, wakes };
  };

  async function twoHubs() {
    const one = await openStore({}, { hub_id: 'h_one', test_clock: true });
    const two = await openStore({}, { hub_id: 'h_two', test_clock: true });
    for (const store of [one, two]) await store.beat('{}', false, 10_000, []);
    return { one, two };
  }

  test('a job submitted on one wakes the other', async () => {
    const { one, two } = await twoHubs();
    const [here, there] = [watching(one), watching(two)];
    await submit(one, 'a');
    await vi.waitFor(() => expect(there.wakes).toEqual([SIGNATURE]));
    expect(here.wakes).toEqual([]);
  });

  test('events of a job reach the hub that watches it, whichever runs the script', async () => {
    const { one, two } = await twoHubs();
    await machine(one);
    await submit(one, 'a');
    await two.watch(['a'], 'all');
    const { effects } = watching(two);
    const job = await claimJob(one);
    await finish(one, job, 'completed', { payload: '{"ok":[1]}' });
    const told = () => effects.flatMap(effect => (effect.kind === 'event' ? [effect.event] : []));
    await vi.waitFor(() =>
      expect(told().map(event => event.type)).toEqual(['job_assigned', 'job_completed']),
    );
    expect(told()[1]?.fields).toContain('"result":{"ok":[1]}');
  });

  test('the hub that has the machine is told to stop its job, and that another registered it', async () => {
    const { one, two } = await twoHubs();
    const { effects } = watching(two);
    const connection = 'h_two:c5.0';
    await two.register('m', connection, [0], []);
    await one.fit('all', [SIGNATURE]);
    await submit(one, 'a');
    const job = await claimJob(two, slot(0, { connection }));
    await one.cancel('a', 'enough');
    await one.register('m', 'h_one:c1.0', [0], [job]);
    await vi.waitFor(() => {
      expect(effects).toContainEqual({
        kind: 'cancel',
        ref: job.ref,
        worker_id: 'm:gpu0',
        lease_id: job.lease_id,
        reason: 'enough',
        grace_ms: GRACE_MS,
      });
      expect(effects).toContainEqual({ kind: 'replaced', machine_id: 'm', connection });
    });
  });

  test('two hubs never give one job to two slots', async () => {
    const { one, two } = await twoHubs();
    await machine(one, 8);
    const ids = Array.from({ length: 12 }, (_, i) => `j${i}`);
    await Promise.all(ids.map(id => submit(one, id)));
    const answers = await Promise.all([0, 1, 2, 3, 4, 5, 6, 7].map(i => claim(i % 2 ? one : two, slot(i))));
    const refs = answers.map(answer => (answer as Job).ref);
    expect(new Set(refs).size).toBe(8);
  });

  test('a hub with another LEASE_MS refuses to open while there are jobs', async () => {
    const store = await openStore();
    await submit(store, 'a');
    await expect(openStore({ LEASE_MS: '30000' })).rejects.toThrow(/LEASE_MS is 60000 .* but 30000 here/);
    await expect(openStore({ PRIORITY_AGING_MS: '5' })).rejects.toThrow(/PRIORITY_AGING_MS/);
    await redis.flushall('SYNC');
    await expect(openStore({ LEASE_MS: '30000' })).resolves.toBeDefined();
  });
});
