/** The way to Redis breaks at the worst moments, and hubs die beside it: nothing is done twice, nothing stays behind. */
import { afterEach, describe, expect, test } from 'vitest';
import { keyOf } from '../../core/store/keys.ts';
import { Peer } from '../harness/peer.ts';
import { startProxy, type TcpProxy } from '../harness/proxy.ts';
import { Fleet, until } from '../harness/fleet.ts';

let fleet: Fleet;
let proxy: TcpProxy | undefined;
afterEach(async () => {
  await fleet?.[Symbol.asyncDispose]();
  await proxy?.stop();
  proxy = undefined;
});

/** A hub that reaches Redis through a proxy, beside one that reaches it well. */
async function hubBehindProxy() {
  fleet = await Fleet.start();
  proxy = await startProxy(fleet.redis.port);
  const REDIS_URL = `redis://127.0.0.1:${proxy.port}`;
  return { way: proxy, hub: await fleet.addHub({ REDIS_URL, REDIS_COMMAND_TIMEOUT_MS: '1500' }) };
}

const connect = (url: string, path: '/ws/client' | '/ws/worker') => Peer.connect(url, { path });

describe('a link cut after Redis did it and before it said so', () => {
  test('submission: outcome unknown; sent again it is the same one job', async () => {
    const { way, hub } = await hubBehindProxy();
    const client = await connect(hub.wsUrl, '/ws/client');
    const redis = fleet.redis.client();
    const job = { type: 'submit_job', job_type: 'x', job_id: 'once', params: {} };
    way.stall('down');
    const asked = client.request(job);
    await until('Redis to have it', async () => (await redis.hexists(keyOf(0, 'jobs'), '/once')) === 1);
    way.cutNow();
    way.pass();
    expect(await asked).toMatchObject({ code: 'unavailable', details: { outcome: 'unknown' } });
    const again = await until('the link', async () => {
      const answer = await client.request(job);
      return answer.type === 'job_accepted' && answer;
    });
    expect(again).toMatchObject({ duplicate: true, status: 'queued' });
    expect(await redis.zcard(keyOf(0, 'all'))).toBe(1);
  });

  test('completion: the worker keeps it, and its repeat is accepted once', async () => {
    const { way, hub } = await hubBehindProxy();
    const client = await connect(fleet.hub.wsUrl, '/ws/client');
    const machine = await connect(hub.wsUrl, '/ws/worker');
    await machine.request({ type: 'register_worker', machine_id: 'm1', job_types: ['*'] });
    const { job_id } = await client.request({ type: 'submit_job', job_type: 'x', params: {} });
    const { lease_id } = await machine.next('job_assigned');
    const done = { type: 'job_completed', job_id, lease_id, result: 'first' };
    way.stall('down');
    const asked = machine.request(done);
    await client.next('job_completed');
    way.cutNow();
    way.pass();
    expect(await asked).toMatchObject({
      code: 'unavailable',
      details: { outcome: 'unknown', job_id, lease_id },
    });
    const ack = await until('the link', async () => {
      const answer = await machine.request(done);
      return answer.type === 'job_ack' && answer;
    });
    expect(ack).toMatchObject({ accepted: true });
    expect(client.frames.filter(({ type }) => type === 'job_completed')).toHaveLength(1);
    // Its slot works on.
    await client.request({ type: 'submit_job', job_type: 'x', params: {} });
    await machine.next('job_assigned');
  });

  test('claim: the slot gets the very lease that Redis gave it, and no other', async () => {
    const { way, hub } = await hubBehindProxy();
    // At the same hub, so that the claim is sent with the submission.
    const client = await connect(hub.wsUrl, '/ws/client');
    const machine = await connect(hub.wsUrl, '/ws/worker');
    await machine.request({ type: 'register_worker', machine_id: 'm1', job_types: ['*'] });
    const redis = fleet.redis.client();
    const slot = () => redis.hget(keyOf(0, 'machine', 'm1'), 's0');
    // The first job of a kind is claimed when Redis has taken it.
    await client.request({ type: 'submit_job', job_type: 'x', params: {} });
    const { job_id, lease_id } = await machine.next('job_assigned');
    await machine.request({ type: 'job_completed', job_id, lease_id, result: null });
    await until('the slot to be free', async () => (await slot()) === null);
    way.stall('down');
    const asked = client.request({ type: 'submit_job', job_type: 'x', job_id: 'once', params: {} });
    const held = await until('the claim', slot);
    way.cutNow();
    way.pass();
    expect(await asked).toMatchObject({ code: 'unavailable', details: { outcome: 'unknown' } });
    const assigned = await machine.next('job_assigned', { timeout_ms: 10_000 });
    expect(`${assigned['lease_id']} /once`).toBe(held);
    expect(await slot()).toBe(held);
  });
});

test('output whose news were lost with the link comes after all, in order', async () => {
  const { way, hub } = await hubBehindProxy();
  const watchers = [await connect(fleet.hub.wsUrl, '/ws/client'), await connect(hub.wsUrl, '/ws/client')];
  const machine = await connect(fleet.hub.wsUrl, '/ws/worker');
  await machine.request({ type: 'register_worker', machine_id: 'm1', job_types: ['*'] });
  const job = { type: 'submit_job', job_type: 'x', job_id: 'talks', params: {} };
  for (const watcher of watchers) await watcher.request(job);
  const { job_id, lease_id } = await machine.next('job_assigned');
  const output = (...indexes: number[]) => {
    for (const index of indexes) machine.send({ type: 'job_output', job_id, lease_id, index, data: index });
  };
  const told = (watcher: Peer) =>
    watcher.frames
      .filter(({ type }) => type.startsWith('job_output'))
      .map(frame => frame['index'] ?? [frame['from'], frame['to']]);
  const [well, cut] = watchers as [Peer, Peer];

  output(0);
  await until('the first', () => told(cut).length === 1);
  way.stall('down');
  output(1, 2, 5);
  await until('Redis to have the others', () => told(well).length === 5);
  expect(told(cut)).toEqual([0]);
  way.cutNow();
  way.pass();
  await until('what was missed', () => told(cut).length === 5);
  output(6);
  await until('the last', () => told(cut).length === 6);
  for (const watcher of watchers) expect(told(watcher)).toEqual([0, 1, 2, [3, 4], 5, 6]);
});

test('a listening connection that has gone silent is given up, and what it did not bring is told', async () => {
  const { way, hub } = await hubBehindProxy();
  const client = await connect(hub.wsUrl, '/ws/client');
  const machine = await connect(fleet.hub.wsUrl, '/ws/worker');
  await machine.request({ type: 'register_worker', machine_id: 'm1', job_types: ['*'] });
  await client.request({ type: 'submit_job', job_type: 'x', job_id: 'quiet', params: {} });
  const { job_id, lease_id } = await machine.next('job_assigned');
  // Commands have the first connection, what happens comes by the second.
  way.stall('down', 1);
  await machine.request({ type: 'job_completed', job_id, lease_id, result: 1 });
  await client.next('job_completed', { timeout_ms: 10_000 });
  expect(await client.request({ type: 'get_stats' })).toMatchObject({ type: 'stats' });
});

test('a hub whose Redis could not be made ready at once serves as soon as it can', async () => {
  const { way, hub } = await hubBehindProxy();
  const redis = fleet.redis.client();
  const readyz = async () => (await fetch(`${hub.httpUrl}/readyz`)).status;
  await redis.acl('SETUSER', 'default', '-script|load');
  way.cutNow();
  await until('readyz 503', async () => (await readyz()) === 503);
  // As long as the hub may not load its scripts, it is not ready.
  await new Promise(resolve => setTimeout(resolve, 1500));
  expect(await readyz()).toBe(503);
  await redis.acl('SETUSER', 'default', '+script|load');
  await until('readyz 200', async () => (await readyz()) === 200);
});

test('words of operators that were lost with the link are found when it is back', async () => {
  const { way, hub } = await hubBehindProxy();
  const machine = await connect(hub.wsUrl, '/ws/worker');
  await machine.request({ type: 'register_worker', machine_id: 'm1', job_types: ['*'], gpu_count: 2 });
  const redis = fleet.redis.client();
  const [first, second] = ['m1:gpu0', 'm1:gpu1'] as [string, string];
  await until('the machine at the other hub', async () => (await fleet.api.workers()).length === 2);
  await fleet.api.drain(first, 'new driver');
  await machine.next('worker_draining');

  way.stall('down');
  await fleet.api.resume(first);
  await fleet.api.drain(second, 'new fan');
  expect(await redis.hmget(keyOf(0, 'machine', 'm1'), 'o0', 'o1')).toEqual([null, expect.any(String)]);
  way.cutNow();
  way.pass();
  expect(await machine.next('worker_resumed', { timeout_ms: 10_000 })).toMatchObject({ worker_ids: [first] });
  expect(await machine.next('worker_draining')).toMatchObject({ worker_ids: [second], reason: 'new fan' });
  const client = await connect(fleet.hub.wsUrl, '/ws/client');
  await client.request({ type: 'submit_job', job_type: 'x', params: {} });
  expect(await machine.next('job_assigned')).toMatchObject({ worker_id: first });
});

test('a hub that has not heard yet that its machine is elsewhere leaves the records of it alone', async () => {
  fleet = await Fleet.start({ LOG_LEVEL: 'info' });
  const machine = await connect(fleet.hub.wsUrl, '/ws/worker');
  await machine.request({ type: 'register_worker', machine_id: 'm1', job_types: ['*'] });
  const redis = fleet.redis.client();
  const text = await until('its record', () => redis.hget(keyOf(0, 'workers'), 'm1:gpu0'));
  // What another hub writes, but for the word that tells this one.
  const elsewhere = JSON.stringify({ ...JSON.parse(text), hub_id: 'h_elsewhere' });
  await redis.hset(keyOf(0, 'machine', 'm1'), 'conn', 'h_elsewhere:c1.0');
  await redis.hset(keyOf(0, 'workers'), 'm1:gpu0', elsewhere);
  await machine.terminate();
  await fleet.hub.process.waitFor(/machine disconnected/);
  // It is listed behind all that the hub asked of Redis for the old socket.
  expect(await fleet.api.worker('m1:gpu0')).toMatchObject({ hub_id: 'h_elsewhere' });
});

test('a hub that is asked to stop while Redis hangs still says goodbye, and ends in time', async () => {
  const { way, hub } = await hubBehindProxy();
  const peers = await Promise.all([connect(hub.wsUrl, '/ws/client'), connect(hub.wsUrl, '/ws/worker')]);
  way.blackHole();
  hub.process.kill('SIGTERM');
  for (const peer of peers) expect((await peer.closed({ timeout_ms: 10_000 })).code).toBe(1012);
  const asked_at = performance.now();
  await hub.process.exited;
  // STOP_TIMEOUT_MS and STOP_SPREAD_MS are 7 s together.
  expect(performance.now() - asked_at).toBeLessThan(10_000);
});

test('of a hub that was killed nothing stays in Redis, and its machines are listed only while they hold leases', async () => {
  fleet = await Fleet.start({ LEASE_MS: '8000' });
  const doomed = await fleet.addHub();
  for (const machine_id of ['idle', 'busy']) {
    const machine = await connect(doomed.wsUrl, '/ws/worker');
    await machine.request({ type: 'register_worker', machine_id, job_types: [machine_id] });
  }
  await connect(doomed.wsUrl, '/ws/client');
  const monitor = await Peer.connect(doomed.wsUrl, { path: '/ws/monitor' });
  await monitor.next('snapshot');
  const client = await connect(fleet.hub.wsUrl, '/ws/client');
  const { job_id } = await client.request({ type: 'submit_job', job_type: 'busy', params: {} });
  await monitor.next(({ type, worker }) => type === 'worker_updated' && worker?.job_id === job_id);
  const redis = fleet.redis.client();
  const listed = async () =>
    Object.fromEntries((await fleet.api.workers()).map(worker => [worker.worker_id, worker.status]));
  await until('both machines at the other hub', async () => Object.keys(await listed()).length === 2);
  const of = async () => ({
    hubs: (await redis.zrange(keyOf(0, 'hubs'), '0', '-1')).length,
    hub_info: await redis.hlen(keyOf(0, 'hub_info')),
    monitors: await redis.scard(keyOf(0, 'monitors')),
  });
  await until('it in Redis', async () => (await of()).monitors === 1);
  doomed.process.kill('SIGKILL');
  await until('it to be gone', async () => (await of()).hubs === 1, 15_000);
  expect(await of()).toEqual({ hubs: 1, hub_info: 1, monitors: 0 });
  await until('its machines to be offline or gone', async () => {
    const workers = await listed();
    return workers['busy:gpu0'] === 'offline' && !('idle:gpu0' in workers);
  });
  expect(await redis.exists(keyOf(0, 'machine', 'idle'))).toBe(0);
  await until('the lease to run out', async () => !('busy:gpu0' in (await listed())), 20_000);
  expect(await redis.exists(keyOf(0, 'machine', 'busy'))).toBe(0);
  expect(await client.request({ type: 'get_job', job_id })).toMatchObject({ job: { status: 'queued' } });
}, 40_000);
