/** Two hubs on one Redis are one system: whoever is connected to either sees and does the same. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { readConfig } from '../../core/config.ts';
import { HubApi, type JobEvent as HttpEvent } from '../../core/cli/http.ts';
import { type NewJob, RedisService } from '../../core/store/redis_service.ts';
import { RedisStore } from '../../core/store/redis_store.ts';
import type { HubProcess } from '../harness/processes.ts';
import { all, byHand, ears, Fleet, inGoodOrder, types, until } from '../harness/fleet.ts';

/** After this long without a beat a hub counts as dead. */
const DEAD_WITHIN_MS = 15_000;

let fleet: Fleet;
let a: HubProcess;
let b: HubProcess;
let apiA: HubApi;
let apiB: HubApi;
beforeAll(async () => {
  fleet = await Fleet.start();
  a = fleet.hub;
  b = await fleet.addHub();
  apiA = new HubApi({ url: a.httpUrl });
  apiB = new HubApi({ url: b.httpUrl });
});
afterAll(() => fleet[Symbol.asyncDispose]());

async function collect(events: AsyncIterable<HttpEvent>): Promise<HttpEvent[]> {
  const collected: HttpEvent[] = [];
  for await (const event of events) collected.push(event);
  return collected;
}

describe('a job submitted at one hub', () => {
  test('runs on a machine of the other, and watchers at both see all of it', async () => {
    const work = byHand();
    await fleet.machine({ machine_id: 'm-b', url: b.wsUrl, handler: { cross: work.handler } });
    const client = fleet.client({ url: a.wsUrl });
    const job = await client.submit({ job_type: 'cross', params: { n: 1 }, watch: 'all' });
    const seen = all(job);
    const elsewhere = all(await fleet.client({ url: a.wsUrl }).watch(job.id));
    const streamed = collect(apiB.events(job.id));
    const run = await work.run(0);
    run.context.progress(0.5);
    for (const token of ['a', 'b', 'c']) run.context.output(token);
    run.complete({ ok: true });
    expect(await job.result()).toEqual({ ok: true });
    for (const events of [await seen, await elsewhere]) {
      expect(inGoodOrder(events)).toBe(true);
      expect(events.flatMap(event => (event.type === 'job_output' ? [event.data] : []))).toEqual([
        'a',
        'b',
        'c',
      ]);
      expect(events.at(-1)).toMatchObject({ type: 'job_completed', worker_id: 'm-b:gpu0' });
    }
    const stream = await streamed;
    expect(stream.filter(({ type }) => type === 'job_output').map(({ data }) => data)).toEqual([
      'a',
      'b',
      'c',
    ]);
    expect(stream.at(-1)?.type).toBe('job_completed');
  });

  test('is cancelled at the other, and its machine is told', async () => {
    const work = byHand();
    await fleet.machine({ machine_id: 'm-cancel', url: a.wsUrl, handler: { stop: work.handler } });
    const job = await fleet.client({ url: a.wsUrl }).submit({ job_type: 'stop', params: {} });
    const run = await work.run(0);
    expect(await apiB.cancel(job.id, 'not needed')).toMatchObject({ status: 'cancelling' });
    await expect(job.result()).rejects.toMatchObject({ code: 'cancelled' });
    expect(run.context.signal.reason).toMatchObject({ message: 'not needed' });
  });

  test('goes to an idle machine of the other at once', async () => {
    await fleet.machine({ machine_id: 'm-idle', url: b.wsUrl, handler: { quick: () => 'done' } });
    const client = fleet.client({ url: a.wsUrl });
    await client.connect();
    const asked_at = performance.now();
    await (await client.submit({ job_type: 'quick', params: {} })).result();
    expect(performance.now() - asked_at).toBeLessThan(1000);
  });
});

describe('a queue that was forgotten and gets a job again', () => {
  /** What each hub does once a minute. */
  async function forgetEmptyQueues(): Promise<void> {
    const store = new RedisStore(readConfig({ REDIS_URL: fleet.redis.url }), { shares_layout: false });
    await store.open();
    await store.purgeSignatures();
    store.close();
  }

  test.each([
    ['submitted at the other', (job: NewJob) => fleet.client({ url: a.wsUrl }).submit(job)],
    [
      'added by an application',
      async (job: NewJob) => {
        const service = new RedisService({ url: fleet.redis.url });
        await service.addJob(job);
        await service.close();
      },
    ],
  ])('is known anew to the hub that knew it before, when the job is %s', async (how, submit) => {
    const job_type = how.replaceAll(' ', '-');
    const ran: string[] = [];
    await fleet.machine({
      machine_id: `m-${job_type}`,
      url: b.wsUrl,
      handler: { [job_type]: ({ job_id }) => ran.push(job_id) },
    });
    for (const job_id of [`${job_type}-1`, `${job_type}-2`]) {
      await submit({ job_id, job_type, params: {} });
      await until(`${job_id} to end`, async () => (await apiB.job(job_id)).status === 'completed', 5000);
      await forgetEmptyQueues();
    }
    expect(ran).toHaveLength(2);
  });
});

describe('the fleet', () => {
  test('is listed by each hub with the machines of both', async () => {
    await fleet.machine({ machine_id: 'list-a', url: a.wsUrl, gpu_count: 2, handler: { none: () => 0 } });
    await fleet.machine({ machine_id: 'list-b', url: b.wsUrl, handler: { none: () => 0 } });
    const hubOf = async (api: HubApi) => {
      const listed = (await api.workers()).filter(({ machine_id }) => machine_id.startsWith('list-'));
      return (
        listed.length === 3 && listed.map(({ worker_id, hub_id, status }) => [worker_id, hub_id, status])
      );
    };
    const fromA = await until('all workers at A', () => hubOf(apiA));
    expect(await until('all workers at B', () => hubOf(apiB))).toEqual(fromA);
    expect(fromA.map(([worker_id]) => worker_id)).toEqual(['list-a:gpu0', 'list-a:gpu1', 'list-b:gpu0']);
    expect(new Set(fromA.map(([, hub_id]) => hub_id)).size).toBe(2);
    await until('both hubs in the statistics', async () => (await apiA.stats()).hubs === 2);
  });

  test('of one hub is drained and resumed through the other', async () => {
    const { on_event, heard } = ears();
    await fleet.machine({ machine_id: 'drained', url: b.wsUrl, handler: { drain: () => 'ran' }, on_event });
    await until('the machine at A', async () => (await apiA.workers()).some(w => w.machine_id === 'drained'));
    expect(await apiA.drain('drained:gpu0', 'new driver')).toEqual({ worker_ids: ['drained:gpu0'] });
    expect(await heard('draining')).toMatchObject({ worker_ids: ['drained:gpu0'], reason: 'new driver' });
    const worker = await until('the state at A', async () => {
      const record = await apiA.worker('drained:gpu0');
      return record.status === 'draining' && record;
    });
    expect(worker.status_reason).toBe('new driver');
    const client = fleet.client({ url: a.wsUrl });
    const job = await client.submit({ job_type: 'drain', params: {} });
    // Another job of the same machine's hub has passed all stages meanwhile: this one was left alone.
    await (await client.submit({ job_type: 'quick', params: {} })).result();
    expect(await client.getJob(job.id)).toMatchObject({ status: 'queued' });
    await apiA.resume('drained:gpu0');
    await heard('resumed');
    expect(await job.result()).toBe('ran');
  });
});

describe('a hub that is killed', () => {
  test('loses no job: its machines and clients go on at the other, its workers are offline until then', async () => {
    const doomed = await fleet.addHub();
    const work = byHand();
    const { on_event, heard } = ears();
    const url = [doomed.wsUrl, a.wsUrl];
    await fleet.machine({ machine_id: 'mover', url, handler: { move: work.handler }, on_event });
    await fleet.machine({ machine_id: 'stranded', url: doomed.wsUrl, handler: { strand: byHand().handler } });
    const client = fleet.client({ url });
    const moving = await client.submit({ job_type: 'move', params: {}, watch: 'all' });
    const events = all(moving);
    const run = await work.run(0);
    await fleet.client({ url: a.wsUrl }).submit({ job_type: 'strand', params: {} });
    const monitor = await fleet.monitor(a);
    // A hub tells the others of its machines once a second.
    await until('the stranded machine at A', async () =>
      (await apiA.workers()).some(
        ({ worker_id, job_id }) => worker_id === 'stranded:gpu0' && job_id !== null,
      ),
    );

    doomed.process.kill('SIGKILL');
    await heard('down');
    const connected = await monitor.next(
      frame => frame.type === 'worker_connected' && frame['worker_id'] === 'mover:gpu0',
    );
    const { hub_id } = monitor.welcome;
    expect(connected['worker']).toMatchObject({ hub_id, machine_id: 'mover' });
    run.context.output('still here');
    run.complete('moved');
    expect(await moving.result()).toBe('moved');
    expect(inGoodOrder(await events)).toBe(true);
    expect(types(await events).filter(type => type === 'job_completed')).toHaveLength(1);
    expect(work.runs).toHaveLength(1);

    const gone = await monitor.next(
      frame => frame.type === 'worker_disconnected' && frame['worker_id'] === 'stranded:gpu0',
      { timeout_ms: DEAD_WITHIN_MS },
    );
    expect(gone).toMatchObject({ worker: { status: 'offline', hub_id: null } });
    expect(await apiA.worker('stranded:gpu0')).toMatchObject({ status: 'offline' });
    expect(await apiA.worker('mover:gpu0')).toMatchObject({ hub_id, status: 'idle' });
    await until('the statistics to count two hubs', async () => (await apiA.stats()).hubs === 2);
  });
});
