import { describe, expect, it } from 'vitest';
import { Submission } from '../messages/job.ts';
import { ObjectText } from '../messages/object_text.ts';
import { canonicalRequirements, contentOf, sameContent } from './content.ts';

const content = (job: object) => contentOf(Submission.parse({ job_type: 'image', params: {}, ...job }));
const fingerprintOf = (job: object) => content(job).constants[1];

describe('content', () => {
  it.each([
    ['the order of keys', { params: { a: 1, b: { c: 1, d: 2 } } }, { params: { b: { d: 2, c: 1 }, a: 1 } }],
    ['defaults that are said', {}, { priority: 0, max_attempts: 3, backoff_ms: 1000 }],
    ['watch and job_id', {}, { watch: 'all', job_id: 'x' }],
    ['unknown fields', {}, { colour: 'red' }],
  ])('is the same whatever %s', (_what, one, other) => {
    expect(sameContent(content(one).body, content(other).body)).toBe(true);
    expect(fingerprintOf(one)).toBe(fingerprintOf(other));
  });

  it.each([
    ['params', { params: { a: [1] } }, { params: { a: [1, 1] } }],
    ['priority', { priority: 1 }, { priority: 2 }],
    ['requirements', { requirements: { min_vram_mb: 1 } }, { requirements: { min_vram_mb: 2 } }],
    ['max_attempts', { max_attempts: 1 }, { max_attempts: 2 }],
    ['timeouts', { run_timeout_ms: 1 }, { run_timeout_ms: 2 }],
    ['metadata', { metadata: { a: '1' } }, { metadata: { a: '2' } }],
    ['a delay', { delay_ms: 1 }, { delay_ms: 2 }],
  ])('differs by %s', (_what, one, other) => {
    expect(sameContent(content(one).body, content(other).body)).toBe(false);
    expect(fingerprintOf(one)).not.toBe(fingerprintOf(other));
  });

  it('is the same however its text is written', () => {
    const text = (params: string) => {
      const body = `{"job_type":"image","params":${params}}`;
      return contentOf(Submission.parse(JSON.parse(body)), {}, new ObjectText(body)).constants[1];
    };
    expect(text('{ "b": [1.0, 2], "a": "x" }')).toBe(text('{"a":"x","b":[1,2]}'));
    expect(text('{"a":"x","b":[1,2]}')).not.toBe(text('{"a":"x","b":[2,1]}'));
  });

  it('keeps a key called __proto__', () => {
    expect(content({ params: JSON.parse('{"z":1,"__proto__":{"x":1}}') }).body).toContain(
      '"params":{"z":1,"__proto__":{"x":1}}',
    );
  });
});

describe('signatures', () => {
  it('are the same for equal needs', () => {
    const one = canonicalRequirements({
      gpu_model: ['b', 'a', 'a'],
      labels: { z: ['2', '1'], a: 'x' },
      models: [],
    });
    const other = canonicalRequirements({ labels: { a: ['x'], z: ['1', '2'] }, gpu_model: ['a', 'b'] });
    expect(one).toBe(other);
    expect(canonicalRequirements({ gpus: 1, min_vram_mb: 0 })).toBe('{}');
  });

  it('differ by job type and by need', () => {
    const all = [content({}), content({ job_type: 'video' }), content({ requirements: { models: ['m'] } })];
    expect(new Set(all.map(one => one.signature)).size).toBe(3);
  });
});
