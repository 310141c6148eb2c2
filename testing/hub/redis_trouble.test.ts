/** Redis refuses, hangs, loads, comes back empty or older: peers are told honestly, and work goes on by itself. */
import { cp, mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { keyOf } from '../../core/store/keys.ts';
import { Peer } from '../harness/peer.ts';
import { freePort } from '../harness/processes.ts';
import { byHand, Fleet, until } from '../harness/fleet.ts';

let fleet: Fleet;
afterEach(() => fleet?.[Symbol.asyncDispose]());

const readyz = async (url = fleet.hub.httpUrl) => {
  const response = await fetch(`${url}/readyz`);
  return {
    status: response.status,
    ...((await response.json()) as { ready: boolean; reason: string | null }),
  };
};
const notReady = (reason: RegExp) =>
  until(`readyz 503 with ${reason}`, async () => {
    const answer = await readyz();
    return answer.status === 503 && reason.test(answer.reason ?? '') && answer;
  });
const ready = () => until('readyz 200', async () => (await readyz()).status === 200, 20_000);

/** A raw client and a raw machine of one slot that is at a job. */
async function atWork() {
  const client = await Peer.connect(fleet.hub.wsUrl, { path: '/ws/client' });
  const machine = await Peer.connect(fleet.hub.wsUrl, { path: '/ws/worker' });
  await machine.request({ type: 'register_worker', machine_id: 'm1', job_types: ['*'] });
  const { job_id } = await client.request({ type: 'submit_job', job_type: 'work', params: {} });
  const assigned = await machine.next('job_assigned');
  expect(assigned['job_id']).toBe(job_id);
  return { client, machine, lease: { job_id: job_id as string, lease_id: assigned['lease_id'] as string } };
}

const complete = (machine: Peer, lease: object, result: unknown) =>
  machine.request({ type: 'job_completed', ...lease, result });

describe('a Redis that refuses', () => {
  test('out of memory: new jobs are refused with outcome none, work ends all the same, then all goes on', async () => {
    fleet = await Fleet.start();
    const { client, machine, lease } = await atWork();
    const redis = fleet.redis.client();
    await redis.config('SET', 'maxmemory', '1');
    await notReady(/out of memory/);
    const refused = await client.request({
      type: 'submit_job',
      job_type: 'work',
      job_id: 'late',
      params: {},
    });
    expect(refused).toMatchObject({ code: 'unavailable', details: { outcome: 'none' } });
    expect(await redis.hexists(keyOf(0, 'jobs'), '/late')).toBe(0);
    expect(await complete(machine, lease, 'in need')).toMatchObject({ type: 'job_ack', accepted: true });
    await redis.config('SET', 'maxmemory', '0');
    await ready();
    const again = await client.request({ type: 'submit_job', job_type: 'work', job_id: 'late', params: {} });
    expect(again).toMatchObject({ type: 'job_accepted', duplicate: false });
    await machine.next(frame => frame.type === 'job_assigned' && frame['job_id'] === 'late');
  });

  test('read-only: results stay with the worker until it is a master again', async () => {
    fleet = await Fleet.start();
    const { client, machine, lease } = await atWork();
    const redis = fleet.redis.client();
    await redis.replicaof('127.0.0.1', await freePort());
    await notReady(/read-only/);
    const refused = await client.request({ type: 'submit_job', job_type: 'work', params: {} });
    expect(refused).toMatchObject({ code: 'unavailable', details: { outcome: 'none' } });
    expect(await complete(machine, lease, 1)).toMatchObject({
      code: 'unavailable',
      details: { ...lease, outcome: 'none', retry_after_ms: expect.any(Number) },
    });
    await redis.call('REPLICAOF', 'NO', 'ONE');
    await ready();
    expect(await complete(machine, lease, 1)).toMatchObject({ type: 'job_ack', accepted: true });
    await client.request({ type: 'submit_job', job_type: 'work', params: {} });
    await machine.next('job_assigned');
  });

  test('a disk in trouble (MISCONF): nothing is taken, readyz says why, and it recovers by itself', async () => {
    fleet = await Fleet.start();
    const { client, machine, lease } = await atWork();
    const redis = fleet.redis.client();
    // A snapshot cannot take the place of a folder.
    const obstacle = join(fleet.redis.server.dir, 'dump.rdb');
    await mkdir(join(obstacle, 'full'), { recursive: true });
    await redis.config('SET', 'save', '3600 1');
    await redis.bgsave();
    await notReady(/disk/);
    const refused = await client.request({ type: 'submit_job', job_type: 'work', params: {} });
    expect(refused).toMatchObject({ code: 'unavailable', details: { outcome: 'none' } });
    expect(await complete(machine, lease, 1)).toMatchObject({ code: 'unavailable' });
    await rm(obstacle, { recursive: true });
    await until('a snapshot that works', async () => (await redis.bgsave().catch(() => null)) !== null);
    await ready();
    expect(await complete(machine, lease, 1)).toMatchObject({ type: 'job_ack', accepted: true });
  });
});

describe('a Redis that hangs', () => {
  test('is given up after REDIS_COMMAND_TIMEOUT_MS with outcome unknown; the same id is one job afterwards', async () => {
    fleet = await Fleet.start({ REDIS_COMMAND_TIMEOUT_MS: '2000' });
    const { client, machine, lease } = await atWork();
    await fleet.redis.server.kill('SIGSTOP');
    const job = { type: 'submit_job', job_type: 'work', job_id: 'doubtful', params: {} };
    const doubtful = client.request(job);
    await notReady(/not answered|away/);
    expect(await doubtful).toMatchObject({ code: 'unavailable', details: { outcome: 'unknown' } });
    await fleet.redis.server.kill('SIGCONT');
    await ready();
    expect(await client.request(job)).toMatchObject({ type: 'job_accepted' });
    expect(await complete(machine, lease, 1)).toMatchObject({ accepted: true });
    const next = await machine.next(frame => frame.type === 'job_assigned' && frame['job_id'] === 'doubtful');
    await complete(machine, { job_id: 'doubtful', lease_id: next['lease_id'] }, 2);
    const record = await client.request({ type: 'get_job', job_id: 'doubtful' });
    expect(record['job']).toMatchObject({ status: 'completed', attempt: 1, attempts: [{ attempt: 1 }] });
  });

  test('a short pause is only waited out', async () => {
    fleet = await Fleet.start();
    const { client } = await atWork();
    await fleet.redis.client().call('CLIENT', 'PAUSE', '2500', 'ALL');
    const paused = client.request(
      { type: 'submit_job', job_type: 'work', params: {} },
      { timeout_ms: 10_000 },
    );
    await notReady(/not answered for \d s/);
    expect(await paused).toMatchObject({ type: 'job_accepted' });
    await ready();
  });
});

test('while Redis loads its data readyz says so, and the hub serves when it has', async () => {
  fleet = await Fleet.start({}, { args: ['--key-load-delay', '3000'] });
  const client = await Peer.connect(fleet.hub.wsUrl, { path: '/ws/client' });
  for (let i = 0; i < 5; i++) {
    const jobs = Array.from({ length: 100 }, (_, n) => ({
      job_type: 'work',
      job_id: `j${i}-${n}`,
      params: {},
    }));
    expect(await client.request({ type: 'submit_jobs', jobs })).toMatchObject({ type: 'jobs_accepted' });
  }
  await fleet.redis.server.kill('SIGKILL');
  const restarted = fleet.redis.server.restart();
  await notReady(/loading/);
  await restarted;
  await ready();
  const known = await client.request({ type: 'submit_job', job_type: 'work', job_id: 'j4-99', params: {} });
  expect(known).toMatchObject({ type: 'job_accepted', duplicate: true });
});

describe('a Redis that comes back', () => {
  const folder = () => join(fleet.redis.server.dir, 'appendonlydir');

  test('empty: a clear alarm, machines keep their sockets, old jobs are given up, ids are taken anew', async () => {
    fleet = await Fleet.start({ HEARTBEAT_INTERVAL_MS: '100' });
    const { client, machine, lease } = await atWork();
    await fleet.redis.server.kill('SIGKILL');
    await rm(folder(), { recursive: true });
    await fleet.redis.server.restart();
    // The watcher of a lost job is sent to find that out.
    expect((await client.closed({ timeout_ms: 10_000 })).code).toBe(1012);
    await fleet.hub.process.waitFor(/ALARM: Redis came back empty/);
    await ready();
    const { abandon } = await machine.request({ type: 'worker_heartbeat', workers: [], running: [lease] });
    expect(abandon).toEqual([lease]);
    await machine.request({ type: 'worker_heartbeat', workers: [], running: [] });
    const back = await Peer.connect(fleet.hub.wsUrl, { path: '/ws/client' });
    const watched = await back.request({
      type: 'watch_jobs',
      job_ids: [lease.job_id],
      after_seq: { [lease.job_id]: 1 },
    });
    expect(watched['not_found']).toEqual([lease.job_id]);
    const again = await back.request({
      type: 'submit_job',
      job_type: 'work',
      job_id: lease.job_id,
      params: {},
    });
    expect(again).toMatchObject({ type: 'job_accepted', duplicate: false });
    const next = await machine.next('job_assigned');
    expect(next['job_id']).toBe(lease.job_id);
    expect(next['lease_id']).not.toBe(lease.lease_id);
    expect(await complete(machine, lease, 'old')).toMatchObject({ accepted: false, code: 'stale_lease' });
    expect(
      await complete(machine, { job_id: lease.job_id, lease_id: next['lease_id'] }, 'new'),
    ).toMatchObject({
      accepted: true,
    });
    const worker = await until('the worker in lists', async () => (await fleet.api.workers())[0]);
    expect(worker).toMatchObject({ worker_id: 'm1:gpu0', status: 'idle' });
    await Promise.all([back.close(), machine.close()]);
  });

  test('older: no slot is stuck, no lease comes twice, watchers hear the end, lost ids are taken anew', async () => {
    fleet = await Fleet.start({ LEASE_MS: '2000', REAP_INTERVAL_MS: '100' });
    const { client, machine, lease } = await atWork();
    const copy = `${fleet.redis.server.dir}-older`;
    await cp(folder(), copy, { recursive: true });
    expect(await complete(machine, lease, 'first')).toMatchObject({ accepted: true });
    // Long enough for a beat of the hub, by which it knows how far Redis was.
    await client.request({ type: 'submit_job', job_type: 'work', job_id: 'lost', params: {} });
    const lost = await machine.next('job_assigned');
    const seen = (await client.request({ type: 'get_stats' }))['at'] as number;
    await until('two beats', async () => (await client.request({ type: 'get_stats' }))['at'] > seen + 1500);
    await fleet.redis.server.kill('SIGKILL');
    await rm(folder(), { recursive: true });
    await cp(copy, folder(), { recursive: true });
    await rm(copy, { recursive: true });
    await fleet.redis.server.restart();
    await fleet.hub.process.waitFor(/ALARM: Redis came back older/);
    await ready();
    expect((await client.closed({ timeout_ms: 10_000 })).code).toBe(1012);
    const back = await Peer.connect(fleet.hub.wsUrl, { path: '/ws/client' });
    // The machine is at a job that Redis does not know; it names it until it is told to stop.
    const held = { job_id: 'lost', lease_id: lost['lease_id'] };
    const { abandon } = await machine.request({ type: 'worker_heartbeat', workers: [], running: [held] });
    expect(abandon).toEqual([held]);
    await back.request({ type: 'watch_jobs', job_ids: [lease.job_id] });
    const again = await back.request({ type: 'submit_job', job_type: 'work', job_id: 'lost', params: {} });
    expect(again).toMatchObject({ duplicate: false });
    // The job whose end was undone runs again when its lease has run out, and so does the lost one.
    const leases = new Set([lease.lease_id, lost['lease_id']]);
    for (let i = 0; i < 2; i++) {
      const next = await beating(machine, machine.next('job_assigned', { timeout_ms: 12_000 }));
      expect(leases.has(next['lease_id'])).toBe(false);
      leases.add(next['lease_id']);
      const mine = { job_id: next['job_id'], lease_id: next['lease_id'] };
      expect(await complete(machine, mine, 'again')).toMatchObject({ accepted: true });
    }
    await back.next(frame => frame.type === 'job_completed' && frame['job_id'] === lease.job_id);
    await back.next(frame => frame.type === 'job_completed' && frame['job_id'] === 'lost');
  });

  /** Heartbeats of an idle machine until something comes. */
  async function beating<T>(machine: Peer, awaited: Promise<T>): Promise<T> {
    const timer = setInterval(
      () => machine.send({ type: 'worker_heartbeat', workers: [], running: [] }),
      100,
    );
    return awaited.finally(() => clearInterval(timer));
  }

  test('after longer than a lease: what runs goes on, as an outage is not a mass expiry', async () => {
    fleet = await Fleet.start({ LEASE_MS: '1000', REAP_INTERVAL_MS: '50' });
    const work = byHand();
    for (const machine_id of ['m1', 'm2'])
      await fleet.machine({ machine_id, gpu_count: 4, handler: { work: work.handler } });
    const client = fleet.client();
    const jobs = Array.from({ length: 8 }, (_, i) => ({ job_type: 'work', params: { i } }));
    const handles = await Promise.all(jobs.map(job => client.submit(job)));
    await work.run(7);
    await fleet.redis.server.kill('SIGKILL');
    await notReady(/Redis is away/);
    const killed_at = performance.now();
    await until('more than two leases', () => performance.now() - killed_at > 2500);
    await fleet.redis.server.restart();
    await ready();
    const back_at = performance.now();
    await until('another lease', () => performance.now() - back_at > 1200);
    for (const run of work.runs) run.complete('kept');
    for (const handle of handles) {
      expect(await handle.result()).toBe('kept');
      expect(await client.getJob(handle.id)).toMatchObject({
        attempt: 1,
        attempts: [{ outcome: 'completed' }],
      });
    }
    expect(work.runs).toHaveLength(8);
  });
});

test('a hub that hung so long that others took it for dead goes on with the machines it has', async () => {
  fleet = await Fleet.start();
  const other = await fleet.addHub();
  const machine = await Peer.connect(fleet.hub.wsUrl, { path: '/ws/worker' });
  await machine.request({ type: 'register_worker', machine_id: 'm1', job_types: ['*'] });
  const client = await Peer.connect(other.wsUrl, { path: '/ws/client' });
  const workers = async () => (await client.request({ type: 'get_stats' }))['workers'];
  await until('the worker at the other hub', async () => (await workers()).idle === 1);
  fleet.hub.process.kill('SIGSTOP');
  const record = keyOf(0, 'machine', 'm1');
  const redis = fleet.redis.client();
  await until('its machine to be given up', async () => (await redis.hget(record, 'conn')) === null, 15_000);
  fleet.hub.process.kill('SIGCONT');
  await until('its machine to be back', async () => (await redis.hget(record, 'conn')) !== null);
  const { job_id } = await client.request({ type: 'submit_job', job_type: 'work', params: {} });
  const { lease_id } = await machine.next('job_assigned');
  expect(await complete(machine, { job_id, lease_id }, 'here')).toMatchObject({ accepted: true });
  await until('the worker in lists again', async () => (await workers()).idle === 1);
  expect(machine.is_open).toBe(true);
  await Promise.all([machine.close(), client.close()]);
});
