import { afterEach, expect, test, vi } from 'vitest';
import { Connection } from '../connections/connection.ts';
import type { WorkerRecord } from '../messages/worker.ts';
import type { JobEvent, Store } from '../store/store.ts';
import type { Fleet, WorkerChange } from './fleet.ts';
import { Monitors } from './monitors.ts';
import type { Statistics } from './statistics.ts';

const event = (type: JobEvent['type'], seq: number, job_id = 'j'): JobEvent => ({
  type,
  ref: `/${job_id}`,
  job_id,
  seq,
  at: 1,
  attempt: 1,
  fields: '',
});

const WAITING_MAX_BYTES = 100_000;

afterEach(() => vi.useRealTimers());

/** Monitors of a hub that a test moves by hand, and one monitor that is waiting for its snapshot. */
function watched() {
  const frames: string[] = [];
  let happen = (_: object) => {};
  let change = (_change: WorkerChange, _record: WorkerRecord) => {};
  let say = (_: object) => {};
  const store = { onEffect: (listener: typeof happen) => (happen = listener) };
  const fleet = { onChange: (listener: typeof change) => (change = listener), takeChanged: () => [] };
  const statistics = {
    left_out: 0,
    monitoringHubs: [],
    onStats: (listener: typeof say) => (say = listener),
    onDeadWorkers: () => undefined,
  };
  const monitors = new Monitors(
    store as unknown as Store,
    fleet as unknown as Fleet,
    statistics as unknown as Statistics,
    100,
    WAITING_MAX_BYTES,
  );
  let stuck_bytes = 0;
  const wire = {
    write: (texts: string[]) => void frames.push(...texts),
    buffered: () => stuck_bytes,
    ping: () => undefined,
    pause: () => undefined,
    resume: () => undefined,
    close: () => undefined,
    terminate: () => undefined,
  };
  const connection = new Connection('c', 'monitor', undefined, wire, { soft_bytes: 1e5, hard_bytes: 1e9 });
  vi.useFakeTimers({ toFake: ['setInterval'] });
  monitors.start();
  const open = monitors.add(connection);
  return {
    open,
    event: (one: JobEvent) => happen({ kind: 'event', event: one }),
    worker: (kind: WorkerChange, status: string) =>
      change(kind, { worker_id: 'm:gpu0', status } as WorkerRecord),
    stats: () => say({ at: 1 }),
    left_out: () => statistics.left_out,
    /** The kernel has so many bytes for the monitor that it has not read. */
    stuck: (bytes: number) => (stuck_bytes = bytes),
    /** What is told ten times a second. */
    flush: () => vi.advanceTimersByTime(100),
    told: async () => {
      await new Promise(setImmediate);
      return frames.map(frame => {
        const { type, seq, worker } = JSON.parse(frame);
        return [type, seq ?? worker?.status].join(' ').trim();
      });
    },
  };
}

test('a monitor is told nothing before its snapshot, and misses nothing of what happens while that is gathered', async () => {
  const { open, event: happened, worker, stats, told, flush, left_out } = watched();
  worker('connected', 'idle');
  worker('updated', 'idle');
  worker('updated', 'busy');
  happened(event('job_assigned', 1));
  happened(event('job_completed', 2));
  stats();
  expect(await told()).toEqual([]);

  open({ type: 'snapshot' });
  // Of a worker and of a job the newest is enough, and the snapshot has statistics.
  expect(await told()).toEqual([
    'snapshot',
    'worker_connected idle',
    'worker_updated busy',
    'job_completed 2',
  ]);

  worker('updated', 'idle');
  happened(event('job_queued', 3));
  stats();
  expect((await told()).slice(4)).toEqual(['worker_updated idle', 'job_queued 3', 'stats']);
  flush();
  expect(left_out()).toBe(0);
});

test('what was held of a worker keeps its order: gone and back again is not back and gone', async () => {
  const { open, worker, told } = watched();
  worker('connected', 'idle');
  worker('disconnected', 'offline');
  worker('connected', 'idle');
  open({ type: 'snapshot' });
  expect(await told()).toEqual(['snapshot', 'worker_disconnected offline', 'worker_connected idle']);
});

test('news of workers wait while the monitor reads slowly, the newest of each kind', async () => {
  const { open, worker, told, stuck, flush } = watched();
  open({ type: 'snapshot' });
  stuck(1e6);
  for (const status of ['busy', 'idle', 'busy', 'stopping']) worker('updated', status);
  flush();
  expect(await told()).toEqual(['snapshot']);
  stuck(0);
  worker('disconnected', 'offline');
  flush();
  expect(await told()).toEqual(['snapshot', 'worker_updated stopping', 'worker_disconnected offline']);
});

test('of events that wait, at most ten seconds of the rate are kept, the newest, and the others are counted', async () => {
  const { open, event: happened, left_out, flush, told } = watched();
  for (let i = 1; i <= 1003; i++) happened(event('job_completed', i, `job${i}`));
  flush();
  expect(left_out()).toBe(3);
  open({ type: 'snapshot' });
  expect((await told()).slice(0, 2)).toEqual(['snapshot', 'job_completed 4']);
});

test('events that wait for a monitor are bounded in bytes, and those left out are counted', async () => {
  const { open, event: happened, stuck, left_out, flush, told } = watched();
  open({ type: 'snapshot' });
  stuck(2e5);
  const large = (seq: number, job_id: string) => ({
    ...event('job_completed', seq, job_id),
    fields: `"result":"${'x'.repeat(WAITING_MAX_BYTES / 4)}"`,
  });
  for (let i = 1; i <= 10; i++) happened(large(i, `j${i}`));
  flush();
  expect(left_out()).toBe(7);
  stuck(0);
  flush();
  expect(await told()).toEqual(['snapshot', ...[8, 9, 10].map(seq => `job_completed ${seq}`)]);
});
