import { expect, it } from 'vitest';
import { KnownLeases, Lease } from './lease.ts';
import { ShortLived } from './short_lived.ts';
import type { AssignedJob } from './worker_options.ts';

const lease = (job: Partial<AssignedJob>) =>
  new Lease({ job_id: 'j1', lease_id: '1-a', worker_id: 'm1:gpu0', gpus: [], ...job } as AssignedJob);

it('knows the GPU of a lease by the name of its worker', () => {
  expect(lease({ worker_id: 'm1:gpu3', gpus: [7] }).gpu).toBe(3);
  expect(lease({ worker_id: 'm:gpu1:gpu12' }).gpu).toBe(12);
  expect(lease({ worker_id: 'machine5', gpus: [7] }).gpu).toBe(7);
  expect(lease({ worker_id: 'machine5' }).gpu).toBe(0);
});

it('remembers thousands of leases that ended, and all that are held', () => {
  const held = new ShortLived<Lease>();
  const known = new KnownLeases(held);
  held.set('held', lease({ lease_id: 'held' }));
  known.add('held');
  known.add('first');
  for (let i = 0; i < 4095; i++) known.add(`1-${i}`);
  expect(known.has('first')).toBe(true);
  for (let i = 4095; i < 20_000; i++) known.add(`1-${i}`);
  expect(['held', '1-19999', '1-15905', '1-0', 'never'].map(id => known.has(id))).toEqual([
    true,
    true,
    true,
    false,
    false,
  ]);
});
