/** Sequences of terminals of all kinds, as the names that the views know. */
const NAMES: Record<string, string> = {
  '\r': 'enter',
  '\n': 'enter',
  '\t': 'tab',
  '\u007f': 'backspace',
  '\b': 'backspace',
  '\u0003': 'ctrl-c',
  '\u000c': 'ctrl-l',
  '\u0015': 'ctrl-u',
  '\u001b': 'escape',
  '[A': 'up',
  '[B': 'down',
  '[C': 'right',
  '[D': 'left',
  '[H': 'home',
  '[F': 'end',
  '[Z': 'backtab',
  '[1~': 'home',
  '[4~': 'end',
  '[5~': 'pageup',
  '[6~': 'pagedown',
  '[7~': 'home',
  '[8~': 'end',
};
const KEY = /\u001b[[O][\d;]*[A-Za-z~]|[\s\S]/gu;
/** What may be the beginning of a sequence whose end is still on its way. */
const UNFINISHED = /\u001b(?:[[O][\d;]*)?$/;
/** The parts of a sequence come within milliseconds; an Escape that is followed by nothing is the key. */
const REST_WITHIN_MS = 50;

/** Reads keys out of what a terminal sends: several may come at once, and one in pieces. */
export class KeyReader {
  readonly #tell: (key: string) => void;
  #rest = '';
  #timer: NodeJS.Timeout | undefined;

  /** @param tell is told each key: a character, or a name as `up`, `pagedown`, `escape`, `ctrl-c` */
  constructor(tell: (key: string) => void) {
    this.#tell = tell;
  }

  read(text: string): void {
    clearTimeout(this.#timer);
    const all = this.#rest + text;
    const [unfinished = ''] = UNFINISHED.exec(all) ?? [];
    this.#rest = unfinished;
    this.#tellAll(all.slice(0, all.length - unfinished.length));
    if (unfinished !== '') this.#timer = setTimeout(() => this.#flush(), REST_WITHIN_MS);
  }

  /** Nothing is told any more. */
  end(): void {
    clearTimeout(this.#timer);
    this.#rest = '';
  }

  #flush(): void {
    const rest = this.#rest;
    this.#rest = '';
    this.#tellAll(rest);
  }

  #tellAll(text: string): void {
    for (const [key] of text.matchAll(KEY)) {
      const name =
        key.length > 1 && key.startsWith('\u001b') ? NAMES[`[${key.slice(2)}`] : (NAMES[key] ?? key);
      // A sequence or a control that nobody knows is no key.
      if (name !== undefined && (name.length > 1 || name >= ' ')) this.#tell(name);
    }
  }
}
