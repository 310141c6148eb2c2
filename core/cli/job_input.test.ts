import { describe, expect, it } from 'vitest';
import { UsageError } from './context.ts';
import { readEntries } from './job_input.ts';

/** What is read from an input that comes in these pieces. */
async function read(...pieces: string[]) {
  const groups = [];
  for await (const group of readEntries(inPieces(pieces))) groups.push(group);
  return groups;
}

async function* inPieces(pieces: string[]) {
  yield* pieces;
}

const line = (number: number, fields: object) => ({ unit: 'line', number, fields });
const item = (number: number, fields: object) => ({ unit: 'item', number, fields });

describe('NDJSON', () => {
  it('is read line by line as it comes, whatever the pieces', async () => {
    expect(await read('{"a":1}\n{"a"', ':2}\n', '{"a":3}\n\n{"a":4}')).toEqual([
      [line(1, { a: 1 })],
      [line(2, { a: 2 })],
      [line(3, { a: 3 })],
      [line(5, { a: 4 })],
    ]);
  });

  it('may have line ends of Windows, a byte order mark and blank lines, which are counted', async () => {
    expect(await read('\ufeff{"a":1}\r\n\r\n{"a":2}\r\n')).toEqual([[line(1, { a: 1 }), line(3, { a: 2 })]]);
  });

  it('has a fault for each bad line, and goes on', async () => {
    const [[broken, number, array, good] = []] = await read('{"a":\n7\n[1]\n{"a":1}\n');
    expect(broken).toMatchObject({ number: 1, fault: expect.stringContaining('it is not JSON: ') });
    expect([number, array]).toMatchObject([
      { number: 2, fault: 'it is not a JSON object' },
      { number: 3, fault: 'it is not a JSON object' },
    ]);
    expect(good).toEqual(line(4, { a: 1 }));
  });

  it('may hold nothing', async () => {
    expect(await read('')).toEqual([]);
    expect(await read('\n \n')).toEqual([]);
    expect(await read()).toEqual([]);
  });
});

describe('a JSON document', () => {
  it('may be an array, over many lines or in one', async () => {
    const items = [item(1, { a: 1 }), { unit: 'item', number: 2, fault: 'it is not a JSON object' }];
    expect(await read('[\n{"a":1', '},\n7]\n')).toEqual([items]);
    expect(await read('[{"a":1},7]')).toEqual([items]);
  });

  it('may be one object over many lines', async () => {
    expect(await read('{\n', '  "a": 1\n}\n')).toEqual([[item(1, { a: 1 })]]);
  });

  it('is handed on a thousand at a time', async () => {
    const groups = await read(JSON.stringify(Array.from({ length: 2001 }, () => ({}))));
    expect(groups.map(group => group.length)).toEqual([1000, 1000, 1]);
  });

  it('is bad usage when it is broken', async () => {
    await expect(read('[\n{]')).rejects.toThrow(UsageError);
  });
});
