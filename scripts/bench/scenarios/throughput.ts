import { available, type Cell, PROCESSES, RunningCell, takeTurns } from '../cell.ts';
import { beanstalkd, bullmq, celery, chosen, floor, nats, ours, rabbitmq } from '../cells.ts';
import type { Bench, Findings, Plot, Ratio, Scenario, Table } from '../scenario.ts';
import { median, range, spread } from '../statistics.ts';

/** What one run of a cell measured. */
interface Run {
  cell: string;
  rep: number;
  jobs: number;
  jobs_per_s: number;
  /** CPU-seconds for 1,000 jobs, by process and `total`. */
  cpu: Record<string, number>;
  peak_rss_mb: Record<string, number>;
  /** For one job; of cells on Redis only. */
  redis?: { evalsha: number; evalsha_us: number; commands: number };
}

function cellsOf(bench: Bench): Cell[] {
  const several = bench.quick ? [16] : [4, 16];
  const memory = [
    ours('gpuhub', 'memory'),
    ours('gpuhub-raw', 'memory'),
    bullmq('memory'),
    floor('mini-hub'),
    rabbitmq(),
    beanstalkd('memory'),
    nats('memory'),
    ...several.map(machines => ours('gpuhub-raw', 'memory', machines)),
  ];
  const more = [
    ...several.map(machines => ours('gpuhub', 'memory', machines)),
    celery(),
    floor('ws-script'),
    floor('ws-echo'),
  ];
  const onDisk = [ours('gpuhub', 'everysec'), ours('gpuhub-raw', 'everysec'), bullmq('everysec')];
  const brokersOnDisk = [beanstalkd('everysec'), nats('everysec')];
  if (!bench.quick) return chosen([...memory, ...more, ...onDisk, ...brokersOnDisk], bench);
  return chosen(bench.aof ? [...memory, ...onDisk] : memory, bench);
}

/** A warm-up, so that compilers, caches and sockets are warm, then the flood that counts. */
async function measure(
  running: RunningCell,
  warm_up: number,
  jobs: number,
): Promise<Omit<Run, 'cell' | 'rep'>> {
  await running.flood(warm_up);
  await running.settle();
  const { count } = running.backend;
  await count?.begin();
  const before = await running.usage();
  const { ms } = await running.flood(jobs);
  const after = await running.usage();
  const counts = await count?.read();

  const names = Object.keys(after);
  // ms a job is s for 1,000 jobs.
  const cpuOf = (name: string) => ((after[name]?.cpu_ms ?? 0) - (before[name]?.cpu_ms ?? 0)) / jobs;
  const cpu = Object.fromEntries(names.map(name => [name, cpuOf(name)]));
  return {
    jobs,
    jobs_per_s: (jobs / ms) * 1000,
    cpu: { ...cpu, total: Object.values(cpu).reduce((sum, value) => sum + value, 0) },
    peak_rss_mb: Object.fromEntries(names.map(name => [name, after[name]?.peak_rss_mb ?? 0])),
    ...(counts && {
      redis: {
        evalsha: counts.evalsha / jobs,
        evalsha_us: counts.evalsha_us / jobs,
        commands: counts.commands / jobs,
      },
    }),
  };
}

async function runCell(cell: Cell, rep: number, bench: Bench, sizes: Sizes): Promise<Run> {
  const shareOf = (count: number) => Math.ceil(count * (cell.share ?? 1));
  const measured = await RunningCell.during(cell, bench, running =>
    measure(running, shareOf(sizes.warm_up), shareOf(sizes.jobs)),
  );
  bench.say(`throughput ${rep + 1}/${bench.reps} ${cell.name}: ${Math.round(measured.jobs_per_s)} jobs/s`);
  return { cell: cell.name, rep, ...measured };
}

const thousandths = (value: number) => (value === 0 ? '-' : value.toFixed(3).replace(/^0/, ''));

function rowOf(cell: string, runs: readonly Run[]): string[] {
  const cpu = PROCESSES.map(process => median(runs.map(run => run.cpu[process] ?? 0)));
  const total = median(runs.map(run => run.cpu['total'] as number));
  const rss = PROCESSES.map(process => Math.max(...runs.map(run => run.peak_rss_mb[process] ?? 0)));
  const redis = (of: (counts: NonNullable<Run['redis']>) => number, digits: number) => {
    const values = runs.flatMap(run => (run.redis === undefined ? [] : [of(run.redis)]));
    return values.length === 0 ? '-' : median(values).toFixed(digits);
  };
  return [
    cell,
    range(runs.map(run => run.jobs_per_s)),
    `${cpu.map(thousandths).join('/')} = ${thousandths(total)}`,
    rss.map(mb => (mb === 0 ? '-' : Math.round(mb))).join('/'),
    redis(counts => counts.evalsha, 2),
    redis(counts => counts.evalsha_us, 0),
    redis(counts => counts.commands, 1),
  ];
}

function tableOf(byCell: ReadonlyMap<string, Run[]>): Table {
  return {
    title: 'throughput: 1 KB jobs, 500 submissions in flight, 64 slots',
    note: [
      'CPU in CPU-seconds for 1,000 jobs, RSS the peak in MiB, both hub/server/producer/worker;',
      'evalsha, µs, cmds: script calls, Redis time inside them and all its commands, each for one job',
    ].join('\n'),
    head: ['', 'jobs/s median (min–max)', 'CPU h/s/p/w = total', 'RSS h/s/p/w', 'evalsha', 'µs', 'cmds'],
    rows: [...byCell].map(([cell, runs]) => rowOf(cell, runs)),
  };
}

function plotsOf(byCell: ReadonlyMap<string, Run[]>): Plot[] {
  const bars = (file: string, title: string, y: string, of: (run: Run) => number): Plot => ({
    file,
    title,
    x: '',
    y,
    series: [{ name: y, points: [...byCell].map(([x, runs]) => ({ x, ...spread(runs.map(of)) })) }],
  });
  return [
    bars('throughput', 'Throughput', 'jobs/s', run => run.jobs_per_s),
    bars('cpu', 'CPU of all processes', 'CPU-seconds for 1,000 jobs', run => run.cpu['total'] as number),
  ];
}

const THROUGHPUT = { is: '>=', least: 1.3, aim: 1.6 } as const;
const CPU = { is: '<=', least: 0.75, aim: 0.6 } as const;
const FLOOR = { is: '>=', least: 0.75, aim: 0.92 } as const;

/** Pairs of cells whose ratio is told, and what it should be. */
const PAIRS: readonly [string, string, Partial<Record<'jobs' | 'cpu', Ratio['target']>>][] = [
  ['gpuhub', 'bullmq', { jobs: THROUGHPUT, cpu: CPU }],
  ['gpuhub-raw', 'bullmq', { jobs: THROUGHPUT, cpu: CPU }],
  ['gpuhub, AOF', 'bullmq, AOF', { jobs: THROUGHPUT, cpu: CPU }],
  ['gpuhub-raw, AOF', 'bullmq, AOF', { jobs: THROUGHPUT, cpu: CPU }],
  ['gpuhub', 'mini-hub', { jobs: FLOOR }],
  ['gpuhub-raw', 'mini-hub', { jobs: FLOOR }],
  ['gpuhub-raw', 'rabbitmq', {}],
  ['gpuhub-raw', 'beanstalkd', {}],
  ['gpuhub-raw', 'nats', {}],
  ['gpuhub-raw, AOF', 'beanstalkd, AOF', {}],
  ['gpuhub-raw, AOF', 'nats, AOF', {}],
  ['gpuhub-raw', 'celery', {}],
  ['gpuhub-raw, 4 machines', 'gpuhub-raw', {}],
  ['gpuhub-raw, 16 machines', 'gpuhub-raw', {}],
];

/** Medians of the ratios within each repetition: both of a pair ran in the same minute. */
function ratiosOf(byCell: ReadonlyMap<string, Run[]>): Ratio[] {
  const paired = (one: string, other: string, of: (run: Run) => number) => {
    const others = byCell.get(other) ?? [];
    return (byCell.get(one) ?? []).flatMap(run => {
      const beside = others.find(({ rep }) => rep === run.rep);
      return beside === undefined ? [] : [of(run) / of(beside)];
    });
  };
  return PAIRS.flatMap(([one, other, targets]) => {
    const measures = [
      { name: 'jobs/s', values: paired(one, other, run => run.jobs_per_s), target: targets.jobs },
      { name: 'CPU', values: paired(one, other, run => run.cpu['total'] as number), target: targets.cpu },
    ];
    return measures
      .filter(({ values }) => values.length > 0)
      .map(({ name, values, target }) => ({
        what: `${name}, ${one} / ${other}`,
        value: median(values),
        ...(target && { target }),
      }));
  });
}

interface Sizes {
  warm_up: number;
  jobs: number;
}

async function run(bench: Bench): Promise<Findings> {
  const jobs = bench.jobs ?? (bench.quick ? 5000 : 20_000);
  const sizes: Sizes = { warm_up: Math.min(jobs, bench.quick ? 2500 : 5000), jobs };
  const cells = await available(cellsOf(bench), bench);
  const runs = await takeTurns(cells, bench.reps, (cell, rep) => runCell(cell, rep, bench, sizes));
  const byCell = new Map(cells.map(({ name }) => [name, runs.filter(run => run.cell === name)]));
  return { tables: [tableOf(byCell)], plots: plotsOf(byCell), ratios: ratiosOf(byCell), raw: runs };
}

export const scenario: Scenario = {
  name: 'throughput',
  about: 'a flood of 20,000 jobs through each system and each floor: jobs/s, CPU and memory',
  run,
};
