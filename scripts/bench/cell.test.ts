import { expect, test } from 'vitest';
import { available, type Cell, takeTurns } from './cell.ts';
import { MissingServer } from './packages.ts';
import type { Bench } from './scenario.ts';

const cell = (name: string, needs?: Cell['needs']): Cell => ({
  name,
  system: name,
  file: name,
  durability: 'memory',
  backend: () => Promise.reject(new Error('not to be opened')),
  machines: 1,
  ...(needs && { needs }),
});

function benchThatListens(said: string[]): Bench {
  const nothing = () => Promise.reject(new Error('not to be started'));
  return {
    quick: true,
    reps: 1,
    jobs: undefined,
    aof: false,
    profile: undefined,
    only: undefined,
    say: text => void said.push(text),
    redis: nothing,
    shared: nothing,
  };
}

test('a cell whose server is not to be had is left out, with one line', async () => {
  const said: string[] = [];
  const missing = cell('nats', () => Promise.reject(new MissingServer('nats-server is not installed.')));
  const there = await available([cell('bullmq'), missing], benchThatListens(said));
  expect(there.map(({ name }) => name)).toEqual(['bullmq']);
  expect(said).toEqual(['left out: nats. nats-server is not installed.']);
});

test('a server that is there and does not start ends the run', async () => {
  const broken = cell('nats', () => Promise.reject(new Error('the port is taken')));
  await expect(available([broken], benchThatListens([]))).rejects.toThrow('the port is taken');
});

test('cells take turns, each repetition in another order', async () => {
  const cells = ['a', 'b', 'c'].map(name => cell(name));
  const runs = await takeTurns(cells, 4, async ({ name }, rep) => `${name}${rep}`);
  expect(runs.join(' ')).toBe('a0 b0 c0 b1 c1 a1 c2 a2 b2 a3 b3 c3');
});
