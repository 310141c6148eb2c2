import { afterEach, expect, test } from 'vitest';
import { makeLog } from '../log.ts';
import type { Store } from '../store/store.ts';
import { Dispatcher } from './dispatcher.ts';

/** A store of which only the signatures are asked; each answer is given by the test. */
class FakeStore {
  readonly answers: ((known: Map<string, string>) => void)[] = [];
  readonly signatures = () => new Promise<Map<string, string>>(resolve => this.answers.push(resolve));
  readonly onUp = () => {};
}

const SIGNATURE = 'AAAAAAAAAAAAAAAA';
const OTHER = 'BBBBBBBBBBBBBBBB';
const DEFINITION = '["image",{}]';
let dispatcher: Dispatcher;
afterEach(() => dispatcher.stop());

async function started(store: FakeStore): Promise<void> {
  dispatcher = new Dispatcher(
    store as unknown as Store,
    makeLog('silent'),
    () => {},
    () => {},
  );
  const ready = dispatcher.start();
  store.answers.shift()?.(new Map());
  await ready;
}

const settled = () => new Promise(resolve => setImmediate(resolve));

test('a signature learnt while the list of all was on its way is not forgotten for missing in it', async () => {
  const store = new FakeStore();
  await started(store);
  dispatcher.wake(OTHER); // nobody told of it: the list is read
  dispatcher.accepted(SIGNATURE, DEFINITION);
  store.answers.shift()?.(new Map([[OTHER, DEFINITION]]));
  await settled();
  expect(dispatcher.typeOf(SIGNATURE)).toBe('image');
  expect(dispatcher.typeOf(OTHER)).toBe('image');
});

test('nor is one that Redis introduced meanwhile', async () => {
  const store = new FakeStore();
  await started(store);
  dispatcher.accepted(SIGNATURE, DEFINITION);
  dispatcher.wake(OTHER);
  dispatcher.introduce(SIGNATURE);
  store.answers.shift()?.(new Map());
  await settled();
  expect(dispatcher.typeOf(SIGNATURE)).toBe('image');
});

test('one that Redis no longer has is forgotten', async () => {
  const store = new FakeStore();
  await started(store);
  dispatcher.accepted(SIGNATURE, DEFINITION);
  dispatcher.wake(OTHER);
  store.answers.shift()?.(new Map());
  await settled();
  expect(dispatcher.typeOf(SIGNATURE)).toBeNull();
});
