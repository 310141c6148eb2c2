import { expect, test } from 'vitest';
import type { Plot } from './scenario.ts';
import { drawPlot, linearScale, logScale, shortNumber } from './svg.ts';

const point = (x: number | string, median: number, min = median, max = median) => ({ x, median, min, max });

const BARS: Plot = {
  file: 'bars',
  title: 'Jobs <b> & "more"',
  x: '',
  y: 'jobs/s',
  series: [
    { name: 'one', points: [point('idle', 100, 50, 200), point('busy', 50)] },
    { name: 'two', points: [point('idle', 25), point('busy', Number.NaN)] },
  ],
};

const LINES: Plot = {
  file: 'lines',
  title: 'Depth',
  x: 'jobs waiting',
  y: 'µs',
  log_x: true,
  series: [{ name: 'claim', points: [point(1, 5, 4, 6), point(100, 6), point(10_000, 7)] }],
};

/** The names of all elements; throws where one is not closed in its turn. */
function elementsOf(svg: string): string[] {
  const open: string[] = [];
  const names: string[] = [];
  for (const [, closing, name, , empty] of svg.matchAll(
    /<(\/?)([a-z]+)((?:\s+[a-zA-Z0-9:-]+="[^"<]*")*)\s*(\/?)>/g,
  )) {
    if (closing === '/') {
      if (open.pop() !== name) throw new Error(`</${name}> closes another element`);
      continue;
    }
    names.push(name as string);
    if (empty !== '/') open.push(name as string);
  }
  if (open.length > 0) throw new Error(`<${open.at(-1)}> is not closed`);
  // Whatever the pattern did not take for an element must have been escaped.
  if ((svg.match(/</g) ?? []).length !== (svg.match(/<\/?[a-z]+[\s>/]/g) ?? []).length)
    throw new Error('a stray <');
  return names;
}

const count = (svg: string, name: string) => elementsOf(svg).filter(element => element === name).length;
const heightsOf = (svg: string) =>
  [...svg.matchAll(/<rect [^>]*height="([\d.]+)" fill="(#\w+)"/g)].map(match => Number(match[1]));

test('a plot is one whole SVG document, whatever characters its names have', () => {
  for (const plot of [BARS, LINES]) {
    const svg = drawPlot(plot);
    expect(elementsOf(svg)[0]).toBe('svg');
    expect(svg).toMatch(/<\/svg>\n$/);
  }
  expect(drawPlot(BARS)).toContain('Jobs &lt;b&gt; &amp; &quot;more&quot;');
});

test('bars are as high as their medians, and one that was not measured is left out', () => {
  // Two entries of the legend, then a bar each.
  const svg = drawPlot(BARS);
  const [idle, busy, other] = heightsOf(svg).filter(height => height !== 10);
  expect(heightsOf(svg)).toHaveLength(5);
  expect((busy as number) / (idle as number)).toBeCloseTo(0.5, 2);
  expect((other as number) / (idle as number)).toBeCloseTo(0.25, 2);
});

test('a whisker goes from the lowest to the highest run, where they differ', () => {
  expect(drawPlot(BARS).match(/class="whisker"/g)).toHaveLength(3);
});

test('lines go through all points, at equal distances for equal factors on a logarithmic axis', () => {
  const svg = drawPlot(LINES);
  const xs = [...svg.matchAll(/<circle cx="([\d.]+)"/g)].map(match => Number(match[1]));
  expect(count(svg, 'polyline')).toBe(1);
  expect(xs).toHaveLength(3);
  expect((xs[1] as number) - (xs[0] as number)).toBeCloseTo((xs[2] as number) - (xs[1] as number), 0);
});

test('a plot follows the light or dark setting of its reader', () => {
  expect(drawPlot(LINES)).toContain('@media (prefers-color-scheme: dark)');
});

test('a plot of nothing is still a document', () => {
  expect(elementsOf(drawPlot({ ...BARS, series: [] }))[0]).toBe('svg');
  expect(elementsOf(drawPlot({ ...LINES, log_y: true, series: [] }))[0]).toBe('svg');
});

test('a linear axis begins at 0 and ends at a round number above all values', () => {
  expect(linearScale([3, 9_400]).ticks).toEqual([0, 2000, 4000, 6000, 8000, 10_000]);
  expect(linearScale([0.31]).ticks).toEqual([0, 0.1, 0.2, 0.3, 0.4]);
  expect(linearScale([10_000]).at(5000)).toBe(0.5);
});

test('a logarithmic axis has the powers of ten around its values, and a place for 0', () => {
  expect(logScale([3, 900]).ticks).toEqual([1, 10, 100, 1000]);
  expect(logScale([1, 1000]).ticks).toEqual([1, 10, 100, 1000]);
  expect(logScale([0, 20_000, 1_000_000]).ticks).toEqual([0, 10_000, 100_000, 1_000_000]);
  expect(logScale([0, 20_000]).at(0)).toBe(0);
});

test('numbers on axes are short', () => {
  expect([0, 0.25, 12, 1500, 20_000, 1_500_000].map(shortNumber)).toEqual([
    '0',
    '0.25',
    '12',
    '1.5k',
    '20k',
    '1.5M',
  ]);
});
