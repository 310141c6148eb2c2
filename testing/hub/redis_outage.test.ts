/** Redis dies and comes back on the same port, with what its append-only file holds. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { ApiError } from '../../core/cli/http.ts';
import { Peer } from '../harness/peer.ts';
import { all, byHand, Fleet, inGoodOrder, until } from '../harness/fleet.ts';

let fleet: Fleet;
beforeAll(async () => {
  fleet = await Fleet.start();
});
afterAll(() => fleet[Symbol.asyncDispose]());

const readyz = async () => {
  const response = await fetch(`${fleet.hub.httpUrl}/readyz`);
  return { status: response.status, headers: response.headers, body: (await response.json()) as unknown };
};

test('while it is away nothing is taken and the hub says why; then everything goes on by itself', async () => {
  const work = byHand();
  await fleet.machine({ machine_id: 'm1', gpu_count: 2, handler: { work: work.handler } });
  const client = fleet.client();
  const running = await client.submit({ job_type: 'work', params: { n: 1 }, watch: 'all' });
  const events = all(running);
  const first = await work.run(0);
  const ending = await client.submit({ job_type: 'work', params: { n: 2 } });
  const second = await work.run(1);
  const waiting = await client.submit({ job_type: 'work', params: { n: 3 } });
  const peer = await Peer.connect(fleet.hub.wsUrl, { path: '/ws/client' });

  await fleet.redis.server.kill('SIGKILL');
  const away = await until('readyz 503', async () => {
    const answer = await readyz();
    return answer.status === 503 && answer;
  });
  expect(away.body).toEqual({ ready: false, reason: expect.stringMatching(/^Redis is away: ./) });
  expect(away.headers.get('retry-after')).toBe('1');
  expect((await fetch(`${fleet.hub.httpUrl}/healthz`)).status).toBe(200);

  const refused = await peer.request({ type: 'submit_job', job_type: 'work', params: {} });
  expect(refused).toMatchObject({ type: 'error', code: 'unavailable', details: { outcome: 'none' } });
  const batch = await peer.request({ type: 'submit_jobs', jobs: [{ job_type: 'work', params: {} }] });
  expect(batch['code'] ?? batch['results'][0].error.code).toBe('unavailable');
  const byHttp = await fleet.api.submit({ job_type: 'work', params: {} }).catch((error: ApiError) => error);
  expect(byHttp).toMatchObject({ code: 'unavailable', status: 503 });
  // The SDK waits the outage out.
  const patient = fleet.client().submit({ job_type: 'work', params: { n: 4 } });
  await expect(client.stats({ timeout_ms: 300 })).rejects.toMatchObject({ code: 'timeout' });
  // A job ends meanwhile: its result waits in the machine.
  second.complete('during the outage');

  await fleet.redis.server.restart();
  await until('readyz 200', async () => (await readyz()).status === 200);
  expect(await ending.result()).toBe('during the outage');
  (await work.run(2)).complete('waited');
  expect(await waiting.result()).toBe('waited');
  (await work.run(3)).complete('patience');
  expect(await (await patient).result()).toBe('patience');
  first.context.output('still at it');
  first.complete('the long one');
  expect(await running.result()).toBe('the long one');
  expect(inGoodOrder(await events)).toBe(true);
  expect(work.runs).toHaveLength(4);
  expect(await client.getJob(running.id)).toMatchObject({ attempt: 1 });
  await peer.close();
});
