/** How much output of a job may wait to be stored by the hub; beyond it the oldest is lost (watchers get a gap). */
export const OUTPUT_BUFFER = { entries_max: 10_000, bytes_max: 8 * 1024 * 1024 };

/** Outputs of one job that the hub has not stored yet, numbered without gaps. */
export class OutputBuffer {
  #entries: { index: number; text: string }[] = [];
  #bytes = 0;
  #next = 0;
  /** The index that is to be sent next. */
  sent = 0;

  push(text: string): void {
    this.#entries.push({ index: this.#next++, text });
    this.#bytes += text.length;
    while (this.#entries.length > OUTPUT_BUFFER.entries_max || this.#bytes > OUTPUT_BUFFER.bytes_max) {
      this.#bytes -= this.#entries.shift()?.text.length ?? 0;
    }
  }

  /** The hub has everything below `next`. */
  stored(next: number): void {
    let count = 0;
    for (const { index, text } of this.#entries) {
      if (index >= next) break;
      count += 1;
      this.#bytes -= text.length;
    }
    if (count > 0) this.#entries.splice(0, count);
  }

  /** The next entry to send, if there is one. */
  take(): { index: number; text: string } | undefined {
    const first = this.#entries[0];
    if (first === undefined) return undefined;
    const entry = this.#entries[Math.max(0, this.sent - first.index)];
    if (entry !== undefined) this.sent = entry.index + 1;
    return entry;
  }
}
