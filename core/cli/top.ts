import type { JobRecord } from '../messages/job.ts';
import type { Stats } from '../messages/stats.ts';
import type { WorkerRecord } from '../messages/worker.ts';
import type { HubMessage } from '../sdk/socket.ts';
import { type Cli, type Context, exampleHelp, timeArgument } from './context.ts';
import { count, duration, paint } from './format.ts';
import { Deferred, Monitor } from './monitor.ts';
import { connected } from './summary.ts';
import type { Terminal } from './terminal.ts';
import { type Picture, topLines } from './top_view.ts';

const EVERY_MS_DEFAULT = 1000;
const EVERY_MS_LEAST = 500;
const EVERY_MS_MOST = 10_000;
/** More running jobs than this fit on no terminal. */
const JOBS_MOST = 200;
/** Of the statistics' past; more than the chart shows is not needed. */
const DEPTHS_MOST = 100;
const QUIT: ReadonlySet<string> = new Set(['q', 'Q', '\u0003', '\u001b']);

interface TopOptions {
  every: number;
  once?: boolean;
}

export function addTop(cli: Cli): void {
  cli.program
    .command('top')
    .description('a live view of the whole: queues, GPUs, rates, waits, machines, running jobs')
    .option(
      '--every <time>',
      'draw so often, 500ms to 10s',
      timeArgument(EVERY_MS_LEAST, EVERY_MS_MOST),
      EVERY_MS_DEFAULT,
    )
    .option('--once', 'one picture, and end; so it is in any case when stdout is no terminal')
    .addHelpText(
      'after',
      `
Keys: q ends it, space holds the picture, + and - draw more or less often.
GPUs: □ idle ■ busy ◔ stopping ‖ draining ☒ quarantined ┄ away.
--format json writes one document, {stats, workers: [worker records], jobs: [running job records]}.
${exampleHelp('gpuhub top', 'gpuhub top --every 5s', 'gpuhub top --once')}`,
    )
    .action(
      cli.action(async (context, options: TopOptions) => {
        const { terminal } = context.io;
        if (context.json || options.once || terminal === null) await showOnce(context);
        else await new LiveTop(context, terminal, options.every).run();
        return undefined;
      }),
    );
}

async function showOnce(context: Context): Promise<void> {
  const { hub, screen } = context;
  const [stats, workers, { jobs }] = await Promise.all([
    hub.stats(),
    hub.workers(),
    hub.jobs({ status: 'active', limit: JOBS_MOST }),
  ]);
  if (context.json) {
    context.printJson({ stats, workers, jobs });
    return;
  }
  const { url } = hub;
  const picture = {
    url,
    stats,
    workers,
    running: jobs,
    depths: [stats.jobs.queued],
    now: stats.at,
    link: 'once',
    note: '',
  };
  context.print(
    topLines(screen, picture, Number.POSITIVE_INFINITY)
      .map(line => line.trimEnd())
      .join('\n'),
  );
}

/** The view on a terminal. What the hub pushes is kept; it is drawn at a steady pace. */
class LiveTop {
  readonly #context: Context;
  readonly #terminal: Terminal;
  readonly #over = new Deferred();
  readonly #workers = new Map<string, WorkerRecord>();
  #every_ms: number;
  #held = false;
  /** The terminal is ours: before, nothing may be drawn. */
  #taken = false;
  #stats: Stats | undefined;
  /** When the statistics came, by the clock of this process. */
  #stats_at = 0;
  #depths: number[] = [];
  #running: JobRecord[] = [];
  #asking = false;
  #events = 0;
  #events_per_s = 0;
  #counted_at = performance.now();
  #lost: { since: number; reason: string } | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(context: Context, terminal: Terminal, every_ms: number) {
    this.#context = context;
    this.#terminal = terminal;
    this.#every_ms = every_ms;
  }

  /** Until a key ends it. The terminal is given back whatever happens. */
  async run(): Promise<void> {
    await using monitor = await Monitor.open(this.#context.address, {
      message: message => this.#take(message),
      down: reason => {
        this.#lost ??= { since: performance.now(), reason };
      },
      end: error => this.#over.reject(error),
    });
    const giveBack = this.#terminal.take({ key: key => this.#key(key), resize: () => this.#draw() });
    this.#taken = true;
    try {
      this.#tick(monitor);
      await this.#over.promise;
    } finally {
      clearTimeout(this.#timer);
      giveBack();
    }
  }

  #tick(monitor: Monitor): void {
    if (this.#lost === undefined && !this.#asking) void this.#askRunning(monitor);
    this.#countEvents();
    if (!this.#held) this.#draw();
    this.#timer = setTimeout(() => this.#tick(monitor), this.#every_ms);
  }

  async #askRunning(monitor: Monitor): Promise<void> {
    this.#asking = true;
    try {
      const limit = Math.min(JOBS_MOST, Math.max(1, this.#terminal.size().rows));
      const answer = await monitor.ask({ type: 'list_jobs', status: 'active', limit });
      const first = this.#running.length === 0;
      this.#running = answer['jobs'] as JobRecord[];
      if (first && !this.#held) this.#draw();
    } catch {
      // The picture stays as it was; a hub that is away is told in its first line.
    } finally {
      this.#asking = false;
    }
  }

  /** A large fleet does not fit in one frame: the snapshot has only some of it. */
  async #askWorkers(): Promise<void> {
    const workers = await this.#context.hub.workers().catch(() => []);
    for (const worker of workers) {
      if (!this.#workers.has(worker.worker_id)) this.#workers.set(worker.worker_id, worker);
    }
  }

  #countEvents(): void {
    const now = performance.now();
    const elapsed_ms = now - this.#counted_at;
    if (elapsed_ms < EVERY_MS_LEAST) return;
    this.#events_per_s = (this.#events * 1000) / elapsed_ms;
    this.#events = 0;
    this.#counted_at = now;
  }

  #take(message: HubMessage): void {
    const { type } = message;
    if (type === 'stats') this.#takeStats(message as unknown as Stats);
    else if (type === 'snapshot') this.#begin(message);
    else if (type.startsWith('worker_')) this.#takeWorker(message);
    else this.#events += 1;
  }

  /** A new connection begins with all there is: nothing of the former one stays. */
  #begin(snapshot: HubMessage): void {
    this.#lost = undefined;
    this.#workers.clear();
    const stats = snapshot['stats'] as Stats;
    for (const worker of snapshot['workers'] as WorkerRecord[]) this.#workers.set(worker.worker_id, worker);
    this.#depths = (snapshot['history'] as Stats[]).map(past => past.jobs.queued);
    this.#takeStats(stats);
    if (connected(stats) > this.#workers.size) void this.#askWorkers();
    if (this.#taken) this.#draw();
  }

  #takeStats(stats: Stats): void {
    this.#stats = stats;
    this.#stats_at = performance.now();
    this.#depths = [...this.#depths, stats.jobs.queued].slice(-DEPTHS_MOST);
  }

  #takeWorker({ type, ...message }: HubMessage): void {
    const worker = message['worker'] as WorkerRecord | undefined;
    const id = message['worker_id'] as string;
    const gone = type === 'worker_disconnected' && worker?.job_id == null;
    if (gone || worker === undefined) this.#workers.delete(id);
    else this.#workers.set(id, worker);
  }

  #key(key: string): void {
    if (QUIT.has(key)) {
      this.#over.resolve();
      return;
    }
    if (key === ' ') this.#held = !this.#held;
    if (key === '+') this.#every_ms = Math.max(EVERY_MS_LEAST, this.#every_ms / 2);
    if (key === '-') this.#every_ms = Math.min(EVERY_MS_MOST, this.#every_ms * 2);
    this.#draw();
  }

  #draw(): void {
    if (this.#stats === undefined) return;
    const { columns, rows } = this.#terminal.size();
    const screen = { color: this.#context.screen.color, width: columns };
    // The last line stays free: a terminal scrolls when it is full.
    const lines = topLines(screen, this.#picture(this.#stats), rows - 1);
    // Over the old picture, not after clearing it: that would flicker.
    this.#context.io.out(`\u001b[H${lines.map(line => `${line}\u001b[K\r\n`).join('')}\u001b[J`);
  }

  #picture(stats: Stats): Picture {
    const now = performance.now();
    const held = this.#held ? '‖ held · ' : '';
    return {
      url: this.#context.hub.url,
      stats,
      depths: this.#depths,
      workers: [...this.#workers.values()],
      running: this.#running,
      // Ages stop when nothing is heard any more.
      now: stats.at + ((this.#lost?.since ?? now) - this.#stats_at),
      link: this.#link(now),
      note: `${held}every ${duration(this.#every_ms)} · q quits`,
    };
  }

  #link(now: number): string {
    const { screen } = this.#context;
    if (this.#lost !== undefined) {
      return paint(screen, 'red', `○ lost ${duration(now - this.#lost.since)} ago, trying again`);
    }
    return paint(screen, 'green', `● live ${count(Math.round(this.#events_per_s))} ev/s`);
  }
}
