import { expect, test } from 'vitest';
import type { JobEvent, Store, StoredJob } from '../store/store.ts';
import { Broadcaster } from './broadcaster.ts';

const event = (type: JobEvent['type'], seq: number): JobEvent => ({
  type,
  ref: '/j',
  job_id: 'j',
  seq,
  at: 1,
  attempt: 1,
  fields: '',
});

/** A broadcaster with one watch, on a store that comes back and answers when the test says so. */
function watched() {
  const told: string[] = [];
  let lost = 0;
  let [live, down, up] = [(_: JobEvent) => {}, () => {}, () => {}];
  let answer = (_: (StoredJob | null)[]) => {};
  const store = {
    up: true,
    onDown: (listener: () => void) => (down = listener),
    onEffect: (tell: (effect: object) => void) => (live = one => tell({ kind: 'event', event: one })),
    onUp: (listener: () => void) => (up = listener),
    watch: () => new Promise(resolve => (answer = resolve)),
  };
  const broadcaster = new Broadcaster(store as unknown as Store);
  const listener = {
    event: ({ type, seq }: JobEvent) => void told.push(`${type} ${seq}`),
    lost: () => void (lost += 1),
  };
  const { watch } = broadcaster.hold(listener, '/j', 'all');
  broadcaster.open(watch);
  const missed = (...events: JobEvent[]) =>
    ({
      fields: { an: events.find(one => one.type === 'job_assigned')?.seq },
      eventsAfter: (seq: number) => events.filter(one => one.seq > seq),
    }) as StoredJob;
  return {
    told,
    live: (one: JobEvent) => live(one),
    down: () => {
      store.up = false;
      down();
    },
    up: () => {
      store.up = true;
      up();
    },
    answer: async (job: StoredJob | null) => {
      answer([job]);
      await new Promise(setImmediate);
    },
    missed,
    lost: () => lost,
  };
}

test('what was missed is told before what came meanwhile, and once', async () => {
  const { told, live, up, answer, missed } = watched();
  live(event('job_assigned', 1));
  up();
  live(event('job_progress', 2));
  live(event('job_completed', 3));
  expect(told).toEqual(['job_assigned 1']);
  await answer(missed(event('job_started', 2), event('job_completed', 3)));
  expect(told).toEqual(['job_assigned 1', 'job_started 2', 'job_completed 3']);
});

test('progress that came before the hub knew that Redis is back follows the start that was missed', async () => {
  const { told, live, down, up, answer, missed } = watched();
  down();
  live(event('job_progress', 2));
  up();
  await answer(missed(event('job_started', 2)));
  live(event('job_progress', 2));
  expect(told).toEqual(['job_started 2', 'job_progress 2', 'job_progress 2']);
});

test('what came of a lease is not told behind the next one', async () => {
  const { told, live, down, up, answer, missed } = watched();
  down();
  live(event('job_progress', 2));
  live(event('job_progress', 5));
  up();
  await answer(missed(event('job_assigned', 4), event('job_started', 5)));
  expect(told).toEqual(['job_assigned 4', 'job_started 5', 'job_progress 5']);
});

test('what waits goes on waiting when Redis is away again before it answers', async () => {
  const { told, live, down, up, answer, missed } = watched();
  down();
  up();
  down();
  await answer(missed());
  live(event('job_progress', 2));
  expect(told).toEqual([]);
  up();
  await answer(missed(event('job_started', 2)));
  expect(told).toEqual(['job_started 2', 'job_progress 2']);
});

test('a job that Redis lost is said to be lost; one it does not answer for goes on', async () => {
  const gone = watched();
  gone.up();
  await gone.answer(null);
  expect(gone.lost()).toBe(1);
  const silent = watched();
  silent.up();
  silent.live(event('job_started', 2));
  await silent.answer(silent.missed());
  expect(silent.told).toEqual(['job_started 2']);
});
