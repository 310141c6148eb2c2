import { describe, expect, it } from 'vitest';
import type { z } from 'zod';
import {
  Duration,
  GPUS_MAX,
  JobError,
  JobTypes,
  Labels,
  LeaseId,
  Metadata,
  Priority,
  Progress,
  RequiredJson,
  Requirements,
  Time,
  WorkerId,
} from './fields.ts';

const takes = (schema: z.ZodType, value: unknown) => schema.safeParse(value).success;
const many = (n: number) => Object.fromEntries(Array.from({ length: n }, (_, i) => [`k${i}`, 'v']));

describe('fields', () => {
  it.each([
    [
      'a worker id',
      WorkerId,
      ['machine1:gpu0', 'a.b-c_d:gpu63'],
      ['machine1', 'machine1:gpu', 'a:b:gpu0', ':gpu0'],
    ],
    [
      'a lease id is opaque',
      LeaseId,
      ['', '1-x', 'anything at all \n', 'x'.repeat(128)],
      ['x'.repeat(129), 1],
    ],
    ['a priority', Priority, [-100, 0, 100], [-101, 101, 0.5, '1']],
    ['a progress', Progress, [0, 0.5, 1], [-0.01, 1.01, '0.5', null]],
    ['a time', Time, [0, 8.64e15], [-1, 8.64e15 + 1, 1.5]],
    ['a duration', Duration, [1, 86_400_000], [0, -1, 1e15]],
    ['job types', JobTypes, [['*'], ['a', 'b.c']], [[], ['**'], 'a', ['a b']]],
    ['labels', Labels, [{}, many(64), { region: '' }], [many(65), { '': 'x' }, { a: 1 }, ['a']]],
    [
      'metadata',
      Metadata,
      [{}, many(32)],
      [many(33), { a: { b: 'c' } }, { '': 'x' }, { a: 'x'.repeat(4097) }],
    ],
    ['required JSON', RequiredJson, [null, false, 0, '', [], {}], [undefined]],
  ])('%s', (_, schema, good, bad) => {
    for (const value of good) expect(takes(schema, value), JSON.stringify(value)).toBe(true);
    for (const value of bad) expect(takes(schema, value), JSON.stringify(value)).toBe(false);
  });

  it('requirements: each by itself, and labels with a value or any of a list', () => {
    for (const good of [
      {},
      { min_vram_mb: 0 },
      { gpu_model: ['H100', 'A100'] },
      { models: [] },
      { labels: { region: ['eu', 'us'], tier: 'spot' } },
      { gpus: 1, prefer_model: 'm' },
    ]) {
      expect(takes(Requirements, good), JSON.stringify(good)).toBe(true);
    }
    for (const bad of [
      { gpu_model: [] },
      { gpu_model: 'H100' },
      { gpus: 0 },
      { labels: { a: [] } },
      [],
      null,
    ]) {
      expect(takes(Requirements, bad), JSON.stringify(bad)).toBe(false);
    }
  });

  it('an error is retryable unless it says otherwise', () => {
    expect(JobError.parse({ code: 'oom', message: '' })).toEqual({
      code: 'oom',
      message: '',
      retryable: true,
    });
  });

  it('a machine has at most 64 GPUs', () => {
    expect(GPUS_MAX).toBe(64);
  });
});
