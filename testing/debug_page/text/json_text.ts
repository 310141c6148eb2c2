// JSON whose numbers stay as they were written. `JSON.parse` makes a double of each: it would show and send on the seed
// 9223372036854775807 as 9223372036854776000, and 7.0 as 7.

import { skipString } from '../../../core/messages/object_text.ts';

/** Stands before such a text while it is carried in a string; random, so that no peer can write it. */
const MARK = `json ${Math.random()} `;
const MARKED = new RegExp(`"${MARK}(?:[^"\\\\]|\\\\.)*"`, 'g');

/** JSON that is kept as its text: a number that a double would change, or what a person wrote. */
export class JsonText {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }

  /** For `writeJson`, which puts the text in its place. */
  toJSON(): string {
    return MARK + this.text;
  }

  toString(): string {
    return this.text;
  }
}

/** Numbers, and where strings begin. */
const TOKEN = /"|-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?/g;

/** The text with a string in place of each number that a double would change. */
function markNumbers(text: string): string {
  let marked = '';
  let copied = 0;
  TOKEN.lastIndex = 0;
  for (let token = TOKEN.exec(text); token !== null; token = TOKEN.exec(text)) {
    const [found] = token;
    // Strings may hold images: they are leapt over, not looked through.
    if (found === '"') TOKEN.lastIndex = skipString(text, token.index);
    else if (String(Number(found)) !== found) {
      marked += text.slice(copied, token.index) + JSON.stringify(new JsonText(found));
      copied = TOKEN.lastIndex;
    }
  }
  return marked + text.slice(copied);
}

const unmark = (_key: string, value: unknown) =>
  typeof value === 'string' && value.startsWith(MARK) ? new JsonText(value.slice(MARK.length)) : value;

/** As `JSON.parse`, but a number that a double would change is a `JsonText`. */
export function readJson(text: string): unknown {
  const value: unknown = JSON.parse(text);
  const marked = markNumbers(text);
  return marked === text ? value : JSON.parse(marked, unmark);
}

/** As `JSON.stringify`, but each `JsonText` is written as it is. */
export function writeJson(
  value: unknown,
  indent?: number,
  replacer?: (key: string, value: unknown) => unknown,
): string {
  const text = JSON.stringify(value, replacer, indent) ?? 'null';
  return text.includes(MARK)
    ? text.replace(MARKED, marked => (JSON.parse(marked) as string).slice(MARK.length))
    : text;
}
