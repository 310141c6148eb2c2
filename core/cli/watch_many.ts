import { GpuhubClient, GpuhubError, type JobHandle } from '../sdk/client.ts';
import { parseKept } from './as_written.ts';
import { type Context, EXIT, type ExitCode } from './context.ts';
import { eventDetails, eventName } from './event_text.ts';
import { duration, padded, paint, type Screen, shownWidth, visible } from './format.ts';
import { fromGpuhubError } from './hub_fault.ts';
import type { JobEvent } from './http.ts';
import { type BoardJob, boardJob, boardLines, hasEnded, takeEvent, takeRecord } from './job_board.ts';
import { LiveLines } from './live_lines.ts';
import { Deferred } from './monitor.ts';

/** A hub that is away for this long counts as gone. */
const PATIENCE_MS = 30_000;
const REDRAW_MS = 200;
/** Jobs whose records are asked for at once. */
const ASKED_AT_ONCE = 50;
/** Columns of the widest name of an event, `► processing` and the like. */
const NAME_WIDTH = 12;

/**
 * Follows several jobs to their ends over one connection: a board of them on a terminal, a line an event elsewhere, and
 * an event of the wire a line as JSON.
 *
 * @returns `ok` when all completed, `not_found` when one is not known, else `failed`
 * @throws ApiError `no_hub` when none answers, also later on, for half a minute
 */
export async function watchMany(context: Context, job_ids: readonly string[]): Promise<ExitCode> {
  // Says at once, and in the usual words, that no hub answers; the connection would try for long.
  const { at } = await context.hub.stats();
  const away = new Away();
  await using client = new GpuhubClient({
    ...context.address,
    parse: parseKept,
    on_status: status => {
      if (status.state === 'open') away.over();
      else if (status.state !== 'error' && status.error !== undefined) {
        away.begin(status.error, context.address.url, status.state === 'ended');
      }
    },
  });
  const watch = new ManyWatch(context, client, job_ids, new RedisTime(at), away);
  try {
    return await Promise.race([watch.run(), away.gone.promise]);
  } finally {
    away.over();
    watch.leave();
  }
}

/** The time by the clock of Redis, from one look at it. */
export class RedisTime {
  readonly #offset_ms: number;

  /** @param at the time there, ms, just now */
  constructor(at: number) {
    this.#offset_ms = at - performance.now();
  }

  now(): number {
    return this.#offset_ms + performance.now();
  }
}

/** Counts how long the hub is away. */
class Away {
  /** Rejects when it is away for too long, or for good. */
  readonly gone = new Deferred<never>();
  #since: number | undefined;
  #timer: NodeJS.Timeout | undefined;

  begin(error: GpuhubError, url: string, for_good: boolean): void {
    this.#since ??= performance.now();
    const end = () => this.gone.reject(fromGpuhubError(error, url));
    if (for_good) end();
    else this.#timer ??= setTimeout(end, PATIENCE_MS);
  }

  over(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#since = undefined;
  }

  get text(): string {
    return this.#since === undefined
      ? ''
      : `○ the hub is away for ${duration(performance.now() - this.#since)}, trying again`;
  }
}

class ManyWatch {
  readonly #context: Context;
  readonly #client: GpuhubClient;
  readonly #jobs: readonly BoardJob[];
  readonly #away: Away;
  readonly #board: Board | undefined;
  readonly #lines: EventLines;
  #unknown = 0;

  constructor(
    context: Context,
    client: GpuhubClient,
    job_ids: readonly string[],
    time: RedisTime,
    away: Away,
  ) {
    this.#context = context;
    this.#client = client;
    this.#away = away;
    this.#jobs = [...new Set(job_ids)].map(boardJob);
    this.#lines = new EventLines(
      context,
      this.#jobs.map(({ job_id }) => job_id),
    );
    const { io, screen, json } = context;
    const { terminal } = io;
    if (json || terminal === null) return;
    const lines = new LiveLines(
      text => io.out(text),
      () => terminal.size(),
    );
    this.#board = new Board(screen, lines, time, this.#jobs, () => this.#away.text);
  }

  async run(): Promise<ExitCode> {
    const left = [...this.#jobs];
    const watches: Promise<void>[] = [];
    const begin = async (): Promise<void> => {
      for (let job = left.shift(); job !== undefined; job = left.shift()) {
        const handle = await this.#begin(job);
        if (handle === undefined) continue;
        const watch = this.#follow(job, handle);
        // It is waited for below; until then a failure is nobody's.
        watch.catch(() => {});
        watches.push(watch);
      }
    };
    await Promise.all(Array.from({ length: ASKED_AT_ONCE }, begin));
    await Promise.all(watches);
    if (this.#unknown > 0) return EXIT.not_found;
    return this.#jobs.every(({ status }) => status === 'completed') ? EXIT.ok : EXIT.failed;
  }

  /** The last picture stays. */
  leave(): void {
    this.#board?.leave();
  }

  /** Undefined when there is nothing to follow. A board begins with what is, lines with what was. */
  async #begin(job: BoardJob): Promise<JobHandle | undefined> {
    try {
      if (this.#board === undefined) return await this.#client.watch(job.job_id);
      const record = await this.#client.getJob(job.job_id);
      takeRecord(job, record);
      return hasEnded(job) ? undefined : await this.#client.watch(job.job_id, { after_seq: record.seq });
    } catch (error) {
      if (!(error instanceof GpuhubError) || error.code !== 'not_found')
        throw asApiError(error, this.#context);
      this.#notFound(job, error);
      return undefined;
    }
  }

  async #follow(job: BoardJob, handle: JobHandle): Promise<void> {
    try {
      for await (const event of handle) {
        takeEvent(job, event);
        if (this.#board === undefined) this.#lines.show(event);
      }
    } catch (error) {
      if (!(error instanceof GpuhubError) || error.code !== 'not_found')
        throw asApiError(error, this.#context);
      this.#notFound(job, error);
    }
  }

  #notFound(job: BoardJob, { code, message }: GpuhubError): void {
    const { job_id } = job;
    this.#unknown += 1;
    job.note = visible(message);
    if (this.#context.json) this.#context.printJson({ job_id, error: { code, message } });
    else if (this.#board === undefined) this.#context.io.err(`gpuhub: ${visible(message)}\n`);
  }
}

function asApiError(error: unknown, { address }: Context): unknown {
  return error instanceof GpuhubError ? fromGpuhubError(error, address.url) : error;
}

/** A line for each event: how long after the job's first one, the job, what happened. */
export class EventLines {
  readonly #context: Context;
  readonly #id_width: number;
  /** When the first event of each job was. */
  readonly #begins = new Map<string, number>();

  /** @param job_ids those that are known beforehand, so that what follows them stands in columns */
  constructor(context: Context, job_ids: readonly string[] = []) {
    this.#context = context;
    this.#id_width = Math.max(0, ...job_ids.map(id => shownWidth(visible(id))));
  }

  show(event: JobEvent): void {
    if (this.#context.json) this.#context.printJson(event);
    else this.#context.print(this.#line(this.#context.screen, event));
  }

  #line(screen: Screen, event: JobEvent): string {
    const { job_id, type, at } = event;
    const begin = this.#begins.get(job_id) ?? at;
    this.#begins.set(job_id, begin);
    const time = paint(screen, 'gray', `+${duration(at - begin)}`.padEnd(8));
    const name = padded(eventName(screen, type), NAME_WIDTH);
    return `${time}  ${padded(visible(job_id), this.#id_width)}  ${name}  ${eventDetails(event)}`.trimEnd();
  }
}

/** Draws the board of jobs at a steady pace, until it is left. */
export class Board {
  readonly #screen: Screen;
  readonly #lines: LiveLines;
  readonly #time: RedisTime;
  readonly #jobs: readonly BoardJob[];
  readonly #note: () => string;
  readonly #timer: NodeJS.Timeout;

  /** @param jobs may grow */
  constructor(
    screen: Screen,
    lines: LiveLines,
    time: RedisTime,
    jobs: readonly BoardJob[],
    note: () => string,
  ) {
    this.#screen = screen;
    this.#lines = lines;
    this.#time = time;
    this.#jobs = jobs;
    this.#note = note;
    this.#timer = setInterval(() => this.draw(), REDRAW_MS);
  }

  draw(): void {
    const { rows, width } = this.#lines;
    const screen = { ...this.#screen, width };
    this.#lines.draw(boardLines(screen, this.#jobs, this.#time.now(), rows, this.#note()));
  }

  /** Draws it for the last time. */
  leave(): void {
    clearInterval(this.#timer);
    this.draw();
  }
}
