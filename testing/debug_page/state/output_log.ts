// The output of a job's present attempt, as it comes: texts are joined as they were cut, other JSON stays piece by
// piece, and what is missing is said where it is missing. Bounded: the oldest gives way, and is counted.

import { imageIn } from '../text/image_bytes.ts';
import { writeJson } from '../text/json_text.ts';
import type { JobEvent } from './job_events.ts';

const ENTRIES_MAX = 1000;
const CHARS_MAX = 256 * 1024;
/** Texts are joined up to this, so that a new piece redraws little. */
const BLOCK_CHARS = 4096;
const LINE_MAX = 200;

export type OutputEntry = { n: number; pieces: number; chars: number } & (
  | { kind: 'text'; text: string }
  | { kind: 'json'; index: number; line: string; value: unknown }
  | { kind: 'gap'; from: number; to: number }
);

export class OutputLog {
  /** The newest seq heard of the job; 0 before any. */
  seq = 0;
  /** The index that comes next. */
  next = 0;
  attempt = 0;
  pieces = 0;
  chars = 0;
  /** What gave way to newer output. */
  readonly dropped = { pieces: 0, chars: 0 };
  #entries: OutputEntry[] = [];
  #made = 0;

  /** Oldest first. */
  get entries(): readonly OutputEntry[] {
    return this.#entries;
  }

  take(event: JobEvent): void {
    // Each assignment starts its output anew; its events are told once more after a reconnect, if they are newer.
    const isStart = event.type === 'job_assigned' || event.type === 'job_started';
    if (isStart && event.seq > this.seq) this.#forget();
    this.seq = Math.max(this.seq, event.seq);
    if (event.type === 'job_output_gap') this.#gap(Number(event['from']), Number(event['to']));
    if (event.type === 'job_output') this.#output(event, Number(event['index']), event['data']);
  }

  /** All of it that is held, for the clipboard. */
  text(): string {
    const texts = this.#entries.map(entry => {
      if (entry.kind === 'text') return entry.text;
      if (entry.kind === 'json') return `${writeJson(entry.value)}\n`;
      return `\n[${gapText(entry)}]\n`;
    });
    return texts.join('');
  }

  #forget(): void {
    this.next = this.pieces = this.chars = 0;
    this.dropped.pieces = this.dropped.chars = 0;
    this.#entries = [];
  }

  #output({ attempt }: JobEvent, index: number, data: unknown): void {
    // Told before: a replay and live events may overlap.
    if (index < this.next) return;
    if (index > this.next) this.#gap(this.next, index - 1);
    this.attempt = attempt;
    this.next = index + 1;
    this.pieces++;
    if (typeof data === 'string' && imageIn(data) === undefined) this.#addText(data);
    else this.#addJson(index, data);
    this.#shrink();
  }

  #gap(from: number, to: number): void {
    if (to < this.next) return;
    this.#add({ kind: 'gap', from: Math.max(from, this.next), to, pieces: 0, chars: 0 });
    this.next = to + 1;
  }

  #addText(text: string): void {
    let pieces = 1;
    for (let from = 0; from < text.length; ) {
      const last = this.#entries.at(-1);
      const room = last?.kind === 'text' ? BLOCK_CHARS - last.chars : 0;
      const part = text.slice(from, from + (room > 0 ? room : BLOCK_CHARS));
      if (room > 0 && last?.kind === 'text') {
        last.text += part;
        last.chars += part.length;
        last.pieces += pieces;
        this.chars += part.length;
      } else this.#add({ kind: 'text', text: part, pieces, chars: part.length });
      pieces = 0;
      from += part.length;
    }
  }

  #addJson(index: number, value: unknown): void {
    const text = writeJson(value);
    const line = text.length > LINE_MAX ? `${text.slice(0, LINE_MAX)}…` : text;
    this.#add({ kind: 'json', index, line, value, pieces: 1, chars: text.length });
  }

  #add(entry: OutputEntry extends infer E ? (E extends unknown ? Omit<E, 'n'> : never) : never): void {
    this.#entries.push({ ...entry, n: this.#made++ });
    this.chars += entry.chars;
  }

  /** The newest entry always stays, however large. */
  #shrink(): void {
    let out = 0;
    for (; out < this.#entries.length - 1; out++) {
      if (this.#entries.length - out <= ENTRIES_MAX && this.chars <= CHARS_MAX) break;
      const { pieces, chars } = this.#entries[out] as OutputEntry;
      this.chars -= chars;
      this.dropped.chars += chars;
      this.dropped.pieces += pieces;
    }
    if (out > 0) this.#entries = this.#entries.slice(out);
  }
}

export function gapText({ from, to }: { from: number; to: number }): string {
  return from === to ? `output ${from} is lost` : `outputs ${from} to ${to} are lost`;
}
