import { Queue } from 'bullmq';
import { Redis } from 'ioredis';
import type { RedisProcess } from '../../redis_server.ts';
import { makeParams } from '../payload.ts';
import type { Bench, Findings, Ratio, Scenario, Table } from '../scenario.ts';
import {
  type CostCell,
  costPlot,
  costRatios,
  costTable,
  howMeasured,
  measureInTurns,
  type Turns,
} from './costs.ts';
import { CALL_OPERATIONS, contentFor, StoreBench, startMemoryRedis, usedMemory } from './store_bench.ts';

interface Plan extends Turns {
  depths: number[];
  /** Waiting jobs of each system whose memory is compared. */
  compared: number;
}

const QUICK: Plan = { depths: [0, 20_000], compared: 20_000, groups: 3, turns: 12 };
const FULL: Plan = { depths: [0, 20_000, 200_000, 1_000_000], compared: 200_000, groups: 9, turns: 16 };

const CLASS = 'bench';
/** Ten priorities: with each the queue is another line for systems that keep one for each. */
const priorityOf = (i: number) => 1 + (i % 10);
const BULK = 1000;

/** A queue so many jobs deep, and what its jobs take. */
interface Deep {
  cell: CostCell;
  bench: StoreBench;
  depth: number;
  bytes_per_job: number;
}

/** A hub keeps the bodies of jobs it accepted a moment ago; a claim of any other job reads its body from Redis. */
async function openDeep(depth: number, keeps_bodies = true): Promise<Deep> {
  const bench = await StoreBench.open(await startMemoryRedis(), { keeps_bodies });
  // One cycle before anything is weighed: scripts, counters and the signature are there once and for all.
  await bench.addSlots(CLASS, CALL_OPERATIONS, [contentFor(0).signature]);
  await bench.cycle(CLASS, [contentFor(0)], i => i);
  const before = await usedMemory(bench.redis);
  await bench.fill(depth, i => contentFor(i));
  const bytes_per_job = ((await usedMemory(bench.redis)) - before) / depth;
  const x = depth.toLocaleString('en-US');
  const name = `${x} waiting${keeps_bodies ? '' : ', bodies not kept at the hub'}`;
  return { cell: { name, x: keeps_bodies ? x : `${x}, no bodies`, groups: [] }, bench, depth, bytes_per_job };
}

const CONTENTS = Array.from({ length: CALL_OPERATIONS }, (_, i) => contentFor(i));

async function measureCosts(deeps: readonly Deep[], plan: Plan): Promise<void> {
  const probes = deeps.map(({ cell, bench }) => ({
    cell,
    cycle: () => bench.cycle(CLASS, CONTENTS, i => i),
  }));
  await measureInTurns(probes, plan, async () => {
    for (const { bench } of deeps) await bench.trim();
  });
}

/** Bytes of Redis for one waiting job of BullMQ. */
async function weighBullmq(server: RedisProcess, count: number, prioritised: boolean): Promise<number> {
  const redis = new Redis(server.port, server.host);
  await redis.flushall('SYNC');
  const queue = new Queue('bench', { connection: { host: server.host, port: server.port } });
  await queue.waitUntilReady();
  const addBulk = async (from: number, size: number) => {
    const jobs = Array.from({ length: size }, (_, i) => ({
      name: 'bench',
      data: makeParams(from + i),
      ...(prioritised && { opts: { priority: priorityOf(from + i) } }),
    }));
    await queue.addBulk(jobs);
  };
  await addBulk(0, 1);
  const before = await usedMemory(redis);
  for (let done = 0; done < count; done += BULK) await addBulk(1 + done, Math.min(BULK, count - done));
  const after = await usedMemory(redis);
  await queue.close();
  redis.disconnect();
  return (after - before) / count;
}

async function weighPrioritised(count: number): Promise<number> {
  const bench = await StoreBench.open(await startMemoryRedis());
  try {
    await bench.fill(1, () => contentFor(0, { priority: 1 }));
    const before = await usedMemory(bench.redis);
    await bench.fill(count, i => contentFor(i, { priority: priorityOf(i) }));
    return ((await usedMemory(bench.redis)) - before) / count;
  } finally {
    await bench.close();
  }
}

interface Weights {
  ours: { fifo: number; prioritised: number };
  bullmq: { fifo: number; prioritised: number };
}

async function weigh(fifo: number, count: number): Promise<Weights> {
  const prioritised = await weighPrioritised(count);
  const server = await startMemoryRedis();
  try {
    return {
      ours: { fifo, prioritised },
      bullmq: {
        fifo: await weighBullmq(server, count, false),
        prioritised: await weighBullmq(server, count, true),
      },
    };
  } finally {
    await server.stop();
  }
}

function memoryTable({ ours, bullmq }: Weights, deeps: readonly Deep[], compared: number): Table {
  const bytes = (value: number) => Math.round(value).toLocaleString('en-US');
  const row = (name: string, kind: 'fifo' | 'prioritised') => [
    name,
    bytes(ours[kind]),
    bytes(bullmq[kind]),
    (ours[kind] / bullmq[kind]).toFixed(2),
  ];
  const others = deeps.filter(({ depth }) => depth !== 0 && depth !== compared);
  return {
    title: `memory of Redis, bytes for one waiting job of 1 KB`,
    note: `${compared.toLocaleString('en-US')} waiting of each system, unless another number stands there`,
    head: ['', 'gpuhub', 'BullMQ', '×'],
    rows: [
      row('one priority', 'fifo'),
      row('ten priorities', 'prioritised'),
      ...others.map(({ cell, bytes_per_job }) => [cell.name, bytes(bytes_per_job), '', '']),
    ],
  };
}

function findings(plan: Plan, deeps: readonly Deep[], weights: Weights): Findings {
  const cells = deeps.map(({ cell }) => cell);
  const [empty, deepest, bodiless] = [cells[0], cells.at(-2), cells.at(-1)] as [CostCell, CostCell, CostCell];
  const full = plan === FULL;
  const target: Ratio['target'] = { is: '<=', least: 1.25, aim: 1.1 };
  const memory: Ratio['target'] = { is: '<=', least: 1, aim: 0.9 };
  const note =
    `µs inside EVALSHA for one operation, ${CALL_OPERATIONS} a call; ${howMeasured(plan)}; ` +
    '× is against the empty queue in the same group; what waits long is claimed with its body, which the hub kept of what ' +
    'was submitted a moment ago: the last row is an empty queue without that';
  return {
    tables: [
      costTable('depth: the cost in Redis by jobs waiting', note, cells, empty),
      memoryTable(weights, deeps, plan.compared),
    ],
    plots: [costPlot('depth', 'Cost in Redis by jobs waiting', 'jobs waiting', cells)],
    ratios: [
      ...costRatios(`${deepest.name}, against empty`, deepest, empty, full ? target : undefined),
      ...costRatios(`${deepest.name}, against empty without kept bodies`, deepest, bodiless, undefined, [
        'claim',
      ]),
      {
        what: 'memory of a waiting 1 KB job against BullMQ',
        value: weights.ours.fifo / weights.bullmq.fifo,
        target: memory,
      },
      {
        what: 'the same with ten priorities',
        value: weights.ours.prioritised / weights.bullmq.prioritised,
        target: memory,
      },
    ],
    raw: { plan, cells, bytes_per_job: deeps.map(deep => deep.bytes_per_job), weights },
  };
}

export const scenario: Scenario = {
  name: 'depth',
  about: 'what a submit, a claim and an end cost in Redis, and a waiting job in memory, by how many wait',
  async run(bench: Bench): Promise<Findings> {
    const plan = bench.quick ? QUICK : FULL;
    const deeps: Deep[] = [];
    try {
      for (const depth of plan.depths) {
        bench.say(`depth: ${depth.toLocaleString('en-US')} jobs are put in`);
        deeps.push(await openDeep(depth));
      }
      deeps.push(await openDeep(0, false));
      bench.say(`depth: ${plan.groups} groups`);
      await measureCosts(deeps, plan);
      bench.say('depth: memory beside BullMQ');
      const compared = deeps.find(({ depth }) => depth === plan.compared) as Deep;
      return findings(plan, deeps, await weigh(compared.bytes_per_job, plan.compared));
    } finally {
      for (const { bench } of deeps) await bench.close();
    }
  },
};
