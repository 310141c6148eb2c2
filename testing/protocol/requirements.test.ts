/** Protocol section 2: which worker may run which job, and that a job nobody can run stands in nobody's way. */
import { describe, expect, test } from 'vitest';
import type { Frame, MachineFields } from '../harness/peer.ts';
import { get_job, hub_under_test, submit, unique } from './hub_under_test.ts';

const hub = hub_under_test();

interface Row {
  requirements: Record<string, unknown>;
  machine?: Partial<MachineFields>;
  meets: boolean;
}

const gpu = (name?: string, vram_mb?: number): Partial<MachineFields> => ({
  gpus: [
    { index: 0, ...(name === undefined ? {} : { name }), ...(vram_mb === undefined ? {} : { vram_mb }) },
  ],
});
const RTX = 'NVIDIA GeForce RTX 4090';

const ROWS: Row[] = [
  { requirements: {}, meets: true },
  { requirements: { min_vram_mb: 16_000 }, machine: gpu(RTX, 24_564), meets: true },
  { requirements: { min_vram_mb: 24_564 }, machine: gpu(RTX, 24_564), meets: true },
  { requirements: { min_vram_mb: 24_565 }, machine: gpu(RTX, 24_564), meets: false },
  { requirements: { min_vram_mb: 1 }, machine: gpu(RTX), meets: false },
  { requirements: { min_vram_mb: 1 }, machine: { gpu_count: 1 }, meets: false },
  { requirements: { gpu_model: [RTX] }, machine: gpu(RTX), meets: true },
  { requirements: { gpu_model: ['nvidia geforce rtx 4090'] }, machine: gpu(RTX), meets: true },
  { requirements: { gpu_model: ['RTX 4090'] }, machine: gpu(RTX), meets: true },
  { requirements: { gpu_model: ['rtx 4090'] }, machine: gpu(RTX), meets: true },
  { requirements: { gpu_model: ['4090'] }, machine: gpu(RTX), meets: true },
  { requirements: { gpu_model: ['GeForce'] }, machine: gpu(RTX), meets: true },
  { requirements: { gpu_model: ['409'] }, machine: gpu(RTX), meets: false },
  { requirements: { gpu_model: ['TX 4090'] }, machine: gpu(RTX), meets: false },
  { requirements: { gpu_model: ['GeForce 4090'] }, machine: gpu(RTX), meets: false },
  { requirements: { gpu_model: ['4090 RTX'] }, machine: gpu(RTX), meets: false },
  { requirements: { gpu_model: ['RTX 4090 Ti'] }, machine: gpu(RTX), meets: false },
  { requirements: { gpu_model: ['A100', 'H100', 'RTX 4090'] }, machine: gpu(RTX), meets: true },
  { requirements: { gpu_model: ['A100', 'H100'] }, machine: gpu(RTX), meets: false },
  { requirements: { gpu_model: ['RTX 4090'] }, machine: gpu(), meets: false },
  { requirements: { models: ['sdxl'] }, machine: { models: ['sdxl', 'flux'] }, meets: true },
  { requirements: { models: ['flux', 'sdxl'] }, machine: { models: ['sdxl', 'flux'] }, meets: true },
  { requirements: { models: ['sdxl', 'wan'] }, machine: { models: ['sdxl', 'flux'] }, meets: false },
  { requirements: { models: ['sdxl'] }, meets: false },
  {
    requirements: { models: ['org/model:v1 (fp8)'] },
    machine: { models: ['org/model:v1 (fp8)'] },
    meets: true,
  },
  {
    requirements: { labels: { zone: 'eu' } },
    machine: { labels: { zone: 'eu', tier: 'spot' } },
    meets: true,
  },
  { requirements: { labels: { zone: 'eu' } }, machine: { labels: { zone: 'us' } }, meets: false },
  { requirements: { labels: { zone: 'eu' } }, meets: false },
  { requirements: { labels: { zone: ['us', 'eu'] } }, machine: { labels: { zone: 'eu' } }, meets: true },
  { requirements: { labels: { zone: ['us', 'asia'] } }, machine: { labels: { zone: 'eu' } }, meets: false },
  {
    requirements: { labels: { zone: 'eu', tier: 'spot' } },
    machine: { labels: { zone: 'eu', tier: 'owned' } },
    meets: false,
  },
  {
    requirements: { labels: { zone: 'eu', tier: ['spot', 'owned'] } },
    machine: { labels: { zone: 'eu', tier: 'owned' } },
    meets: true,
  },
  { requirements: { gpus: 1 }, meets: true },
  { requirements: { prefer_model: 'sdxl' }, meets: true },
  { requirements: { prefer_model: 'sdxl' }, machine: { models: ['sdxl'] }, meets: true },
  {
    requirements: { min_vram_mb: 20_000, gpu_model: ['4090'], models: ['sdxl'], labels: { zone: 'eu' } },
    machine: { ...gpu(RTX, 24_564), models: ['sdxl'], labels: { zone: 'eu' } },
    meets: true,
  },
  {
    requirements: { min_vram_mb: 20_000, gpu_model: ['4090'], models: ['sdxl'], labels: { zone: 'eu' } },
    machine: { ...gpu(RTX, 16_000), models: ['sdxl'], labels: { zone: 'eu' } },
    meets: false,
  },
];

describe.skipIf(hub.skip).concurrent('requirements', () => {
  test.each(ROWS)('$requirements on $machine: $meets', async ({ requirements, machine, meets }) => {
    await using client = await hub.client();
    const job_type = unique('t');
    // If the machine does not meet the demanding job, the plain one of lowest priority comes first.
    const demanding = await submit(client, { job_type, priority: 10, requirements });
    const plain = await submit(client, { job_type, priority: -10 });
    await using worker = await hub.machine({ job_types: [job_type], ...machine });
    const first = await worker.assigned();
    expect(first.job_id).toBe(meets ? demanding.job_id : plain.job_id);
    await worker.complete(first);
    if (meets) await worker.assigned(plain.job_id);
    else await worker.peer.none('job_assigned', 50);
  });

  test('gpus above 1 is invalid_message', async () => {
    await using client = await hub.client();
    const requirements = { gpus: 2 };
    const answer = await client.request({ type: 'submit_job', job_type: 'x', params: {}, requirements });
    expect([answer.type, answer.code]).toEqual(['error', 'invalid_message']);
  });

  test('of two slots of one machine the one that fits gets the job', async () => {
    await using client = await hub.client();
    const job_type = unique('t');
    const gpus = [
      { index: 0, vram_mb: 8000 },
      { index: 1, vram_mb: 48_000 },
    ];
    await using machine = await hub.machine({ job_types: [job_type], gpus });
    await submit(client, { job_type, requirements: { min_vram_mb: 24_000 } });
    await submit(client, { job_type, requirements: { min_vram_mb: 24_000 } });
    expect((await machine.assigned()).gpus).toEqual([1]);
    await machine.peer.none('job_assigned', 100);
    await submit(client, { job_type });
    expect((await machine.assigned()).gpus).toEqual([0]);
  });

  test('a worker takes only its own job_types', async () => {
    await using client = await hub.client();
    const [mine, other] = [unique('t'), unique('t')];
    await submit(client, { job_type: other, priority: 100 });
    const { job_id } = await submit(client, { job_type: mine });
    await using machine = await hub.machine({ job_types: [mine] });
    expect((await machine.assigned()).job_id).toBe(job_id);
  });

  test('the record keeps the requirements as they were asked', async () => {
    await using client = await hub.client();
    const requirements = { min_vram_mb: 16_000, gpu_model: ['H100', 'A100'], labels: { zone: ['eu', 'us'] } };
    const { job_id } = await submit(client, { job_type: unique('t'), requirements });
    const kept = (await get_job(client, job_id)).requirements;
    expect(kept.min_vram_mb).toBe(16_000);
    expect([...kept.gpu_model].sort()).toEqual(['A100', 'H100']);
    expect([...kept.labels.zone].sort()).toEqual(['eu', 'us']);
  });
});

describe.skipIf(hub.skip)('a job that nobody can run', () => {
  test('never delays another: 1,000 of a type nobody runs and 500 impossible demands before one at the end', async () => {
    await using client = await hub.client();
    const [nobody, job_type] = [unique('nobody'), unique('t')];
    await using machine = await hub.machine({ job_types: [job_type], ...gpu(RTX, 24_000) });
    const impossible = Array.from({ length: 500 }, (_, i) => ({
      job_type,
      params: {},
      priority: 100,
      requirements: { min_vram_mb: 1e5 + i },
    }));
    for (const jobs of [Array(1000).fill({ job_type: nobody, params: {}, priority: 100 }), impossible]) {
      const answer = await client.request({ type: 'submit_jobs', jobs }, { timeout_ms: 15_000 });
      expect(answer.results.filter((result: Frame) => result.status !== 'queued')).toEqual([]);
    }
    const began = performance.now();
    const { job_id } = await submit(client, { job_type, priority: -100 });
    const lease = await machine.assigned();
    expect(lease.job_id).toBe(job_id);
    expect(performance.now() - began).toBeLessThan(2000);
    await machine.complete(lease);
    await machine.peer.none('job_assigned', 100);
  });
});

// Last, and alone: this worker takes whatever the tests before left waiting.
describe.skipIf(hub.skip)('job_types ["*"]', () => {
  test('takes all types, the highest priority first', async () => {
    await using client = await hub.client();
    const ids = new Set<string>();
    for (let i = 0; i < 3; i++)
      ids.add((await submit(client, { job_type: unique('t'), priority: 99 })).job_id);
    await using machine = await hub.machine({ job_types: ['*'] });
    // What was left waiting at priority 100 goes first.
    for (let i = 0; i < 2000 && ids.size > 0; i++) {
      const lease = await machine.assigned();
      ids.delete(lease.job_id);
      await machine.complete(lease);
    }
    expect(ids.size).toBe(0);
  });
});
