import { setImmediate as nextTurn } from 'node:timers/promises';
import { afterEach, expect, test, vi } from 'vitest';
import { armKillPoint, killPoint } from './kill_points.ts';

afterEach(() => armKillPoint(undefined, () => undefined));

test('nothing dies unless it is armed', () => {
  const die = vi.fn();
  armKillPoint('', die);
  killPoint('submit', 'before');
  expect(die).not.toHaveBeenCalled();
});

test('the process dies at the moment named of the script named, the n-th time', () => {
  const die = vi.fn();
  armKillPoint('claim:replied:2', die);
  killPoint('claim', 'before');
  killPoint('finish', 'replied');
  killPoint('claim', 'replied');
  expect(die).not.toHaveBeenCalled();
  killPoint('claim', 'replied');
  expect(die).toHaveBeenCalledOnce();
});

test.each([
  ['submit', 'submit_claim'],
  ['claim', 'submit_claim'],
  ['submit_claim', 'submit_claim'],
  ['finish', 'finish_claim'],
  ['claim', 'finish_claim'],
])('a script that does the work of two is a point of both: %s in %s', (armed, script) => {
  const die = vi.fn();
  armKillPoint(`${armed}:before`, die);
  killPoint(script, 'before');
  expect(die).toHaveBeenCalledOnce();
});

test('what was written in the turn leaves before it dies', async () => {
  const die = vi.fn();
  for (const moment of ['sent', 'told']) {
    armKillPoint(`finish:${moment}`, die);
    killPoint('finish', moment as 'sent');
    expect(die).not.toHaveBeenCalled();
    await nextTurn();
    expect(die).toHaveBeenCalledOnce();
    die.mockClear();
  }
});

test('a text that is no kill point is refused', () => {
  for (const text of [
    'submit',
    'submit:after',
    ':before',
    'submit:before:0',
    'submit:before:x',
    'a:sent:1:2',
  ])
    expect(() => armKillPoint(text, () => undefined)).toThrow('GPUHUB_KILL_POINT');
});
