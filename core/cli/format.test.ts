import { describe, expect, it } from 'vitest';
import {
  bar,
  count,
  cut,
  cutMiddle,
  duration,
  fields,
  fittingHelp,
  jsonLines,
  memory,
  moment,
  percent,
  type Screen,
  shownWidth,
  state,
  table,
  visible,
  wrapped,
} from './format.ts';

const PIPE: Screen = { color: false, width: null };

describe('a duration', () => {
  it.each([
    [null, '—'],
    [undefined, '—'],
    [Number.NaN, '—'],
    [-5, '0s'],
    [0, '0s'],
    [3, '3ms'],
    [400, '0.4s'],
    [1000, '1s'],
    [9990, '9.9s'],
    [59_999, '59s'],
    [60_000, '1m'],
    [124_000, '2m04s'],
    [842_000, '14m02s'],
    [3_600_000, '1h'],
    [3_720_000, '1h02m'],
    [86_400_000, '1d'],
    [198_000_000, '2d07h'],
  ])('of %s ms is %s', (ms, text) => {
    expect(duration(ms)).toBe(text);
  });
});

describe('text from jobs', () => {
  it.each([
    ['an escape sequence', '\u001b[2Jgone', '‹U+001B›[2Jgone'],
    ['a C1 control', 'a\u009b31mb', 'a‹U+009B›31mb'],
    ['a new line', 'a\nb', 'a‹U+000A›b'],
    ['a bidirectional override', 'exe.\u202egpj', 'exe.‹U+202E›gpj'],
    ['an isolate', '\u2066x\u2069', '‹U+2066›x‹U+2069›'],
    ['a byte order mark', '\ufeffx', '‹U+FEFF›x'],
    ['a tag beyond the first plane', 'a\u{e0041}', 'a‹U+E0041›'],
    ['a lone surrogate', 'a\ud800b', 'a‹U+D800›b'],
  ])('with %s is made visible', (_, hostile, shown) => {
    expect(visible(hostile)).toBe(shown);
  });

  it('in any language stays as it is', () => {
    expect(visible('закат над морем 夕日 🌇')).toBe('закат над морем 夕日 🌇');
  });

  it('is escaped in JSON and means the same', () => {
    const value = { text: 'a\u001b[2J\u009b\u202e\u{e0041}\ufeffb', list: [1, { b: null }] };
    const text = jsonLines(JSON.stringify(value));
    expect(text).not.toMatch(/(?!\n)[\p{Cc}\p{Cf}\p{Cs}]/u);
    expect(JSON.parse(text)).toEqual(value);
  });

  it('is laid out in JSON over several lines, each token as it was written', () => {
    const value = { a: [1, {}, [], '"{[,:\\'], b: { c: null } };
    expect(jsonLines(JSON.stringify(value))).toBe(JSON.stringify(value, null, 2));
    expect(jsonLines('{"n":7.0 ,\n"s":[1E2]}')).toBe('{\n  "n": 7.0,\n  "s": [\n    1E2\n  ]\n}');
    expect(jsonLines('"text"')).toBe('"text"');
  });
});

describe('small parts', () => {
  it('bars are full only at the end', () => {
    expect([bar(0), bar(0.62), bar(0.999), bar(1), bar(7)]).toEqual([
      '░░░░░░░░░',
      '█████░░░░',
      '████████░',
      '█████████',
      '█████████',
    ]);
    expect(percent(0.999)).toBe('99%');
  });

  it('counts, memory and moments read well', () => {
    expect([count(1092), count(null)]).toEqual(['1,092', '—']);
    expect([memory(81_920), memory(512), memory(null)]).toEqual(['80G', '512M', '—']);
    expect([moment(1_795_352_400_000), moment(null), moment(1e99)]).toEqual([
      '2026-11-22 13:00:00Z',
      '—',
      '—',
    ]);
  });

  it('cutting counts the columns that characters take on a terminal', () => {
    expect(cut('🌇🌇🌇', 6)).toBe('🌇🌇🌇');
    expect(cut('🌇🌇🌇', 5)).toBe('🌇🌇…');
    expect(cut('🌇🌇🌇', 4)).toBe('🌇…');
    expect(cut('画像 abc', 8)).toBe('画像 abc');
    expect(cut('画像 abc', 6)).toBe('画像 …');
    expect(cut('e\u0301e\u0301', 2)).toBe('e\u0301e\u0301');
  });

  it('an id is cut in its middle', () => {
    expect(cutMiddle('render-2291:shot-7', 18)).toBe('render-2291:shot-7');
    expect(cutMiddle('render-2291:shot-7', 9)).toBe('rend…ot-7');
  });

  it('a state is a glyph and a word, coloured only where that is wanted', () => {
    expect(state(PIPE, 'processing')).toBe('► processing');
    expect(state({ ...PIPE, color: true }, 'failed')).toBe('\u001b[31m✕ failed\u001b[39m');
    expect(state(PIPE, 'from\u001bthe future')).toBe('from‹U+001B›the future');
    expect(state(PIPE, 'constructor')).toBe('constructor');
  });
});

describe('on a narrow terminal', () => {
  it('text is broken at blanks, and a word that is longer than a line stays whole', () => {
    expect(wrapped('one two three', 7)).toBe('one two\nthree');
    expect(wrapped('  one two three', 9, '    ')).toBe('  one two\n    three');
    expect(wrapped('a gpuhub-resume-machine1:gpu0 b', 10)).toBe('a\ngpuhub-resume-machine1:gpu0\nb');
    expect(wrapped('', 10)).toBe('');
  });

  it('help is broken anew, but for its tables and examples', () => {
    const long = `${'word '.repeat(20)}word`;
    const help = `Usage\n\n${long}\nand on. End.\n\n  -a  ${'x '.repeat(10)}x\n\nExample:\n  gpuhub ${long}\n`;
    const lines = fittingHelp(help, 40).split('\n');
    expect(lines.slice(2, 6)).toEqual([
      ...Array.from({ length: 2 }, () => 'word word word word word word word word'),
      'word word word word word and on. End.',
      '',
    ]);
    expect(lines).toContain(`  gpuhub ${long}`);
    expect(fittingHelp(help, 200)).toBe(help);
  });

  it('values are broken under each other', () => {
    const text = fields({ color: false, width: 36 }, [
      ['waits because', 'the queue of type video is paused\nmodel swap'],
      ['so', 'x'],
    ]);
    expect(text.split('\n')).toEqual([
      'waits because  the queue of type',
      '               video is paused',
      '               model swap',
      'so             x',
    ]);
  });
});

describe('a table', () => {
  const head = ['JOB', 'TYPE', 'RUN'];
  const rows = [
    ['j1', 'video.render', '14m02s'],
    ['a-longer-one', 'x', '3s'],
  ];

  it('aligns its columns and ends no line with blanks', () => {
    expect(table(PIPE, head, rows, { right: ['RUN'] })).toBe(
      [
        'JOB           TYPE             RUN',
        'j1            video.render  14m02s',
        'a-longer-one  x                 3s',
      ].join('\n'),
    );
  });

  it('drops columns from the right on a narrow terminal', () => {
    const text = table({ color: true, width: 30 }, head, rows);
    expect(text).not.toContain('RUN');
    expect(Math.max(...text.split('\n').map(shownWidth))).toBeLessThanOrEqual(30);
  });

  it('keeps two columns however narrow, all when wide, and all in a pipe', () => {
    expect(table({ color: false, width: 5 }, head, rows)).toContain('TYPE');
    expect(table({ color: false, width: 5 }, head, rows, { wide: true })).toContain('RUN');
    expect(table(PIPE, head, [['j'.repeat(500), 'x'.repeat(500), '1s']])).toContain('RUN');
  });

  it('cut a long text to the room that the others leave, and rather drop another column', () => {
    const long = ['j1', 'render', `oom: ${'x'.repeat(300)}`, '1s', 'machine1:gpu0'];
    const heads = ['JOB', 'TYPE', 'ERROR', 'RUN', 'WORKER'];
    const at = (width: number | null, wide = false) =>
      table({ color: false, width }, heads, [long], { text: 'ERROR', wide }).split('\n')[1] as string;
    expect(at(80)).toMatch(/^j1 {3}render {2}oom: x+… {2}1s {3}machine1:gpu0$/);
    expect(at(80)).toHaveLength(80);
    expect(at(40)).toMatch(/^j1 {3}render {2}oom: x+…$/);
    expect(at(null)).toContain('x'.repeat(300));
    expect(at(40, true), 'all columns were asked for').toMatch(/oom: x+… {2}1s {3}machine1:gpu0$/);
  });
});
