import { expect, it } from 'vitest';
import { ShortLived } from './short_lived.ts';

it('is a map: values by key, in the order in which they came', () => {
  const map = new ShortLived<number>();
  map.set('a', 1);
  map.set('b', 2);
  map.set('a', 3);
  expect([map.get('a'), map.get('b'), map.get('c')]).toEqual([3, 2, undefined]);
  expect([...map.values()]).toEqual([3, 2]);
  map.delete('a');
  map.delete('c');
  expect([map.get('a'), map.size]).toEqual([undefined, 1]);
  map.clear();
  expect([map.get('b'), map.size, [...map.values()]]).toEqual([undefined, 0, []]);
});

it('may lose and gain values while they are read', () => {
  const map = new ShortLived<string>();
  for (const key of ['a', 'b', 'c']) map.set(key, key);
  const read: string[] = [];
  for (const value of map.values()) {
    read.push(value);
    map.delete(value);
    map.delete('b');
    if (value === 'a') map.set('d', 'd');
  }
  expect(read).toEqual(['a', 'c', 'd']);
  expect(map.size).toBe(0);
});
