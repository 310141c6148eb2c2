/** What the store promises of claims and of the order in which jobs come. */
import { describe, expect, test } from 'vitest';
import { refOf } from '../../core/store/keys.ts';
import { claimJob, freshStores, key, type Job, runAll } from './fresh_stores.ts';
import { callsOf, claim, content, finish, machine, SIGNATURE, slot, submit } from './operations.ts';

const { openStore, passed, redis } = await freshStores();

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
});
