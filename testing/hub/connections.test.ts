/** Many peers, and bad ones: hubs that stop under load, storms of reconnects, dead sockets, slow readers. */
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, test } from 'vitest';
import { HandshakeRefused, Peer } from '../harness/peer.ts';
import { startProxy } from '../harness/proxy.ts';
import { byHand, Fleet, until } from '../harness/fleet.ts';

let fleet: Fleet;
afterEach(() => fleet?.[Symbol.asyncDispose]());

const connect = (path: '/ws/client' | '/ws/worker' | '/ws/monitor', url = fleet.hub.wsUrl) =>
  Peer.connect(url, { path, timeout_ms: 10_000 });
/** Jobs of 1 KB: twenty times what the hub reads of a socket at once. */
const FLOOD = 1200;
const many = (count: number, path: '/ws/client') =>
  Promise.all(Array.from({ length: count }, () => connect(path)));

describe('a hub that stops', () => {
  test('says goodbye in slices over STOP_SPREAD_MS, answers what is in flight, and tells all others to go elsewhere', async () => {
    fleet = await Fleet.start({ STOP_SPREAD_MS: '1500' });
    const peers = await many(300, '/ws/client');
    const last = peers[0] as Peer;
    const goodbyes = Promise.all(
      peers.map(async peer => {
        const { code } = await peer.closed({ timeout_ms: 15_000 });
        return { code, at: performance.now() };
      }),
    );
    const asked = last.request({ type: 'submit_job', job_type: 'work', params: {} });
    fleet.hub.process.kill('SIGTERM');
    const { httpUrl } = fleet.hub;
    const away = await until('readyz 503', async () => {
      const answer = await fetch(`${httpUrl}/readyz`);
      return answer.status === 503 && ((await answer.json()) as object);
    });
    expect(away).toEqual({ ready: false, reason: 'the hub is stopping' });
    const post = await fetch(`${httpUrl}/jobs`, { method: 'POST', body: '{"job_type":"x","params":{}}' });
    expect({ status: post.status, after: post.headers.get('retry-after') }).toEqual({
      status: 503,
      after: '1',
    });
    await expect(connect('/ws/client')).rejects.toMatchObject({ status: 503 });
    expect(await asked).toMatchObject({ type: 'job_accepted' });
    const closed = await goodbyes;
    expect(new Set(closed.map(({ code }) => code))).toEqual(new Set([1012]));
    const times = closed.map(({ at }) => at).sort((a, b) => a - b) as [number, ...number[]];
    const spread_ms = (times.at(-1) as number) - times[0];
    expect(spread_ms).toBeGreaterThan(700);
    expect(spread_ms).toBeLessThan(4000);
    const middle = times.filter(at => at > times[0] + spread_ms / 4 && at < times[0] + (spread_ms * 3) / 4);
    expect(middle.length).toBeGreaterThan(75);
    expect(await fleet.hub.process.exited).toEqual({ code: 0, signal: null });
  });

  test('three hubs restarted one by one under load: no job fails, none runs twice', async () => {
    fleet = await Fleet.start();
    const hubs = [fleet.hub, await fleet.addHub(), await fleet.addHub()];
    const url = hubs.map(hub => hub.wsUrl);
    const runs = new Map<string, number>();
    const handler = async (job: { job_id: string }) => {
      runs.set(job.job_id, (runs.get(job.job_id) ?? 0) + 1);
      await sleep(50);
      return 'done';
    };
    for (const machine_id of ['m1', 'm2', 'm3'])
      await fleet.machine({ machine_id, url, gpu_count: 4, handler: { work: handler } });
    const clients = [fleet.client({ url }), fleet.client({ url }), fleet.client({ url })];
    let loaded = true;
    const results = clients.map(async client => {
      const ends: Promise<unknown>[] = [];
      while (loaded) {
        const handle = await client.submit({ job_type: 'work', params: {} });
        ends.push(handle.result());
        await sleep(10);
      }
      return Promise.all(ends);
    });
    for (const hub of hubs) {
      const before = runs.size;
      hub.process.kill('SIGTERM');
      expect(await hub.process.exited).toEqual({ code: 0, signal: null });
      await fleet.addHub({ HUB_PORT: String(hub.port) });
      await until('work after the restart', () => runs.size > before + 20);
    }
    loaded = false;
    const all = (await Promise.all(results)).flat();
    expect(new Set(all)).toEqual(new Set(['done']));
    expect(all.length).toBeGreaterThan(60);
    expect(runs.size).toBe(all.length);
    expect([...runs.values()].filter(count => count !== 1)).toEqual([]);
    const { jobs } = await fleet.api.jobs({ status: 'completed', limit: 500 });
    expect(jobs.filter(({ attempt }) => attempt !== 1)).toEqual([]);
  }, 60_000);
});

describe('a storm of reconnects', () => {
  test('1,000 peers come back at CONNECT_RATE, some sent away for a while; no lease is lost', async () => {
    const RATE = 150;
    fleet = await Fleet.start({ CONNECT_RATE: String(RATE), LEASE_MS: '20000' });
    const client = await connect('/ws/client');
    const machines = await Promise.all(
      Array.from({ length: 40 }, async (_, i) => {
        const peer = await connect('/ws/worker');
        const machine_id = `m${i}`;
        await peer.request({ type: 'register_worker', machine_id, job_types: [machine_id] });
        await client.request({ type: 'submit_job', job_type: machine_id, params: {}, watch: false });
        const { job_id, lease_id } = await peer.next('job_assigned');
        return { machine_id, running: [{ job_id, lease_id }] };
      }),
    );
    fleet.hub.process.kill('SIGKILL');
    await fleet.hub.process.exited;
    await fleet.restartHub();

    let sent_away = 0;
    const comeBack = async (path: '/ws/client' | '/ws/worker'): Promise<Peer> => {
      for (let wait_ms = 500; ; wait_ms = Math.min(4000, wait_ms * 2)) {
        try {
          return await connect(path);
        } catch (error) {
          expect(error).toBeInstanceOf(HandshakeRefused);
          expect((error as HandshakeRefused).status).toBe(503);
          sent_away += 1;
          await sleep(wait_ms * Math.random());
        }
      }
    };
    const began = performance.now();
    const clients = Promise.all(Array.from({ length: 960 }, () => comeBack('/ws/client')));
    const answers = await Promise.all(
      machines.map(async ({ machine_id, running }) => {
        const peer = await comeBack('/ws/worker');
        return peer.request(
          { type: 'register_worker', machine_id, job_types: [machine_id], running },
          { timeout_ms: 15_000 },
        );
      }),
    );
    const back = await clients;
    const took_ms = performance.now() - began;
    expect(answers.map(({ jobs }) => jobs[0].action)).toEqual(machines.map(() => 'continue'));
    // A second's worth at once, the rest at the rate.
    expect(took_ms).toBeGreaterThan(((1000 - RATE) / RATE) * 1000 * 0.9);
    expect(sent_away).toBeGreaterThan(0);
    const { pong, late_ms } = await timed(back[0] as Peer);
    expect(pong.type).toBe('pong');
    expect(late_ms).toBeLessThan(1000);
    console.log(
      `1,000 peers at ${RATE} a second: back after ${Math.round(took_ms)} ms, ${sent_away} times sent away`,
    );
  }, 60_000);

  async function timed(peer: Peer) {
    const asked = performance.now();
    const pong = await peer.request({ type: 'ping' });
    return { pong, late_ms: performance.now() - asked };
  }
});

test('a peer whose network swallows everything is found dead after two unanswered pings', async () => {
  const PING_MS = 400;
  fleet = await Fleet.start({ PING_INTERVAL_MS: String(PING_MS) });
  await using proxy = await startProxy(fleet.hub.port);
  const monitor = await fleet.monitor();
  await monitor.next('snapshot');
  const machine = await connect('/ws/worker', `ws://127.0.0.1:${proxy.port}`);
  await machine.request({ type: 'register_worker', machine_id: 'm1', job_types: ['*'] });
  await monitor.next('worker_connected');
  const swallowed_at = performance.now();
  proxy.blackHole();
  await monitor.next('worker_disconnected');
  const found_ms = performance.now() - swallowed_at;
  // Silent for one interval, then two pings of an interval each; looked at twice an interval.
  expect(found_ms).toBeGreaterThan(PING_MS);
  expect(found_ms).toBeLessThan(PING_MS * 4 + 400);
});

test('who floods a hub that cannot pass it on is held up at its socket; all of it is taken in the end', async () => {
  // The test may take its time while Redis holds still.
  fleet = await Fleet.start({ REDIS_COMMAND_TIMEOUT_MS: '30000' });
  const [client, worker] = [await connect('/ws/client'), await connect('/ws/worker')];
  const redis = fleet.redis.client();
  const framesRead = async () => {
    const metrics = await (await fetch(`${fleet.hub.httpUrl}/metrics`)).text();
    return Number(/^gpuhub_frames_received_total (\d+)/m.exec(metrics)?.[1]);
  };
  const params = { text: 'x'.repeat(1000) };
  await redis.call('CLIENT', 'PAUSE', '30000', 'WRITE');
  for (let i = 0; i < FLOOD; i++)
    client.send({ type: 'submit_job', job_id: `flood-${i}`, job_type: 'x', params });
  await until('some to be read', async () => (await framesRead()) > 64);
  // Time for all of them, if it read on. Others are served.
  for (let i = 0; i < 50; i++) {
    await worker.request({ type: 'ping' });
    if ((await framesRead()) > FLOOD) break;
  }
  expect((await framesRead()) - 50).toBeLessThan(FLOOD / 4);
  await redis.call('CLIENT', 'UNPAUSE');
  const accepted = () => client.frames.filter(frame => frame.type === 'job_accepted').length;
  await until('all to be accepted', () => Promise.resolve(accepted() === FLOOD));
  expect(client.frames.filter(frame => frame.type === 'error')).toEqual([]);
});

test('a reader that stops is closed with 4413 and delays nobody; back again it gets the end of the job', async () => {
  fleet = await Fleet.start({ OUTBOX_SOFT_BYTES: '100000', OUTBOX_HARD_BYTES: '1000000' });
  const work = byHand();
  await fleet.machine({ machine_id: 'm1', handler: { work: work.handler } });
  const [slow, quick] = [await connect('/ws/client'), await connect('/ws/client')];
  const { job_id } = await slow.request({ type: 'submit_job', job_type: 'work', params: {} });
  await quick.request({ type: 'watch_jobs', job_ids: [job_id] });
  const run = await work.run(0);
  slow.socket.pause();
  // More than the kernel's buffers on both sides hold.
  const OUTPUTS = 60;
  const part = 'x'.repeat(300_000);
  for (let i = 0; i < OUTPUTS; i++) {
    run.context.output(part);
    await quick.next(frame => frame.type === 'job_output' && frame['index'] === i);
  }
  await until('the slow one to be gone', async () => (await fleet.api.stats()).clients === 1);
  slow.socket.resume();
  expect([4413, 1006]).toContain((await slow.closed()).code);
  run.complete('worth it');
  expect(await quick.next('job_completed')).toMatchObject({ result: 'worth it' });
  const back = await connect('/ws/client');
  back.send({
    type: 'watch_jobs',
    job_ids: [job_id],
    after_seq: { [job_id]: slow.frames.at(-1)?.['seq'] ?? 0 },
  });
  expect(await back.next('job_completed')).toMatchObject({ job_id, result: 'worth it' });
});
