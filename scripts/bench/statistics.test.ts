import { expect, test } from 'vitest';
import { median, percentile, percentiles, range, spread } from './statistics.ts';

const upTo = (count: number) => Array.from({ length: count }, (_, i) => count - i);

test('a percentile is the smallest value that so many do not exceed', () => {
  expect([0.5, 0.99, 0.999, 1].map(share => percentile(upTo(1000), share))).toEqual([500, 990, 999, 1000]);
  expect(percentile([7], 0.5)).toBe(7);
  expect(percentile([1, 2], 0)).toBe(1);
  expect(percentile([], 0.5)).toBeNaN();
});

test('the median of an even number of values lies between the middle two', () => {
  expect(median([9, 1, 5])).toBe(5);
  expect(median([4, 1, 3, 2])).toBe(2.5);
  expect(median([])).toBeNaN();
});

test('values are sorted as numbers, and left as they were', () => {
  const values = [10, 9, 100];
  expect(median(values)).toBe(10);
  expect(values).toEqual([10, 9, 100]);
});

test('a spread has the median and both ends', () => {
  expect(spread([3, 1, 2])).toEqual({ median: 2, min: 1, max: 3 });
  expect(range([4828.4, 7378, 5685])).toBe('5,685 (4,828–7,378)');
  expect(range([])).toBe('-');
});

test('a percentile is told only of enough values to have one', () => {
  expect(percentiles(upTo(1000))).toBe('500.00 / 990.00 / 999.00');
  expect(percentiles(upTo(999))).toBe('500.00 / 990.00 / -');
  expect(percentiles(upTo(99))).toBe('50.00 / - / -');
});
