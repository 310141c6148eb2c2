/**
 * The picture on a screen that was taken as a whole. Only lines that changed are written, all in one write, so that nothing
 * flickers and a slow line is not filled.
 */
export class Frame {
  readonly #write: (text: string) => void;
  #lines: readonly string[] = [];
  #whole = true;

  constructor(write: (text: string) => void) {
    this.#write = write;
  }

  /** The next picture is written as a whole: the screen was cleared, or has another size. */
  forget(): void {
    this.#whole = true;
  }

  /** @param lines none wider than the screen, and no more than it has rows */
  draw(lines: readonly string[]): void {
    const before = this.#whole ? [] : this.#lines;
    let text = this.#whole ? '\u001b[2J' : '';
    for (let y = 0; y < Math.max(lines.length, before.length); y++) {
      const line = lines[y] ?? '';
      if (line !== (before[y] ?? '')) text += `\u001b[${y + 1};1H${line}\u001b[K`;
    }
    this.#lines = [...lines];
    this.#whole = false;
    if (text !== '') this.#write(text);
  }
}
