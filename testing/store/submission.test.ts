/** What the store promises of submissions, one promise a test, on a real Redis with the real scripts. */
import { describe, expect, test } from 'vitest';
import fc from 'fast-check';
import { refOf } from '../../core/store/keys.ts';
import { claimJob, freshStores } from './fresh_stores.ts';
import { finish, machine, SIGNATURE, submit } from './operations.ts';

const { dump, openStore, passed } = await freshStores();

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
