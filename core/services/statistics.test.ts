import { expect, it } from 'vitest';
import { TYPES_MAX } from '../messages/stats.ts';
import { busiest } from './statistics.ts';

it('of more job types than a frame has room for, those with work are told, then those with the most ended jobs', () => {
  const once = Array.from({ length: 14_000 }, (_, i) => [`once-${i}`, { cancelled: 1 }] as const);
  const counts = new Map<string, object>([
    ...once,
    ['waiting', { scheduled: 1 }],
    ['often', { completed: 500, failed: 1 }],
    ['busy', { queued: 3, processing: 2 }],
  ]);
  const told = busiest(counts);
  expect(told.size).toBe(TYPES_MAX);
  expect([...told.keys()].slice(0, 4)).toEqual(['busy', 'waiting', 'often', 'once-0']);
  expect(told.get('often')).toEqual({ completed: 500, failed: 1 });
});

it('few job types are all told', () => {
  const counts = new Map([['a', { cancelled: 1 }]]);
  expect(busiest(counts)).toEqual(counts);
});
