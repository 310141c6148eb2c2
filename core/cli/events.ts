import { Option } from 'commander';
import { EVENTS, JOB_STATES, type JobRecord } from '../messages/job.ts';
import type { WorkerRecord } from '../messages/worker.ts';
import type { HubMessage } from '../sdk/socket.ts';
import {
  type Cli,
  type Context,
  exampleHelp,
  jobIdArgument,
  jobTypeArgument,
  repeated,
  UsageError,
  wholeNumber,
} from './context.ts';
import { eventDetails, eventName, stateAfter } from './event_text.ts';
import { duration, padded, paint, plural, type Screen, state, visible } from './format.ts';
import type { JobEvent } from './http.ts';
import { Deferred, Monitor } from './monitor.ts';

/** Events that wait until the type of their job is known; beyond this the oldest are left out, and that is said. */
const WAITING_MOST = 10_000;
/** Job types that are kept in mind. */
const TYPES_MOST = 50_000;
/** Columns of the widest name, `► processing` and the like. */
const NAME_WIDTH = 12;

interface EventsOptions {
  type?: string[];
  job?: string[];
  state?: string[];
  event?: string[];
  workers?: boolean;
  limit?: number;
}

export function addEvents(cli: Cli): void {
  cli.program
    .command('events')
    .description('show what happens as it happens: the events of all jobs, from now on, until Ctrl-C')
    .option('-f, --follow', 'what it does in any case: the hub keeps no log of past events')
    .option('--type <type...>', 'only jobs of these types', repeated(jobTypeArgument))
    .option('--job <id...>', 'only these jobs', repeated(jobIdArgument))
    .addOption(
      new Option('--state <state...>', 'only what brings a job into these states').choices(JOB_STATES),
    )
    .addOption(new Option('--event <event...>', 'only these events').choices(Object.keys(EVENTS)))
    .option('--workers', 'also workers that come, go or change (not with --type, --job, --state or --event)')
    .option('--limit <n>', 'end after so many', wholeNumber(1, Number.MAX_SAFE_INTEGER))
    .addHelpText(
      'after',
      `
It comes back by itself when the hub was away; what happened meanwhile is not shown (stderr says so). A hub leaves out
events beyond MONITOR_RATE a second, the end of a job never. For the past of one job: gpuhub watch ID, gpuhub job ID.
--format json writes one event a line as the wire has it: {type, job_id, seq, at, attempt, ...}, see the protocol.
${exampleHelp(
  'gpuhub events --follow',
  'gpuhub events --follow --state failed expired --format json',
  'gpuhub events --type video.render --event job_progress --limit 100',
)}`,
    )
    .action(cli.action(showEvents));
}

async function showEvents(context: Context, options: EventsOptions): Promise<undefined> {
  const all = [options.type, options.job, options.state, options.event].every(given => given === undefined);
  if (options.workers && !all)
    throw new UsageError(
      '--workers goes with all jobs: leave out --type, --job, --state and --event, or leave out --workers',
    );
  const over = new Deferred();
  const note = (text: string) => context.io.err(`gpuhub: ${visible(text)}\n`);
  let shown = 0;
  const show = (message: HubMessage) => {
    if (shown === options.limit) return;
    if (context.json) context.printJson(message);
    else context.print(lineOf(context.screen, message));
    shown += 1;
    if (shown === options.limit) over.resolve();
  };
  const types = new JobTypes();
  const filter = new Filter(options, types, show, left_out =>
    note(`${plural(left_out, 'event')} left out: their jobs could not be looked up fast enough`),
  );
  const losses = new Losses(n => note(`the hub left out ${plural(n, 'event')}: more than MONITOR_RATE`));
  await using monitor = await Monitor.open(context.address, {
    message: message => {
      if (Object.hasOwn(EVENTS, message.type)) filter.take(message as HubMessage & JobEvent);
      else if (message.type === 'snapshot') types.learn(message['jobs'] as JobRecord[]);
      else if (message.type === 'stats') losses.count(message['events_left_out'] as number);
      else if (message.type.startsWith('worker_') && options.workers) show(message);
    },
    down: (reason, retry_in_ms) =>
      note(
        `the hub is away (${reason}); trying again in ${duration(retry_in_ms)}. What happens meanwhile is not shown.`,
      ),
    end: error => over.reject(error),
  });
  types.askBy(job_id => monitor.ask({ type: 'get_job', job_id }));
  await over.promise;
  return undefined;
}

/** `13:02:11.480  ► processing   j1  details`, the time in UTC. */
function lineOf(screen: Screen, message: HubMessage): string {
  if (!Object.hasOwn(EVENTS, message.type)) return workerLine(screen, message);
  const event = message as HubMessage & JobEvent;
  const name = padded(eventName(screen, event.type), NAME_WIDTH);
  return `${clock(screen, event.at)}  ${name}  ${visible(event.job_id)}  ${eventDetails(event)}`.trimEnd();
}

function workerLine(screen: Screen, message: HubMessage): string {
  const worker = message['worker'] as WorkerRecord | undefined;
  const what = visible(message.type.replace('worker_', ''));
  const name = padded(worker === undefined ? what : state(screen, worker.status), NAME_WIDTH);
  const details = worker === undefined ? (message['reason'] ?? '') : what;
  const id = visible(message['worker_id']);
  return `${clock(screen, worker?.last_seen_at)}  ${name}  ${id}  ${visible(details)}`.trimEnd();
}

function clock(screen: Screen, at: number | undefined): string {
  const text = at === undefined ? '' : new Date(at).toISOString().slice(11, -1);
  return paint(screen, 'gray', text.padEnd(12));
}

/** Lets events through that were asked for, in the order in which they came. */
class Filter {
  readonly #options: EventsOptions;
  readonly #types: JobTypes;
  readonly #show: (event: HubMessage & JobEvent) => void;
  readonly #leftOut: (n: number) => void;
  /** Events from the first one on whose job's type is not known yet. */
  readonly #waiting: { event: HubMessage & JobEvent; type: Promise<string | undefined> | string }[] = [];
  #left_out = 0;

  constructor(
    options: EventsOptions,
    types: JobTypes,
    show: (event: HubMessage & JobEvent) => void,
    leftOut: (n: number) => void,
  ) {
    this.#options = options;
    this.#types = types;
    this.#show = show;
    this.#leftOut = leftOut;
  }

  take(event: HubMessage & JobEvent): void {
    const { job, state, event: kinds, type: wanted } = this.#options;
    if (job !== undefined && !job.includes(event.job_id)) return;
    if (state !== undefined && !state.includes(stateAfter(event.type) ?? '')) return;
    if (kinds !== undefined && !kinds.includes(event.type)) return;
    if (wanted === undefined) {
      this.#show(event);
      return;
    }
    const type = this.#types.of(event.job_id);
    if (this.#waiting.length === 0 && typeof type === 'string') this.#judge(event, type);
    else this.#wait(event, type);
  }

  #wait(event: HubMessage & JobEvent, type: Promise<string | undefined> | string): void {
    if (this.#waiting.length >= WAITING_MOST) {
      this.#left_out += 1;
      return;
    }
    this.#waiting.push({ event, type });
    if (this.#waiting.length === 1) void this.#drain();
  }

  async #drain(): Promise<void> {
    for (let first = this.#waiting[0]; first !== undefined; first = this.#waiting[0]) {
      this.#judge(first.event, await first.type);
      this.#waiting.shift();
    }
    if (this.#left_out > 0) this.#leftOut(this.#left_out);
    this.#left_out = 0;
  }

  #judge(event: HubMessage & JobEvent, type: string | undefined): void {
    if (type !== undefined && this.#options.type?.includes(type)) this.#show(event);
  }
}

/** The types of jobs by id: an event does not carry it. Each job is asked for once. */
class JobTypes {
  readonly #known = new Map<string, Promise<string | undefined> | string>();
  readonly #asker = new Deferred<(job_id: string) => Promise<HubMessage>>();

  askBy(ask: (job_id: string) => Promise<HubMessage>): void {
    this.#asker.resolve(ask);
  }

  learn(jobs: readonly JobRecord[]): void {
    for (const { job_id, job_type } of jobs) this.#keep(job_id, job_type);
  }

  /** Undefined, in the end, when the job is gone. */
  of(job_id: string): Promise<string | undefined> | string {
    const known = this.#known.get(job_id);
    if (known !== undefined) return known;
    const asked = this.#ask(job_id);
    this.#keep(job_id, asked);
    return asked;
  }

  async #ask(job_id: string): Promise<string | undefined> {
    try {
      const ask = await this.#asker.promise;
      const { job_type } = (await ask(job_id))['job'] as JobRecord;
      this.#keep(job_id, job_type);
      return job_type;
    } catch {
      // Purged meanwhile, or the hub is away: the next event of it asks again.
      this.#known.delete(job_id);
      return undefined;
    }
  }

  #keep(job_id: string, type: Promise<string | undefined> | string): void {
    this.#known.delete(job_id);
    this.#known.set(job_id, type);
    if (this.#known.size > TYPES_MOST) this.#known.delete(this.#known.keys().next().value as string);
  }
}

/** Tells how far a count that only grows has grown. */
class Losses {
  readonly #tell: (n: number) => void;
  #last: number | undefined;

  constructor(tell: (n: number) => void) {
    this.#tell = tell;
  }

  count(total: number): void {
    if (this.#last !== undefined && total > this.#last) this.#tell(total - this.#last);
    this.#last = total;
  }
}
