import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { canonicalJson, jsonText } from './json.ts';

/** The same value with the keys of every object in another order. */
function shuffled(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(shuffled);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .reverse()
      .map(([key, item]) => [key, shuffled(item)]),
  );
}

const nested = (levels: number, open: string, close: string) =>
  JSON.parse(open.repeat(levels) + (open === '[' ? '' : '1') + close.repeat(levels));

describe('canonical JSON', () => {
  it('is the same text whatever the order of keys, at any depth', () => {
    fc.assert(
      fc.property(fc.jsonValue(), value => {
        expect(canonicalJson(shuffled(value), 'params')).toBe(canonicalJson(value, 'params'));
      }),
    );
  });

  it('means the value it was made from', () => {
    fc.assert(
      fc.property(fc.json(), text => {
        const value = JSON.parse(text);
        expect(JSON.parse(canonicalJson(value, 'params'))).toEqual(JSON.parse(JSON.stringify(value)));
      }),
    );
  });

  it('keeps the order of lists', () => {
    expect(canonicalJson({ b: [3, 1, { d: 1, c: 2 }], a: null }, 'p')).toBe(
      '{"a":null,"b":[3,1,{"c":2,"d":1}]}',
    );
  });

  it('keeps "__proto__", "constructor" and numbers as ordinary keys', () => {
    const text = '{"b":1,"__proto__":{"z":1,"a":2},"constructor":{"prototype":1},"10":1,"9":2}';
    const canonical = canonicalJson(JSON.parse(text), 'p');
    expect(JSON.parse(canonical)).toEqual(JSON.parse(text));
    expect(canonical).toContain('"__proto__":{"a":2,"z":1}');
    expect(({} as Record<string, unknown>)['z']).toBeUndefined();
    expect(canonicalJson(shuffled(JSON.parse(text)), 'p')).toBe(canonical);
  });

  it('does not change the value it was given', () => {
    const value = { b: { d: 1, c: 2 }, a: 1 };
    canonicalJson(value, 'p');
    expect(JSON.stringify(value)).toBe('{"b":{"d":1,"c":2},"a":1}');
  });

  it.each([
    ['lists', '[', ']'],
    ['objects', '{"a":', '}'],
  ])(
    'takes %s as deep as anybody nests, and refuses what cannot be written again, naming the field',
    (_, open, close) => {
      const deep = nested(500, open, close);
      for (const write of [canonicalJson, jsonText]) {
        expect(write(deep, 'params')).toBe(JSON.stringify(deep));
        expect(() => write(nested(50_000, open, close), 'params')).toThrow(
          expect.objectContaining({
            code: 'invalid_message',
            details: [{ path: 'params', message: 'nested too deeply' }],
          }),
        );
      }
    },
  );
});
