/** What the store promises several hubs on one Redis. */
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import type { Connection } from '../../core/connections/connection.ts';
import { makeLog } from '../../core/log.ts';
import { Dispatcher } from '../../core/services/dispatcher.ts';
import { Slot } from '../../core/services/slot.ts';
import type { WorkerRecord } from '../../core/messages/worker.ts';
import { refOf } from '../../core/store/keys.ts';
import type { RedisStore } from '../../core/store/redis_store.ts';
import type { Effect } from '../../core/store/store.ts';
import { claimJob, freshStores, GRACE_MS, type Job, key } from './fresh_stores.ts';
import { claim, CONNECTION, finish, machine, SIGNATURE, slot, submit } from './operations.ts';

const { openStore, redis } = await freshStores();

/** A slot of a machine that can run everything, as the hub that has the machine keeps it. */
function idleSlot(): Slot {
  const machine = {
    machine_id: 'm',
    connection: undefined as unknown as Connection,
    fence: CONNECTION,
    slots: new Map(),
    leased: new Map(),
    version: null,
    connected_at: 0,
    registered_at: 0,
    attaching: undefined,
    gone: false,
    leaving: false,
  };
  const profile = { job_types: ['*'], gpu_name: null, vram_mb: null, models: [], labels: {} };
  return new Slot(machine, { index: 0 }, profile, 0);
}

describe('several hubs on one Redis', () => {
  const watching = (store: RedisStore) => {
    const effects: Effect[] = [];
    store.onEffect(effect => effects.push(effect));
    return { effects };
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
    await submit(one, 'b');
    const hints = ['signature', 'wake'].map(kind => ({ kind, signature: SIGNATURE }));
    await vi.waitFor(() => expect(there.effects).toEqual(hints));
    // It claims by itself what it accepts.
    expect(here.effects).toEqual(hints.slice(0, 1));
  });

  test('a signature that was forgotten and is back is new to both, also when its job is delayed', async () => {
    const { one, two } = await twoHubs();
    await machine(one);
    await submit(one, 'a');
    await finish(one, await claimJob(one), 'completed');
    await one.purgeSignatures();
    const heard = [one, two].map(store => watching(store).effects);
    await submit(one, 'b', { delay_ms: 60_000 });
    for (const effects of heard)
      await vi.waitFor(() => expect(effects).toContainEqual({ kind: 'signature', signature: SIGNATURE }));
  });

  test('a hub that did not hear that a signature was forgotten and is back finds it again by itself', async () => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
    onTestFinished(() => void vi.useRealTimers());
    const one = await openStore({}, { hub_id: 'h_one', test_clock: true });
    const two = await openStore({}, { hub_id: 'h_two', test_clock: true });
    const jobs: string[] = [];
    const dispatcher = new Dispatcher(
      two,
      makeLog('silent'),
      (slot, job) => {
        jobs.push(job.ref);
        void finish(two, job, 'completed').then(() => dispatcher.settle(slot));
      },
      () => {},
    );
    await dispatcher.start();
    onTestFinished(() => dispatcher.stop());
    await two.register('m', CONNECTION, [0], []);
    dispatcher.add(idleSlot());
    // No hub has said that it lives, so nobody is told of anything.
    await submit(one, 'a');
    await vi.waitFor(() => {
      vi.advanceTimersByTime(10_000);
      expect(jobs).toEqual([refOf('a')]);
    });
    await vi.waitFor(async () => expect(await redis.exists(key('unfinished'))).toBe(0));
    await one.purgeSignatures();
    await submit(one, 'b');
    await vi.waitFor(() => {
      vi.advanceTimersByTime(10_000);
      expect(jobs).toEqual([refOf('a'), refOf('b')]);
    });
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

  test('a socket that speaks for another machine gives up the former, but not one that another hub has by now', async () => {
    const { one, two } = await twoHubs();
    await one.fit('all', [SIGNATURE]);
    const before = { machine_id: 'm', connection: 'h_one:c1.0' };
    await one.register('m', before.connection, [0], []);
    await submit(one, 'a');
    const lost = await claimJob(one, slot(0, before));
    await one.register('x', 'h_one:c1.1', [0], [], before);
    expect(await two.attach('m', 'h_two:c5.0', 0)).toMatchObject({ slots: new Map() });
    const job = await claimJob(two, slot(0, { connection: 'h_two:c5.0' }));
    expect(job.ref).toBe(lost.ref);
    await one.register('x', 'h_one:c1.2', [0], [], before);
    expect(await two.renew('m', 'h_two:c5.0', [job])).toMatchObject({ answers: [{ action: 'continue' }] });
  });

  test('who lost its machine to another takes none of its records away, and a dead hub’s are kept while they hold leases', async () => {
    const { one, two } = await twoHubs();
    const record = (index: number, hub_id: string | null) =>
      ({ worker_id: `m:gpu${index}`, machine_id: 'm', index, hub_id }) as WorkerRecord;
    const offline = [0, 1].map(index => record(index, null));
    const hubs = async () =>
      Object.fromEntries((await one.workers()).map(({ worker_id, hub_id }) => [worker_id, hub_id]));
    await one.register('m', 'h_one:c1.0', [0, 1], []);
    await one.fit('all', [SIGNATURE]);
    await submit(one, 'a');
    const job = await claimJob(one, slot(0, { connection: 'h_one:c1.0' }));
    await two.register('m', 'h_two:c1.0', [0, 1], [job]);
    const now = [0, 1].map(index => record(index, 'h_two'));
    await two.putWorkers(now);

    expect(await one.disconnect('m', 'h_one:c1.0', offline)).toBeNull();
    expect(await one.disconnect('m', 'h_one', offline)).toBeNull();
    expect(await hubs()).toEqual({ 'm:gpu0': 'h_two', 'm:gpu1': 'h_two' });
    // Twice, as after an answer that was lost.
    for (const who of ['h_two', 'h_two:c1.0']) {
      expect(await one.disconnect('m', who, offline)).toEqual([0]);
      expect(await hubs()).toEqual({ 'm:gpu0': null });
    }
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
