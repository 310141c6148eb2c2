import Table from 'cli-table3';
import type { Run } from './cell.ts';

function sorted(values: readonly number[]): number[] {
  return [...values].sort((a, b) => a - b);
}

export function median(values: readonly number[]): number {
  const order = sorted(values);
  const middle = Math.floor(order.length / 2);
  const upper = order[middle] ?? Number.NaN;
  return order.length % 2 === 1 ? upper : (upper + (order[middle - 1] as number)) / 2;
}

export function percentile(values: readonly number[], share: number): number {
  const order = sorted(values);
  return order[Math.min(order.length - 1, Math.ceil(share * order.length) - 1)] ?? Number.NaN;
}

function range(values: readonly number[]): string {
  const whole = (value: number) => Math.round(value).toLocaleString('en-US');
  return `${whole(median(values))} (${whole(Math.min(...values))}–${whole(Math.max(...values))})`;
}

function makeTable(head: string[]): InstanceType<typeof Table> {
  return new Table({
    head,
    style: { head: [], border: [], compact: true },
    colAligns: head.map((_, i) => (i === 0 ? 'left' : 'right')),
  });
}

function byCell(runs: readonly Run[]): [string, Run[]][] {
  return [...new Set(runs.map(run => run.cell))].map(name => [name, runs.filter(run => run.cell === name)]);
}

const PROCESSES = ['hub', 'redis', 'producer', 'worker'];

/** The medians of all runs as tables for people. */
export function report(runs: readonly Run[]): string {
  const flood = makeTable([
    '',
    'jobs/s median (min–max)',
    'CPU h/r/p/w = total',
    'evalsha',
    'µs',
    'cmds',
    'RSS h/r/p/w',
  ]);
  const idle = makeTable(['', 'ack p50', 'start p50 / p99', 'notice p50 / p99', 'n']);
  for (const [name, of] of byCell(runs)) {
    const cpu = PROCESSES.map(process => median(of.map(run => run.cpu[process] ?? 0)));
    const total = median(of.map(run => Object.values(run.cpu).reduce((sum, value) => sum + value, 0)));
    const rss = PROCESSES.map(process => Math.max(...of.map(run => run.peak_rss_mb[process] ?? 0)));
    const thousandths = (value: number) => (value === 0 ? '-' : value.toFixed(3).replace(/^0/, ''));
    flood.push([
      name,
      range(of.map(run => run.jobs_per_s)),
      `${cpu.map(thousandths).join('/')} = ${thousandths(total)}`,
      median(of.map(run => run.evalsha_per_job)).toFixed(2),
      median(of.map(run => run.evalsha_us_per_job)).toFixed(0),
      median(of.map(run => run.commands_per_job)).toFixed(1),
      rss.map(mb => (mb === 0 ? '-' : Math.round(mb))).join('/'),
    ]);
    const pooled = (of_run: (run: Run) => number[]) => of.flatMap(of_run);
    const both = (times: number[]) =>
      `${percentile(times, 0.5).toFixed(2)} / ${percentile(times, 0.99).toFixed(2)}`;
    idle.push([
      name,
      percentile(
        pooled(run => run.idle.acked),
        0.5,
      ).toFixed(2),
      both(pooled(run => run.idle.started)),
      both(pooled(run => run.idle.noticed)),
      pooled(run => run.idle.noticed).length,
    ]);
  }
  return [
    'A. flood: CPU in CPU-seconds for 1,000 jobs; h/r/p/w = hub/redis/producer/worker; RSS is the peak in MiB;',
    '   evalsha, µs, cmds: script calls, Redis time inside them and all Redis commands, each for one job',
    flood.toString(),
    '',
    'B. idle, 100 jobs/s: ms from the submission; start = the handler begins, notice = the submitter has the result',
    idle.toString(),
  ].join('\n');
}
