import { ObjectText } from '../messages/object_text.ts';
import { objectJson } from '../sdk/json_text.ts';

/** What each document was read from. */
const texts = new WeakMap<object, string>();

/** Reads JSON from a hub and keeps the text: what is written anew from the value may have other numbers. */
// `any`, as of JSON.parse: who asked knows what comes.
export function parseKept(text: string): any {
  const value: unknown = JSON.parse(text);
  if (typeof value === 'object' && value !== null) texts.set(value, text);
  return value;
}

/** A document as the hub wrote it, or of our own making. */
export function documentText(document: object): string {
  return texts.get(document) ?? objectJson(document);
}

/** A member of such a document. */
export function memberText(document: object, name: string): string {
  return new ObjectText(documentText(document)).member(name) ?? 'null';
}
