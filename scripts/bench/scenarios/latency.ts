import { available, type Cell, RunningCell, takeTurns } from '../cell.ts';
import { beanstalkd, bullmq, chosen, floor, nats, ours, rabbitmq } from '../cells.ts';
import type { Paced } from '../load.ts';
import type { Bench, Findings, Plot, Ratio, Scenario, Table } from '../scenario.ts';
import { percentile, percentiles } from '../statistics.ts';

/** Idle is so many jobs a second: nothing waits for anything else. */
const IDLE_PER_SECOND = 100;
/** Shares of what the cell's own flood reached in the same run. */
const LOADS = [0.5, 0.8];

/** What one run of a cell measured, in ms. */
interface Run {
  cell: string;
  rep: number;
  saturation_per_s: number;
  /** By load: `idle`, `50 %`, `80 %`. */
  paced: Record<string, Paced & { per_second: number }>;
  /** From the end of one handler to the start of the next on a machine of one slot, while jobs wait. */
  gaps: number[];
}

interface Sizes {
  flood: number;
  idle_jobs: number;
  loaded_ms: number;
  gap_jobs: number;
}

const loadName = (share: number) => `${share * 100} %`;

async function measureLoads(
  running: RunningCell,
  sizes: Sizes,
): Promise<Pick<Run, 'saturation_per_s' | 'paced'>> {
  // The first flood is the warm-up.
  await running.flood(sizes.flood);
  await running.settle();
  const { ms } = await running.flood(sizes.flood);
  const saturation_per_s = (sizes.flood / ms) * 1000;
  await running.settle();
  const idle = await running.pace({
    jobs: sizes.idle_jobs,
    per_second: IDLE_PER_SECOND,
    from_due: false,
  });
  const paced: Run['paced'] = { idle: { ...idle, per_second: IDLE_PER_SECOND } };
  for (const share of LOADS) {
    await running.settle();
    const per_second = saturation_per_s * share;
    const jobs = Math.ceil((per_second * sizes.loaded_ms) / 1000);
    paced[loadName(share)] = { ...(await running.pace({ jobs, per_second, from_due: true })), per_second };
  }
  return { saturation_per_s, paced };
}

/** A queue that never runs dry: how long the only slot lies idle between two jobs. */
async function measureGaps(running: RunningCell, jobs: number): Promise<number[]> {
  await running.flood(jobs);
  await running.worker.ask('gaps');
  await running.flood(jobs);
  return running.worker.ask<number[]>('gaps');
}

async function runCell(cell: Cell, rep: number, bench: Bench, sizes: Sizes): Promise<Run> {
  const loads = await RunningCell.during(cell, bench, running => measureLoads(running, sizes));
  const gaps = await RunningCell.during(cell, bench, running => measureGaps(running, sizes.gap_jobs), 1);
  const noticed = percentile(loads.paced['idle']?.noticed ?? [], 0.5);
  bench.say(`latency ${rep + 1} ${cell.name}: idle notice p50 ${noticed.toFixed(2)} ms`);
  return { cell: cell.name, rep, ...loads, gaps };
}

type Moment = 'acked' | 'started' | 'noticed';

/** The times of all runs together. */
function pooled(runs: readonly Run[], cell: string, load: string, moment: Moment): number[] {
  return runs.filter(run => run.cell === cell).flatMap(run => run.paced[load]?.[moment] ?? []);
}

function loadTable(runs: readonly Run[], cells: readonly string[], load: string): Table {
  return {
    title: `latency, ${load === 'idle' ? `idle: ${IDLE_PER_SECOND} jobs/s` : `at ${load} of each system's own saturation`}`,
    note: [
      'ms, p50 / p99 / p99.9; ack = the queue holds the job, start = the handler begins, notice = the submitter has the result;',
      load === 'idle'
        ? 'from the submission'
        : 'from when the job was due: a producer held up by the system counts',
    ].join('\n'),
    head: ['', 'jobs/s', 'ack', 'start', 'notice', 'n'],
    rows: cells.map(cell => {
      const times = (moment: Moment) => pooled(runs, cell, load, moment);
      const rates = runs.filter(run => run.cell === cell).map(run => run.paced[load]?.per_second ?? 0);
      return [
        cell,
        [...new Set([Math.min(...rates), Math.max(...rates)].map(Math.round))].join('–'),
        percentiles(times('acked')),
        percentiles(times('started')),
        percentiles(times('noticed')),
        String(times('noticed').length),
      ];
    }),
  };
}

const gapsOf = (runs: readonly Run[], cell: string) =>
  runs.filter(run => run.cell === cell).flatMap(run => run.gaps);

function gapTable(runs: readonly Run[], cells: readonly string[]): Table {
  return {
    title: 'hand-over: one machine with one slot, jobs waiting',
    note: 'ms from the end of one handler to the start of the next, p50 / p99 / p99.9',
    head: ['', 'free slot → next start', 'n'],
    rows: cells.map(cell => {
      const gaps = gapsOf(runs, cell);
      return [cell, percentiles(gaps), String(gaps.length)];
    }),
  };
}

/** Bars for p50 with a whisker to p99, by load. */
function plotOf(runs: readonly Run[], cells: readonly string[], moment: Moment, title: string): Plot {
  return {
    file: `latency_${moment}`,
    title: `${title}: p50, whisker to p99`,
    x: '',
    y: 'ms',
    log_y: true,
    series: cells.map(cell => ({
      name: cell,
      points: ['idle', ...LOADS.map(loadName)].map(load => {
        const times = pooled(runs, cell, load, moment);
        const p50 = percentile(times, 0.5);
        return { x: load, median: p50, min: p50, max: percentile(times, 0.99) };
      }),
    })),
  };
}

function ratiosOf(runs: readonly Run[], cells: readonly string[]): Ratio[] {
  const against = [
    ['bullmq', { is: '<=', least: 1, aim: 1 }],
    ['rabbitmq', { is: '<=', aim: 1 }],
  ] as const;
  const ratios: Ratio[] = [];
  for (const ours of ['gpuhub', 'gpuhub-raw'].filter(name => cells.includes(name))) {
    for (const [peer, target] of against.filter(([name]) => cells.includes(name))) {
      for (const [moment, name] of [
        ['started', 'start'],
        ['noticed', 'notice'],
      ] as const) {
        for (const share of [0.5, 0.99]) {
          const of = (cell: string) => percentile(pooled(runs, cell, 'idle', moment), share);
          ratios.push({
            what: `idle ${name} p${share * 100}, ${ours} / ${peer}`,
            value: of(ours) / of(peer),
            target,
          });
        }
      }
    }
  }
  return ratios;
}

const SHARES = [0.5, 0.9, 0.99, 0.999, 1];

/** What the file keeps of many times. */
function summary(times: readonly number[]): Record<string, number> {
  const entries = SHARES.map(share => [`p${share * 100}`, percentile(times, share)] as const);
  return { n: times.length, ...Object.fromEntries(entries) };
}

function summaryOf({ paced, gaps, ...run }: Run): unknown {
  const loads = Object.entries(paced).map(([load, { per_second, acked, started, noticed }]) => [
    load,
    { per_second, acked: summary(acked), started: summary(started), noticed: summary(noticed) },
  ]);
  return { ...run, paced: Object.fromEntries(loads), gaps: summary(gaps) };
}

function cellsOf(bench: Bench): Cell[] {
  const always = [ours('gpuhub', 'memory'), ours('gpuhub-raw', 'memory'), bullmq('memory'), rabbitmq()];
  const more = [beanstalkd('memory'), nats('memory'), floor('mini-hub')];
  return chosen(bench.quick && bench.only === undefined ? always : [...always, ...more], bench);
}

async function run(bench: Bench): Promise<Findings> {
  const sizes: Sizes = {
    flood: bench.jobs ?? (bench.quick ? 3000 : 10_000),
    idle_jobs: Math.min(bench.jobs ?? 500, bench.quick ? 150 : 500),
    loaded_ms: bench.quick ? 500 : 3000,
    gap_jobs: Math.min(bench.jobs ?? 1000, bench.quick ? 500 : 1000),
  };
  const cells = await available(cellsOf(bench), bench);
  // Its percentiles are over jobs: they need fewer runs than a median over runs.
  const reps = bench.quick ? Math.ceil(bench.reps / 2) : bench.reps;
  const runs = await takeTurns(cells, reps, (cell, rep) => runCell(cell, rep, bench, sizes));
  const names = cells.map(({ name }) => name);
  return {
    tables: [
      ...['idle', ...LOADS.map(loadName)].map(load => loadTable(runs, names, load)),
      gapTable(runs, names),
    ],
    plots: [
      plotOf(runs, names, 'started', 'Submission to start'),
      plotOf(runs, names, 'noticed', 'Submission to completion told to the submitter'),
    ],
    ratios: ratiosOf(runs, names),
    raw: runs.map(summaryOf),
  };
}

export const scenario: Scenario = {
  name: 'latency',
  about:
    'from submission to start and to the notice of the end, idle and under load; from a free slot to its next job',
  run,
};
