import { stripVTControlCharacters } from 'node:util';
import { TERMINAL_EVENTS } from '../messages/job.ts';
import type { Context } from './context.ts';
import { eventDetails, eventName } from './event_text.ts';
import { bar, cut, duration, paint, percent, shownWidth, visible } from './format.ts';
import type { JobEvent } from './http.ts';

/**
 * Follows a job to its end and shows what happens: a line an event; progress as a bar that is redrawn on a
 * terminal, as lines elsewhere.
 *
 * @param show is called for each event instead, when given
 * @returns the terminal event
 */
export async function follow(
  context: Context,
  job_id: string,
  show?: (event: JobEvent) => void,
): Promise<JobEvent> {
  const picture = new Picture(context);
  try {
    for await (const event of context.hub.events(job_id)) {
      if (show) show(event);
      else picture.show(event);
      if (TERMINAL_EVENTS.has(event.type)) return event;
    }
  } finally {
    picture.leave();
  }
  throw new Error(`the events of ${visible(job_id)} ended before the job did`);
}

class Picture {
  readonly #context: Context;
  #started: number | undefined;
  #hasBar = false;

  constructor(context: Context) {
    this.#context = context;
  }

  show(event: JobEvent): void {
    this.#started ??= event.at;
    if (event.type === 'job_progress') this.#progress(event);
    else this.#line(event);
  }

  #line(event: JobEvent): void {
    const { screen, io } = this.#context;
    const line = `${this.#time(event)}  ${eventName(screen, event.type)}  ${eventDetails(event)}`;
    io.out(`${this.#clear()}${line.trimEnd()}\n`);
  }

  #progress(event: JobEvent): void {
    const { screen, io } = this.#context;
    const share = Number(event['progress']);
    const line =
      `${this.#time(event)}  ${bar(share, 20)} ${percent(share)}  ${visible(event['message'] ?? '')}`.trimEnd();
    if (screen.width === null) {
      io.out(`${line}\n`);
      return;
    }
    // A line that wraps could not be redrawn.
    const fitting =
      shownWidth(line) < screen.width ? line : cut(stripVTControlCharacters(line), screen.width - 1);
    io.out(this.#clear() + fitting);
    this.#hasBar = true;
  }

  #time(event: JobEvent): string {
    const { screen } = this.#context;
    return paint(screen, 'gray', `+${duration(event.at - (this.#started ?? event.at))}`.padEnd(8));
  }

  /** What comes next starts on a line of its own. */
  leave(): void {
    if (this.#hasBar) this.#context.io.out('\n');
    this.#hasBar = false;
  }

  /** Takes the bar away, if there is one. */
  #clear(): string {
    if (!this.#hasBar) return '';
    this.#hasBar = false;
    return '\r\u001b[2K';
  }
}
