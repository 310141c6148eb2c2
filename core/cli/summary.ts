import type { Stats } from '../messages/stats.ts';
import { type Cli, exampleHelp, typeName } from './context.ts';
import {
  bar,
  count,
  duration,
  fields,
  NOTHING,
  paint,
  percent,
  plural,
  type Screen,
  table,
  visible,
  wrapped,
} from './format.ts';

/** A line names so many pauses and counts the rest. */
const PAUSES_NAMED = 3;

export function addSummary(cli: Cli): void {
  cli.program
    .command('summary')
    .description('the whole system at a glance: jobs, workers, rates, waits, each job type')
    .addHelpText('after', exampleHelp('gpuhub summary', 'gpuhub summary --format json'))
    .action(
      cli.action(async context => {
        const stats = await context.hub.stats();
        if (context.json) context.printJson(stats);
        else context.print(summaryText(context.screen, stats, context.hub.url));
        return undefined;
      }),
    );
}

/** Six lines, then the problems, then a table of the job types. */
function summaryText(screen: Screen, stats: Stats, url: string): string {
  const parts = [
    head(screen, stats, url),
    ...problems(stats).map(line => paint(screen, 'red', onLines(screen, `✕ ${line}`))),
  ];
  if (Object.keys(stats.by_type).length > 0) parts.push('', typeTable(screen, stats));
  return parts.join('\n');
}

/** On a terminal broken at its edge; in a pipe one line. */
function onLines({ width }: Screen, text: string): string {
  return width === null ? text : wrapped(text, width, '  ');
}

function head(screen: Screen, stats: Stats, url: string): string {
  const { jobs, workers, rates, latency_ms: latency } = stats;
  const slots = connected(stats);
  const working = workers.busy + workers.stopping;
  const use = slots > 0 ? working / slots : 0;
  return fields(screen, [
    ['hub', `${url} · ${plural(stats.hubs, 'hub')} · ${plural(stats.clients, 'client')}`],
    [
      'waiting',
      `${count(jobs.queued)} queued · ${count(jobs.scheduled)} scheduled · oldest ${duration(stats.oldest_queued_ms)}`,
    ],
    ['running', `${count(jobs.assigned)} assigned · ${count(jobs.processing)} processing`],
    [
      'ended',
      `${count(jobs.completed)} completed · ${count(jobs.failed)} failed · ${count(jobs.cancelled)} cancelled · ${count(jobs.expired)} expired`,
    ],
    [
      'GPUs',
      `${count(working)}/${count(slots)} busy ${bar(use, 10)} ${percent(use)} · ${count(workers.idle)} idle · ${count(workers.draining)} draining · ${count(workers.offline)} away · ${count(workers.quarantined)} sick`,
    ],
    [
      'last 60 s',
      `in ${rate(rates.submitted_per_s)} · done ${rate(rates.completed_per_s)} · failed ${rate(rates.failed_per_s)} · ` +
        `wait p50 ${duration(latency.queue_p50)} p99 ${duration(latency.queue_p99)} · run p50 ${duration(latency.run_p50)} p99 ${duration(latency.run_p99)}`,
    ],
  ]);
}

const rate = (per_s: number | null) => (per_s == null ? NOTHING : `${per_s.toFixed(1)}/s`);

/** GPUs that are there. */
export function connected({ workers }: Stats): number {
  return workers.idle + workers.busy + workers.stopping + workers.draining + workers.quarantined;
}

/** What an operator would want to know first, a sentence each. */
export function problems(stats: Stats): string[] {
  const { workers, jobs } = stats;
  const found: string[] = [];
  if (connected(stats) === 0 && jobs.queued > 0)
    found.push(`${plural(jobs.queued, 'job')} waiting, and no GPU is connected`);
  else if (workers.idle + workers.busy + workers.stopping === 0 && jobs.queued > 0)
    found.push(
      `${plural(jobs.queued, 'job')} waiting, and every GPU is draining or sick (gpuhub workers, gpuhub resume ID)`,
    );
  if (workers.quarantined > 0) found.push(`sick: ${plural(workers.quarantined, 'GPU')} (gpuhub workers)`);
  if (workers.offline > 0)
    found.push(`away while leases run: ${plural(workers.offline, 'GPU')} (gpuhub workers)`);
  if (stats.paused.length > 0) found.push(`paused: ${pausesText(stats)} (gpuhub pause --list)`);
  return found;
}

function pausesText({ at, paused }: Stats): string {
  const named = paused.slice(0, PAUSES_NAMED).map(({ job_type, reason, at: since }) => {
    const why = reason ? `, ${visible(reason)}` : '';
    return `${typeName(job_type)} for ${duration(at - since)}${why}`;
  });
  const rest = paused.length - named.length;
  return [...named, ...(rest > 0 ? [`${rest} more`] : [])].join('; ');
}

/** Job types, those with most to do first. */
export function typeTable(screen: Screen, stats: Stats, most = Number.POSITIVE_INFINITY): string {
  const rows = Object.entries(stats.by_type)
    .sort(([, a], [, b]) => b.queued + b.active - (a.queued + a.active))
    .slice(0, most)
    .map(([type, counts]) => [
      visible(type),
      count(counts.queued),
      count(counts.active),
      count(counts.completed),
      count(counts.failed),
      duration(counts.avg_run_ms),
    ]);
  const right = ['WAIT', 'RUN', 'DONE', 'FAILED', 'MEAN RUN'];
  return table(screen, ['TYPE', ...right], rows, { right });
}
