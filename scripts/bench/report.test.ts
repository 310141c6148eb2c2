import { expect, test } from 'vitest';
import { drawRatios, report, verdictOn } from './report.ts';
import type { Ratio } from './scenario.ts';

const faster = (value: number): Ratio => ({
  what: 'jobs/s',
  value,
  target: { is: '>=', least: 1.3, aim: 1.6 },
});
const cheaper = (value: number): Ratio => ({
  what: 'CPU',
  value,
  target: { is: '<=', least: 0.75, aim: 0.6 },
});

test('a ratio is held against what it must be at least, then against what it should be', () => {
  expect([1.7, 1.6, 1.44, 1.3, 1.04].map(value => verdictOn(faster(value)))).toEqual([
    'aim reached',
    'aim reached',
    'reached; aim missed by 10 %',
    'reached; aim missed by 19 %',
    'missed by 20 %',
  ]);
});

test('a ratio that must be small is missed by how much it is larger', () => {
  expect([0.5, 0.6, 0.66, 0.9].map(value => verdictOn(cheaper(value)))).toEqual([
    'aim reached',
    'aim reached',
    'reached; aim missed by 10 %',
    'missed by 20 %',
  ]);
});

test('a ratio may have an aim alone, or nothing to reach', () => {
  expect(verdictOn({ what: '', value: 1.5, target: { is: '<=', aim: 1 } })).toBe('aim missed by 50 %');
  expect(verdictOn({ what: '', value: 1.5 })).toBe('');
});

test('what was not measured is not called reached', () => {
  expect(verdictOn(faster(Number.NaN))).toBe('not measured');
  expect(verdictOn(cheaper(Number.NaN))).toBe('not measured');
});

test('the ratios are the last table', () => {
  const table = { title: 'flood', head: ['', 'jobs/s'], rows: [['gpuhub', '5,000']] };
  const text = report([{ tables: [table], plots: [], ratios: [faster(1)], raw: {} }]);
  expect(text.indexOf('5,000')).toBeGreaterThan(text.indexOf('flood'));
  expect(text.slice(text.indexOf('ratios within this run'))).toBe(drawRatios([faster(1)]));
  expect(drawRatios([faster(1)])).toMatch(/jobs\/s +│ +1\.00 │ +>= 1\.3 │ +>= 1\.6 │ missed by 23 %/);
});
