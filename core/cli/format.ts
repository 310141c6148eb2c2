import { stripVTControlCharacters } from 'node:util';
import Table from 'cli-table3';
import pc from 'picocolors';
import type { JobState } from '../messages/job.ts';
import type { WorkerState } from '../messages/stats.ts';

/** Where text goes: how wide it is, and whether it takes colours. */
export interface Screen {
  color: boolean;
  /** Columns of a terminal; null for a pipe or a file, where nothing is ever cut or left out. */
  width: number | null;
}

export const NOTHING = '—';

/** Controls, invisible and bidirectional marks, line separators: what could change a terminal or hide text. */
const INVISIBLE = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu;
/** The same without the controls, which JSON has escaped, but for the space between its tokens. */
const INVISIBLE_IN_JSON = /[\u007f-\u009f\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu;

/**
 * Text from a job or a worker, safe to show: whatever is invisible or could steer the terminal becomes a token
 * such as `‹U+001B›`.
 */
export function visible(text: unknown): string {
  return String(text).replace(INVISIBLE, mark => {
    const point = mark.codePointAt(0) as number;
    return `‹U+${point.toString(16).toUpperCase().padStart(4, '0')}›`;
  });
}

/** JSON that is safe to show on one line; invisible characters are escaped, so that it still means the same. */
export function shownJson(text: string): string {
  return text.replace(/[\n\r]/g, ' ').replace(INVISIBLE_IN_JSON, mark =>
    Array.from({ length: mark.length }, (_, i) => {
      const unit = mark.charCodeAt(i).toString(16).padStart(4, '0');
      return `\\u${unit}`;
    }).join(''),
  );
}

export function jsonText(value: unknown): string {
  return shownJson(JSON.stringify(value) ?? 'null');
}

const JSON_TOKENS = /"[^"\\]*(?:\\.[^"\\]*)*"|[[\]{}:,]|[^\s[\]{}:,"]+/g;

/** JSON over several lines, each token as it was written: laid out as `JSON.stringify` does it with an indent of two. */
export function jsonLines(text: string): string {
  const tokens = shownJson(text).match(JSON_TOKENS) ?? [];
  let depth = 0;
  let before = '';
  let made = '';
  for (const token of tokens) {
    const closes = token === '}' || token === ']';
    if (closes) depth -= 1;
    const opened = before === '{' || before === '[';
    if (closes ? !opened : opened || before === ',') made += `\n${'  '.repeat(depth)}`;
    if (token === '{' || token === '[') depth += 1;
    made += token === ':' ? ': ' : token;
    before = token;
  }
  return made;
}

/** A duration with at most two units: `3ms`, `0.4s`, `14s`, `14m02s`, `3h`, `2d07h`; a dash when unknown. */
export function duration(ms: number | null | undefined): string {
  if (ms == null || !Number.isFinite(ms)) return NOTHING;
  const whole = Math.max(0, Math.floor(ms));
  if (whole === 0) return '0s';
  if (whole < 100) return `${whole}ms`;
  if (whole < 10_000) return `${(Math.floor(whole / 100) / 10).toFixed(1)}s`.replace('.0s', 's');
  const s = Math.floor(whole / 1000);
  if (s < 60) return `${s}s`;
  if (s < 3600) return twoUnits(Math.floor(s / 60), 'm', s % 60, 's');
  if (s < 86_400) return twoUnits(Math.floor(s / 3600), 'h', Math.floor((s % 3600) / 60), 'm');
  return twoUnits(Math.floor(s / 86_400), 'd', Math.floor((s % 86_400) / 3600), 'h');
}

function twoUnits(large: number, largeUnit: string, small: number, smallUnit: string): string {
  return small === 0
    ? `${large}${largeUnit}`
    : `${large}${largeUnit}${String(small).padStart(2, '0')}${smallUnit}`;
}

/** A moment in UTC, to the second. */
export function moment(ms: number | null | undefined): string {
  if (ms == null || Number.isNaN(new Date(ms).getTime())) return NOTHING;
  return new Date(ms)
    .toISOString()
    .replace('T', ' ')
    .replace(/\.\d+Z$/, 'Z');
}

/** A count with its thousands apart: `1,092`. */
export function count(value: number | null | undefined): string {
  return value == null ? NOTHING : value.toLocaleString('en-US');
}

/** `1 hub`, `2 hubs` */
export function plural(n: number, word: string): string {
  return `${count(n)} ${word}${n === 1 ? '' : 's'}`;
}

/** Memory of a GPU: `80G`, `512M`. */
export function memory(mb: number | null | undefined): string {
  if (mb == null) return NOTHING;
  return mb >= 1024 ? `${Math.round(mb / 1024)}G` : `${Math.round(mb)}M`;
}

export function percent(share: number): string {
  return `${Math.floor(share * 100)}%`;
}

/** `██████░░░ 62%` */
export function bar(share: number, cells = 9): string {
  const full = Math.min(cells, Math.max(0, Math.floor(share * cells)));
  return '█'.repeat(full) + '░'.repeat(cells - full);
}

/** At most so many columns, the last one an ellipsis when something was cut. */
export function cut(text: string, most: number): string {
  if (shownWidth(text) <= most) return text;
  let kept = '';
  let width = 0;
  for (const point of text) {
    width += cellsOf(point);
    if (width > most - 1) break;
    kept += point;
  }
  return `${kept}…`;
}

/** At most so many characters; an ellipsis stands for the middle, because the ends of an id tell most. */
export function cutMiddle(text: string, most: number): string {
  const points = [...text];
  if (points.length <= most) return text;
  const end = Math.floor((most - 1) / 2);
  return `${points.slice(0, most - 1 - end).join('')}…${points.slice(points.length - end).join('')}`;
}

/** A line that is no wider than the screen; one that is cut loses its colours. */
export function fitting(line: string, width: number | null): string {
  if (width === null || shownWidth(line) <= width) return line;
  return cut(stripVTControlCharacters(line), width);
}

/** With spaces behind it up to so many columns. */
export function padded(text: string, width: number): string {
  return text + ' '.repeat(Math.max(0, width - shownWidth(text)));
}

type Paint = 'green' | 'red' | 'yellow' | 'blue' | 'magenta' | 'gray' | 'bold';

/** Glyph and word carry the meaning; the colour only repeats it. */
const STATES: Record<JobState | WorkerState, { glyph: string; paint: Paint }> = {
  scheduled: { glyph: '◷', paint: 'magenta' },
  queued: { glyph: '○', paint: 'yellow' },
  assigned: { glyph: '▷', paint: 'blue' },
  processing: { glyph: '►', paint: 'blue' },
  completed: { glyph: '✓', paint: 'green' },
  failed: { glyph: '✕', paint: 'red' },
  cancelled: { glyph: '⊘', paint: 'gray' },
  expired: { glyph: '⌀', paint: 'gray' },
  idle: { glyph: '□', paint: 'green' },
  busy: { glyph: '►', paint: 'blue' },
  stopping: { glyph: '◔', paint: 'yellow' },
  draining: { glyph: '‖', paint: 'yellow' },
  quarantined: { glyph: '☒', paint: 'red' },
  offline: { glyph: '┄', paint: 'gray' },
};

/** Glyph and word of a state: `► processing`. */
export function state(screen: Screen, status: string): string {
  const known = Object.hasOwn(STATES, status) ? STATES[status as JobState | WorkerState] : undefined;
  if (known === undefined) return visible(status);
  return paint(screen, known.paint, `${known.glyph} ${status}`);
}

export function paint(screen: Screen, color: Paint, text: string): string {
  return pc.createColors(screen.color)[color](text);
}

/** How many columns a line takes, colours not counted. */
export function shownWidth(line: string): number {
  let width = 0;
  for (const point of stripVTControlCharacters(line)) width += cellsOf(point);
  return width;
}

/** East Asian wide and full-width characters, and pictures: two columns each. */
const WIDE =
  /[\u1100-\u115f\u2e80-\u303e\u3041-\u33ff\u3400-\u4dbf\u4e00-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6\u{20000}-\u{3fffd}\p{Emoji_Presentation}]/u;
/** Marks that stand on the character before them. */
const MARK = /\p{M}/u;

function cellsOf(point: string): number {
  if (point <= '~') return 1;
  return MARK.test(point) ? 0 : WIDE.test(point) ? 2 : 1;
}

const BORDERLESS = Object.fromEntries(
  ['top', 'bottom', 'left', 'right', 'mid'].flatMap(side =>
    [side, `${side}-mid`, `${side}-left`, `${side}-right`, 'left-mid', 'mid-mid', 'right-mid'].map(name => [
      name,
      '',
    ]),
  ),
);

export interface TableOptions {
  /** Names of the columns whose cells stand to the right. */
  right?: readonly string[];
  /** Never drop a column, however narrow the terminal. */
  wide?: boolean;
  /** The column of a text of any length, without colours. On a terminal it takes what room the others leave. */
  text?: string;
}

/** A text is cut to no less: rather another column goes. */
const TEXT_LEAST = 24;
/** Where no column may go, a text has so much. */
const TEXT_MOST = 60;

/**
 * A table without lines: heads in capitals, columns two spaces apart. On a terminal that is too narrow, columns are
 * dropped from the right, but never the first two and the text.
 *
 * @param rows cells that are safe to show (see {@link visible})
 */
export function table(screen: Screen, head: string[], rows: string[][], options: TableOptions = {}): string {
  const { right = [], wide = false } = options;
  const text = head.indexOf(options.text ?? '');
  const widths = head.map((_, i) => Math.max(...[head, ...rows].map(cells => shownWidth(cells[i] ?? ''))));
  const all = head.map((_, i) => i);
  const shown = screen.width === null || wide ? all : fittingColumns(widths, text, screen.width);
  const others = shown.reduce((sum, i) => sum + (i === text ? 0 : (widths[i] as number) + 2), 0);
  const room =
    screen.width === null ? Infinity : wide ? TEXT_MOST : Math.max(TEXT_LEAST, screen.width - others);
  const cells = (row: string[]) =>
    shown.map(i => (i === text ? cut(row[i] as string, room) : (row[i] as string)));
  return layOut(screen, cells(head), rows.map(cells), right).join('\n');
}

/** The columns that a terminal has room for. */
function fittingColumns(widths: readonly number[], text: number, width: number): number[] {
  const shown = widths.map((_, i) => i);
  const least = (i: number) =>
    i === text ? Math.min(TEXT_LEAST, widths[i] as number) : (widths[i] as number);
  const total = () => shown.reduce((sum, i) => sum + 2 + least(i), -2);
  while (total() > width) {
    const last = shown.findLast(i => i > 1 && i !== text);
    if (last === undefined) break;
    shown.splice(shown.indexOf(last), 1);
  }
  return shown;
}

function layOut(screen: Screen, head: string[], rows: string[][], right: readonly string[]): string[] {
  const made = new Table({
    chars: { ...BORDERLESS, middle: '  ' },
    style: { head: [], border: [], compact: true, 'padding-left': 0, 'padding-right': 0 },
    colAligns: head.map(name => (right.includes(name) ? 'right' : 'left')),
  });
  made.push(head.map(name => paint(screen, 'bold', name)));
  for (const row of rows) made.push(row);
  return made
    .toString()
    .split('\n')
    .map(line => line.trimEnd());
}

/**
 * Broken at blanks into lines of at most so many columns; the lines after the first begin with `indent`. A word that is
 * longer than a line stays whole, so that it can be copied.
 */
export function wrapped(text: string, width: number, indent = ''): string {
  const [begin = ''] = /^ */.exec(text) ?? [];
  const [first = '', ...words] = text.slice(begin.length).split(' ');
  const lines: string[] = [];
  let line = begin + first;
  for (const word of words) {
    if (shownWidth(`${line} ${word}`) <= width) line += ` ${word}`;
    else {
      lines.push(line);
      line = indent + word;
    }
  }
  return [...lines, line].join('\n');
}

/** Where help has hard line breaks, they are about here. */
const HELP_LINE_LEAST = 90;

/** Help for a narrow terminal: sentences are broken anew, examples stay as they can be typed. */
export function fittingHelp(text: string, width: number): string {
  const made: { line: string; is_example: boolean }[] = [];
  let is_example = false;
  for (const line of text.split('\n')) {
    is_example = /^Examples?:$/.test(line) || (is_example && line !== '');
    const before = made.at(-1);
    if (before !== undefined && !is_example && before.line.length > width && isSentence(before.line, line))
      before.line += ` ${line.trim()}`;
    else made.push({ line, is_example });
  }
  return made
    .map(({ line, is_example: whole }) =>
      whole || shownWidth(line) <= width ? line : wrapped(line, width, /^ */.exec(line)?.[0]),
    )
    .join('\n');
}

/** Two lines of help that are one text, broken by hand; not rows of a table. */
function isSentence(before: string, line: string): boolean {
  const [indent, other] = [before, line].map(text => /^ */.exec(text)?.[0]);
  const goes_on = before.length >= HELP_LINE_LEAST && line.trim() !== '' && !/[.:]$/.test(before);
  return goes_on && indent === other && !/\S {2,}\S/.test(before) && !/\S {2,}\S/.test(line);
}

/** `name  value` lines, the values under each other, broken where a terminal ends; what has no value is left out. */
export function fields(screen: Screen, pairs: [name: string, value: string | null | undefined][]): string {
  const shown = pairs.filter(([, value]) => value != null && value !== '') as [string, string][];
  const width = Math.max(...shown.map(([name]) => name.length));
  const indent = `\n${' '.repeat(width + 2)}`;
  const room = screen.width === null ? null : Math.max(20, screen.width - width - 2);
  const text = (value: string) => {
    const lines = value
      .split('\n')
      .flatMap(line => (room === null ? [line] : wrapped(line, room).split('\n')));
    return lines.join(indent);
  };
  return shown
    .map(([name, value]) => `${paint(screen, 'gray', name.padEnd(width))}  ${text(value)}`)
    .join('\n');
}
