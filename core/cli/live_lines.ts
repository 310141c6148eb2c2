import { shownWidth } from './format.ts';
import type { TerminalSize } from './terminal.ts';

/**
 * A few lines at the end of a terminal's text that are drawn again and again in their place; the text above them stays.
 * Only lines that changed are written, all in one write, so that nothing flickers. The cursor stands below them, so that
 * the shell goes on there whatever ends the process.
 */
export class LiveLines {
  readonly #write: (text: string) => void;
  readonly #size: () => TerminalSize;
  #lines: readonly string[] = [];
  /** Columns when they were drawn. */
  #columns = 0;

  constructor(write: (text: string) => void, size: () => TerminalSize) {
    this.#write = write;
    this.#size = size;
  }

  /** How many lines fit; one stays free for the cursor. */
  get rows(): number {
    return Math.max(1, this.#size().rows - 1);
  }

  /** How wide a line may be: one that reached the edge might wrap. */
  get width(): number {
    return Math.max(1, this.#size().columns - 1);
  }

  /** @param lines at most {@link rows}, none wider than {@link width} */
  draw(lines: readonly string[]): void {
    const { columns } = this.#size();
    const resized = columns !== this.#columns;
    const changed = lines.length !== this.#lines.length || lines.some((line, i) => line !== this.#lines[i]);
    if (!changed && !resized) return;
    const text = lines.map((line, i) => (line === this.#lines[i] && !resized ? '\n' : `${line}\u001b[K\n`));
    this.#write(`${this.#home()}${text.join('')}\u001b[J`);
    this.#lines = lines;
    this.#columns = columns;
  }

  /** Takes the lines away; what is written next stands in their place. */
  clear(): void {
    if (this.#lines.length === 0) return;
    this.#write(`${this.#home()}\u001b[J`);
    this.#lines = [];
  }

  /** To the beginning of the first line. A terminal that became narrower has broken lines into several. */
  #home(): string {
    const { columns } = this.#size();
    const height = this.#lines.reduce(
      (sum, line) => sum + Math.max(1, Math.ceil(shownWidth(line) / columns)),
      0,
    );
    return height === 0 ? '' : `\u001b[${height}A\r`;
  }
}
