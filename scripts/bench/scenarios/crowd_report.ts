import type { Plot, Ratio, Table } from '../scenario.ts';
import { median, percentile, percentiles, range, spread } from '../statistics.ts';
import type { ClientFindings, WatcherFindings } from './crowd_clients.ts';
import type { MachineFindings, MachinePlan } from './crowd_machines.ts';

const number = (value: number) => Math.round(value).toLocaleString('en-US');
const percent = (share: number) => `${(100 * share).toFixed(1)} %`;
/** The memory of a process grows in steps; only many sockets tell what one takes. */
const WEIGHABLE = 2000;
const kib = (bytes: number, sockets: number) => (sockets < WEIGHABLE ? '-' : (bytes / 1024).toFixed(1));

export function machineTable(
  { machines, idle, leased }: MachineFindings,
  { heartbeat_ms }: MachinePlan,
): Table {
  const cpu = ({ hub, redis }: { hub: number; redis: number }) => [percent(hub), percent(redis)];
  return {
    title: `crowd: ${number(machines)} machines on one hub`,
    note:
      `memory of the hub for one socket, KiB, after its garbage was collected: resident, and of that the heap; ` +
      `CPU in % of a core; a heartbeat each ${heartbeat_ms / 1000} s`,
    head: ['', 'resident', 'heap', 'hub', 'Redis'],
    rows: [
      ['idle, silent', '', '', ...cpu(idle.silent)],
      [
        'idle, heartbeats',
        kib(idle.bytes.rss_bytes, machines),
        kib(idle.bytes.heap_bytes, machines),
        ...cpu(idle.beating),
      ],
      [
        'with a lease each, heartbeats',
        kib(leased.bytes.rss_bytes, machines),
        kib(leased.bytes.heap_bytes, machines),
        ...cpu(leased.beating),
      ],
    ],
  };
}

export function reconnectTable({ reconnect }: MachineFindings): Table {
  const { count, ms, continued } = reconnect;
  return {
    title: 'crowd: machines with a lease whose sockets are cut come back at the same moment',
    head: ['machines', 'all registered after, ms', 'leases that go on'],
    rows: [[number(count), number(ms), number(continued)]],
  };
}

export function dispatchTable({ machines, dispatch }: MachineFindings): Table {
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

export function clientTable(found: ClientFindings): Table {
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
        kib(bytes.rss_bytes, clients),
        kib(bytes.heap_bytes, clients),
      ],
    ],
  };
}

export function watcherTable(found: readonly WatcherFindings[]): Table {
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

export function dispatchPlot({ machines, dispatch }: MachineFindings): Plot {
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

/** Of a crowd at full size: of few sockets they would say nothing. */
export function crowdRatios({ machines, idle, leased, dispatch }: MachineFindings): Ratio[] {
  const at_most = (least: number, aim: number): Ratio['target'] & {} => ({ is: '<=', least, aim });
  return [
    {
      what: `hub memory, KiB, an idle worker socket of ${number(machines)}`,
      value: idle.bytes.rss_bytes / 1024,
      target: at_most(20, 8),
    },
    {
      what: 'hub memory, KiB, the same with a lease',
      value: leased.bytes.rss_bytes / 1024,
      target: at_most(30, 10),
    },
    {
      what: `hub CPU, % of a core, ${number(machines)} idle machines`,
      value: 100 * idle.beating.hub,
      target: at_most(10, 4),
    },
    {
      what: `dispatch p99, ${number(machines)} machines against 10`,
      value: dispatchRatio(dispatch),
      target: at_most(2, 1.2),
    },
  ];
}
