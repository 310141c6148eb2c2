import { expect, test } from 'vitest';
import { inSlices } from './slices.ts';

test('each is met once, and others have a turn between the slices', async () => {
  const met: number[] = [];
  let turns = 0;
  const count = setImmediate(function again() {
    turns += 1;
    if (met.length < 10) setImmediate(again);
  });
  await inSlices(
    Array.from({ length: 10 }, (_, i) => i),
    3,
    one => met.push(one),
  );
  clearImmediate(count);
  expect(met).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
  expect(turns).toBeGreaterThanOrEqual(3);
});

test('what comes meanwhile is met, what has gone is not', async () => {
  const all = new Set(['a', 'b', 'c']);
  const met: string[] = [];
  await inSlices(all, 1, one => {
    met.push(one);
    if (one !== 'a') return;
    all.delete('b');
    all.add('d');
  });
  expect(met).toEqual(['a', 'c', 'd']);
});
