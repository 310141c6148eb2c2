import type { Explanation } from '../messages/client.ts';
import type { AttemptRecord, JobRecord } from '../messages/job.ts';
import { memberText } from './as_written.ts';
import { type Cli, type Context, exampleHelp, jobIdArgument } from './context.ts';
import {
  bar,
  count,
  duration,
  fields,
  jsonLines,
  jsonText,
  moment,
  NOTHING,
  paint,
  percent,
  plural,
  type Screen,
  state,
  table,
  visible,
} from './format.ts';
import { phases } from './job_times.ts';
import { hubNow } from './now.ts';
import { type Surroundings, verdictOf } from './verdict.ts';

/** How much of params and result a terminal shows without --full. */
const LINES_MOST = 20;
const TIMELINE_CELLS = 40;

export function addJob(cli: Cli): void {
  cli.program
    .command('job')
    .description('one job: state, times, why it waits, attempts, params, result')
    .argument('<id>', 'the job_id', jobIdArgument)
    .option('--full', 'params and result uncut')
    .addHelpText('after', exampleHelp('gpuhub job render-2291:shot-7', 'gpuhub job job-123456 --format json'))
    .action(
      cli.action(async (context, id: string, options: { full?: boolean }) => {
        const job = await context.hub.job(id);
        if (context.json) context.printJson(job);
        else context.print(await jobPage(context, context.screen, job, options.full));
        return undefined;
      }),
    );
}

/** All of a job for people, and why it waits. */
export async function jobPage(
  context: Context,
  screen: Screen,
  job: JobRecord,
  full = false,
): Promise<string> {
  const [now, why] = await Promise.all([hubNow(context.hub), whyText(context, screen, job)]);
  return jobText(screen, job, now, why, full);
}

/** Why a job waits and what follows from it, for people; empty when it does not wait or nobody can say. */
async function whyText(context: Context, screen: Screen, job: JobRecord): Promise<string> {
  const why = await whyOf(context, job);
  return why === null ? '' : reasons(screen, job, why, await surroundings(context));
}

/** For advice only: an explanation is worth as much without it. */
export async function surroundings({ hub }: Context): Promise<Surroundings> {
  const [workers, paused] = await Promise.all([
    hub.workers().catch(() => []),
    hub.stats().then(
      stats => stats.paused,
      () => [],
    ),
  ]);
  return { workers, paused };
}

/** Why a waiting job waits. An older hub cannot say, and one that is in trouble need not: the job is shown all the same. */
async function whyOf(context: Context, job: JobRecord): Promise<Explanation | null> {
  if (job.status !== 'queued' && job.status !== 'scheduled') return null;
  return context.hub.explain(job.job_id).catch(() => null);
}

/**
 * @param now by the clock of Redis
 * @param why it waits; empty when it does not
 */
function jobText(screen: Screen, job: JobRecord, now: number, why: string, full: boolean): string {
  const most = full || screen.width === null ? Number.POSITIVE_INFINITY : LINES_MOST;
  const sections = [
    `${state(screen, job.status)}  ${paint(screen, 'bold', visible(job.job_id))}`,
    facts(screen, job, now),
    why,
    timeline(screen, job, now),
    attempts(screen, job.attempts ?? []),
    document(screen, job, 'params', most),
    document(screen, job, 'result', most),
    advice(job),
  ];
  return sections.filter(text => text !== '').join('\n\n');
}

function facts(screen: Screen, job: JobRecord, now: number): string {
  const error = job.error as { code?: unknown; message?: unknown } | null;
  const running = job.status === 'assigned' || job.status === 'processing';
  const share = job.progress ?? 0;
  return fields(screen, [
    ['type', visible(job.job_type)],
    ['priority', String(job.priority)],
    ['attempt', `${job.attempt} of ${job.max_attempts}`],
    ['worker', job.worker_id && visible(job.worker_id)],
    ['client', job.client_id && visible(job.client_id)],
    ['progress', running ? `${bar(share)} ${percent(share)} ${visible(job.progress_message ?? '')}` : null],
    ['error', error ? paint(screen, 'red', visible(`${error.code}: ${error.message}`)) : null],
    ['cancel asked', when(job.cancel_requested_at)],
    ['requirements', job.requirements && jsonText(job.requirements)],
    ['metadata', job.metadata && jsonText(job.metadata)],
    ['retry of', job.retry_of && visible(job.retry_of)],
    ['created', `${moment(job.created_at)} (${duration(now - job.created_at)} ago)`],
    ['due', when(job.run_at)],
    ['ended', when(job.finished_at)],
  ]);
}

/** What keeps it waiting: its own causes and the nearest misses first; then what follows, its place, when it may start. */
export function reasons(screen: Screen, job: JobRecord, why: Explanation, around: Surroundings): string {
  const { position, eta_ms, slots_total, reasons: found } = why;
  const lines = found.map(({ message }) => visible(message));
  if (lines.length === 0)
    lines.push(`nothing keeps it: one of ${plural(slots_total, 'slot')} takes it in a moment`);
  const { starts_by_itself, lines: next } = verdictOf(job, why, around);
  return fields(screen, [
    ['waits because', lines.join('\n')],
    ['so', next.map(line => (starts_by_itself ? line : paint(screen, 'red', line))).join('\n')],
    ['position', position === null ? null : `${count(position)} of those with its type and requirements`],
    ['may start in', eta_ms && span(duration(eta_ms.low), duration(eta_ms.high))],
  ]);
}

const span = (low: string, high: string) => (low === high ? low : `${low} – ${high}`);

const when = (ms: number | null) => (ms === null ? null : moment(ms));

/** Waiting and running as bars to one scale. */
function timeline(screen: Screen, job: JobRecord, now: number): string {
  const { waited_ms, ran_ms } = phases(job, now);
  const total = (waited_ms ?? 0) + (ran_ms ?? 0);
  if (total === 0) return '';
  const cells = (ms: number) => Math.round((ms / total) * TIMELINE_CELLS);
  const line = (start: number, ms: number, glyph: string) =>
    `${(' '.repeat(start) + glyph.repeat(Math.max(1, cells(ms)))).padEnd(TIMELINE_CELLS + 1)} ${duration(ms)}`;
  return fields(screen, [
    ['waited', waited_ms === null ? null : line(0, waited_ms, '░')],
    ['ran', ran_ms === null ? null : line(cells(waited_ms ?? 0), ran_ms, '█')],
  ]);
}

function attempts(screen: Screen, history: readonly AttemptRecord[]): string {
  if (history.length === 0) return '';
  const between = (from: number | null, to: number | null) =>
    from === null || to === null ? NOTHING : duration(to - from);
  const rows = history.map(attempt => {
    const error = attempt.error as { code?: unknown; message?: unknown } | null;
    return [
      String(attempt.attempt),
      visible(attempt.worker_id ?? NOTHING),
      moment(attempt.assigned_at),
      between(attempt.assigned_at, attempt.started_at),
      between(attempt.assigned_at, attempt.ended_at),
      visible(attempt.outcome ?? NOTHING),
      error ? visible(`${error.code}: ${error.message}`) : NOTHING,
    ];
  });
  return table(screen, ['#', 'WORKER', 'ASSIGNED', 'DISPATCH', 'RUN', 'OUTCOME', 'ERROR'], rows, {
    right: ['#', 'DISPATCH', 'RUN'],
    wide: true,
  });
}

function document(screen: Screen, job: JobRecord, name: 'params' | 'result', most: number): string {
  if (job[name] === undefined || job[name] === null) return '';
  const lines = jsonLines(memberText(job, name)).split('\n');
  const shown = lines.slice(0, most);
  if (lines.length > most) shown.push(`… ${lines.length - most} more lines: --full`);
  return [paint(screen, 'gray', name), ...shown].join('\n');
}

/** The one command that helps next. */
function advice(job: JobRecord): string {
  const id = visible(job.job_id);
  if (job.finished_at === null) return `follow it: gpuhub watch ${id}`;
  return job.status === 'completed' ? '' : `run it again: gpuhub retry ${id}`;
}
