import { beforeEach, expect, test } from 'vitest';
import { LoadRun, type LoadKind } from './load_run.ts';

type Frame = { type: string } & Record<string, unknown>;
interface Job {
  job_id: string;
  job_type: string;
  priority: number;
  requirements?: unknown;
  params: { duration_ms: number; filler?: string };
}

const kind = (job_type: string, fields: Partial<LoadKind> = {}): LoadKind => ({
  job_type,
  share: 1,
  priority: 0,
  vramGb: 0,
  durationMs: 100,
  paramsKb: 0,
  ...fields,
});

let sent: Frame[];
beforeEach(() => {
  sent = [];
});
const run = (perSecond: number, seconds: number, ...kinds: LoadKind[]) =>
  new LoadRun('load', { perSecond, seconds, kinds }, frame => sent.push(frame), 0);
const jobs = () => sent.flatMap(frame => (frame['jobs'] ?? []) as Job[]);
const accept = (load: LoadRun) => {
  for (const frame of sent.filter(one => one.type === 'submit_jobs')) {
    load.take({ type: 'jobs_accepted', results: (frame['jobs'] as Job[]).map(({ job_id }) => ({ job_id })) });
  }
  sent = [];
};

test('sends what is owed by the clock, for the chosen time and no longer', () => {
  const load = run(20, 2, kind('a'));
  load.tick(500);
  expect(jobs()).toHaveLength(10);
  load.tick(510);
  expect(jobs()).toHaveLength(10);
  load.tick(60_000);
  expect(jobs()).toHaveLength(40);
  expect(load.sending).toBe(false);
});

test('the mix follows the shares exactly, with what each kind asks for', () => {
  const load = run(100, 1, kind('a', { share: 3 }), kind('b', { vramGb: 24, priority: -5, paramsKb: 2 }));
  load.tick(1000);
  const types = jobs().map(job => job.job_type);
  expect(types.filter(type => type === 'a')).toHaveLength(75);
  expect(types.slice(0, 8).filter(type => type === 'b')).toHaveLength(2);
  const one = jobs().find(job => job.job_type === 'b');
  expect(one).toMatchObject({ priority: -5, requirements: { min_vram_mb: 24_576 } });
  expect(one?.params.filler).toHaveLength(2000);
});

test('waits for a hub that is slower, and says how far it is behind', () => {
  const load = run(1000, 10, kind('a'));
  load.tick(5000);
  expect(sent).toHaveLength(4);
  expect(load.behind(5000)).toBe(5000 - 800);
  accept(load);
  load.tick(5000);
  expect(sent).toHaveLength(4);
});

test('large jobs go in smaller messages', () => {
  const load = run(100, 1, kind('a', { paramsKb: 100 }));
  load.tick(1000);
  expect(sent).toHaveLength(4);
  expect(jobs()).toHaveLength(20);
});

test('counts what became of each, once, and why some were refused', () => {
  const load = run(5, 1, kind('a'));
  load.tick(1000);
  const [one, two, three, four, five] = jobs().map(job => job.job_id);
  const refused = { job_id: five, error: { code: 'queue_full', message: '' } };
  const results = [...[one, two, three, four].map(job_id => ({ job_id })), refused];
  load.take({ type: 'jobs_accepted', results });
  expect(load.over).toBe(false);
  for (const job_id of [one, one]) load.take({ type: 'job_completed', job_id });
  load.take({ type: 'job_failed', job_id: two });
  load.take({ type: 'job_expired', job_id: three });
  load.take({ type: 'job_cancelled', job_id: four });
  expect(load.counts).toEqual({ sent: 5, accepted: 4, refused: 1, completed: 1, failed: 2, cancelled: 1 });
  expect([...load.refusals]).toEqual([['queue_full', 1]]);
  expect(load.over).toBe(true);
});

test('stops, and cancels what has not ended', () => {
  const load = run(5, 10, kind('a'));
  load.tick(1000);
  const ids = jobs().map(job => job.job_id);
  accept(load);
  load.take({ type: 'job_completed', job_id: ids[0] });
  load.cancelRest();
  load.take({ type: 'job_failed', job_id: ids[1] });
  load.tick(1100);
  expect(sent.map(frame => frame['job_id'])).toEqual(ids.slice(2));
  load.tick(9000);
  expect(jobs()).toEqual([]);
});

test('cancels also what is accepted only after that', () => {
  const load = run(5, 10, kind('a'));
  load.tick(1000);
  const ids = jobs().map(job => job.job_id);
  load.cancelRest();
  accept(load);
  load.tick(1100);
  expect(sent.map(frame => frame['job_id'])).toEqual(ids);
  expect(load.over).toBe(false);
});
