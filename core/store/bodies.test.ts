import { describe, expect, test } from 'vitest';
import { Bodies } from './bodies.ts';

describe('bodies of jobs accepted a moment ago', () => {
  test('a body is taken once', () => {
    const bodies = new Bodies(() => 0);
    expect(bodies.keep('default/a', 'text')).toBe(true);
    expect(bodies.take('default/a')).toBe('text');
    expect(bodies.take('default/a')).toBeUndefined();
  });

  test('what is kept under a ref is not replaced', () => {
    const bodies = new Bodies(() => 0);
    bodies.keep('default/a', 'first');
    expect(bodies.keep('default/a', 'second')).toBe(false);
    expect(bodies.take('default/a')).toBe('first');
  });

  test('their size is bounded, and taking one makes room', () => {
    const bodies = new Bodies(() => 0);
    const large = 'x'.repeat(20 * 1024 * 1024);
    expect(bodies.keep('default/a', large)).toBe(true);
    expect(bodies.keep('default/b', large)).toBe(false);
    bodies.take('default/a');
    expect(bodies.keep('default/b', large)).toBe(true);
  });

  test('one that nobody takes is forgotten', () => {
    let now = 0;
    const bodies = new Bodies(() => now);
    bodies.keep('default/a', 'text');
    now = 100_000;
    bodies.keep('default/b', 'text');
    expect(bodies.take('default/a')).toBeUndefined();
    expect(bodies.take('default/b')).toBe('text');
  });
});
