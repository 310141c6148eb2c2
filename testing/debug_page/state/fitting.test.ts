import { describe, expect, test } from 'vitest';
import type { Job } from './job_events.ts';
import { fittingIn, isStuck, kindsOf, whatLacks } from './fitting.ts';
import type { Worker } from './hub_state.ts';

const gpu = (fields: Partial<Worker>) =>
  ({
    status: 'idle',
    job_types: ['*'],
    gpu_name: 'NVIDIA L40S',
    vram_mb: 49_152,
    models: ['sdxl'],
    labels: {},
    ...fields,
  }) as Worker;
const job = (requirements: Job['requirements']) => ({ job_type: 'video', requirements }) as Job;
const lacks = (fleet: Worker[], requirements: NonNullable<Job['requirements']>) =>
  whatLacks(job(requirements), fittingIn(kindsOf(fleet), 'video', requirements));

describe('which GPUs fit', () => {
  test('equal GPUs are counted together, those that are away not at all', () => {
    const fleet = [gpu({}), gpu({ status: 'busy' }), gpu({ status: 'offline' }), gpu({ vram_mb: 8192 })];
    expect(fittingIn(kindsOf(fleet), 'video', { min_vram_mb: 40_000 })).toEqual({
      connected: 3,
      able: 2,
      idle: 1,
      barred: 0,
      misfits: new Map([['vram_too_small', 1]]),
    });
  });

  test('those that fit and take no new job help nobody: only together are they a reason to act', () => {
    const stuck = (...fleet: Worker[]) => isStuck(fittingIn(kindsOf(fleet), 'video', {}));
    expect(stuck(gpu({ status: 'draining' }), gpu({ status: 'quarantined' }))).toBe(true);
    expect(stuck(gpu({ status: 'draining' }), gpu({ status: 'busy' }))).toBe(false);
    expect(stuck(gpu({ job_types: ['chat'] }))).toBe(true);
    expect(stuck()).toBe(false);
    expect(lacks([gpu({ status: 'draining' })], {})).toBe('the one GPU that fits is drained or quarantined');
  });

  test('what is missing is said by the furthest that any GPU got', () => {
    const fleet = [gpu({ job_types: ['chat'] }), gpu({})];
    expect(lacks(fleet, { min_vram_mb: 81_920 })).toBe('no GPU that takes video has 80 GB');
    expect(lacks(fleet, { models: ['wan'] })).toBe('no GPU that takes video has wan');
    expect(lacks(fleet, { labels: { region: 'eu' } })).toBe('no GPU that takes video is labelled region=eu');
    expect(lacks([gpu({ job_types: ['chat'] })], {})).toBe('no GPU takes video');
  });
});
