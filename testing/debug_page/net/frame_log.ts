// Every frame of every connection of this page, both ways, in a bounded ring. Answers are paired with their
// requests by connection and request_id.

import { Ring } from '../state/ring.ts';
import { touch } from '../state/live.ts';

const FRAMES_MAX = 5000;
const CHARS_MAX = 16 * 1024 * 1024;
/** Requests that never get an answer must not be remembered for ever. */
const UNANSWERED_MAX = 1000;

export interface FrameEntry {
  n: number;
  at: number;
  connection: string;
  /** The page's own monitor connection: hidden unless asked for. */
  own: boolean;
  out: boolean;
  type: string;
  /** What it is about: request, job or worker. */
  request: string;
  subject: string;
  raw: string;
  note: string;
  /** The request of an answer, or the answer of a request, by number. */
  partner: number | undefined;
  roundTrip: number | undefined;
}

type NewFrame = Pick<FrameEntry, 'connection' | 'own' | 'out' | 'raw'> & {
  frame: Record<string, unknown> | undefined;
  /** When it went over the wire, if that was not just now. */
  at?: number;
};

const textOf = (value: unknown) => (typeof value === 'string' ? value : '');

function noteOf(frame: Record<string, unknown>): string {
  if (frame['type'] === 'error') return `${textOf(frame['code'])}: ${textOf(frame['message'])}`;
  if (frame['accepted'] === false) return `refused: ${textOf(frame['code'])}`;
  return '';
}

class FrameLog {
  readonly #ring = new Ring<FrameEntry>(FRAMES_MAX);
  readonly #unanswered = new Map<string, FrameEntry>();
  #next = 1;
  #chars = 0;

  add({ frame = {}, at = Date.now(), ...fields }: NewFrame): void {
    const request = textOf(frame['request_id']);
    const entry: FrameEntry = {
      ...fields,
      n: this.#next++,
      at,
      type: textOf(frame['type']) || '?',
      request,
      subject: textOf(frame['job_id']) || textOf(frame['worker_id']) || textOf(frame['machine_id']),
      note: noteOf(frame),
      partner: undefined,
      roundTrip: undefined,
    };
    if (request !== '') this.#pair(entry);
    this.#chars += entry.raw.length;
    const dropped = this.#ring.push(entry);
    if (dropped !== undefined) this.#forget(dropped);
    // The ring counts frames; very large ones give up their text first.
    if (this.#chars > CHARS_MAX) this.#dropTexts();
    touch('frames');
  }

  #pair(entry: FrameEntry): void {
    const key = `${entry.connection}\n${entry.request}`;
    if (entry.out) {
      this.#unanswered.set(key, entry);
      const oldest = this.#unanswered.keys().next().value;
      if (this.#unanswered.size > UNANSWERED_MAX && oldest !== undefined) this.#unanswered.delete(oldest);
      return;
    }
    const question = this.#unanswered.get(key);
    if (question === undefined) return;
    this.#unanswered.delete(key);
    entry.partner = question.n;
    entry.roundTrip = question.roundTrip = entry.at - question.at;
    question.partner = entry.n;
  }

  #forget(entry: FrameEntry): void {
    this.#chars -= entry.raw.length;
  }

  #dropTexts(): void {
    for (const entry of this.#ring.all()) {
      if (this.#chars <= CHARS_MAX / 2) return;
      this.#forget(entry);
      entry.raw = '';
    }
  }

  get dropped(): number {
    return this.#ring.dropped;
  }

  all(): FrameEntry[] {
    return this.#ring.all();
  }

  clear(): void {
    this.#ring.clear();
    this.#chars = 0;
    touch('frames');
  }
}

export const frameLog = new FrameLog();
