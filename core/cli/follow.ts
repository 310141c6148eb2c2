import { stripVTControlCharacters } from 'node:util';
import { TERMINAL_EVENTS } from '../messages/job.ts';
import type { Context } from './context.ts';
import { bar, cut, duration, jsonText, paint, percent, shownWidth, state, visible } from './format.ts';
import type { JobEvent } from './http.ts';

/** What a line says of each event; other events are told by their type alone. */
const LINES: Record<string, (event: JobEvent) => string> = {
  job_queued: event => text(event['reason']),
  job_scheduled: event => `runs in ${duration(Number(event['run_at']) - event.at)}`,
  job_assigned: event => text(event['worker_id']),
  job_started: event => text(event['worker_id']),
  job_output: event => `#${event['index']} ${jsonText(event['data'])}`,
  job_output_gap: event => `#${event['from']} to #${event['to']} are lost`,
  job_retrying: event =>
    `${errorText(event['error'])}, again in ${duration(Number(event['run_at']) - event.at)}`,
  job_cancelling: event => text(event['reason']),
  job_completed: event =>
    `waited ${duration(event['queued_ms'] as number)}, ran ${duration(event['run_ms'] as number)}`,
  job_failed: event => errorText(event['error']),
  job_cancelled: event => text(event['reason']),
};

/** The state a job is in after an event. */
const STATE_AFTER: Record<string, string> = {
  job_queued: 'queued',
  job_scheduled: 'scheduled',
  job_assigned: 'assigned',
  job_started: 'processing',
  job_retrying: 'scheduled',
  job_completed: 'completed',
  job_failed: 'failed',
  job_cancelled: 'cancelled',
  job_expired: 'expired',
};

const text = (value: unknown) => (value == null ? '' : visible(value));

function errorText(error: unknown): string {
  const { code, message } = (error ?? {}) as { code?: unknown; message?: unknown };
  return visible(`${code}: ${message}`);
}

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
    const after = Object.hasOwn(STATE_AFTER, event.type) ? STATE_AFTER[event.type] : undefined;
    const what = after === undefined ? visible(event.type.replace(/^job_/, '')) : state(screen, after);
    const more = Object.hasOwn(LINES, event.type) ? LINES[event.type]?.(event) : '';
    io.out(`${this.#clear()}${this.#time(event)}  ${what}  ${more}`.trimEnd().concat('\n'));
  }

  #progress(event: JobEvent): void {
    const { screen, io } = this.#context;
    const share = Number(event['progress']);
    const line =
      `${this.#time(event)}  ${bar(share, 20)} ${percent(share)}  ${text(event['message'])}`.trimEnd();
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
