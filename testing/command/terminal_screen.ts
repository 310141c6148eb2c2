/** What a terminal shows after what was written to it: as much of one as the command's output uses. */
export class TerminalScreen {
  #rows: string[][];
  /** The usual screen, while the other one is shown. */
  #usual: { rows: string[][]; x: number; y: number } | undefined;
  #x = 0;
  #y = 0;
  readonly #columns: number;
  readonly #hidden = new Set<string>();

  constructor(columns: number, rows: number) {
    this.#columns = columns;
    this.#rows = blank(columns, rows);
  }

  /** The lines without the spaces at their ends, and without empty lines at the end. */
  get lines(): string[] {
    const lines = this.#rows.map(row => row.join('').trimEnd());
    return lines.slice(0, lines.findLastIndex(line => line !== '') + 1);
  }

  /** On the screen that full-screen programs take. */
  get isOther(): boolean {
    return this.#usual !== undefined;
  }

  get cursorIsHidden(): boolean {
    return this.#hidden.has('?25');
  }

  write(text: string): void {
    // Colours first: they take no room.
    for (const [token] of text.matchAll(/\u001b\[[?\d;]*[A-Za-z]|[\s\S]/gu)) {
      if (token.startsWith('\u001b[')) this.#control(token.slice(2, -1), token.at(-1) as string);
      else if (token === '\r') this.#x = 0;
      else if (token === '\n') this.#newLine();
      else if (token >= ' ') this.#put(token);
    }
  }

  #put(character: string): void {
    if (this.#x >= this.#columns) {
      this.#x = 0;
      this.#newLine();
    }
    (this.#rows[this.#y] as string[])[this.#x] = character;
    this.#x += 1;
  }

  #newLine(): void {
    if (this.#y < this.#rows.length - 1) this.#y += 1;
    else this.#rows = [...this.#rows.slice(1), ...blank(this.#columns, 1)];
  }

  #control(parameters: string, end: string): void {
    const [first = 0, second = 0] = parameters.split(';').map(Number);
    if (end === 'A') this.#y = Math.max(0, this.#y - Math.max(1, first));
    else if (end === 'H') {
      this.#y = Math.min(this.#rows.length, Math.max(1, first)) - 1;
      this.#x = Math.min(this.#columns, Math.max(1, second)) - 1;
    } else if (end === 'K') this.#eraseLine(this.#y, this.#x);
    else if (end === 'J') this.#erase(first);
    else if (parameters === '?1049') this.#other(end === 'h');
    else if (end === 'l') this.#hidden.add(parameters);
    else if (end === 'h') this.#hidden.delete(parameters);
    else if (end !== 'm') throw new Error(`this terminal does not know ESC [ ${parameters} ${end}`);
  }

  #erase(what: number): void {
    if (what !== 2) this.#eraseLine(this.#y, this.#x);
    for (let y = what === 2 ? 0 : this.#y + 1; y < this.#rows.length; y++) this.#eraseLine(y, 0);
  }

  #eraseLine(y: number, from: number): void {
    this.#rows[y]?.fill(' ', from);
  }

  #other(taken: boolean): void {
    if (taken) {
      this.#usual = { rows: this.#rows, x: this.#x, y: this.#y };
      this.#rows = blank(this.#columns, this.#rows.length);
    } else if (this.#usual !== undefined) {
      const { rows, x, y } = this.#usual;
      this.#rows = rows;
      this.#x = x;
      this.#y = y;
      this.#usual = undefined;
    }
  }
}

const blank = (columns: number, rows: number) =>
  Array.from({ length: rows }, () => new Array<string>(columns).fill(' '));
