import { setTimeout as sleep } from 'node:timers/promises';
import { PAUSES_MAX, type Stats } from '../messages/stats.ts';
import { type Cli, type Context, exampleHelp, timeArgument, wholeNumber } from './context.ts';
import { count, duration, moment, paint, type Screen } from './format.ts';

/** Heads are written again after so many lines, as long as a terminal shows. */
const LINES_A_HEAD = 20;
/** Columns of the moment at the beginning of a line. */
const TIME_WIDTH = 20;

/** A column: its head, and how wide its numbers get. */
type Column = [head: string, width: number, value: (stats: Stats) => string];
const COLUMNS: Column[] = [
  ['SCHED', 7, ({ jobs }) => count(jobs.scheduled)],
  ['QUEUED', 9, ({ jobs }) => count(jobs.queued)],
  ['RUNNING', 7, ({ jobs }) => count(jobs.assigned + jobs.processing)],
  ['IN/s', 7, ({ rates }) => rate(rates.submitted_per_s)],
  ['DONE/s', 7, ({ rates }) => rate(rates.completed_per_s)],
  ['FAIL/s', 7, ({ rates }) => rate(rates.failed_per_s)],
  ['WAIT p50', 8, ({ latency_ms }) => duration(latency_ms.queue_p50)],
  ['p99', 7, ({ latency_ms }) => duration(latency_ms.queue_p99)],
  ['RUN p50', 7, ({ latency_ms }) => duration(latency_ms.run_p50)],
  ['p99', 7, ({ latency_ms }) => duration(latency_ms.run_p99)],
  ['OLDEST', 7, stats => duration(stats.oldest_queued_ms)],
  ['IDLE', 6, ({ workers }) => count(workers.idle)],
  ['BUSY', 6, ({ workers }) => count(workers.busy + workers.stopping)],
  ['DRAIN', 5, ({ workers }) => count(workers.draining)],
  ['AWAY', 5, ({ workers }) => count(workers.offline)],
  ['SICK', 5, ({ workers }) => count(workers.quarantined)],
  ['PAUSED', 6, ({ paused }) => `${paused.length}${paused.length === PAUSES_MAX ? '+' : ''}`],
];

const rate = (per_s: number) => per_s.toFixed(1);

interface StatsOptions {
  every?: number;
  count?: number;
}

export function addStats(cli: Cli): void {
  cli.program
    .command('stats')
    .description('the numbers of the system in a line, once or again and again, as vmstat does')
    .option('--every <time>', 'a line so often, as 2s or 1m, until Ctrl-C', timeArgument(500, 86_400_000))
    .option('--count <n>', 'end after so many lines (with --every)', wholeNumber(1, Number.MAX_SAFE_INTEGER))
    .addHelpText(
      'after',
      `
Rates and percentiles are of the last 60 s; the hub counts anew once a second.
--format json writes the stats of the wire, a line each: {at, jobs: {state: n}, workers: {state: n}, clients, hubs,
rates: {submitted_per_s, completed_per_s, failed_per_s}, latency_ms: {queue_p50, queue_p99, run_p50, run_p99},
oldest_queued_ms, by_type: {TYPE: {queued, active, completed, failed, avg_run_ms}}, paused: [{job_type, reason,
at}], events_left_out}. Of the queues that are paused the first ${PAUSES_MAX} are named; gpuhub pause --list names all.
${exampleHelp('gpuhub stats', 'gpuhub stats --every 5s', 'gpuhub stats --every 1m --count 60 --format json')}`,
    )
    .action(cli.action(showStats));
}

async function showStats(
  context: Context,
  { every, count: most = Infinity }: StatsOptions,
): Promise<undefined> {
  const lines = every === undefined ? 1 : most;
  for (let line = 0; line < lines; line++) {
    if (line > 0) await sleep(every);
    const stats = await context.hub.stats();
    if (context.json) context.printJson(stats);
    else {
      if (line % LINES_A_HEAD === 0) context.print(headOf(context.screen));
      context.print(lineOf(context.screen, stats));
    }
  }
}

/** As many as there is room for: a line that breaks is in no column. */
function columnsOn({ width: room }: Screen): Column[] {
  let width = TIME_WIDTH;
  return COLUMNS.filter(column => {
    width += 1 + column[1];
    return room === null || width <= room;
  });
}

function headOf(screen: Screen): string {
  const heads = columnsOn(screen).map(([head, width]) => head.padStart(width));
  return paint(screen, 'bold', [' '.repeat(TIME_WIDTH), ...heads].join(' '));
}

function lineOf(screen: Screen, stats: Stats): string {
  return [
    moment(stats.at),
    ...columnsOn(screen).map(([, width, value]) => value(stats).padStart(width)),
  ].join(' ');
}
