import fc from 'fast-check';
import { expect, test } from 'vitest';
import { ObjectText } from './object_text.ts';

/** JSON as other programs may write it: spaces and line breaks anywhere between tokens. */
function written(value: unknown, spaces: () => string): string {
  const list = (items: string[]) => items.join(`${spaces()},${spaces()}`);
  if (Array.isArray(value))
    return `[${spaces()}${list(value.map(item => written(item, spaces)))}${spaces()}]`;
  if (typeof value === 'object' && value !== null) {
    const members = Object.entries(value).map(
      ([key, item]) => `${JSON.stringify(key)}${spaces()}:${spaces()}${written(item, spaces)}`,
    );
    return `{${spaces()}${list(members)}${spaces()}}`;
  }
  return JSON.stringify(value);
}

const SPACES = ['', '', ' ', '\n', '\r\n\t', '   '];

test('each member has the text it had, whatever stands around it', () => {
  fc.assert(
    fc.property(
      fc.dictionary(fc.string(), fc.jsonValue()),
      fc.array(fc.nat(), { minLength: 1 }),
      (object, picks) => {
        let pick = 0;
        const spaces = () => SPACES[(picks[pick++ % picks.length] as number) % SPACES.length] as string;
        const text = `${spaces()}${written(object, spaces)}${spaces()}`;
        const parsed = JSON.parse(text) as Record<string, unknown>;
        const members = new ObjectText(text);
        for (const [name, value] of Object.entries(parsed)) {
          const member = members.member(name) as string;
          expect(JSON.parse(member)).toEqual(value);
          expect(member).not.toMatch(/[\n\r]/);
        }
        expect(members.member('there is no such name')).toBeUndefined();
      },
    ),
    { numRuns: 500 },
  );
});

test('the objects of a list are taken apart the same way', () => {
  fc.assert(
    fc.property(fc.array(fc.dictionary(fc.string(), fc.jsonValue())), jobs => {
      const texts = new ObjectText(JSON.stringify({ before: [], jobs }, undefined, 1)).objects('jobs');
      expect(texts).toHaveLength(jobs.length);
      jobs.forEach((job, i) => {
        for (const [name, value] of Object.entries(job))
          expect(JSON.parse((texts[i] as ObjectText).member(name) as string)).toEqual(
            JSON.parse(JSON.stringify(value)),
          );
      });
    }),
  );
});

test.each([
  ['a number beyond the doubles', '12345678901234567890'],
  ['a fraction that is whole', '{"scale": 7.0, "tiny": -0.0, "large": 1E400}'],
  ['quotes and backslashes', '["\\"", "\\\\", "\\\\\\"", "}", "]", ","]'],
  ['nothing', '{}'],
])('%s stays as it was written', (_, value) => {
  expect(new ObjectText(`{"a":1,"params":${value},"z":2}`).member('params')).toBe(value);
});

test('of two members of a name the last counts, and a name may be escaped', () => {
  const text = '{"params":{"n":1},"p\\u0061rams":{"n":2},"x":0}';
  expect(new ObjectText(text).member('params')).toBe('{"n":2}');
  expect(JSON.parse(text)['params']).toEqual({ n: 2 });
});

test('what is nested too deeply is refused by name', () => {
  const nested = (levels: number) => `{"params":${'['.repeat(levels)}${']'.repeat(levels)}}`;
  expect(new ObjectText(nested(1000)).member('params')).toHaveLength(2000);
  expect(() => new ObjectText(nested(1001)).member('params')).toThrow(
    expect.objectContaining({
      code: 'invalid_message',
      details: [expect.objectContaining({ path: 'params' })],
    }),
  );
});

test('of a list only the object that is nested too deeply is refused', () => {
  const deep = `{"params":${'['.repeat(2000)}${']'.repeat(2000)}}`;
  const [first, second] = new ObjectText(`{"jobs":[${deep},{"params":{"n":1}}]}`).objects('jobs');
  expect(() => first?.member('params')).toThrow(expect.objectContaining({ code: 'invalid_message' }));
  expect(second?.member('params')).toBe('{"n":1}');
});
