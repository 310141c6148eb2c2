import type { Bench, Findings, Plot, Ratio, Scenario, Table } from '../scenario.ts';
import { median, percentile, percentiles, range, spread } from '../statistics.ts';
import {
  type ClientFindings,
  measureClients,
  measureWatchers,
  type WatcherFindings,
} from './crowd_clients.ts';
import { type MachineFindings, type MachinePlan, measureMachines } from './crowd_machines.ts';

interface Plan extends MachinePlan {
  clients: number;
  watchers: number;
  events_per_s: number[];
  watch_seconds: number;
}

const QUICK: Plan = {
  machines: 300,
  heartbeat_ms: 15_000,
  warm_up: 50,
  measured_ms: 800,
  settle_ms: 300,
  rounds: 1,
  jobs_per_round: 60,
  reconnects: 100,
  clients: 300,
  watchers: 200,
  events_per_s: [100],
  watch_seconds: 1,
};
const FULL: Plan = {
  machines: 10_000,
  heartbeat_ms: 15_000,
  warm_up: 200,
  measured_ms: 30_000,
  settle_ms: 3000,
  rounds: 8,
  jobs_per_round: 250,
  reconnects: 1000,
  clients: 10_000,
  watchers: 200,
  events_per_s: [100, 500, 2000],
  watch_seconds: 8,
};

const number = (value: number) => Math.round(value).toLocaleString('en-US');
const percent = (share: number) => `${(100 * share).toFixed(1)} %`;
const kib = (bytes: number) => (bytes / 1024).toFixed(1);

function machineTable({ machines, idle, leased, reconnect }: MachineFindings, plan: Plan): Table {
  const cpu = ({ hub, redis }: { hub: number; redis: number }) => [percent(hub), percent(redis)];
  return {
    title: `crowd: ${number(machines)} machines on one hub`,
    note:
      `memory of the hub for one socket, KiB, after its garbage was collected: resident, and of that the heap; ` +
      `CPU in % of a core; a heartbeat each ${plan.heartbeat_ms / 1000} s`,
    head: ['', 'resident', 'heap', 'hub', 'Redis'],
    rows: [
      ['idle, silent', '', '', ...cpu(idle.silent)],
      ['idle, heartbeats', kib(idle.bytes.rss_bytes), kib(idle.bytes.heap_bytes), ...cpu(idle.beating)],
      [
        'with a lease each, heartbeats',
        kib(leased.bytes.rss_bytes),
        kib(leased.bytes.heap_bytes),
        ...cpu(leased.beating),
      ],
      [
        `${number(reconnect.count)} come back at once: all back after ${number(reconnect.ms)} ms, ` +
          `${number(reconnect.continued)} leases go on`,
      ],
    ],
  };
}

function dispatchTable({ machines, dispatch }: MachineFindings): Table {
  const row = (name: string, rounds: number[][]) => [
    name,
    percentiles(rounds.flat()),
    range(rounds.map(times => percentile(times, 0.99) * 1000)),
    number(rounds.flat().length),
  ];
  return {
    title: 'crowd: dispatch by machines connected, all idle and fit for the job',
    note: 'ms from submission to arrival at a machine, 100 jobs/s, two hubs in turn; p99 of each round in µs',
    head: ['', 'p50 / p99 / p99.9', 'p99 by round, µs', 'n'],
    rows: [row('10 machines', dispatch.few), row(`${number(machines)} machines`, dispatch.many)],
  };
}

function clientTable(found: ClientFindings): Table {
  const { clients, ms, ended, bytes, cpu } = found;
  return {
    title: `crowd: ${number(clients)} clients, each submits one job at the same moment`,
    note: 'one machine of 64 slots; ms from the submission to the end; CPU in CPU-seconds for 1,000 jobs; KiB of the hub for one socket',
    head: ['all ended, ms', 'jobs/s', 'p50 / p99 / p99.9', 'CPU hub / Redis', 'resident', 'heap'],
    rows: [
      [
        number(ms),
        number((clients / ms) * 1000),
        percentiles(ended),
        `${cpu.hub.toFixed(3)} / ${cpu.redis.toFixed(3)}`,
        kib(bytes.rss_bytes),
        kib(bytes.heap_bytes),
      ],
    ],
  };
}

function watcherTable(found: readonly WatcherFindings[]): Table {
  const { watchers } = found[0] as WatcherFindings;
  return {
    title: `crowd: ${watchers} watchers of the same jobs`,
    note:
      'each event goes to every watcher; delivered/s until the last has arrived; delay in ms from the worker to a watcher, ' +
      'of a sample; CPU in % of a core; hub, Redis, worker and watchers share the cores of this machine',
    head: [
      'events/s',
      'delivered/s',
      'delivered of sent',
      'delay p50 / p99 / p99.9',
      'hub',
      'Redis',
      'sockets closed',
    ],
    rows: found.map(each => [
      number(each.events_per_s),
      number(each.delivered_per_s),
      `${number(each.delivered)} / ${number(each.sent)}`,
      percentiles(each.delays),
      percent(each.share.hub),
      percent(each.share.redis),
      number(each.closed),
    ]),
  };
}

function dispatchPlot({ machines, dispatch }: MachineFindings): Plot {
  const points = (rounds: number[][], x: string) =>
    [0.5, 0.99].map(share => ({
      share,
      point: { x, ...spread(rounds.map(times => percentile(times, share))) },
    }));
  const all = [...points(dispatch.few, '10'), ...points(dispatch.many, number(machines))];
  return {
    file: 'crowd_dispatch',
    title: 'Submission to arrival at a machine, by machines connected',
    x: 'machines',
    y: 'ms',
    series: [0.5, 0.99].map(share => ({
      name: `p${share * 100}`,
      points: all.filter(each => each.share === share).map(({ point }) => point),
    })),
  };
}

/** How many times the p99 with few machines that with many is; of rounds next to each other. */
export function dispatchRatio({ many, few }: MachineFindings['dispatch']): number {
  const p99 = (times: number[] | undefined) => percentile(times ?? [], 0.99);
  return median(many.map((times, round) => p99(times) / p99(few[round])));
}

function ratiosOf(plan: Plan, found: MachineFindings): Ratio[] {
  const of = `of ${number(found.machines)}`;
  // The fixed parts of a hub and the steps in which memory is taken are small only against many sockets.
  const at_most = (least: number, aim: number): Pick<Ratio, 'target'> =>
    plan === FULL ? { target: { is: '<=', least, aim } } : {};
  return [
    {
      what: `hub memory, KiB, an idle worker socket ${of}`,
      value: found.idle.bytes.rss_bytes / 1024,
      ...at_most(20, 8),
    },
    {
      what: `hub memory, KiB, the same with a lease`,
      value: found.leased.bytes.rss_bytes / 1024,
      ...at_most(30, 10),
    },
    {
      what: `hub CPU, % of a core, idle machines ${of}`,
      value: 100 * found.idle.beating.hub,
      ...at_most(10, 4),
    },
    {
      what: `dispatch p99, ${number(found.machines)} machines against 10`,
      value: dispatchRatio(found.dispatch),
      ...at_most(2, 1.2),
    },
  ];
}

export const scenario: Scenario = {
  name: 'crowd',
  about: 'thousands of idle machines, of clients with one job, of reconnects, and watchers of everything',
  async run(bench: Bench): Promise<Findings> {
    const plan = bench.quick ? QUICK : FULL;
    const machines = await measureMachines(bench, plan);
    const clients = await measureClients(bench, plan.clients);
    const watchers: WatcherFindings[] = [];
    for (const events_per_s of plan.events_per_s) {
      watchers.push(await measureWatchers(bench, plan.watchers, events_per_s, plan.watch_seconds));
    }
    return {
      tables: [
        machineTable(machines, plan),
        dispatchTable(machines),
        clientTable(clients),
        watcherTable(watchers),
      ],
      plots: [dispatchPlot(machines)],
      ratios: ratiosOf(plan, machines),
      raw: { plan, machines, clients, watchers },
    };
  },
};
