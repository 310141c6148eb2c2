import { execFileSync } from 'node:child_process';
import { expect, test } from 'vitest';

/** In a process of its own, as this one's strings may have been made fast before. */
const PROGRAM = `
  import { makeStringsFast } from './dist/core/fast_strings.js';
  const isFast = () => %HasFastProperties(String.prototype);
  class Verbatim extends String {}
  new Verbatim('x');
  const before = isFast();
  makeStringsFast();
  console.log(before, isFast());
`;

test('strings are as fast as before although a class was made of them', () => {
  const args = ['--allow-natives-syntax', '--input-type=module', '--eval', PROGRAM];
  expect(execFileSync(process.execPath, args, { encoding: 'utf8' })).toBe('false true\n');
});
