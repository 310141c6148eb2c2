import { describe, expect, it } from 'vitest';
import { RedisClock } from '../clock.ts';
import type { WorkerRecord } from '../messages/worker.ts';
import type { Store, StoredJob } from '../store/store.ts';
import { estimate, Explain } from './explain.ts';
import type { Jobs } from './jobs.ts';
import type { Operations } from './operations.ts';
import type { Statistics } from './statistics.ts';

const slot = (worker_id: string, more: Partial<WorkerRecord> = {}) =>
  ({
    worker_id,
    machine_id: worker_id.split(':')[0],
    status: 'idle',
    gpu_name: null,
    vram_mb: null,
    job_types: ['*'],
    models: [],
    labels: {},
    ...more,
  }) as WorkerRecord;

/** What is said of a waiting job that needs this, of these slots. */
async function explain(requirements: object, slots: WorkerRecord[]) {
  const job = { status: 'queued', fields: { ty: 'image', sg: 's' }, submission: { requirements } };
  let looks = 0;
  const service = new Explain(
    { place: async () => ({ position: 3, waiting: 9 }), paused: async () => [] } as unknown as Store,
    { get: async () => job as unknown as StoredJob } as unknown as Jobs,
    {
      workers: async () => {
        looks += 1;
        return slots;
      },
    } as unknown as Operations,
    {
      rejections: new Map([['m:gpu9', new Set(['s'])]]),
      measured: () => ({ completed: 0, run_ms: 0, window_ms: 60_000 }),
    } as unknown as Statistics,
    new RedisClock(),
  );
  const said = await service.explain('j');
  await service.explain('j');
  const counts = Object.fromEntries(said.reasons.map(({ code, count }) => [code, count]));
  return { said, counts, looks };
}

describe('why a job waits', () => {
  it('counts a quarantined slot, and one of a machine with too few GPUs', async () => {
    const slots = [
      slot('m:gpu0', { status: 'quarantined' }),
      slot('m:gpu1', { status: 'busy' }),
      slot('n:gpu0'),
    ];
    const { counts } = await explain({ gpus: 2 }, slots);
    expect(counts).toEqual({ busy: 1, quarantined: 1, gpus: 1 });
  });

  it('counts a slot that stops a job as busy, and one that is away not at all', async () => {
    const slots = [slot('m:gpu0', { status: 'stopping' }), slot('m:gpu1', { status: 'offline' })];
    const { said, counts } = await explain({}, slots);
    expect(counts).toEqual({ busy: 1 });
    expect(said.slots_total).toBe(1);
  });

  it('has no reason when a slot is about to take it', async () => {
    expect((await explain({}, [slot('m:gpu0')])).said.reasons).toEqual([]);
  });

  it('looks at the fleet once for those who ask at the same time', async () => {
    expect((await explain({}, [slot('m:gpu0')])).looks).toBe(1);
  });

  it('shows long lists cut', async () => {
    const models = Array.from({ length: 60 }, (_, i) => `model-${i}`);
    const { said } = await explain({ models }, [slot('m:gpu0')]);
    expect(said.reasons[0]?.message.length).toBeLessThan(200);
  });
});

describe('when it may start', () => {
  const measured = { completed: 30, run_ms: 60_000, window_ms: 60_000 };

  it('is not known when no slot can run it, or nothing was measured', () => {
    expect(estimate({ place: 1, free: 0, busy: 0, due_ms: 0, measured })).toBeNull();
    const nothing = { completed: 0, run_ms: 0, window_ms: 60_000 };
    expect(estimate({ place: 1, free: 0, busy: 4, due_ms: 0, measured: nothing })).toBeNull();
  });

  it('is when it is due, if a slot is free for it', () => {
    expect(estimate({ place: 2, free: 2, busy: 4, due_ms: 0, measured })).toEqual({ low: 0, high: 0 });
    expect(estimate({ place: 1, free: 1, busy: 0, due_ms: 500, measured })).toEqual({ low: 500, high: 500 });
  });

  it('lies between all slots for this line alone and their share of the last minute', () => {
    // 2 s a job on 4 slots: one gets free every 0.5 s at best; 30 a minute are one every 2 s.
    expect(estimate({ place: 5, free: 0, busy: 4, due_ms: 0, measured })).toEqual({
      low: 2000,
      high: 10_000,
    });
    expect(estimate({ place: 1, free: 0, busy: 4, due_ms: 0, measured })).toEqual({ low: 0, high: 2000 });
  });
});
