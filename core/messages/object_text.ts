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
export function skipString(text: string, at: number): number {
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

/** A value in its text: where it ends, and how many lists and objects lie in each other. */
interface Extent {
  end: number;
  depth: number;
}

function extentOf(text: string, at: number): Extent {
  const first = text.charCodeAt(at);
  if (first === QUOTE) return { end: skipString(text, at), depth: 0 };
  if (first !== OPEN_LIST && first !== OPEN_OBJECT) return { end: skipWord(text, at), depth: 0 };
  let open = 0;
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
      open += 1;
      if (open > depth) depth = open;
    } else if (code === CLOSE_LIST || code === CLOSE_OBJECT) {
      open -= 1;
      if (open === 0) return { end, depth };
    }
  }
}

const tooDeep = (name: string) => {
  const message = `nested deeper than ${DEPTH_MAX} levels`;
  return new HubError('invalid_message', `field "${name}": ${message}`, [{ path: name, message }]);
};

function* elementsOf(text: string): Generator<string> {
  let at = skipSpace(text, 1);
  while (text.charCodeAt(at) !== CLOSE_LIST) {
    const { end } = extentOf(text, at);
    yield text.slice(at, end);
    at = skipSpace(text, end);
    if (text.charCodeAt(at) === COMMA) at = skipSpace(text, at + 1);
  }
}

/** A member of an object: its name, and where its value lies in the object's text. */
interface Member extends Extent {
  name: string;
  begin: number;
}

function membersOf(text: string): Member[] {
  const members: Member[] = [];
  let at = skipSpace(text, skipSpace(text, 0) + 1);
  while (text.charCodeAt(at) === QUOTE) {
    const name_end = skipString(text, at);
    const name = text.slice(at + 1, name_end - 1);
    const begin = skipSpace(text, skipSpace(text, name_end) + 1);
    const { end, depth } = extentOf(text, begin);
    members.push({ name: name.includes('\\') ? JSON.parse(`"${name}"`) : name, begin, end, depth });
    at = skipSpace(text, end);
    if (text.charCodeAt(at) === COMMA) at = skipSpace(text, at + 1);
  }
  return members;
}

/**
 * A raw line break is space between two tokens: inside a string it would be no JSON. Looked for first, as it is rare and
 * a search costs a twentieth of a replacement that finds nothing.
 */
const onOneLine = (text: string) =>
  text.includes('\n') || text.includes('\r') ? text.replaceAll(/[\n\r]/g, ' ') : text;

/**
 * The texts of an object's members as they were written: `JSON.parse` and `JSON.stringify` would turn the seed
 * 12345678901234567890 into 12345678901234567000, and 7.0 into 7. Handing the text on is no dearer than writing it anew.
 *
 * Made of text that `JSON.parse` has taken for one object; nothing else may be given to it.
 */
export class ObjectText {
  readonly #text: string;
  #members: Member[] | undefined;

  constructor(text: string) {
    this.#text = text;
  }

  /**
   * The text of a member's value, on one line. Of members of the same name the last counts, as with `JSON.parse`.
   *
   * @throws HubError `invalid_message` when it is nested too deeply
   */
  member(name: string): string | undefined {
    const member = this.#find(name);
    if (member === undefined) return undefined;
    if (member.depth > DEPTH_MAX) throw tooDeep(name);
    return onOneLine(this.#text.slice(member.begin, member.end));
  }

  /** The objects of a member that is a list of objects; one that is too deep is refused by itself, when it is read. */
  objects(name: string): ObjectText[] {
    const list = this.#find(name);
    if (list === undefined) return [];
    const text = this.#text.slice(list.begin, list.end);
    return Array.from(elementsOf(text), element => new ObjectText(element));
  }

  #find(name: string): Member | undefined {
    this.#members ??= membersOf(this.#text);
    return this.#members.findLast(member => member.name === name);
  }
}
