import { beforeAll, expect, test, vi } from 'vitest';
import type { JobRecord } from '../../../core/messages/job.ts';
import type { Stats } from '../../../core/messages/stats.ts';
import { hub, JOBS_MAX } from './hub_state.ts';

beforeAll(() => {
  vi.stubGlobal('requestAnimationFrame', () => 0);
  return () => vi.unstubAllGlobals();
});

const record = (n: number, status: string): JobRecord =>
  ({
    job_id: `j${n}`,
    status,
    seq: n,
    created_at: n,
    params: { prompt: 'x'.repeat(1000) },
    metadata: { note: 'x'.repeat(1000) },
    result: { image: 'x'.repeat(10_000) },
  }) as unknown as JobRecord;

test('holds 5,000 jobs without what is large in them, and lets ended ones go first', () => {
  hub.takeJobs([record(0, 'queued')]);
  for (let from = 1; from <= 6000; from += 500) {
    hub.takeJobs(Array.from({ length: 500 }, (_, i) => record(from + i, 'completed')));
  }
  expect(hub.jobs.size).toBe(JOBS_MAX);
  expect(hub.jobs.has('j0')).toBe(true);
  expect(hub.jobs.has('j1')).toBe(false);
  expect(JSON.stringify([...hub.jobs.values()]).length / JOBS_MAX).toBeLessThan(300);
});

test('holds 500 events without their results, and as many names of jobs it does not know as it asks for', () => {
  for (let i = 0; i < 3000; i++) {
    const about = { job_id: `unknown${i}`, seq: i, at: i, attempt: 1, run_ms: 5, worker_id: 'm:gpu0' };
    hub.takeJobEvent({ type: 'job_completed', ...about, result: 'x'.repeat(10_000) });
  }
  expect(hub.events.all()).toHaveLength(500);
  expect(JSON.stringify(hub.events.all()).length / 500).toBeLessThan(300);
  expect(hub.unknown.size).toBe(2000);
});

test('holds a quarter of an hour of statistics', () => {
  for (let at = 0; at < 1000; at++) hub.takeStats({ at, paused: [] } as unknown as Stats);
  expect(hub.history).toHaveLength(900);
  expect(hub.history[0]?.at).toBe(100);
});
