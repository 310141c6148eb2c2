import { expect, test, vi } from 'vitest';
import type { WatchLevel } from '../messages/job.ts';
import type { JobEvent, Store, StoredJob, StoredOutput } from '../store/store.ts';
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
function watched(level: WatchLevel = 'all') {
  const told: string[] = [];
  let lost = 0;
  let [live, down, up] = [(_: JobEvent) => {}, () => {}, () => {}];
  let answer = (_: (StoredJob | null)[]) => {};
  let fail = (_: Error) => {};
  let outputs = (_: StoredOutput[]) => {};
  const store = {
    up: true,
    onDown: (listener: () => void) => (down = listener),
    onEffect: (tell: (effect: object) => void) => (live = one => tell({ kind: 'event', event: one })),
    onUp: (listener: () => void) => (up = listener),
    watch: () => new Promise((resolve, reject) => ([answer, fail] = [resolve, reject])),
    outputs: () => new Promise(resolve => (outputs = resolve)),
  };
  const broadcaster = new Broadcaster(store as unknown as Store);
  const listener = {
    event: ({ type, seq }: JobEvent) => void told.push(`${type} ${seq}`),
    lost: () => void (lost += 1),
  };
  broadcaster.grant(broadcaster.hold(listener, '/j', level), level);
  const missed = (...events: JobEvent[]) =>
    ({
      ended: events.some(one => one.type === 'job_completed'),
      fields: { n: events.at(-1)?.seq ?? 0, an: events.find(one => one.type === 'job_assigned')?.seq },
      eventsAfter: (seq: number) => events.filter(one => one.seq > seq),
    }) as StoredJob;
  return {
    told,
    broadcaster,
    listener,
    fail: () => fail(new Error('away')),
    /** The listener asks for the job and its output from the beginning. */
    replay: () => broadcaster.watch(listener, ['j'], { seq: { j: 0 }, output: {} }, () => {}),
    outputs: async (...indexes: number[]) => {
      outputs(indexes.map(index => ({ index, data: '""' })));
      await new Promise(setImmediate);
    },
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

/** A job that runs, with two outputs. */
const running = { ref: '/j', ended: false, fields: { n: 3, an: 2, tn: 3, at: 1, oi: 2 } };
const eventsAfter = () => [event('job_assigned', 2), event('job_started', 3)];
const withFields = (type: JobEvent['type'], seq: number, fields: string) => ({ ...event(type, seq), fields });

test('output that was read after a job was assigned anew is not told as that of the lease before', async () => {
  const { told, live, replay, answer, outputs } = watched();
  const replayed = replay();
  await answer({ ...running, eventsAfter } as unknown as StoredJob);
  live(event('job_assigned', 5));
  live(withFields('job_output', 5, '"index":0,"data":""'));
  await outputs(0);
  await replayed;
  expect(told).toEqual(['job_assigned 2', 'job_started 3', 'job_assigned 5', 'job_output 5']);
});

test('output of a lease that is over is not told behind the replay of the present one', async () => {
  const { told, live, replay, answer, outputs } = watched();
  const replayed = replay();
  live(withFields('job_output', 1, '"index":7,"data":""'));
  live(event('job_assigned', 2));
  live(event('job_started', 3));
  await answer({ ...running, eventsAfter } as unknown as StoredJob);
  await outputs(0, 1);
  await replayed;
  live(withFields('job_output', 3, '"index":2,"data":""'));
  expect(told).toEqual(['job_assigned 2', 'job_started 3', 'job_output 3', 'job_output 3', 'job_output 3']);
});

test('output of which nothing is kept is told as a gap', async () => {
  const { told, replay, answer, outputs } = watched();
  const replayed = replay();
  await answer({ ...running, eventsAfter } as unknown as StoredJob);
  await outputs();
  await replayed;
  expect(told).toEqual(['job_assigned 2', 'job_started 3', 'job_output_gap 3']);
});

test('a gap that was told with a replay is not told again when its own event comes', async () => {
  const { told, live, replay, answer, outputs } = watched();
  const replayed = replay();
  await answer({ ...running, eventsAfter } as unknown as StoredJob);
  live(withFields('job_output_gap', 4, '"from":2,"to":3'));
  live(withFields('job_output', 4, '"index":4,"data":""'));
  await outputs(0, 1, 4);
  await replayed;
  live(withFields('job_output', 4, '"index":5,"data":""'));
  const replay_of = ['job_assigned 2', 'job_started 3', 'job_output 3', 'job_output 3'];
  expect(told).toEqual([...replay_of, 'job_output_gap 3', 'job_output 3', 'job_output 4']);
});

const output = (seq: number, index: number) => withFields('job_output', seq, `"index":${index},"data":""`);

test('output that was missed is told, what is not kept of it as a gap, and what came meanwhile once', async () => {
  const { told, live, down, up, answer, outputs } = watched();
  live(event('job_assigned', 2));
  live(event('job_started', 3));
  live(output(3, 0));
  down();
  up();
  live(output(3, 4));
  live(output(3, 5));
  await answer({
    ...running,
    fields: { ...running.fields, oi: 5 },
    eventsAfter: () => [],
  } as unknown as StoredJob);
  await outputs(3, 4);
  const before = ['job_assigned 2', 'job_started 3', 'job_output 3'];
  expect(told).toEqual([...before, 'job_output_gap 3', 'job_output 3', 'job_output 3', 'job_output 3']);
});

test('output is told from its beginning when the lease is a new one', async () => {
  const { told, live, down, up, answer, outputs } = watched();
  live(output(1, 0));
  down();
  up();
  await answer({ ...running, eventsAfter } as unknown as StoredJob);
  await outputs(0, 1);
  expect(told).toEqual([
    ...['job_output 1', 'job_assigned 2', 'job_started 3'],
    ...['job_output 3', 'job_output 3'],
  ]);
});

test('a watch for the end alone is told no output that was missed', async () => {
  const { told, down, up, answer } = watched('end');
  down();
  up();
  await answer({ ...running, eventsAfter } as unknown as StoredJob);
  expect(told).toEqual([]);
});

test('a watch that could not be set anew goes on as it was', async () => {
  const { told, live, replay, fail } = watched();
  live(event('job_assigned', 1));
  const asked = replay();
  live(event('job_started', 2));
  fail();
  await expect(asked).rejects.toThrow('away');
  live(event('job_completed', 3));
  expect(told).toEqual(['job_assigned 1', 'job_started 2', 'job_completed 3']);
});

test('a refused submission leaves the watch on the job that has its id as it was; one that made the watch ends it', () => {
  const { told, live, broadcaster, listener } = watched('end');
  const again = broadcaster.hold(listener, '/j', 'all');
  live(event('job_started', 2));
  broadcaster.refuse(again);
  live(event('job_completed', 3));
  expect(told).toEqual(['job_completed 3']);
  broadcaster.refuse(broadcaster.hold(listener, '/j', 'all'));
  expect(broadcaster.watching(listener)).toBe(0);
});

test('events wait for the last of several answers', () => {
  const { told, live, broadcaster, listener } = watched();
  const [first, second] = [broadcaster.hold(listener, '/j', 'end'), broadcaster.hold(listener, '/j', 'all')];
  live(event('job_started', 2));
  broadcaster.grant(first, 'end');
  expect(told).toEqual([]);
  broadcaster.grant(second, 'all');
  expect(told).toEqual(['job_started 2']);
});

test('a link that breaks during a submission does not make its job a lost one', async () => {
  const { told, live, down, up, answer, broadcaster, lost, listener } = watched();
  broadcaster.drop(listener, '/j');
  const watch = broadcaster.hold(listener, '/j', 'all');
  down();
  up();
  await answer(null);
  live(event('job_started', 2));
  broadcaster.grant(watch, 'all');
  expect([lost(), told]).toEqual([0, ['job_started 2']]);
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

test('when Redis is there and does not answer, what was missed is asked for again', async () => {
  vi.useFakeTimers({ toFake: ['setTimeout'] });
  const { told, live, down, up, answer, fail, missed } = watched();
  down();
  up();
  fail();
  await new Promise(setImmediate);
  live(event('job_progress', 2));
  expect(told).toEqual([]);
  await vi.advanceTimersByTimeAsync(1000);
  vi.useRealTimers();
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

test('the output of many jobs is asked for one job at a time: each may have kept a MiB', async () => {
  const names = Array.from({ length: 20 }, (_, i) => `j${i}`);
  let [under_way, most, asked] = [0, 0, 0];
  let up = () => {};
  const store = {
    up: true,
    onDown: () => {},
    onEffect: () => {},
    onUp: (listener: () => void) => (up = listener),
    watch: async (ids: string[]) =>
      ids.map(id => ({ ref: `/${id}`, fields: { n: 2, an: 1, oi: 9 }, eventsAfter: () => [] })),
    outputs: async () => {
      most = Math.max(most, ++under_way);
      await new Promise(setImmediate);
      asked += 1;
      under_way -= 1;
      return [];
    },
  };
  const broadcaster = new Broadcaster(store as unknown as Store);
  const output = Object.fromEntries(names.map(name => [name, 0]));
  await broadcaster.watch({ event: () => {} }, names, { seq: {}, output }, () => {});
  expect([asked, most]).toEqual([20, 1]);
  // After a break of the link as well: of other watchers, for whom the records say that some was missed.
  for (const name of names)
    broadcaster.grant(broadcaster.hold({ event: () => {} }, `/${name}`, 'all'), 'all');
  up();
  await expect.poll(() => asked).toBe(40);
  expect(most).toBe(1);
});
