import fc from 'fast-check';
import { expect, test } from 'vitest';
import { JsonText, readJson, writeJson } from './json_text.ts';

test.each([
  '{"seed":9223372036854775807,"f":7.0}',
  '[-0,1e2,1E400,0.10,12345678901234567890.5,[{"a":[7.00]}]]',
  '{"text":"7.0 \\" 8.0 \\\\","7.0":1,"n":2.50}',
  '7.0',
])('%s is read and written with the digits it has', text => {
  expect(writeJson(readJson(text))).toBe(text);
});

test('all other JSON is read and written as by JSON itself', () => {
  fc.assert(
    fc.property(fc.jsonValue(), value => {
      const text = JSON.stringify(value);
      expect(JSON.parse(writeJson(readJson(text)))).toEqual(JSON.parse(text));
    }),
  );
});

test('what a person wrote goes into the frame as it is', () => {
  const written = '{ "b": 1.0,\n "2": "\\u00e9 \\" \\\\", "1": [] }';
  const frame = { type: 'submit_job', params: new JsonText(written), priority: 3 };
  expect(writeJson(frame)).toBe(`{"type":"submit_job","params":${written},"priority":3}`);
});

test.each(['{7.0: 1}', '01.0', '[1.0', '{"a":7.0}}', ''])('%s is no JSON here either', text => {
  expect(() => readJson(text)).toThrow(SyntaxError);
});
