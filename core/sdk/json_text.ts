/** JSON as somebody wrote it, to be handed on as it is: parsed and written anew, a 64-bit seed is another number, 7.0 is 7. */
export class JsonText {
  readonly text: string;

  /** @throws SyntaxError when it is no JSON */
  constructor(text: string) {
    JSON.parse(text);
    this.text = text;
  }
}

/** The JSON text of an object; members that are {@link JsonText} stay as they were written. */
export function objectJson(object: object): string {
  const members: string[] = [];
  for (const [name, value] of Object.entries(object)) {
    const text = value instanceof JsonText ? value.text : JSON.stringify(value);
    if (text !== undefined) members.push(`${JSON.stringify(name)}:${text}`);
  }
  return `{${members.join(',')}}`;
}
