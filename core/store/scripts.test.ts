import { expect, test } from 'vitest';
import { readConfig } from '../config.ts';
import { loadScripts } from './scripts.ts';

const scripts = [...loadScripts(readConfig({})).values()];
const functionsOf = (text: string) =>
  Array.from(text.matchAll(/^local function (\w+)/gm), ([, name]) => name as string);

test.each(scripts.map(script => [script.name, script.text]))(
  '%s has no function it does not use',
  (_name, text) => {
    const unused = functionsOf(text).filter(
      name => (text.match(new RegExp(`\\b${name}\\b`, 'g'))?.length ?? 0) < 2,
    );
    expect(unused).toEqual([]);
  },
);

test('what a function needs stays, through others', () => {
  const claim = functionsOf(loadScripts(readConfig({})).get('claim')?.text ?? '');
  expect(claim).toEqual(
    expect.arrayContaining(['take_heads', 'read_top', 'parse', 'read_fields', 'write_fields']),
  );
  expect(claim).not.toContain('add_watch');
});
