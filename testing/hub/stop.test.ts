/** A hub that is asked to stop does so in good form. */
import { afterEach, expect, test } from 'vitest';
import { keyOf } from '../../core/store/keys.ts';
import { Peer } from '../harness/peer.ts';
import { startHub } from '../harness/processes.ts';
import { all, byHand, Fleet, until } from '../harness/fleet.ts';

let fleet: Fleet;
afterEach(() => fleet?.[Symbol.asyncDispose]());

test.each(['SIGTERM', 'SIGINT'] as const)(
  '%s closes all peers with 1012, exits with 0, and leaves nothing of the hub in Redis',
  async signal => {
    fleet = await Fleet.start();
    const paths = ['/ws/client', '/ws/worker', '/ws/monitor'] as const;
    const peers = await Promise.all(paths.map(path => Peer.connect(fleet.hub.wsUrl, { path })));
    await peers[1]?.request({ type: 'register_worker', machine_id: 'm1', job_types: ['*'] });
    const redis = fleet.redis.client();
    const left = async () => ({
      hubs: await redis.zcard(keyOf(0, 'hubs')),
      hub_info: await redis.hlen(keyOf(0, 'hub_info')),
      monitors: await redis.scard(keyOf(0, 'monitors')),
      workers: await redis.hlen(keyOf(0, 'workers')),
    });
    await until('the hub in Redis', async () => {
      const { hubs, hub_info, monitors, workers } = await left();
      return hubs === 1 && hub_info === 1 && monitors === 1 && workers === 1;
    });
    fleet.hub.process.kill(signal);
    const closings = await Promise.all(peers.map(peer => peer.closed()));
    expect(closings.map(({ code }) => code)).toEqual([1012, 1012, 1012]);
    expect(await fleet.hub.process.exited).toEqual({ code: 0, signal: null });
    expect(await left()).toEqual({ hubs: 0, hub_info: 0, monitors: 0, workers: 0 });
    await expect(fetch(`${fleet.hub.httpUrl}/readyz`)).rejects.toThrow();
  },
);

test('who waits for the end of a job over HTTP is told that it is taken: 202, at once', async () => {
  fleet = await Fleet.start();
  const url = fleet.hub.httpUrl;
  const body = JSON.stringify({ job_type: 'work', params: {} });
  const waiting = fetch(`${url}/jobs/one?wait_ms=60000`, { method: 'PUT', body });
  await until('the job', async () => (await fetch(`${url}/jobs/one`)).ok);
  fleet.hub.process.kill('SIGTERM');
  const answer = await waiting;
  expect([answer.status, answer.headers.get('location')]).toEqual([202, '/jobs/one']);
  expect(await answer.json()).toMatchObject({ job_id: 'one', status: 'queued', duplicate: false });
  expect(await fleet.hub.process.exited).toEqual({ code: 0, signal: null });
});

test('a stream of events ends, and goes on at another hub where it was', async () => {
  fleet = await Fleet.start();
  const second = await fleet.addHub();
  await fleet.client({ url: second.wsUrl }).submit({ job_id: 'one', job_type: 'work', params: {} });
  const stream = await fetch(`${fleet.hub.httpUrl}/jobs/one/events`);
  fleet.hub.process.kill('SIGTERM');
  const told = await stream.text();
  const id = /^event: job_queued\nid: (\d+)$/m.exec(told)?.[1] as string;
  expect(await fleet.hub.process.exited).toEqual({ code: 0, signal: null });
  const rest = await fetch(`${second.httpUrl}/jobs/one/events`, { headers: { 'last-event-id': id } });
  await fetch(`${second.httpUrl}/jobs/one/cancel`, { method: 'POST' });
  expect([...(await rest.text()).matchAll(/^event: (.*)$/gm)].map(([, type]) => type)).toEqual([
    'job_cancelled',
  ]);
});

test('a rolling restart: a job that runs meanwhile is not disturbed', async () => {
  fleet = await Fleet.start();
  const second = await fleet.addHub();
  const url = [fleet.hub.wsUrl, second.wsUrl];
  const work = byHand();
  await fleet.machine({ machine_id: 'm1', url, handler: { work: work.handler } });
  const job = await fleet.client({ url }).submit({ job_type: 'work', params: {} });
  const events = all(job);
  const run = await work.run(0);
  run.context.output(0);
  fleet.hub.process.kill('SIGTERM');
  expect(await fleet.hub.process.exited).toMatchObject({ code: 0 });
  run.context.output(1);
  run.complete('undisturbed');
  expect(await job.result()).toBe('undisturbed');
  expect(work.runs).toHaveLength(1);
  const outputs = (await events).flatMap(event => (event.type === 'job_output' ? [event.data] : []));
  expect(outputs).toEqual([0, 1]);
});

test('a hub whose settings cannot be shared with the others does not start, and says which', async () => {
  fleet = await Fleet.start({ LEASE_MS: '20000' });
  const client = fleet.client();
  await client.submit({ job_type: 'any', params: {} });
  await expect(startHub({ REDIS_URL: fleet.redis.url, LEASE_MS: '30000' })).rejects.toThrow(
    /LEASE_MS is 20000 .* but 30000 here/,
  );
});
