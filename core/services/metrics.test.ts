import { describe, expect, it } from 'vitest';
import { Histogram } from '../histogram.ts';
import { Exposition } from './exposition.ts';
import { OTHER, Tallies, TypeNames } from './tallies.ts';

describe('the text for Prometheus', () => {
  it('has help and type once, and a line for each sample', () => {
    const text = new Exposition()
      .gauge('a', 'A thing.', 1)
      .counter('b_total', 'Things.', [
        [{ type: 'x' }, 2],
        [{ type: 'y', state: 'z' }, 0.5],
      ])
      .text();
    expect(text).toBe(
      '# HELP a A thing.\n# TYPE a gauge\na 1\n# HELP b_total Things.\n# TYPE b_total counter\n' +
        'b_total{type="x"} 2\nb_total{type="y",state="z"} 0.5\n',
    );
  });

  it('escapes what would end a label', () => {
    const text = new Exposition().gauge('a', 'A.', [[{ worker: 'a"b\\c\nd' }, 1]]).text();
    expect(text).toContain('a{worker="a\\"b\\\\c\\nd"} 1\n');
  });

  it('writes a histogram in seconds, each bucket with those below it', () => {
    const histogram = new Histogram([100, 1000]);
    for (const ms of [1, 100, 101, 5000]) histogram.observe(ms);
    const lines = new Exposition()
      .histogram('h', 'H.', [[{ type: 'x' }, histogram]])
      .text()
      .split('\n');
    expect(lines.slice(2)).toEqual([
      'h_bucket{type="x",le="0.1"} 2',
      'h_bucket{type="x",le="1"} 3',
      'h_bucket{type="x",le="+Inf"} 4',
      'h_sum{type="x"} 5.202',
      'h_count{type="x"} 4',
      '',
    ]);
  });
});

describe('the names that are told apart', () => {
  it('are bounded, and the first that came keep theirs', () => {
    const names = new TypeNames();
    const given = Array.from({ length: 200 }, (_, i) => names.nameOf(`type${i}`));
    expect(new Set(given).size).toBe(51);
    expect(names.nameOf('type0')).toBe('type0');
    expect(names.nameOf('type199')).toBe(OTHER);
  });

  it('count a type called constructor like any other', () => {
    const tallies = new Tallies();
    tallies.of('constructor').started += 1;
    tallies.of(null).started += 1;
    expect([...tallies.types].map(([name, { started }]) => [name, started])).toEqual([
      ['constructor', 1],
      [OTHER, 1],
    ]);
  });
});
