import { Option } from 'commander';
import type { JobRecord } from '../messages/job.ts';
import type { Stats } from '../messages/stats.ts';
import type { WorkerRecord } from '../messages/worker.ts';
import type { HubMessage } from '../sdk/socket.ts';
import { type Cli, type Context, exampleHelp, timeArgument, UsageError } from './context.ts';
import { count, duration, paint, plural, type Screen, visible } from './format.ts';
import { Frame } from './frame.ts';
import { jobPage } from './job.ts';
import { phases } from './job_times.ts';
import { Deferred, Monitor } from './monitor.ts';
import { connected } from './summary.ts';
import type { Terminal } from './terminal.ts';
import { ordersOf } from './top_lists.ts';
import { type Effect, type JobSet, newView, press, type Tab, TABS, type View } from './top_state.ts';
import { draw, type Drawn, type Picture } from './top_view.ts';
import { workerText } from './worker.ts';

const EVERY_MS_DEFAULT = 1000;
const EVERY_MS_LEAST = 500;
const EVERY_MS_MOST = 10_000;
/** A key that is held down draws no more often. */
const REDRAW_MS_LEAST = 50;
/** Jobs asked for at once; where there are more, the view says so. */
const JOBS_MOST = 200;
/** Of the statistics' past; more than the chart shows is not needed. */
const DEPTHS_MOST = 100;
/** How long it is said what was done. */
const NOTICE_MS = 5000;

interface TopOptions {
  every: number;
  once?: boolean;
  tab: Tab;
  filter: string;
}

export function addTop(cli: Cli): void {
  cli.program
    .command('top')
    .description('a live view of the whole: queues, GPUs, rates, waits, machines, jobs')
    .option(
      '--every <time>',
      'draw so often, 500ms to 10s',
      timeArgument(EVERY_MS_LEAST, EVERY_MS_MOST),
      EVERY_MS_DEFAULT,
    )
    .addOption(new Option('--tab <tab>', 'begin with this one').choices(TABS).default('overview'))
    .option('--filter <text>', 'begin with only the rows of the tab that contain this', '')
    .option('--once', 'print one picture, and end; needs no terminal')
    .addHelpText(
      'after',
      `
Keys: 1 to 4 and Tab change the tab, arrows and PgUp PgDn move, Enter opens, / filters, s sorts, ? tells all, q ends it.
GPUs: □ idle ■ busy ◔ stopping ‖ draining ☒ quarantined ┄ away.
--format json writes one document, {stats, workers: [worker records], jobs: [running job records]}, and ends.
${exampleHelp('gpuhub top', 'gpuhub top --tab jobs --filter video --every 2s', 'gpuhub top --once --tab machines')}`,
    )
    .action(
      cli.action(async (context, options: TopOptions) => {
        const { terminal } = context.io;
        if (context.json || options.once) await showOnce(context, options);
        else if (terminal === null) {
          throw new UsageError(
            'top needs a terminal that can move its cursor; --once prints one picture, and --format json one document',
          );
        } else await new LiveTop(context, terminal, options).run();
        return undefined;
      }),
    );
}

async function showOnce(context: Context, { tab, filter }: TopOptions): Promise<void> {
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
  const picture: Picture = {
    url: hub.url,
    stats,
    workers,
    jobs,
    depths: [stats.jobs.queued],
    now: stats.at,
    link: 'once',
    away: '',
    note: '',
    notice: '',
    detail: [],
    jobs_known: knownOf('active', stats),
  };
  const { lines } = draw(screen, picture, newView(tab, filter), Number.POSITIVE_INFINITY);
  context.print(lines.map(line => line.trimEnd()).join('\n'));
}

/** How many jobs of a set there are; null where the statistics count what is no longer kept. */
function knownOf(set: JobSet, { jobs }: Stats): number | null {
  if (set === 'active') return jobs.assigned + jobs.processing;
  return set === 'waiting' ? jobs.scheduled + jobs.queued : null;
}

/** The view on a terminal. What the hub pushes is kept; it is drawn at a steady pace. */
class LiveTop {
  readonly #context: Context;
  readonly #terminal: Terminal;
  readonly #frame: Frame;
  readonly #view: View;
  readonly #over = new Deferred();
  readonly #workers = new Map<string, WorkerRecord>();
  #monitor: Monitor | undefined;
  #every_ms: number;
  /** The terminal is ours: before, nothing may be drawn. */
  #taken = false;
  #drawn: Drawn = { lines: [], ids: [], page: 1 };
  #drawn_at = 0;
  #redraw: NodeJS.Timeout | undefined;
  #stats: Stats | undefined;
  /** When the statistics came, by the clock of this process. */
  #stats_at = 0;
  #depths: number[] = [];
  #jobs: JobRecord[] = [];
  /** Which jobs these are. */
  #jobs_are: JobSet = 'active';
  #asking = false;
  #detail: string[] = [];
  #events = 0;
  #events_per_s = 0;
  #counted_at = performance.now();
  #lost: { since: number; reason: string; next_at: number } | undefined;
  #notice: { text: string; until: number } | undefined;
  /** While the picture is held: what it was made from. */
  #held: Picture | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(context: Context, terminal: Terminal, options: TopOptions) {
    this.#context = context;
    this.#terminal = terminal;
    this.#every_ms = options.every;
    this.#view = newView(options.tab, options.filter);
    this.#frame = new Frame(text => context.io.out(text));
  }

  /** Until a key ends it. The terminal is given back whatever happens. */
  async run(): Promise<void> {
    await using monitor = await Monitor.open(this.#context.address, {
      message: message => this.#take(message),
      down: (reason, retry_in_ms) => {
        const now = performance.now();
        this.#lost = { since: this.#lost?.since ?? now, reason, next_at: now + retry_in_ms };
        this.#drawSoon();
      },
      end: error => this.#over.reject(error),
    });
    this.#monitor = monitor;
    const giveBack = this.#terminal.take({ key: key => this.#key(key), resize: () => this.#resized() });
    this.#taken = true;
    try {
      this.#tick();
      await this.#over.promise;
    } finally {
      this.#taken = false;
      clearTimeout(this.#timer);
      clearTimeout(this.#redraw);
      giveBack();
    }
  }

  #tick(): void {
    void this.#askJobs();
    void this.#askDetail();
    this.#countEvents();
    this.#draw();
    this.#timer = setTimeout(() => this.#tick(), this.#every_ms);
  }

  /** The jobs that the open tab shows. */
  async #askJobs(): Promise<void> {
    const { tab } = this.#view;
    if (this.#lost !== undefined || this.#asking || tab === 'machines' || tab === 'queues') return;
    this.#asking = true;
    const set = tab === 'overview' ? 'active' : this.#view.jobs;
    const limit =
      tab === 'overview' ? Math.max(1, Math.min(JOBS_MOST, this.#terminal.size().rows)) : JOBS_MOST;
    try {
      const status = set === 'all' ? {} : { status: set };
      const answer = await (this.#monitor as Monitor).ask({ type: 'list_jobs', ...status, limit });
      const first = this.#jobs_are !== set || this.#jobs.length === 0;
      this.#jobs = answer['jobs'] as JobRecord[];
      this.#jobs_are = set;
      if (first) this.#drawSoon();
    } catch {
      // The picture stays as it was; a hub that is away is told in its first lines.
    } finally {
      this.#asking = false;
    }
    // The view may have turned to other jobs meanwhile.
    if (this.#wanted !== set) void this.#askJobs();
  }

  get #wanted(): JobSet {
    return this.#view.tab === 'overview' ? 'active' : this.#view.jobs;
  }

  /** What is opened, as the commands `job` and `worker` show it. */
  async #askDetail(): Promise<void> {
    const { detail } = this.#view;
    if (detail === null || this.#lost !== undefined) return;
    const screen: Screen = { color: this.#context.screen.color, width: this.#terminal.size().columns };
    const lines = await this.#detailText(screen, detail).catch((error: Error) => visible(error.message));
    if (this.#view.detail !== detail) return;
    const first = this.#detail.length === 0;
    this.#detail = lines.split('\n');
    if (first) this.#drawSoon();
  }

  async #detailText(screen: Screen, { kind, id }: NonNullable<View['detail']>): Promise<string> {
    if (kind === 'job') return jobPage(this.#context, screen, await this.#context.hub.job(id));
    const gpus = this.#gpusOf(id);
    if (gpus.length === 0) return `${visible(id)} is gone`;
    const now = (this.#stats?.at ?? Date.now()) + performance.now() - this.#stats_at;
    return gpus.map(gpu => workerText(screen, gpu, [], now)).join('\n\n');
  }

  #gpusOf(machine_id: string): WorkerRecord[] {
    return [...this.#workers.values()]
      .filter(worker => worker.machine_id === machine_id)
      .sort((a, b) => a.index - b.index);
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
    this.#drawSoon();
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
    this.#notice = undefined;
    // Keys that come at once: the second one is for what the first one has made of the list.
    if (this.#redraw !== undefined) this.#look();
    const effect = press(this.#view, key, {
      ids: this.#drawn.ids,
      page: this.#drawn.page,
      orders: ordersOf(this.#view.tab),
      detail_lines: this.#detail.length,
      question: (action, id) => (action === 'cancel' ? this.#priceOfCancel(id) : this.#priceOfDrain(id)),
    });
    if (effect !== undefined) this.#do(effect);
    this.#drawSoon();
  }

  #do(effect: Effect): void {
    switch (effect.do) {
      case 'quit':
        this.#over.resolve();
        return;
      case 'faster':
        this.#every_ms = Math.max(EVERY_MS_LEAST, this.#every_ms / 2);
        return;
      case 'slower':
        this.#every_ms = Math.min(EVERY_MS_MOST, this.#every_ms * 2);
        return;
      case 'redraw':
        this.#frame.forget();
        return;
      case 'ask_jobs':
        void this.#askJobs();
        return;
      case 'open':
        this.#detail = [];
        void this.#askDetail();
        return;
      default:
        void this.#change(effect.do, effect.id);
    }
  }

  async #change(action: 'cancel' | 'drain' | 'resume', id: string): Promise<void> {
    try {
      if (action === 'cancel') {
        const { status } = await this.#context.hub.cancel(id);
        this.#say(`${status} ${visible(id)}`);
      } else {
        await (this.#monitor as Monitor).ask({ type: `${action}_worker`, machine_id: id });
        this.#say(action === 'drain' ? `draining ${visible(id)}: u resumes it` : `resumed ${visible(id)}`);
      }
    } catch (error) {
      this.#say(visible((error as Error).message));
    }
  }

  #say(text: string): void {
    this.#notice = { text, until: performance.now() + NOTICE_MS };
    this.#drawSoon();
  }

  #priceOfCancel(id: string): string {
    const job = this.#jobs.find(({ job_id }) => job_id === id);
    const ran_ms = job === undefined || this.#stats === undefined ? null : phases(job, this.#stats.at).ran_ms;
    const price =
      ran_ms === null || job?.finished_at != null ? '' : `, which has run for ${duration(ran_ms)}`;
    return `Cancel ${visible(id)}${price}?`;
  }

  #priceOfDrain(id: string): string {
    const busy = this.#gpusOf(id).filter(({ job_id }) => job_id !== null).length;
    const price = busy === 0 ? 'nothing runs there' : `${plural(busy, 'running job')} will be finished first`;
    return `Drain ${visible(id)}: no new jobs, ${price}?`;
  }

  #resized(): void {
    this.#frame.forget();
    this.#drawSoon();
  }

  /** At once, but not more often than somebody can see. */
  #drawSoon(): void {
    if (!this.#taken || this.#redraw !== undefined) return;
    const wait_ms = Math.max(0, this.#drawn_at + REDRAW_MS_LEAST - performance.now());
    this.#redraw = setTimeout(() => this.#draw(), wait_ms);
  }

  #draw(): void {
    clearTimeout(this.#redraw);
    this.#redraw = undefined;
    if (!this.#taken) return;
    this.#look();
    this.#drawn_at = performance.now();
    this.#frame.draw(this.#drawn.lines);
  }

  /** Makes the picture that is to be drawn. */
  #look(): void {
    if (this.#stats === undefined) return;
    const { columns, rows } = this.#terminal.size();
    const screen = { color: this.#context.screen.color, width: columns };
    this.#drawn = draw(screen, this.#picture(this.#stats), this.#view, rows);
  }

  #picture(stats: Stats): Picture {
    const now = performance.now();
    if (!this.#view.held) this.#held = undefined;
    else if (this.#held !== undefined) return { ...this.#held, ...this.#said(now) };
    const picture = {
      url: this.#context.hub.url,
      stats,
      depths: this.#depths,
      workers: [...this.#workers.values()],
      jobs: this.#jobs_are === this.#wanted ? this.#jobs : [],
      jobs_known: knownOf(this.#wanted, stats),
      // Ages stop when nothing is heard any more.
      now: stats.at + ((this.#lost?.since ?? now) - this.#stats_at),
      ...this.#said(now),
    };
    if (this.#view.held) this.#held = picture;
    return picture;
  }

  /** What is told at once, also while the picture is held. */
  #said(now: number): Pick<Picture, 'link' | 'away' | 'note' | 'notice' | 'detail'> {
    const { screen } = this.#context;
    const lost = this.#lost;
    const hold = this.#view.held ? '‖ held · ' : '';
    const said = {
      note: `${hold}every ${duration(this.#every_ms)}`,
      notice: this.#notice !== undefined && this.#notice.until > now ? this.#notice.text : '',
      detail: this.#detail.length === 0 ? ['…'] : this.#detail,
    };
    if (lost === undefined) {
      const link = paint(screen, 'green', `● live ${count(Math.round(this.#events_per_s))} ev/s`);
      return { ...said, link, away: '' };
    }
    const ago = duration(now - lost.since);
    const next = duration(Math.max(0, lost.next_at - now));
    return {
      ...said,
      link: paint(screen, 'red', `○ lost ${ago} ago`),
      away: `the hub is away for ${ago}: ${visible(lost.reason)}; next try in ${next}. This is how it was.`,
    };
  }
}
