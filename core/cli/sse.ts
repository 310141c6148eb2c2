/** One Server-Sent Event. */
export interface ServerEvent {
  event: string;
  /** The last id that was given; empty when none was. */
  id: string;
  data: string;
}

/**
 * Reads Server-Sent Events from the body of an answer.
 *
 * @param heard is called for everything that comes, also for the comments that only keep the connection alive
 */
export async function* readEvents(
  body: ReadableStream<Uint8Array>,
  heard: () => void = () => {},
): AsyncGenerator<ServerEvent> {
  const reader = new EventReader();
  const decoder = new TextDecoder();
  for await (const chunk of body) {
    heard();
    yield* reader.read(decoder.decode(chunk, { stream: true }));
  }
}

/** Puts lines together to events. An event that is not ended by an empty line is not one. */
class EventReader {
  #rest = '';
  #event = '';
  #id = '';
  #data: string[] = [];

  *read(text: string): Generator<ServerEvent> {
    // A carriage return at the end may be half of a line break: it waits for what follows.
    const lines = (this.#rest + text).split(/\r\n|\n|\r(?!$)/);
    this.#rest = lines.pop() as string;
    for (const line of lines) {
      const event = this.#line(line);
      if (event !== undefined) yield event;
    }
  }

  #line(line: string): ServerEvent | undefined {
    if (line === '') return this.#end();
    const colon = line.indexOf(':');
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? '' : line.slice(colon + 1).replace(/^ /, '');
    if (field === 'event') this.#event = value;
    else if (field === 'data') this.#data.push(value);
    else if (field === 'id' && !value.includes('\0')) this.#id = value;
    return undefined;
  }

  #end(): ServerEvent | undefined {
    const made =
      this.#data.length === 0
        ? undefined
        : { event: this.#event || 'message', id: this.#id, data: this.#data.join('\n') };
    this.#event = '';
    this.#data = [];
    return made;
  }
}
