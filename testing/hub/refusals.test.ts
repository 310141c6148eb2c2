/** What the hub refuses leaves nothing behind. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { keyOf } from '../../core/store/keys.ts';
import { Fleet } from '../harness/fleet.ts';
import { MachinePeer, Peer } from '../harness/peer.ts';

let fleet: Fleet;
beforeAll(async () => {
  fleet = await Fleet.start({ MAX_SIGNATURES: '1' });
});
afterAll(() => fleet[Symbol.asyncDispose]());

test('of jobs beyond MAX_SIGNATURES neither queues nor what machines can run is remembered', async () => {
  await using machine = await MachinePeer.register(fleet.hub.wsUrl, { machine_id: 'm', job_types: ['*'] });
  await using client = await Peer.connect(fleet.hub.wsUrl, { path: '/ws/client' });
  await client.request({ type: 'submit_job', job_id: 'first', job_type: 'first', params: {} });
  const lease = await machine.assigned('first');
  const jobs = Array.from({ length: 100 }, (_, i) => ({ job_type: `other-${i}`, params: {} }));
  const { results } = await client.request({ type: 'submit_jobs', jobs });
  expect(results).toEqual(
    jobs.map(() => expect.objectContaining({ error: expect.objectContaining({ code: 'queue_full' }) })),
  );
  // What the machine may run next is asked behind all that was told before.
  await machine.complete(lease);
  const redis = fleet.redis.client();
  const kept = await Promise.all((await redis.keys(`${keyOf(0, 'fit')}*`)).map(name => redis.scard(name)));
  expect(kept).toEqual([1]);
  expect(await redis.hlen(keyOf(0, 'signatures'))).toBe(1);
});
