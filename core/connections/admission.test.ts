import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { Admission } from './admission.ts';

beforeEach(() => void vi.useFakeTimers({ toFake: ['performance', 'setInterval', 'clearInterval'] }));
afterEach(() => void vi.useRealTimers());

/** Peers that knock, and who of them is in. */
function knocking(admission: Admission) {
  const inside: number[] = [];
  let next = 0;
  const knock = (count: number) =>
    Array.from({ length: count }, () => {
      const id = next++;
      return admission.enter(() => void inside.push(id));
    });
  return { inside, knock };
}

it('lets a second’s worth in at once and the others at the rate, in their order', () => {
  const { inside, knock } = knocking(new Admission(100));
  expect(knock(300).every(answer => answer === null)).toBe(true);
  expect(inside).toHaveLength(100);
  vi.advanceTimersByTime(1000);
  expect(inside).toHaveLength(200);
  vi.advanceTimersByTime(1000);
  expect(inside).toEqual(Array.from({ length: 300 }, (_, i) => i));
  expect(vi.getTimerCount()).toBe(0);
});

it('sends those away who would wait for more than four seconds, and says for how long', () => {
  const admission = new Admission(10);
  const { inside, knock } = knocking(admission);
  const answers = knock(60);
  expect(inside).toHaveLength(10);
  expect(admission.waiting).toBe(40);
  expect(answers.slice(50)).toEqual(Array.from({ length: 10 }, () => 4100));
  vi.advanceTimersByTime(4000);
  expect(inside).toHaveLength(50);
});

it('nobody overtakes those who wait, and who comes late finds the door open again', () => {
  const { inside, knock } = knocking(new Admission(10));
  knock(15);
  vi.advanceTimersByTime(300);
  knock(1);
  expect(inside).toHaveLength(13);
  vi.advanceTimersByTime(300);
  expect(inside.at(-1)).toBe(15);
  vi.advanceTimersByTime(5000);
  knock(10);
  expect(inside).toHaveLength(26);
});

it('when it closes everybody who waits is let go on at once', () => {
  const admission = new Admission(1);
  const { inside, knock } = knocking(admission);
  knock(4);
  admission.close();
  expect(inside).toEqual([0, 1, 2, 3]);
  expect(vi.getTimerCount()).toBe(0);
});
