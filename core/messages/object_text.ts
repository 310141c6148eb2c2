import { HubError } from '../errors.ts';

const QUOTE = 34;
const BACKSLASH = 92;
const COMMA = 44;
const OPEN_LIST = 91;
const CLOSE_LIST = 93;
const OPEN_OBJECT = 123;
const CLOSE_OBJECT = 125;
/** Deeper JSON is refused: programs that read it with a stack would fall over. */
const DEPTH_MAX = 1000;

const isSpace = (code: number) => code === 32 || (code >= 9 && code <= 13);

function skipSpace(text: string, at: number): number {
  let end = at;
  while (isSpace(text.charCodeAt(end))) end += 1;
  return end;
}

/** Behind the string that begins at `at`. */
function skipString(text: string, at: number): number {
  for (let end = text.indexOf('"', at + 1); ; end = text.indexOf('"', end + 1)) {
    let slashes = 0;
    while (text.charCodeAt(end - 1 - slashes) === BACKSLASH) slashes += 1;
    if (slashes % 2 === 0) return end + 1;
  }
}

/** Behind a number, `true`, `false` or `null`. */
function skipWord(text: string, at: number): number {
  let end = at;
  for (; end < text.length; end++) {
    const code = text.charCodeAt(end);
    if (code === COMMA || code === CLOSE_LIST || code === CLOSE_OBJECT || isSpace(code)) break;
  }
  return end;
}

/** Behind the value that begins at `at`. @throws HubError when it is nested deeper than {@link DEPTH_MAX} */
function skipValue(text: string, at: number, name: string): number {
  const first = text.charCodeAt(at);
  if (first === QUOTE) return skipString(text, at);
  if (first !== OPEN_LIST && first !== OPEN_OBJECT) return skipWord(text, at);
  let depth = 0;
  let end = at;
  for (;;) {
    const code = text.charCodeAt(end);
    if (code === QUOTE) {
      end = skipString(text, end);
      continue;
    }
    end += 1;
    if (code === OPEN_LIST || code === OPEN_OBJECT) {
      depth += 1;
      if (depth > DEPTH_MAX) throw tooDeep(name);
    } else if (code === CLOSE_LIST || code === CLOSE_OBJECT) {
      depth -= 1;
      if (depth === 0) return end;
    }
  }
}

const tooDeep = (name: string) => {
  const message = `nested deeper than ${DEPTH_MAX} levels`;
  return new HubError('invalid_message', `field "${name}": ${message}`, [{ path: name, message }]);
};

function* elementsOf(text: string, name: string): Generator<string> {
  let at = skipSpace(text, 1);
  while (text.charCodeAt(at) !== CLOSE_LIST) {
    const end = skipValue(text, at, name);
    yield text.slice(at, end);
    at = skipSpace(text, end);
    if (text.charCodeAt(at) === COMMA) at = skipSpace(text, at + 1);
  }
}

/**
 * The texts of an object's members as they were written: `JSON.parse` and `JSON.stringify` would turn the seed
 * 12345678901234567890 into 12345678901234567000, and 7.0 into 7. Handing the text on is no dearer than writing it anew.
 *
 * Made of text that `JSON.parse` has taken for one object; nothing else may be given to it.
 */
export class ObjectText {
  readonly #text: string;
  #members: Map<string, string> | undefined;

  constructor(text: string) {
    this.#text = text;
  }

  /**
   * The text of a member's value, on one line. Of members of the same name the last counts, as with `JSON.parse`.
   *
   * @throws HubError `invalid_message` when it is nested too deeply
   */
  member(name: string): string | undefined {
    this.#members ??= this.#read();
    const text = this.#members.get(name);
    // A raw line break is space between two tokens: inside a string it would be no JSON.
    return text?.replaceAll(/[\n\r]/g, ' ');
  }

  /** The objects of a member that is a list of objects. */
  objects(name: string): ObjectText[] {
    const text = this.member(name);
    return text === undefined ? [] : Array.from(elementsOf(text, name), element => new ObjectText(element));
  }

  #read(): Map<string, string> {
    const text = this.#text;
    const members = new Map<string, string>();
    let at = skipSpace(text, skipSpace(text, 0) + 1);
    while (text.charCodeAt(at) === QUOTE) {
      const name_end = skipString(text, at);
      const name = text.slice(at, name_end);
      const colon = skipSpace(text, name_end);
      const begin = skipSpace(text, colon + 1);
      const plain = name.includes('\\') ? (JSON.parse(name) as string) : name.slice(1, -1);
      const end = skipValue(text, begin, plain);
      members.set(plain, text.slice(begin, end));
      at = skipSpace(text, end);
      if (text.charCodeAt(at) === COMMA) at = skipSpace(text, at + 1);
    }
    return members;
  }
}
