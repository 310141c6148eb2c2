import { randomBytes } from 'node:crypto';
import { cpus } from 'node:os';
import type { Flood } from '../load.ts';
import { BenchProcess } from '../process.ts';
import type { Bench, Findings, Ratio, Scenario } from '../scenario.ts';
import { median, range, spread } from '../statistics.ts';
import { type MeasuredHub, Started, type UsedCpu } from './measured_hub.ts';

/** Of all hubs together; both divide evenly. */
const SLOTS = 60;
const IN_FLIGHT = 480;
const FLOOD_TIMEOUT_MS = 300_000;
/** From here on more hubs only take each other's time. */
const CORES_FULL = 0.9;

/** One hub with the producer and the worker process that know only it. */
interface Station {
  hub: MeasuredHub;
  producer: BenchProcess;
  worker: BenchProcess;
}

interface Run {
  hubs: number;
  jobs_per_s: number;
  /** CPU-seconds for 1,000 jobs, of all processes of a kind together. */
  cpu: { hub: number; redis: number; producer: number; worker: number };
  /** Messages from hub to hub, for one job. */
  published: number;
  /** Of all cores of the machine: used by whomever, and by the processes of this run. */
  busy: number;
  ours: number;
}

async function openStation(
  started: Started,
  bench: Bench,
  run_id: string,
  all: number,
  i: number,
): Promise<Station> {
  const worker = started.load('machine_load');
  const producer = started.process(
    new BenchProcess('producer', 'scripts/bench/peer.js', ['gpuhub_raw', 'producer']),
  );
  const hub = await started.hub(await bench.redis('memory'), bench.profile, { first: i === 0 });
  const { url } = hub;
  await worker.ask('open', { url, name: `of-hub-${i}-`, count: 1, slots: SLOTS / all });
  await producer.ask('open', { url, run_id: `${run_id}-${i}` });
  return { hub, producer, worker };
}

const total = (cpu: Run['cpu']) => cpu.hub + cpu.redis + cpu.producer + cpu.worker;

interface Used {
  hubs: UsedCpu[];
  published: number;
  producer_ms: number;
  worker_ms: number;
  cores: { busy_ms: number; all_ms: number };
}

function coreTimes(): Used['cores'] {
  const times = { busy_ms: 0, all_ms: 0 };
  for (const core of cpus()) {
    const all = Object.values(core.times).reduce((sum, ms) => sum + ms, 0);
    times.all_ms += all;
    times.busy_ms += all - core.times.idle;
  }
  return times;
}

async function usedBy(stations: readonly Station[]): Promise<Used> {
  const sum = async (of: (station: Station) => BenchProcess) => {
    const usages = await Promise.all(stations.map(station => of(station).usage()));
    return usages.reduce((total, { cpu_ms }) => total + cpu_ms, 0);
  };
  return {
    hubs: await Promise.all(stations.map(({ hub }) => hub.used())),
    // All are on the same Redis.
    published: (await stations[0]?.hub.published()) ?? 0,
    producer_ms: await sum(({ producer }) => producer),
    worker_ms: await sum(({ worker }) => worker),
    cores: coreTimes(),
  };
}

function flood(stations: readonly Station[], jobs: number): Promise<Flood[]> {
  const share = { jobs: jobs / stations.length, in_flight: IN_FLIGHT / stations.length };
  return Promise.all(stations.map(({ producer }) => producer.ask<Flood>('flood', share, FLOOD_TIMEOUT_MS)));
}

async function runOnce(bench: Bench, hubs: number, jobs: number): Promise<Run> {
  await using started = new Started();
  const run_id = randomBytes(6).toString('hex');
  const stations: Station[] = [];
  for (let i = 0; i < hubs; i++) stations.push(await openStation(started, bench, run_id, hubs, i));
  await flood(stations, jobs / 5);
  const before = await usedBy(stations);
  const floods = await flood(stations, jobs);
  const after = await usedBy(stations);
  const ms = Math.max(...floods.map(each => each.ms));
  const sum = (used: Used) => used.hubs.reduce((total, { hub }) => total + hub.cpu_ms, 0);
  // Each hub names the same Redis.
  const redis = (used: Used) => used.hubs[0]?.redis.cpu_ms ?? 0;
  const cpu = {
    hub: (sum(after) - sum(before)) / jobs,
    redis: (redis(after) - redis(before)) / jobs,
    producer: (after.producer_ms - before.producer_ms) / jobs,
    worker: (after.worker_ms - before.worker_ms) / jobs,
  };
  const all_ms = after.cores.all_ms - before.cores.all_ms;
  return {
    hubs,
    jobs_per_s: (jobs / ms) * 1000,
    cpu,
    published: (after.published - before.published) / jobs,
    busy: (after.cores.busy_ms - before.cores.busy_ms) / all_ms,
    ours: (total(cpu) * jobs) / all_ms,
  };
}

function rowOf(hubs: number, runs: readonly Run[]): string[] {
  const cpu = (['hub', 'redis', 'producer', 'worker'] as const).map(name =>
    median(runs.map(run => run.cpu[name])),
  );
  const percent = (of: (run: Run) => number) => `${(100 * median(runs.map(of))).toFixed(0)} %`;
  return [
    String(hubs),
    range(runs.map(run => run.jobs_per_s)),
    `${cpu.map(value => value.toFixed(3)).join(' / ')} = ${median(runs.map(run => total(run.cpu))).toFixed(3)}`,
    Math.round(median(runs.map(hubLimit))).toLocaleString('en-US'),
    median(runs.map(run => run.published)).toFixed(2),
    `${percent(run => run.busy)}, ${percent(run => run.ours)}`,
  ];
}

function noteOf(runs: readonly Run[], jobs: number): string {
  const note =
    `${jobs.toLocaleString('en-US')} jobs of 1 KB, ${SLOTS} slots and ${IN_FLIGHT} submissions in flight in all; each hub has ` +
    'its own producer and worker process; CPU-seconds for 1,000 jobs, of all processes of a kind; hub limit: what the ' +
    'hubs could do by that if each had a core of its own, jobs/s; published: messages from hub to hub for one job';
  const full = runs.filter(run => run.busy >= CORES_FULL).length;
  if (full === 0) return note;
  return (
    `${note}. In ${full} of ${runs.length} runs the ${cpus().length} cores were at least ${100 * CORES_FULL} % busy: there ` +
    'they are the limit, not the hubs; what these processes did not use, other work on the machine did'
  );
}

/** What hubs could do if each had a core of its own, jobs/s. */
const hubLimit = ({ hubs, cpu }: Run) => (1000 * hubs) / cpu.hub;

/** How many times the value of one hub that of several is; of repetitions next to each other. */
export function speedUp(runs: readonly Run[], hubs: number, of: (run: Run) => number): number {
  const values = (count: number) => runs.filter(run => run.hubs === count).map(of);
  const one = values(1);
  return median(values(hubs).map((value, rep) => value / (one[rep] ?? Number.NaN)));
}

function ratiosOf(runs: readonly Run[]): Ratio[] {
  const rate = (run: Run) => run.jobs_per_s;
  // The target is for hubs that are the limit; where the cores are, more hubs cannot be faster.
  const full = runs.some(({ busy }) => busy >= CORES_FULL);
  const [said, target]: [string, Pick<Ratio, 'target'>] = full
    ? [' (the cores are the limit)', {}]
    : ['', { target: { is: '>=', least: 1.5, aim: 1.9 } }];
  return [
    { what: `2 hubs against 1, jobs/s${said}`, value: speedUp(runs, 2, rate), ...target },
    ...(runs.some(({ hubs }) => hubs === 3)
      ? [{ what: `3 hubs against 1, jobs/s${said}`, value: speedUp(runs, 3, rate) }]
      : []),
    { what: '2 hubs against 1, by the CPU of the hubs alone', value: speedUp(runs, 2, hubLimit) },
  ];
}

function findings(runs: readonly Run[], counts: readonly number[], jobs: number): Findings {
  const of = (hubs: number) => runs.filter(run => run.hubs === hubs);
  return {
    tables: [
      {
        title: 'hubs: a flood spread over several hubs on one Redis',
        note: noteOf(runs, jobs),
        head: [
          'hubs',
          'jobs/s',
          'CPU hubs / Redis / producers / workers',
          'hub limit by CPU',
          'published',
          'cores busy, by these',
        ],
        rows: counts.map(hubs => rowOf(hubs, of(hubs))),
      },
    ],
    plots: [
      {
        file: 'hubs',
        title: 'A flood spread over several hubs on one Redis',
        x: 'hubs',
        y: 'jobs/s',
        series: [
          {
            name: 'gpuhub',
            points: counts.map(hubs => ({ x: String(hubs), ...spread(of(hubs).map(run => run.jobs_per_s)) })),
          },
        ],
      },
    ],
    ratios: ratiosOf(runs),
    raw: { jobs, runs },
  };
}

export const scenario: Scenario = {
  name: 'hubs',
  about: 'a flood over 1, 2 and 3 hubs on one Redis: jobs/s, and what each kind of process spends on a job',
  async run(bench: Bench): Promise<Findings> {
    // Jobs divide by each number of hubs, those that warm up as well.
    const [counts, reps, jobs] = bench.quick ? [[1, 2], 1, 3000] : [[1, 2, 3], bench.reps, 18_000];
    const runs: Run[] = [];
    for (let rep = 0; rep < reps; rep++) {
      for (let i = 0; i < counts.length; i++) {
        const hubs = counts[(i + rep) % counts.length] as number;
        runs.push(await runOnce(bench, hubs, jobs));
        bench.say(`hubs: ${rep + 1}/${reps}, ${hubs}: ${Math.round(runs.at(-1)?.jobs_per_s ?? 0)} jobs/s`);
      }
    }
    return findings(runs, counts, jobs);
  },
};
