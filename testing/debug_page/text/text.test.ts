import { describe, expect, test } from 'vitest';
import { counted, duration, roundDuration } from './format.ts';
import { imageIn } from './image_bytes.ts';
import { oneLine, visible } from './visible.ts';

describe('text of peers', () => {
  test('hidden, control and direction characters are shown by their codes', () => {
    expect(visible('a\u202Eb\u0000c\u200Bd\uFEFF')).toBe('a‹U+202E›b‹U+0000›c‹U+200B›d‹U+FEFF›');
  });

  test('ordinary text, also of other scripts, stays as it is', () => {
    for (const text of ['plain', 'naïve — ok', 'שלום', 'привет', '👩‍🚀'.replace('\u200d', '')])
      expect(visible(text)).toBe(text);
  });

  test('lines that stand in one are parted by a sign', () => {
    expect(oneLine('CUDA error\r\n\n  at step 3\n')).toBe('CUDA error ⏎ at step 3');
    expect(oneLine('a\tb')).toBe('a\tb');
  });
});

describe('images in results', () => {
  const PNG =
    'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==';

  test('are told by their first bytes', () => {
    expect(imageIn(PNG)?.type).toBe('image/png');
    expect(imageIn(`data:image/png;base64,${PNG}`)?.type).toBe('image/png');
  });

  test('a name alone makes no image', () => {
    const svg = btoa('<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"></svg>');
    expect(imageIn(`data:image/png;base64,${svg}`)).toBeUndefined();
    expect(imageIn(`data:image/svg+xml;base64,${svg}`)).toBeUndefined();
    expect(imageIn('just a sentence that is long enough to be looked at')).toBeUndefined();
  });
});

test('one of a kind is said in the singular', () => {
  expect([0, 1, 2, 1092].map(n => counted(n, 'machine'))).toEqual([
    '0 machines',
    '1 machine',
    '2 machines',
    '1,092 machines',
  ]);
});

test('durations have at most two units', () => {
  const cases = [
    [0, '0ms'],
    [400, '400ms'],
    [2100, '2.1s'],
    [41_000, '41s'],
    [842_000, '14m02s'],
    [11_520_000, '3h12m'],
    [180_000_000, '2d02h'],
  ] as const;
  for (const [ms, text] of cases) expect(duration(ms)).toBe(text);
  expect(duration(null)).toBe('—');
  expect([10, 1000, 60_000, 3_600_000].map(roundDuration)).toEqual(['10ms', '1s', '1m', '1h']);
});
