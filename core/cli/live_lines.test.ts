import { expect, it } from 'vitest';
import { TerminalScreen } from '../../testing/command/terminal_screen.ts';
import { LiveLines } from './live_lines.ts';

function onScreen(columns: number, rows: number) {
  const screen = new TerminalScreen(columns, rows);
  const size = { columns, rows };
  const written: string[] = [];
  const write = (text: string) => {
    written.push(text);
    screen.write(text.replaceAll('\n', '\r\n'));
  };
  return { screen, size, written, lines: new LiveLines(write, () => size), write };
}

it('draws over what it drew, below what stood there, and leaves the cursor below', () => {
  const { screen, lines, write } = onScreen(20, 8);
  write('before\n');
  lines.draw(['one', 'two', 'three']);
  lines.draw(['one', 'TWO']);
  write('after');
  expect(screen.lines).toEqual(['before', 'one', 'TWO', 'after']);
});

it('writes only lines that changed, in one write, and nothing when none did', () => {
  const { written, lines } = onScreen(20, 8);
  lines.draw(['first', 'second']);
  lines.draw(['first', 'second']);
  expect(written).toHaveLength(1);
  lines.draw(['first', 'changed']);
  expect(written).toHaveLength(2);
  expect(written[1]).not.toContain('first');
});

it('stays in its place at the bottom of a full screen', () => {
  const { screen, lines, write } = onScreen(20, 4);
  write('a\nb\nc\nd\n');
  for (let i = 0; i < 5; i++) lines.draw([`x${i}`, `y${i}`, `z${i}`].slice(0, lines.rows));
  expect(screen.lines).toEqual(['x4', 'y4', 'z4']);
});

it('is taken away as a whole', () => {
  const { screen, lines, write } = onScreen(20, 8);
  write('before\n');
  lines.draw(['one', 'two']);
  lines.clear();
  lines.clear();
  write('after');
  expect(screen.lines).toEqual(['before', 'after']);
});

it('goes up over the pieces into which a narrower terminal has broken its lines', () => {
  const { size, written, lines } = onScreen(20, 8);
  lines.draw(['a line of 18 signs', 'short']);
  size.columns = 10;
  lines.draw(['narrow', 'short']);
  expect(written[1]).toMatch(/^\u001b\[3A\r/);
});
