import { expect, test } from 'vitest';
import { Ring } from './ring.ts';

test('holds the newest, gives out what fell, and counts it', () => {
  const ring = new Ring<number>(3);
  const fallen = [1, 2, 3, 4, 5].map(item => ring.push(item));
  expect(fallen).toEqual([undefined, undefined, undefined, 1, 2]);
  expect(ring.all()).toEqual([3, 4, 5]);
  expect(ring.newest(2)).toEqual([5, 4]);
  expect(ring.newest(9)).toEqual([5, 4, 3]);
  expect(ring.dropped).toBe(2);
});

test('is empty after clear, and fills again', () => {
  const ring = new Ring<number>(2);
  for (const item of [1, 2, 3]) ring.push(item);
  ring.clear();
  expect(ring.all()).toEqual([]);
  for (const item of [4, 5, 6]) ring.push(item);
  expect(ring.all()).toEqual([5, 6]);
});
