import { describe, expect, test } from 'vitest';
import { assignmentText, Bodies, submissionText } from './bodies.ts';

describe('bodies of jobs accepted a moment ago', () => {
  test('a body is taken once', () => {
    const bodies = new Bodies(() => 0);
    expect(bodies.keep('/a', 'text')).toBe(true);
    expect(bodies.take('/a')).toBe('text');
    expect(bodies.take('/a')).toBeUndefined();
  });

  test('what is kept under a ref is not replaced', () => {
    const bodies = new Bodies(() => 0);
    bodies.keep('/a', 'first');
    expect(bodies.keep('/a', 'second')).toBe(false);
    expect(bodies.take('/a')).toBe('first');
  });

  test('their size is bounded, and taking one makes room', () => {
    const bodies = new Bodies(() => 0);
    const large = 'x'.repeat(20 * 1024 * 1024);
    expect(bodies.keep('/a', large)).toBe(true);
    expect(bodies.keep('/b', large)).toBe(false);
    bodies.take('/a');
    expect(bodies.keep('/b', large)).toBe(true);
  });

  test('one that nobody takes is forgotten', () => {
    let now = 0;
    const bodies = new Bodies(() => now);
    bodies.keep('/a', 'text');
    now = 100_000;
    bodies.keep('/b', 'text');
    expect(bodies.take('/a')).toBeUndefined();
    expect(bodies.take('/b')).toBe('text');
  });
});

describe('the text of a body', () => {
  const usual = '"job_type":"image","params":{"n":1}';
  const own = '"max_attempts":1,"run_timeout_ms":5,"metadata":null,"job_type":"image","params":{"n":1}';
  const traced = '"traceparent":"00-1-2-01",';
  const others = '"priority":5,"backoff_ms":10';
  const sent = { job_type: 'image', params: { n: 1 }, max_attempts: 3, run_timeout_ms: null, metadata: null };

  test.each([
    ['settings left as they are', usual, sent],
    ['settings of its own', own, { ...sent, max_attempts: 1, run_timeout_ms: 5 }],
    ['a trace', traced + usual, { ...sent, traceparent: '00-1-2-01' }],
    [
      'a trace and settings of its own',
      traced + own,
      { ...sent, traceparent: '00-1-2-01', max_attempts: 1, run_timeout_ms: 5 },
    ],
  ])('gives a worker each member once, and the submission the others too: %s', (_what, body, members) => {
    for (const whole of [body, `${body}\n${others}`]) {
      const text = assignmentText(whole);
      expect(JSON.parse(`{${text}}`)).toEqual(members);
      expect(text.split('"max_attempts"')).toHaveLength(2);
    }
    expect(JSON.parse(submissionText(`${body}\n${others}`))).toEqual({
      ...members,
      priority: 5,
      backoff_ms: 10,
    });
  });
});
