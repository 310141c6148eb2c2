import { ObjectText } from '../messages/object_text.ts';
import { JsonText } from '../sdk/client.ts';
import { UsageError } from './context.ts';

/** One job of an input, and where it stands there: a line of NDJSON, or an item of a JSON array. */
export interface Entry {
  unit: 'line' | 'item';
  /** From 1. */
  number: number;
  /** The fields of a submission, its params as they were written; their meaning is the hub's to check. */
  fields?: Record<string, unknown>;
  /** Why there are none. */
  fault?: string;
}

/** Items of an array that are handed on at once. */
const ITEMS_AT_ONCE = 1000;

/**
 * Reads jobs: NDJSON (an object a line, empty lines do not count), or one JSON document, an array of objects or an
 * object that begins with a line of only a brace. Lines are handed on as they come, so that a pipe that stays open is
 * served line by line; a document is read to its end first.
 *
 * @throws UsageError when what looks like a document is none
 */
export async function* readEntries(pieces: AsyncIterable<string>): AsyncGenerator<Entry[]> {
  const reader = new LineReader();
  let rest = '';
  let is_document: boolean | undefined;
  for await (const piece of pieces) {
    rest += piece;
    if (is_document === true || !piece.includes('\n')) continue;
    const lines = rest.split('\n');
    const first = lines.slice(0, -1).find(line => !isBlank(line));
    if (first !== undefined) is_document ??= beginsDocument(first);
    if (is_document === true) continue;
    rest = lines.pop() as string;
    const entries = reader.read(lines);
    if (entries.length > 0) yield entries;
  }
  if (is_document ?? beginsDocument(rest)) {
    const items = documentEntries(rest);
    for (let i = 0; i < items.length; i += ITEMS_AT_ONCE) yield items.slice(i, i + ITEMS_AT_ONCE);
  } else {
    const entries = reader.read([rest]);
    if (entries.length > 0) yield entries;
  }
}

/** Counts lines, the blank ones too: a user looks a number up in an editor. */
class LineReader {
  #number = 0;

  read(lines: readonly string[]): Entry[] {
    const entries: Entry[] = [];
    for (const line of lines) {
      this.#number += 1;
      if (isBlank(line)) continue;
      entries.push({ unit: 'line', number: this.#number, ...parsed(line) });
    }
    return entries;
  }
}

/** `trim` takes a byte order mark for a space. */
const isBlank = (line: string) => line.trim() === '';

function beginsDocument(line: string): boolean {
  const text = line.trim();
  return text.startsWith('[') || text === '{';
}

function parsed(line: string): { fields: Record<string, unknown> } | { fault: string } {
  try {
    const text = line.trim();
    return checked(JSON.parse(text), new ObjectText(text));
  } catch (error) {
    return { fault: `it is not JSON: ${(error as Error).message}` };
  }
}

/** @param text that of the value; not read when it is no object */
function checked(value: unknown, text: ObjectText): { fields: Record<string, unknown> } | { fault: string } {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    return { fault: 'it is not a JSON object' };
  try {
    const params = text.member('params');
    return { fields: { ...value, ...(params !== undefined && { params: new JsonText(params) }) } };
  } catch (error) {
    return { fault: (error as Error).message };
  }
}

function documentEntries(text: string): Entry[] {
  const document = text.trim();
  let value: unknown;
  try {
    value = JSON.parse(document);
  } catch (error) {
    throw new UsageError(
      `the input is not JSON: ${(error as Error).message}. It may also be NDJSON: an object a line.`,
    );
  }
  const items = Array.isArray(value) ? value : [value];
  const list = Array.isArray(value) ? document : `[${document}]`;
  const texts = new ObjectText(`{"jobs":${list}}`).objects('jobs');
  return items.map((item, i) => ({
    unit: 'item' as const,
    number: i + 1,
    ...checked(item, texts[i] as ObjectText),
  }));
}
