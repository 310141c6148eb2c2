import { setTimeout as sleep } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { KeyReader } from './keys.ts';

function reader() {
  const keys: string[] = [];
  return { keys, reader: new KeyReader(key => keys.push(key)) };
}

it('tells characters, and what a terminal sends for keys, by their names', () => {
  const { keys, reader: read } = reader();
  read.read('ab/');
  read.read('\u001b[A\u001b[B\u001bOA\u001b[5~\u001b[6~\u001b[H\u001b[4~\u001b[Z\t\r\u007f\u0003é🙂');
  expect(keys.slice(0, 3)).toEqual(['a', 'b', '/']);
  expect(keys.slice(3)).toEqual([
    ...['up', 'down', 'up', 'pageup', 'pagedown', 'home', 'end', 'backtab', 'tab', 'enter', 'backspace'],
    ...['ctrl-c', 'é', '🙂'],
  ]);
});

it('puts a sequence together that comes in pieces', () => {
  const { keys, reader: read } = reader();
  for (const piece of ['x\u001b', '[', '5', '~y']) read.read(piece);
  expect(keys).toEqual(['x', 'pageup', 'y']);
});

it('an Escape that nothing follows is the key', async () => {
  const { keys, reader: read } = reader();
  read.read('\u001b');
  expect(keys).toEqual([]);
  while (keys.length === 0) await sleep(5);
  expect(keys).toEqual(['escape']);
});

it('sequences and controls that nobody knows are no keys', () => {
  const { keys, reader: read } = reader();
  read.read('\u001b[200~\u001b[1;5A\u0001a');
  expect(keys).toEqual(['a']);
});
