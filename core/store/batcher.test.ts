import { expect, test } from 'vitest';
import { HubError } from '../errors.ts';
import { Batcher, type BatchKind } from './batcher.ts';
import type { Durability } from './durability.ts';
import type { RedisLink } from './redis_link.ts';

interface Call {
  kind: string;
  /** The first argument of each operation; the number of those before the claims first, where claims go along. */
  names: (string | number)[];
  answer(): void;
  fail(error: Error): void;
}

/** A batcher on a Redis whose every answer the test gives; an operation has its name for argument. */
function batcher(durability: object = { waits: false }) {
  const calls: Call[] = [];
  const link = {
    cork() {},
    uncork() {},
    run: (kind: string, args: (string | number)[]) =>
      new Promise((resolve, reject) => {
        const names = args.slice(1);
        const riding = kind.endsWith('_claim');
        const first = riding ? (names[0] as number) + 1 : names.length;
        const lines = (texts: (string | number)[]) => texts.join('\n');
        const own = lines(names.slice(riding ? 1 : 0, first));
        const answers = [own, 'shared', lines(names.slice(first)), 'left'];
        calls.push({ kind, names, answer: () => resolve([answers, '']), fail: reject });
      }),
  };
  const head = () => ['hub'];
  const heads = Object.fromEntries(
    ['submit', 'fit', 'report', 'finish', 'claim'].map(kind => [kind, head]),
  ) as Record<BatchKind, () => string[]>;
  const it = new Batcher(link as unknown as RedisLink, durability as Durability, heads, () => {});
  const done: string[] = [];
  const add = (kind: BatchKind, name: string, sent?: () => void) =>
    it.add<string>(
      kind,
      [name],
      (error, reply) => done.push(error ? `${name}: ${error.message}` : reply),
      sent,
    );
  const sent = () => calls.map(({ kind, names }) => `${kind} ${names.length}`);
  return { it, calls, add, done, sent };
}

/** What an answer brings goes out in the turn after it. */
const turn = () => new Promise(resolve => setImmediate(() => setImmediate(resolve)));
const many = (count: number, act: (name: string) => void) => {
  for (let i = 0; i < count; i++) act(`op${i}`);
};

test('the operations of a turn go out by kind, what calls for a claim before the claim', async () => {
  const { add, calls } = batcher();
  for (const kind of ['claim', 'report', 'finish', 'fit', 'claim'] as const) add(kind, kind);
  await turn();
  expect(calls.map(({ kind, names }) => [kind, ...names])).toEqual([
    ['fit', 'fit'],
    ['report', 'report'],
    ['finish_claim', 1, 'finish', 'claim', 'claim'],
  ]);
});

test('a call carries at most 32 operations of a kind, and only submits wait for the answer to the call before', async () => {
  const { add, sent, calls, done } = batcher();
  many(70, name => add('submit', name));
  many(70, name => add('finish', name));
  await turn();
  expect(sent()).toEqual(['submit 32', 'finish 32', 'finish 32', 'finish 6']);
  add('submit', 'late');
  await turn();
  expect(calls).toHaveLength(4);
  calls[0]?.answer();
  await turn();
  expect(sent().at(-1)).toBe('submit 32');
  calls.at(-1)?.answer();
  await turn();
  expect(calls.at(-1)?.names).toEqual(['op64', 'op65', 'op66', 'op67', 'op68', 'op69', 'late']);
  expect(done).toEqual(Array.from({ length: 64 }, (_, i) => `op${i}`));
});

test('claims made when their submits are sent go with them, and each is told its own answer', async () => {
  const { add, calls, done } = batcher();
  many(33, name => add('submit', name, () => add('claim', `for ${name}`)));
  await turn();
  expect(calls.map(({ kind, names }) => [kind, ...names.slice(0, 2), names.length])).toEqual([
    ['submit_claim', 32, 'op0', 65],
  ]);
  calls[0]?.answer();
  await turn();
  expect(done.slice(0, 32)).toEqual(Array.from({ length: 32 }, (_, i) => `op${i}`));
  expect(done.slice(32)).toEqual(Array.from({ length: 32 }, (_, i) => `for op${i}`));
  expect(calls[1]?.names).toEqual([1, 'op32', 'for op32']);
});

test('claims that need a match or an end go behind it, not with the submits before', async () => {
  const { add, sent } = batcher();
  add('submit', 'job', () => add('claim', 'for job'));
  add('fit', 'first');
  await turn();
  expect(sent()).toEqual(['submit 1', 'fit 1', 'claim 1']);
  const other = batcher();
  other.add('submit', 'job', () => other.add('claim', 'for job'));
  other.add('finish', 'first');
  await turn();
  expect(other.sent()).toEqual(['submit 1', 'finish_claim 3']);
});

test('claims go by themselves where the disk is waited for', async () => {
  const { add, sent } = batcher({ waits: true, settle: () => Promise.resolve() });
  add('submit', 'job', () => add('claim', 'for job'));
  await turn();
  add('finish', 'end');
  add('claim', 'next');
  await turn();
  expect(sent()).toEqual(['submit 1', 'claim 1', 'finish 1', 'claim 1']);
});

test('claims that went with a call that failed are told so', async () => {
  const { add, calls, done } = batcher();
  add('submit', 'job', () => add('claim', 'for job'));
  await turn();
  calls[0]?.fail(new Error('gone'));
  await turn();
  expect(done).toEqual(['job: gone', 'for job: gone']);
});

test('ends that were refused for the claims with them go by themselves, once', async () => {
  const { add, calls, sent, done } = batcher();
  add('finish', 'end');
  add('claim', 'next');
  await turn();
  const full = new HubError('unavailable', 'full', { outcome: 'none' });
  calls[0]?.fail(full);
  await turn();
  expect(sent()).toEqual(['finish_claim 3', 'finish 1']);
  expect(done).toEqual(['next: full']);
  calls[1]?.fail(full);
  await turn();
  expect(done).toEqual(['next: full', 'end: full']);
  expect(calls).toHaveLength(2);
});

test('ends that may have happened are not sent again', async () => {
  const { add, calls, done } = batcher();
  add('finish', 'end');
  add('claim', 'next');
  await turn();
  calls[0]?.fail(new HubError('unavailable', 'no reply', { outcome: 'unknown' }));
  await turn();
  expect(done).toEqual(['end: no reply', 'next: no reply']);
  expect(calls).toHaveLength(1);
});

test('the next submits do not wait until those before are safe on disk', async () => {
  let safe = () => {};
  const settled = new Promise<void>(resolve => {
    safe = resolve;
  });
  const { add, sent, calls, done } = batcher({ waits: true, settle: () => settled });
  many(40, name => add('submit', name));
  await turn();
  calls[0]?.answer();
  await turn();
  expect(sent()).toEqual(['submit 32', 'submit 8']);
  expect(done).toEqual([]);
  safe();
  await turn();
  expect(done).toHaveLength(32);
});

test('flush sends all that waits, also submits behind a call under way', async () => {
  const { it, add, sent } = batcher();
  many(40, name => add('submit', name));
  await turn();
  it.flush();
  expect(sent()).toEqual(['submit 32', 'submit 8']);
});

test('what machines said can go out at once, and leaves new jobs their pace', async () => {
  const { it, add, sent } = batcher();
  many(40, name => add('submit', name));
  await turn();
  add('finish', 'end');
  it.flushMachines();
  expect(sent()).toEqual(['submit 32', 'finish 1']);
});

test('it is crowded while the submits of two calls wait, and tells who asked when there is room', async () => {
  const { it, add, calls } = batcher();
  const told: string[] = [];
  many(63, name => add('submit', name));
  expect(it.crowded).toBe(false);
  add('submit', 'one more');
  add('finish', 'of no matter');
  expect(it.crowded).toBe(true);
  it.onceRoom(() => told.push('first'));
  expect(told).toEqual([]);
  await turn();
  expect([it.crowded, told]).toEqual([false, ['first']]);
  many(40, name => add('submit', name));
  it.onceRoom(() => told.push('second'));
  expect([it.crowded, told]).toEqual([true, ['first']]);
  calls[0]?.fail(new Error('gone'));
  await turn();
  expect([it.crowded, told]).toEqual([false, ['first', 'second']]);
});

test('there is room for who waited, however many others bring more meanwhile', async () => {
  const { it, add, calls } = batcher();
  const told: string[] = [];
  many(100, name => add('submit', name));
  it.onceRoom(() => told.push('room'));
  await turn();
  many(32, name => add('submit', name));
  expect([it.crowded, told]).toEqual([true, []]);
  calls[0]?.answer();
  await turn();
  expect([it.crowded, told]).toEqual([true, ['room']]);
});

test('when a call fails, the submits behind it are not kept for one timeout after the other', async () => {
  const { add, sent, calls, done } = batcher();
  many(100, name => add('submit', name));
  await turn();
  calls[0]?.fail(new Error('gone'));
  await turn();
  expect(sent()).toEqual(['submit 32', 'submit 32', 'submit 32', 'submit 4']);
  for (const call of calls.slice(1)) call.fail(new Error('gone too'));
  await turn();
  expect(done).toHaveLength(100);
  add('submit', 'next');
  await turn();
  expect(calls.at(-1)?.names).toEqual(['next']);
});

test('what has not been sent can be taken back, once', async () => {
  const { it, add, sent } = batcher();
  const operation = add('report', 'started');
  expect(it.take('report', operation)).toBe(true);
  expect(it.take('report', operation)).toBe(false);
  await turn();
  expect(sent()).toEqual([]);
});

test('all of a kind goes before the next kind: the end of a job does not overtake its last outputs', async () => {
  const { add, sent } = batcher();
  add('claim', 'next');
  add('finish', 'end');
  many(40, name => add('report', name));
  await turn();
  expect(sent()).toEqual(['report 32', 'report 8', 'finish_claim 3']);
});

test('a claim goes with the end that freed its slot, never before it, and is told its own answer', async () => {
  const { add, sent, calls, done } = batcher();
  many(40, name => {
    add('finish', name);
    if (name !== 'op3') add('claim', `for ${name}`);
  });
  many(40, name => add('report', name));
  await turn();
  expect(sent()).toEqual(['report 32', 'report 8', 'finish_claim 64', 'finish_claim 17']);
  expect(calls[2]?.names.at(-1)).toBe('for op31');
  calls[3]?.answer();
  await turn();
  const last = ['op32', 'op33', 'op34', 'op35', 'op36', 'op37', 'op38', 'op39'];
  expect(done).toEqual([...last, ...last.map(name => `for ${name}`)]);
});

test('claims beyond those that fit into the call follow it', async () => {
  const { add, sent } = batcher();
  add('finish', 'end');
  many(40, name => add('claim', name));
  await turn();
  expect(sent()).toEqual(['finish_claim 34', 'claim 8']);
});
