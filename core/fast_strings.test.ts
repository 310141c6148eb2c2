import { setFlagsFromString } from 'node:v8';
import { runInThisContext } from 'node:vm';
import { expect, test } from 'vitest';
import { makeStringsFast } from './fast_strings.ts';

test('strings are as fast as before although a class was made of them', () => {
  setFlagsFromString('--allow-natives-syntax');
  const isFast = runInThisContext('() => %HasFastProperties(String.prototype)') as () => boolean;
  class Verbatim extends String {}
  expect(new Verbatim('x').length).toBe(1);
  expect(isFast()).toBe(false);
  makeStringsFast();
  expect(isFast()).toBe(true);
});
