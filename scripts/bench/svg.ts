// Plots as SVG, by hand: bars with whiskers and lines on linear or logarithmic axes are some 150 lines, less than the
// set-up of any library that draws without a browser. Light and dark by the reader's own setting.

import type { Plot } from './scenario.ts';

type Point = Plot['series'][number]['points'][number];

const WIDTH = 860;
const HEIGHT = 440;
const MARGIN = { top: 48, right: 24, bottom: 120, left: 76 };
const INNER = { width: WIDTH - MARGIN.left - MARGIN.right, height: HEIGHT - MARGIN.top - MARGIN.bottom };
const BOTTOM = MARGIN.top + INNER.height;
/** The share of a group's width that its bars take. */
const GROUP_FILL = 0.76;
const TICKS = 6;
const LEGEND_ENTRY_PX = 130;
const LEGEND_LINE_PX = 16;
/** Characters of a name under its bar before names are written aslant. */
const LABEL_PX_PER_CHAR = 6.5;

/** Told apart also by most people who see fewer colours (Okabe and Ito), on white and on near-black. */
const COLOURS = [
  '#0072b2',
  '#e69f00',
  '#009e73',
  '#cc79a7',
  '#d55e00',
  '#56b4e9',
  '#8c8c8c',
  '#b3a000',
  '#7f5fc0',
  '#a0522d',
];

const STYLE = `
  svg { background: #fff; --ink: #222; --faint: #ddd; font: 12px system-ui, sans-serif; }
  @media (prefers-color-scheme: dark) { svg { background: #16181c; --ink: #ddd; --faint: #3a3d44; } }
  text { fill: var(--ink); }
  .title { font-size: 15px; font-weight: 600; }
  .grid { stroke: var(--faint); }
  .axis, .whisker { stroke: var(--ink); }
  .line { fill: none; stroke-width: 2; }`;

const escape = (text: string) =>
  text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');

const colourOf = (series: number) => COLOURS[series % COLOURS.length] as string;

const px = (value: number) => value.toFixed(1);

/** `20k`, `1.5M`, `0.25`: at most three digits. */
export function shortNumber(value: number): string {
  for (const [size, unit] of [
    [1e6, 'M'],
    [1e3, 'k'],
  ] as const) {
    if (Math.abs(value) >= size) return `${Number((value / size).toPrecision(3))}${unit}`;
  }
  return String(Number(value.toPrecision(3)));
}

/** From a value to its place, and where lines with numbers go. */
interface Scale {
  /** 0 at the lower end of the axis, 1 at the upper. */
  at(value: number): number;
  ticks: number[];
}

/** 1, 2 or 5 times a power of ten. */
function roundStep(rough: number): number {
  const power = 10 ** Math.floor(Math.log10(rough));
  return ([1, 2, 5].find(step => step * power >= rough) ?? 10) * power;
}

/** From 0 to a round number that the highest value does not exceed. */
export function linearScale(values: readonly number[]): Scale {
  const highest = Math.max(0, ...values) || 1;
  const step = roundStep(highest / TICKS);
  const steps = Math.ceil(highest / step - 1e-9);
  return {
    at: value => value / (steps * step),
    ticks: Array.from({ length: steps + 1 }, (_, i) => Number((i * step).toPrecision(12))),
  };
}

/** Whole powers of ten around all values above 0; for a value of 0 the lowest of them stands for 0. */
export function logScale(values: readonly number[]): Scale {
  const positive = values.filter(value => value > 0);
  if (positive.length === 0) return linearScale(values);
  const hasZero = positive.length < values.length;
  const lowest = Math.floor(Math.log10(Math.min(...positive)) + 1e-9);
  const highest = Math.ceil(Math.log10(Math.max(...positive)) - 1e-9);
  const low = hasZero ? lowest - 1 : lowest;
  const high = Math.max(low + 1, highest);
  return {
    at: value => (value > 0 ? (Math.log10(value) - low) / (high - low) : 0),
    ticks: Array.from({ length: high - low + 1 }, (_, i) =>
      hasZero && i === 0 ? 0 : Number((10 ** (low + i)).toPrecision(12)),
    ),
  };
}

const isDrawable = ({ median, min, max }: Point) => [median, min, max].every(Number.isFinite);

function text(x: number, y: number, content: string, attributes = ''): string {
  return `<text x="${px(x)}" y="${px(y)}" ${attributes}>${escape(content)}</text>`;
}

function line(x1: number, y1: number, x2: number, y2: number, css: string): string {
  return `<line class="${css}" x1="${px(x1)}" y1="${px(y1)}" x2="${px(x2)}" y2="${px(y2)}"/>`;
}

function whisker(x: number, low: number, high: number): string {
  const end = 3;
  return [
    line(x, low, x, high, 'whisker'),
    line(x - end, low, x + end, low, 'whisker'),
    line(x - end, high, x + end, high, 'whisker'),
  ].join('');
}

const yPlace = (scale: Scale) => (value: number) => BOTTOM - scale.at(value) * INNER.height;

function yAxis(scale: Scale, name: string): string {
  const y = yPlace(scale);
  const ticks = scale.ticks.flatMap(tick => [
    line(MARGIN.left, y(tick), WIDTH - MARGIN.right, y(tick), 'grid'),
    text(MARGIN.left - 8, y(tick) + 4, shortNumber(tick), 'text-anchor="end"'),
  ]);
  const middle = MARGIN.top + INNER.height / 2;
  return `${ticks.join('')}${text(18, middle, name, `text-anchor="middle" transform="rotate(-90 18 ${px(middle)})"`)}`;
}

/** A group for each name, a bar for each series in it. */
function bars({ series }: Plot, scale: Scale): string {
  const names = [...new Set(series.flatMap(({ points }) => points.map(({ x }) => String(x))))];
  const group = INNER.width / Math.max(names.length, 1);
  const width = (group * GROUP_FILL) / Math.max(series.length, 1);
  const y = yPlace(scale);
  const left = (name: string) => MARGIN.left + group * (names.indexOf(name) + (1 - GROUP_FILL) / 2);
  const drawn = series.flatMap(({ name, points }, i) =>
    points.filter(isDrawable).map(({ x, median, min, max }) => {
      const from = left(String(x)) + i * width;
      const height = Math.max(BOTTOM - y(median), 0);
      const title = `${name}, ${x}: ${shortNumber(median)} (${shortNumber(min)}–${shortNumber(max)})`;
      const bar = `<rect x="${px(from)}" y="${px(BOTTOM - height)}" width="${px(width * 0.92)}" height="${px(height)}" fill="${colourOf(i)}"/>`;
      const spread = min === max ? '' : whisker(from + width * 0.46, y(min), y(max));
      return `<g><title>${escape(title)}</title>${bar}${spread}</g>`;
    }),
  );
  const aslant = names.some(name => name.length * LABEL_PX_PER_CHAR > group);
  const labels = names.map(name => {
    const [x, below] = [left(name) + (group * GROUP_FILL) / 2, BOTTOM + 18];
    const turned = `text-anchor="end" transform="rotate(-30 ${px(x)} ${px(below)})"`;
    return text(x, below, name, aslant ? turned : 'text-anchor="middle"');
  });
  return [...drawn, ...labels].join('\n');
}

/** A line for each series, a whisker at each point. */
function lines({ series, log_x }: Plot, scale: Scale): string {
  const xs = series.flatMap(({ points }) => points.map(({ x }) => Number(x)));
  const xScale = (log_x ? logScale : linearScale)(xs);
  const xPlace = (value: number) => MARGIN.left + xScale.at(value) * INNER.width;
  const y = yPlace(scale);
  const drawn = series.map(({ points }, i) => {
    const whole = points.filter(isDrawable);
    const path = whole.map(({ x, median }) => `${px(xPlace(Number(x)))},${px(y(median))}`).join(' ');
    const marks = whole.map(({ x, median, min, max }) => {
      const place = xPlace(Number(x));
      const dot = `<circle cx="${px(place)}" cy="${px(y(median))}" r="3.5" fill="${colourOf(i)}"/>`;
      return `${min === max ? '' : whisker(place, y(min), y(max))}${dot}`;
    });
    return `<polyline class="line" stroke="${colourOf(i)}" points="${path}"/>${marks.join('')}`;
  });
  const ticks = xScale.ticks.map(tick =>
    text(xPlace(tick), BOTTOM + 18, shortNumber(tick), 'text-anchor="middle"'),
  );
  return [...drawn, ...ticks].join('\n');
}

function legend({ series }: Plot): string {
  if (series.length < 2) return '';
  const across = Math.floor(INNER.width / LEGEND_ENTRY_PX);
  return series
    .map(({ name }, i) => {
      const x = MARGIN.left + (i % across) * LEGEND_ENTRY_PX;
      const y = HEIGHT - 48 + Math.floor(i / across) * LEGEND_LINE_PX;
      return `<rect x="${px(x)}" y="${px(y - 9)}" width="10" height="10" fill="${colourOf(i)}"/>${text(x + 15, y, name)}`;
    })
    .join('\n');
}

/** A whole SVG document. Points that are no numbers, of cells that were left out, are not drawn. */
export function drawPlot(plot: Plot): string {
  const points = plot.series.flatMap(series => series.points);
  const values = points.filter(isDrawable).flatMap(({ median, min, max }) => [median, min, max]);
  const scale = (plot.log_y ? logScale : linearScale)(values);
  const hasNumbers = points.length > 0 && points.every(({ x }) => typeof x === 'number');
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" width="${WIDTH}" height="${HEIGHT}" role="img">`,
    `<title>${escape(plot.title)}</title>`,
    `<style>${STYLE}\n</style>`,
    text(MARGIN.left, 26, plot.title, 'class="title"'),
    yAxis(scale, plot.y),
    hasNumbers ? lines(plot, scale) : bars(plot, scale),
    line(MARGIN.left, BOTTOM, WIDTH - MARGIN.right, BOTTOM, 'axis'),
    text(MARGIN.left + INNER.width / 2, BOTTOM + 40, plot.x, 'text-anchor="middle"'),
    legend(plot),
    '</svg>\n',
  ].join('\n');
}
