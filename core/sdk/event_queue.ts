import type { z } from 'zod';
import type { EVENTS, EventType, eventFields } from '../messages/job.ts';
import type { GpuhubError } from './socket.ts';

type FieldsOf<F> = F extends z.ZodRawShape ? z.infer<z.ZodObject<F>> : never;
type EventOf<T> = T extends EventType
  ? { type: T } & FieldsOf<typeof eventFields> & FieldsOf<(typeof EVENTS)[T]>
  : never;
/** An event of a job; see section 4 of the protocol. */
export type JobEvent = EventOf<EventType>;

/**
 * Events that wait for a slow reader; beyond it the oldest outputs give way to a `job_output_gap`. One read of a socket
 * (64 KiB) brings up to 700 at once: several of them must fit, or a reader that keeps up would lose some.
 */
const EVENTS_MAX = 4096;
const OUTPUTS_KEPT = EVENTS_MAX / 2;

/** Adds an event to those that wait, of which there are at most so many: of progress only the latest waits. */
export function pushEvent(events: JobEvent[], event: JobEvent): JobEvent[] {
  if (event.type === 'job_progress' && events.at(-1)?.type === 'job_progress') events.pop();
  events.push(event);
  return events.length > EVENTS_MAX ? trimmed(events) : events;
}

/** Events on their way to one reader. */
export class EventQueue implements AsyncIterableIterator<JobEvent> {
  #events: JobEvent[];
  #readers: { resolve: (r: IteratorResult<JobEvent>) => void; reject: (e: Error) => void }[] = [];
  #over: { error?: GpuhubError } | undefined;
  readonly #detach: (queue: EventQueue) => void;

  /** @param events that wait already */
  constructor(events: JobEvent[], detach: (queue: EventQueue) => void) {
    this.#events = events;
    this.#detach = detach;
  }

  push(event: JobEvent): void {
    const reader = this.#readers.shift();
    if (reader !== undefined) {
      reader.resolve({ done: false, value: event });
      return;
    }
    this.#events = pushEvent(this.#events, event);
  }

  /** No further event comes; what waits is still read, then the error if there is one. */
  end(error?: GpuhubError): void {
    if (this.#over !== undefined) return;
    this.#over = error === undefined ? {} : { error };
    for (const reader of this.#readers.splice(0)) {
      if (error === undefined) reader.resolve({ done: true, value: undefined });
      else reader.reject(error);
    }
  }

  next(): Promise<IteratorResult<JobEvent>> {
    const event = this.#events.shift();
    if (event !== undefined) return Promise.resolve({ done: false, value: event });
    if (this.#over?.error !== undefined) return Promise.reject(this.#over.error);
    if (this.#over !== undefined) return Promise.resolve({ done: true, value: undefined });
    return new Promise((resolve, reject) => this.#readers.push({ resolve, reject }));
  }

  return(): Promise<IteratorResult<JobEvent>> {
    this.#events = [];
    this.end();
    this.#detach(this);
    return Promise.resolve({ done: true, value: undefined });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }
}

/** The same events without all but the latest progress and the newest outputs; gaps stand for what is left out. */
function trimmed(events: JobEvent[]): JobEvent[] {
  const isOutput = (event: JobEvent) => event.type === 'job_output' || event.type === 'job_output_gap';
  const last_progress = events.findLast(event => event.type === 'job_progress');
  let surplus = events.filter(isOutput).length - OUTPUTS_KEPT;
  const kept: JobEvent[] = [];
  for (const event of events) {
    if (event.type === 'job_progress' && event !== last_progress) continue;
    if (surplus <= 0 || !isOutput(event)) {
      kept.push(event);
      continue;
    }
    surplus -= 1;
    const [from, to] = outputRange(event);
    const previous = kept.at(-1);
    if (previous?.type === 'job_output_gap') kept[kept.length - 1] = { ...previous, to };
    else {
      const { job_id, seq, at, attempt } = event;
      kept.push({ type: 'job_output_gap', job_id, seq, at, attempt, from, to });
    }
  }
  return kept;
}

/** The indexes that an event of the output stands for. */
export function outputRange(event: JobEvent): [from: number, to: number] {
  if (event.type === 'job_output') return [event.index, event.index];
  return event.type === 'job_output_gap' ? [event.from, event.to] : [0, 0];
}
