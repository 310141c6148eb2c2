import { setImmediate as nextTurn } from 'node:timers/promises';

/**
 * Does something with each of many, and lets everybody else have a turn after each `size` of them: what comes and goes
 * meanwhile is seen or is not, as Map and Set iterate.
 */
export async function inSlices<T>(all: Iterable<T>, size: number, act: (one: T) => void): Promise<void> {
  let done = 0;
  for (const one of all) {
    act(one);
    if (++done % size === 0) await nextTurn();
  }
}
