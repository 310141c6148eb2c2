import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { holdBack, offerUndo, openOffers, UNDO_MS, undoNewest } from './undo.ts';

beforeEach(() => {
  vi.useFakeTimers();
  vi.stubGlobal('requestAnimationFrame', () => 0);
});
afterEach(() => {
  vi.runAllTimers();
  vi.unstubAllGlobals();
  vi.useRealTimers();
});

const texts = () => openOffers().map(offer => offer.text);

test('what is held back is done only when its time is over', async () => {
  const run = vi.fn(() => Promise.resolve('3 cancelled'));
  holdBack('cancelling 3', run);
  vi.advanceTimersByTime(UNDO_MS - 1);
  expect(run).not.toHaveBeenCalled();
  await vi.advanceTimersByTimeAsync(1);
  expect(run).toHaveBeenCalledTimes(1);
  expect(texts()).toEqual(['3 cancelled']);
  vi.runAllTimers();
  expect(texts()).toEqual([]);
});

test('what is taken back is never done', async () => {
  const run = vi.fn(() => Promise.resolve(''));
  holdBack('cancelling 3', run);
  expect(undoNewest()).toBe(true);
  await vi.advanceTimersByTimeAsync(2 * UNDO_MS);
  expect(run).not.toHaveBeenCalled();
  expect(undoNewest()).toBe(false);
});

test('what need not wait is done at once, and once', async () => {
  const run = vi.fn(() => Promise.resolve('done'));
  holdBack('cancelling 3', run);
  openOffers()[0]?.now?.();
  await vi.advanceTimersByTimeAsync(2 * UNDO_MS);
  expect(run).toHaveBeenCalledTimes(1);
});

test('what is done is undone by its inverse while the offer stands', async () => {
  const inverse = vi.fn(() => Promise.resolve('as before'));
  offerUndo('drained', inverse);
  undoNewest();
  await vi.advanceTimersByTimeAsync(0);
  expect(texts()).toEqual(['as before']);
  vi.runAllTimers();
  offerUndo('drained', inverse);
  vi.advanceTimersByTime(UNDO_MS);
  expect(undoNewest()).toBe(false);
  expect(inverse).toHaveBeenCalledTimes(1);
});

test('an inverse that fails says why', async () => {
  offerUndo('drained', () => Promise.reject(new Error('no worker matches')));
  undoNewest();
  await vi.advanceTimersByTimeAsync(0);
  expect(texts()).toEqual(['no worker matches']);
});
