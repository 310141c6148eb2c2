import { expect, it } from 'vitest';
import { TerminalScreen } from '../../testing/command/terminal_screen.ts';
import { Frame } from './frame.ts';

it('shows each picture, and writes only what changed in it, at once', () => {
  const screen = new TerminalScreen(20, 5);
  const written: string[] = [];
  const frame = new Frame(text => {
    written.push(text);
    screen.write(text);
  });
  frame.draw(['head', 'one', 'two', 'three']);
  expect(screen.lines).toEqual(['head', 'one', 'two', 'three']);
  frame.draw(['head', 'one', 'TWO']);
  expect(screen.lines).toEqual(['head', 'one', 'TWO']);
  expect(written).toHaveLength(2);
  expect(written[1]).not.toMatch(/head|one/);
  frame.draw(['head', 'one', 'TWO']);
  expect(written).toHaveLength(2);
  frame.forget();
  frame.draw(['head', 'one', 'TWO']);
  expect(written[2]).toContain('head');
  expect(screen.lines).toEqual(['head', 'one', 'TWO']);
});
