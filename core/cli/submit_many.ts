import { setTimeout as sleep } from 'node:timers/promises';
import {
  GpuhubClient,
  GpuhubError,
  type JobEvent,
  type JobHandle,
  type AnySubmission,
  JsonText,
} from '../sdk/client.ts';
import { memberText, parseKept } from './as_written.ts';
import { type Context, EXIT, type ExitCode, UsageError } from './context.ts';
import { count, cut, plural, visible } from './format.ts';
import { fromGpuhubError, isAway } from './hub_fault.ts';
import { type BoardJob, boardJob, boardLines, takeEvent } from './job_board.ts';
import { type Entry, readEntries } from './job_input.ts';
import { LiveLines } from './live_lines.ts';
import { EventLines, RedisTime } from './watch_many.ts';

/** Groups of jobs on their way at once; beyond these nothing more is read. */
const GROUPS_IN_FLIGHT = 4;
/** A hub that is away for this long counts as gone. */
const PATIENCE_MS = 30_000;
/** Refusals that pass: the hub says when to come again. */
const PASSING: ReadonlySet<string> = new Set(['queue_full', 'rate_limited']);
const COME_AGAIN_MS = 1000;
const REDRAW_MS = 200;
/** With `watch`, so many jobs have a bar each; when there are more, one line tells of all. */
const BARS_MOST = 100;

export interface ManyOptions {
  /** The name of a file, or `-` for standard input. */
  from: string;
  /** Fields of a job that does not say them itself. */
  defaults: Partial<AnySubmission>;
  /** Jobs without an id are named after this and their number: the same input sent again makes no second job. */
  id_prefix?: string | undefined;
  /** Wait until all have ended. */
  wait: boolean;
  /** Wait, and show how each goes: bars on a terminal while there are few, a line an event in a pipe. */
  watch: boolean;
}

/**
 * Submits all jobs of an input over one connection. A job that is refused does not keep the others back.
 *
 * @returns `failed` when one was refused, or, with `wait`, did not complete
 * @throws UsageError when the input cannot be read or holds no job
 * @throws ApiError `no_hub` when the hub is away too long; it names the first jobs of which nothing is known
 */
export async function submitMany(context: Context, options: ManyOptions): Promise<ExitCode> {
  // Says at once, and in the usual words, that no hub answers; the connection would try for long.
  const { at } = await context.hub.stats();
  await using client = new GpuhubClient({ ...context.address, parse: parseKept });
  return await new Batch(context, client, options, new RedisTime(at)).run();
}

/** An entry with what is sent for it. */
interface Prepared {
  entry: Entry;
  job: AnySubmission;
}

class Batch {
  readonly #context: Context;
  readonly #client: GpuhubClient;
  readonly #options: ManyOptions;
  readonly #progress: Progress;
  readonly #lines: EventLines | undefined;
  /** Those that have a bar; none when there are too many. */
  readonly #bars: BoardJob[] = [];
  readonly #ends: Promise<void>[] = [];
  readonly #tally = { read: 0, accepted: 0, duplicates: 0, refused: 0, completed: 0, not_completed: 0 };
  /** The first entry that the hub did not answer, and why. */
  #lost: { entry: Entry; error: GpuhubError } | undefined;

  constructor(context: Context, client: GpuhubClient, options: ManyOptions, time: RedisTime) {
    this.#context = context;
    this.#client = client;
    this.#options = options;
    this.#progress = new Progress(context, time, this.#bars, () => this.#state());
    const { json, io } = context;
    if (options.watch && !json && io.terminal === null) this.#lines = new EventLines(context);
  }

  async run(): Promise<ExitCode> {
    try {
      await this.#readAll();
      await Promise.all(this.#ends);
    } finally {
      this.#progress.end();
    }
    if (this.#lost !== undefined) throw this.#gone(this.#lost);
    if (this.#tally.read === 0) throw new UsageError(`there is no job in ${inputName(this.#options.from)}`);
    if (!this.#context.json) this.#context.print(this.#state());
    return this.#tally.refused + this.#tally.not_completed > 0 ? EXIT.failed : EXIT.ok;
  }

  async #readAll(): Promise<void> {
    const running = new Set<Promise<void>>();
    for await (const entries of entriesOf(this.#context, this.#options.from)) {
      const sending: Promise<void> = this.#send(entries).finally(() => running.delete(sending));
      running.add(sending);
      if (running.size >= GROUPS_IN_FLIGHT) await Promise.race(running);
      if (this.#lost !== undefined) break;
    }
    await Promise.all(running);
  }

  async #send(entries: readonly Entry[]): Promise<void> {
    this.#tally.read += entries.length;
    let left: Prepared[] = [];
    for (const entry of entries) {
      if (entry.fields === undefined) this.#refused(entry, 'invalid_json', entry.fault as string);
      else left.push({ entry, job: this.#job(entry, entry.fields) });
    }
    for (let wait_ms = 0; left.length > 0 && this.#lost === undefined; ) {
      if (wait_ms > 0) await sleep(wait_ms);
      const answers = await this.#ask(left);
      const again: Prepared[] = [];
      for (const [i, prepared] of left.entries()) {
        const answer = answers[i] as JobHandle | GpuhubError;
        if (!(answer instanceof GpuhubError)) this.#accepted(prepared, answer);
        else if (PASSING.has(answer.code)) {
          again.push(prepared);
          wait_ms = comeAgainMs(answer);
        } else if (isAway(answer)) this.#lost ??= { entry: prepared.entry, error: answer };
        else this.#refused(prepared.entry, answer.code, answer.message, prepared.job.job_id);
      }
      left = again;
      this.#progress.note(left.length > 0 ? 'the hub is full, waiting' : '');
    }
  }

  /** Nothing is thrown: a failure of the connection is the answer to each. */
  async #ask(jobs: readonly Prepared[]): Promise<(JobHandle | GpuhubError)[]> {
    try {
      return await this.#client.submitMany(
        jobs.map(({ job }) => job),
        { timeout_ms: PATIENCE_MS },
      );
    } catch (error) {
      if (error instanceof GpuhubError) return jobs.map(() => error);
      throw error;
    }
  }

  /** What the input says goes before the options. */
  #job({ number }: Entry, fields: Record<string, unknown>): AnySubmission {
    const { id_prefix, defaults } = this.#options;
    const named = id_prefix === undefined ? {} : { job_id: `${id_prefix}:${number}` };
    return { params: {}, ...defaults, ...named, ...fields, watch: this.#watchLevel() } as AnySubmission;
  }

  /** How much of a job is told: everything while each is shown, only its end when they are counted. */
  #watchLevel(): AnySubmission['watch'] {
    const { wait, watch } = this.#options;
    if (!watch) return wait ? 'end' : false;
    return this.#lines !== undefined || this.#tally.read <= BARS_MOST ? 'all' : 'end';
  }

  #accepted({ entry }: Prepared, handle: JobHandle): void {
    const { status, duplicate = false, seq, warnings } = handle.accepted ?? {};
    this.#tally.accepted += 1;
    if (duplicate) this.#tally.duplicates += 1;
    if (!this.#context.json) {
      for (const warning of warnings ?? []) this.#note(`${nameOf(entry)}: ! ${visible(warning)}`);
    }
    if (this.#options.wait || this.#options.watch) this.#ends.push(this.#end(entry, handle));
    else if (this.#context.json) {
      this.#context.printJson({
        [entry.unit]: entry.number,
        job_id: handle.id,
        status,
        duplicate,
        seq,
        ...(warnings && { warnings }),
      });
    }
  }

  async #end(entry: Entry, handle: JobHandle): Promise<void> {
    const head = { [entry.unit]: entry.number, job_id: handle.id };
    try {
      const end = await this.#follow(handle);
      // Throws why there is none.
      await handle.result();
      this.#tally.completed += 1;
      if (this.#context.json) {
        const result = new JsonText(memberText(end as JobEvent, 'result'));
        this.#context.printJson({ ...head, status: 'completed', result });
      }
    } catch (error) {
      const { code, message } = error as GpuhubError;
      this.#tally.not_completed += 1;
      if (this.#context.json)
        this.#context.printJson({ ...head, status: endOf(error), error: { code, message } });
      else this.#note(`${nameOf(entry)}: ${visible(`${handle.id} ${endOf(error)}: ${code}: ${message}`)}`);
    }
  }

  /** Waits for the end of a job and, with `watch`, shows how it goes. @returns the last event */
  async #follow(handle: JobHandle): Promise<JobEvent | undefined> {
    const bar = this.#barOf(handle);
    let last: JobEvent | undefined;
    for await (const event of handle) {
      last = event;
      if (bar !== undefined) takeEvent(bar, event);
      this.#lines?.show(event);
    }
    return last;
  }

  /** One that is counted only has none; when there are too many, none has one. */
  #barOf(handle: JobHandle): BoardJob | undefined {
    if (!this.#options.watch || this.#lines !== undefined) return undefined;
    if (this.#tally.read > BARS_MOST) {
      this.#bars.length = 0;
      return undefined;
    }
    const bar = boardJob(handle.id);
    this.#bars.push(bar);
    return bar;
  }

  #refused(entry: Entry, code: string, message: string, job_id?: string): void {
    this.#tally.refused += 1;
    const head = { [entry.unit]: entry.number, ...(job_id !== undefined && { job_id }) };
    if (this.#context.json) this.#context.printJson({ ...head, error: { code, message } });
    else this.#note(`${nameOf(entry)}: ${visible(`${code}: ${message}`)}`);
  }

  #note(text: string): void {
    this.#progress.clear();
    this.#context.io.err(`gpuhub: ${text}\n`);
  }

  #state(): string {
    const { accepted, duplicates, refused, completed, not_completed } = this.#tally;
    const parts = [`${plural(accepted, 'job')} taken`];
    if (duplicates > 0) parts.push(`${count(duplicates)} of them there already`);
    if (refused > 0) parts.push(`${count(refused)} refused`);
    if (this.#options.wait || this.#options.watch) parts.push(`${count(completed)} completed`);
    if (not_completed > 0) parts.push(`${count(not_completed)} not completed`);
    return parts.join(' · ');
  }

  #gone({ entry, error }: { entry: Entry; error: GpuhubError }) {
    const known = this.#options.id_prefix !== undefined;
    const again = known
      ? 'run the same again, it makes no second job'
      : `whether the jobs from ${nameOf(entry)} on were taken is not known`;
    return fromGpuhubError(error, this.#context.hub.url, `${this.#state()}; ${again}`);
  }
}

/** Why a job has no result, as the word of its state. */
function endOf(error: unknown): string {
  const { name } = error as Error;
  if (name === 'JobCancelledError') return 'cancelled';
  return name === 'JobExpiredError' ? 'expired' : 'failed';
}

const nameOf = ({ unit, number }: Entry) => `${unit} ${number}`;
const inputName = (from: string) => (from === '-' ? 'standard input' : from);

async function* entriesOf(context: Context, from: string): AsyncGenerator<Entry[]> {
  try {
    yield* readEntries(context.io.pieces(from));
  } catch (error) {
    if (error instanceof UsageError) throw error;
    throw new UsageError(`cannot read ${inputName(from)}: ${(error as Error).message}`);
  }
}

function comeAgainMs({ details }: GpuhubError): number {
  const { retry_after_ms } = (details ?? {}) as { retry_after_ms?: unknown };
  return typeof retry_after_ms === 'number' ? retry_after_ms : COME_AGAIN_MS;
}

/** What is redrawn on a terminal while it goes on: the state of all, and bars while there are few. Nothing elsewhere. */
class Progress {
  readonly #context: Context;
  readonly #text: () => string;
  readonly #lines: LiveLines | undefined;
  readonly #bars: readonly BoardJob[];
  readonly #time: RedisTime;
  readonly #timer: NodeJS.Timeout | undefined;
  #note = '';

  constructor(context: Context, time: RedisTime, bars: readonly BoardJob[], text: () => string) {
    this.#context = context;
    this.#time = time;
    this.#bars = bars;
    this.#text = text;
    const { notes } = context.io;
    if (notes === null) return;
    this.#lines = new LiveLines(text => context.io.err(text), notes);
    this.#timer = setInterval(() => this.#draw(), REDRAW_MS);
  }

  /** @param text beside the state, until it is said anew */
  note(text: string): void {
    this.#note = text;
  }

  #draw(): void {
    const lines = this.#lines as LiveLines;
    const state = [this.#text(), this.#note].filter(text => text !== '').join(' · ');
    lines.draw([...this.#board(lines), cut(state, lines.width)]);
  }

  #board({ rows, width }: LiveLines): string[] {
    if (this.#bars.length === 0 || rows <= 2) return [];
    const screen = { color: this.#context.screen.color, width };
    return boardLines(screen, this.#bars, this.#time.now(), rows - 1);
  }

  /** Makes room for a line that stays. */
  clear(): void {
    this.#lines?.clear();
  }

  /** Draws no more; the bars stay as they are at the end. */
  end(): void {
    clearInterval(this.#timer);
    this.#lines?.draw(this.#board(this.#lines));
  }
}
