import { readFileSync, realpathSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import {
  GpuhubClient,
  GpuhubError,
  JobCancelledError,
  JobExpiredError,
  type JobHandle,
  type JobSubmission,
} from '../core/sdk/client.ts';

const HELP = `Submits jobs to a hub and watches them until all have ended.

usage: tsx testing/test_client.ts (--prompt TEXT [--count N] | --file FILE) [options]

  --prompt TEXT           one prompt, submitted --count times (1)
  --file FILE             .txt: a prompt a line
                          .tsv: with a header row that names a column "prompt"; job_type and priority are taken
                            too, other columns become params. Without such a header the first column counts
                          .ndjson: a submission a line ({"job_type", "params", ...}), or only its params
  --type TYPE             job type (image)
  --priority N|mixed      -100 to 100, higher runs first (0); mixed: -10, 0 and 10 in turn
  --params JSON           added to the params of every job
  --requirements JSON     e.g. '{"min_vram_mb":16000}'
  --limit N               only the first N jobs
  --timeout S             give up after that many seconds
  --url URL[,URL]         the hub, or several (ws://127.0.0.1:8000)
  --ws-host H --ws-port P the same in parts
  --client-id ID          owner of the jobs
  --token TOKEN           credential (default: environment variable GPUHUB_TOKEN)
  --help

Exits with 0 when all jobs completed, 1 when one did not or no hub answered, 2 on bad usage.

examples:
  tsx testing/test_client.ts --prompt "a red fox in the snow" --count 5
  tsx testing/test_client.ts --file prompts.tsv --priority mixed --limit 1000
  tsx testing/test_client.ts --prompt hello --type chat --requirements '{"labels":{"region":"eu"}}' --timeout 60`;

const FLAGS = {
  prompt: { type: 'string' },
  count: { type: 'string' },
  file: { type: 'string' },
  type: { type: 'string', default: 'image' },
  priority: { type: 'string', default: '0' },
  params: { type: 'string' },
  requirements: { type: 'string' },
  limit: { type: 'string' },
  timeout: { type: 'string' },
  url: { type: 'string' },
  'ws-host': { type: 'string', default: '127.0.0.1' },
  'ws-port': { type: 'string', default: '8000' },
  'client-id': { type: 'string' },
  token: { type: 'string' },
  help: { type: 'boolean', short: 'h', default: false },
} as const;
type Flags = ReturnType<typeof parseArgs<{ options: typeof FLAGS }>>['values'];

const MIXED_PRIORITIES = [-10, 0, 10];
/** With more jobs than this a bar for each does not fit on a screen. */
const BARS_MAX = 20;
const CONNECT_TIMEOUT_MS = 5000;
/** Cancels that were sent when the time was over are given this long to arrive. */
const GIVE_UP_MS = 2000;
const DRAW_INTERVAL_MS = 100;
/** Where the output is not a terminal, a line now and then is enough. */
const LOG_INTERVAL_MS = 5000;

type Row = Record<string, unknown>;
type Draft = Partial<Omit<JobSubmission, 'params'>> & { params: Row };

function wholeNumber(flags: Flags, name: keyof Flags, least: number): number | undefined {
  const text = flags[name];
  if (text === undefined) return undefined;
  const value = text === '' ? Number.NaN : Number(text);
  if (!Number.isInteger(value) || value < least)
    throw new Error(`--${name} must be a whole number from ${least}`);
  return value;
}

function jsonObject(text: string, what: string): Row {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new Error(`${what} is not JSON: ${(error as Error).message}`, { cause: error });
  }
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Row;
  throw new Error(`${what} must be a JSON object`);
}

function readDrafts(file: string): Draft[] {
  const lines = readFileSync(file, 'utf8')
    .replace(/^\uFEFF/, '')
    .split(/\r?\n/);
  const filled = lines
    .map((text, i) => ({ text, where: `${file} line ${i + 1}` }))
    .filter(({ text }) => text.trim());
  if (file.endsWith('.ndjson') || file.endsWith('.jsonl')) {
    return filled.map(({ text, where }) => fromJson(jsonObject(text, where)));
  }
  if (file.endsWith('.tsv')) return fromTable(filled.map(({ text }) => text.split('\t')));
  return filled.map(({ text }) => ({ params: { prompt: text.trim() } }));
}

function fromJson(row: Row): Draft {
  return 'job_type' in row || 'params' in row ? { params: {}, ...row } : { params: row };
}

function fromTable(rows: string[][]): Draft[] {
  const header = rows[0]?.map(name => name.trim().toLowerCase().replaceAll(/\s+/g, '_')) ?? [];
  if (!header.includes('prompt')) return rows.map(([prompt = '']) => ({ params: { prompt } }));
  return rows.slice(1).map(cells => {
    const draft: Draft = { params: {} };
    for (const [i, name] of header.entries()) {
      const cell = cells[i]?.trim() ?? '';
      if (cell === '') continue;
      if (name === 'job_type') draft.job_type = cell;
      else if (name === 'priority') draft.priority = Number(cell);
      else draft.params[name] = name !== 'prompt' && Number.isFinite(Number(cell)) ? Number(cell) : cell;
    }
    return draft;
  });
}

/** The jobs that the flags ask for. */
function toJobs(flags: Flags): JobSubmission[] {
  if ((flags.file === undefined) === (flags.prompt === undefined))
    throw new Error('give either --prompt or --file');
  const count = wholeNumber(flags, 'count', 1) ?? 1;
  const drafts = flags.file
    ? readDrafts(flags.file)
    : Array.from({ length: count }, (): Draft => ({ params: { prompt: flags.prompt } }));
  const priorityOf = priorities(flags.priority);
  const params = flags.params === undefined ? {} : jsonObject(flags.params, '--params');
  const requirements = flags.requirements && jsonObject(flags.requirements, '--requirements');
  const jobs = drafts.slice(0, wholeNumber(flags, 'limit', 1)).map((draft, i) => ({
    job_type: flags.type,
    priority: priorityOf(i),
    ...(requirements && { requirements }),
    ...draft,
    params: { ...draft.params, ...params },
  }));
  if (jobs.length === 0) throw new Error(`${flags.file} has no jobs in it`);
  return jobs;
}

function priorities(text: string): (index: number) => number {
  if (text === 'mixed') return index => MIXED_PRIORITIES[index % MIXED_PRIORITIES.length] as number;
  const value = text === '' ? Number.NaN : Number(text);
  if (!Number.isInteger(value) || Math.abs(value) > 100) {
    throw new Error('--priority must be a whole number from -100 to 100, or mixed');
  }
  return () => value;
}

type State =
  | 'submitting'
  | 'waiting'
  | 'running'
  | 'completed'
  | 'failed'
  | 'cancelled'
  | 'expired'
  | 'refused';
const ENDED: readonly State[] = ['completed', 'failed', 'cancelled', 'expired', 'refused'];

/** What is shown of one job. */
interface View {
  label: string;
  state: State;
  progress: number;
  note: string;
  submitted_at: number;
  took_ms: number | undefined;
}

/** Shows the jobs while they run: a bar each on a terminal, else one line for all. */
class Display {
  readonly #views: View[];
  readonly #bars: boolean;
  readonly #tty = process.stdout.isTTY === true;
  readonly #timer: ReturnType<typeof setInterval>;
  readonly #started_at = performance.now();
  #lines = 0;

  constructor(views: View[]) {
    this.#views = views;
    this.#bars = this.#tty && views.length <= BARS_MAX;
    this.#timer = setInterval(() => this.#draw(), this.#tty ? DRAW_INTERVAL_MS : LOG_INTERVAL_MS);
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#draw();
    if (this.#tty && !this.#bars) process.stdout.write('\n');
  }

  #draw(): void {
    if (!this.#tty) {
      console.log(this.#summary());
      return;
    }
    const width = Math.max(40, (process.stdout.columns ?? 80) - 1);
    const rows = this.#bars ? [...this.#views.map(barOf), this.#summary()] : [this.#summary()];
    const up = this.#lines > 0 ? `\u001b[${this.#lines}A` : '';
    const end = this.#bars ? '\n' : '';
    process.stdout.write(up + rows.map(row => `\r\u001b[2K${row.slice(0, width)}${end}`).join(''));
    this.#lines = this.#bars ? rows.length : 0;
  }

  #summary(): string {
    const count = (state: State) => this.#views.filter(view => view.state === state).length;
    const seconds = (performance.now() - this.#started_at) / 1000;
    const parts = (['submitting', 'waiting', 'running', ...ENDED] as const)
      .map(state => [count(state), state] as const)
      .filter(([n]) => n > 0)
      .map(([n, state]) => `${n} ${state}`);
    return `${this.#views.length} jobs: ${parts.join(', ')}; ${seconds.toFixed(1)} s`;
  }
}

const BAR_WIDTH = 24;

function barOf(view: View): string {
  const full = Math.round(view.progress * BAR_WIDTH);
  const bar = '█'.repeat(full) + '·'.repeat(BAR_WIDTH - full);
  const percent = `${Math.round(view.progress * 100)}%`.padStart(4);
  const label = view.label.slice(0, 28).padEnd(28);
  return `${label} ${bar} ${percent} ${view.state.padEnd(9)} ${view.note}`;
}

function viewOf(job: JobSubmission): View {
  // Control characters of a prompt would upset the terminal.
  const { prompt } = job.params;
  const label = (typeof prompt === 'string' ? prompt : job.job_type).replaceAll(/\p{Cc}/gu, ' ');
  return {
    label,
    state: 'submitting',
    progress: 0,
    note: '',
    submitted_at: performance.now(),
    took_ms: undefined,
  };
}

function refuse(view: View, error: GpuhubError): void {
  view.state = 'refused';
  view.note = `${error.code}: ${error.message}`;
}

/** Follows one job to its end; the view tells what became of it. */
async function follow(handle: JobHandle, view: View): Promise<void> {
  if (view.state === 'submitting') view.state = 'waiting';
  try {
    for await (const event of handle) {
      if (event.type === 'job_started') {
        Object.assign(view, { state: 'running', progress: 0, note: event.worker_id });
      } else if (event.type === 'job_progress') {
        Object.assign(view, { state: 'running', progress: event.progress });
      } else if (event.type === 'job_retrying') {
        Object.assign(view, {
          state: 'waiting',
          progress: 0,
          note: `attempt ${event.attempt} failed, trying again`,
        });
      }
    }
    await handle.result();
    Object.assign(view, { state: 'completed', progress: 1 });
  } catch (error) {
    view.state =
      error instanceof JobCancelledError
        ? 'cancelled'
        : error instanceof JobExpiredError
          ? 'expired'
          : 'failed';
    view.note = error instanceof GpuhubError ? `${error.code}: ${error.message}` : String(error);
  }
  view.took_ms = performance.now() - view.submitted_at;
}

/** Submits the jobs and follows them; what has not ended when `signal` aborts is cancelled. */
async function run(client: GpuhubClient, jobs: JobSubmission[], signal: AbortSignal): Promise<View[]> {
  const views = jobs.map(viewOf);
  const display = new Display(views);
  const handles = await client.submitMany(jobs, { signal });
  const followed = handles.map((handle, i) => {
    const view = views[i] as View;
    if (!(handle instanceof GpuhubError)) return follow(handle, view);
    refuse(view, handle);
    return Promise.resolve();
  });
  const gaveUp = new Promise<void>(resolve => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
  await Promise.race([Promise.all(followed), gaveUp]);
  const left = handles.filter((handle, i): handle is JobHandle => {
    return !(handle instanceof GpuhubError) && !ENDED.includes((views[i] as View).state);
  });
  await Promise.allSettled(
    left.map(handle => handle.cancel('the client gave up', { timeout_ms: GIVE_UP_MS })),
  );
  display.stop();
  return views;
}

function report(views: View[], seconds: number): void {
  for (const view of views.filter(({ state }) => state !== 'completed').slice(0, 10)) {
    console.error(`${view.state}: ${view.label.slice(0, 60)}${view.note && ` (${view.note})`}`);
  }
  const times = views.flatMap(({ state, took_ms }) =>
    state === 'completed' && took_ms !== undefined ? took_ms : [],
  );
  times.sort((a, b) => a - b);
  const at = (share: number) => `${Math.round(times[Math.floor(share * (times.length - 1))] ?? 0)} ms`;
  const rate = (times.length / seconds).toFixed(1);
  const spread = times.length > 0 ? `; submit to end p50 ${at(0.5)}, p99 ${at(0.99)}` : '';
  console.log(
    `${times.length} of ${views.length} completed in ${seconds.toFixed(1)} s (${rate} a second)${spread}`,
  );
}

function usageError(error: unknown): undefined {
  console.error(`${(error as Error).message}\nRun with --help to see the options.`);
  process.exitCode = 2;
  return undefined;
}

function read(): { flags: Flags; jobs: JobSubmission[]; timeout_s: number | undefined } | undefined {
  try {
    const flags = parseArgs({ options: FLAGS }).values;
    if (!flags.help) return { flags, jobs: toJobs(flags), timeout_s: wholeNumber(flags, 'timeout', 1) };
    console.log(HELP);
    return undefined;
  } catch (error) {
    return usageError(error);
  }
}

function open(flags: Flags): GpuhubClient | undefined {
  const token = flags.token ?? process.env['GPUHUB_TOKEN'];
  try {
    return new GpuhubClient({
      url: flags.url?.split(',') ?? `ws://${flags['ws-host']}:${flags['ws-port']}`,
      ...(flags['client-id'] !== undefined && { client_id: flags['client-id'] }),
      ...(token !== undefined && { token }),
    });
  } catch (error) {
    return usageError(error);
  }
}

async function main(): Promise<void> {
  const asked = read();
  const client = asked && open(asked.flags);
  if (!asked || !client) return;
  const giveUp = new AbortController();
  const onInterrupt = () => giveUp.abort();
  process.once('SIGINT', onInterrupt);
  const timer = asked.timeout_s && setTimeout(() => giveUp.abort(), asked.timeout_s * 1000);
  try {
    await client.connect({ timeout_ms: CONNECT_TIMEOUT_MS, signal: giveUp.signal });
    const started_at = performance.now();
    const views = await run(client, asked.jobs, giveUp.signal);
    report(views, (performance.now() - started_at) / 1000);
    if (views.some(({ state }) => state !== 'completed')) process.exitCode = 1;
  } catch (error) {
    if (!(error instanceof GpuhubError)) throw error;
    console.error(error.message);
    if (error.code === 'unreachable')
      console.error('Is the hub running? Name it with --url or --ws-host and --ws-port.');
    process.exitCode = 1;
  } finally {
    if (timer) clearTimeout(timer);
    process.off('SIGINT', onInterrupt);
    await client.close();
  }
}

const program = process.argv[1];
if (program !== undefined && realpathSync(program) === fileURLToPath(import.meta.url)) void main();
