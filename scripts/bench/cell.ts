import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { freePort, type RedisProcess } from '../redis_server.ts';
import type { Flood, Paced } from './load.ts';
import { KEEP_FINISHED } from './payload.ts';
import { BenchProcess } from './process.ts';
import type { Usage } from './served.ts';
import type { Address } from './system.ts';

/** One system on one kind of Redis. */
export interface Cell {
  name: string;
  /** A file of systems/. */
  system: string;
  redis: RedisProcess;
  has_hub: boolean;
}

export interface Plan {
  /** Before anything is measured: compilers, caches and sockets warm up. */
  warm_up_jobs: number;
  jobs: number;
  in_flight: number;
  slots: number;
  idle_jobs: number;
  idle_per_second: number;
  /** The folder for a CPU profile of the hub. */
  profile: string | undefined;
}

/** What one run of a cell measured. */
export interface Run {
  cell: string;
  jobs_per_s: number;
  /** CPU-seconds for 1,000 jobs, by process. */
  cpu: Record<string, number>;
  peak_rss_mb: Record<string, number>;
  evalsha_per_job: number;
  /** Redis's own time inside EVALSHA, µs a job. */
  evalsha_us_per_job: number;
  /** All commands of Redis, those inside scripts too. */
  commands_per_job: number;
  idle: Paced;
}

const READY_POLL_MS = 20;
const READY_TIMEOUT_MS = 20_000;
/** After the warm-up and after the flood: what is still being tidied up belongs to neither measurement. */
const SETTLE_MS = 300;

async function infoOf(redis: Redis, section: string): Promise<Map<string, string>> {
  const lines = (await redis.info(section)).split('\r\n').filter(line => line.includes(':'));
  return new Map(lines.map(line => line.split(/:(.*)/).slice(0, 2) as [string, string]));
}

async function redisUsage(redis: Redis): Promise<Usage> {
  const [cpu, memory] = [await infoOf(redis, 'cpu'), await infoOf(redis, 'memory')];
  const seconds = (name: string) => Number(cpu.get(name));
  return {
    cpu_ms: (seconds('used_cpu_user') + seconds('used_cpu_sys')) * 1000,
    peak_rss_mb: Number(memory.get('used_memory_rss')) / 1024 / 1024,
  };
}

async function commandStats(redis: Redis): Promise<{ calls: number; evalsha: number; evalsha_us: number }> {
  const stats = { calls: 0, evalsha: 0, evalsha_us: 0 };
  for (const [name, text] of await infoOf(redis, 'commandstats')) {
    const calls = Number(/calls=(\d+)/.exec(text)?.[1]);
    stats.calls += calls;
    if (name !== 'cmdstat_evalsha') continue;
    stats.evalsha = calls;
    stats.evalsha_us = Number(/usec=(\d+)/.exec(text)?.[1]);
  }
  return stats;
}

async function startHub(redis: RedisProcess, profile: string | undefined) {
  const port = await freePort();
  const node = ['--import', './.cache/bench/scripts/bench/meter.js'];
  if (profile !== undefined) node.push('--cpu-prof', `--cpu-prof-dir=${profile}`);
  const hub = new BenchProcess('hub', 'core/main.js', [], {
    node,
    env: {
      REDIS_URL: redis.url,
      HUB_PORT: String(port),
      LOG_LEVEL: 'warn',
      RETENTION_COUNT: String(KEEP_FINISHED),
    },
  });
  const deadline = Date.now() + READY_TIMEOUT_MS;
  while (!(await isReady(port))) {
    if (Date.now() > deadline) {
      await hub.stop();
      throw new Error(`the hub was not ready within ${READY_TIMEOUT_MS} ms`);
    }
    await sleep(READY_POLL_MS);
  }
  return { hub, url: `ws://127.0.0.1:${port}` };
}

async function isReady(port: number): Promise<boolean> {
  return fetch(`http://127.0.0.1:${port}/readyz`).then(
    answer => answer.ok,
    () => false,
  );
}

/** Runs a cell once, in fresh processes on an empty Redis. */
export async function runCell(cell: Cell, plan: Plan): Promise<Run> {
  const redis = new Redis(cell.redis.port, cell.redis.host);
  const processes: BenchProcess[] = [];
  try {
    await redis.flushall('SYNC');
    const address: Address = {
      redis_port: cell.redis.port,
      hub_url: undefined,
      run_id: randomBytes(6).toString('hex'),
    };
    if (cell.has_hub) {
      const { hub, url } = await startHub(cell.redis, plan.profile);
      processes.push(hub);
      address.hub_url = url;
    }
    const producer = new BenchProcess('producer', 'scripts/bench/peer.js', [cell.system, 'producer']);
    const worker = new BenchProcess('worker', 'scripts/bench/peer.js', [cell.system, 'worker']);
    processes.unshift(producer, worker);
    await Promise.all([producer.ask('open', address), worker.ask('open', { address, slots: plan.slots })]);
    return await measure(cell, plan, redis, processes);
  } finally {
    for (const process of processes) await process.stop();
    redis.disconnect();
  }
}

async function measure(cell: Cell, plan: Plan, redis: Redis, processes: BenchProcess[]): Promise<Run> {
  const producer = processes[0] as BenchProcess;
  const { in_flight } = plan;
  await producer.ask('flood', { jobs: plan.warm_up_jobs, in_flight });
  await sleep(SETTLE_MS);

  const usages = async () =>
    new Map<string, Usage>([
      ['redis', await redisUsage(redis)],
      ...(await Promise.all(processes.map(async p => [p.name, await p.usage()] as const))),
    ]);
  await redis.config('RESETSTAT');
  const before = await usages();
  const { ms } = await producer.ask<Flood>('flood', { jobs: plan.jobs, in_flight });
  const after = await usages();
  const stats = await commandStats(redis);
  await sleep(SETTLE_MS);
  const idle = await producer.ask<Paced>('pace', { jobs: plan.idle_jobs, per_second: plan.idle_per_second });

  const cpu = [...after].map(([name, use]) => {
    const ms_used = use.cpu_ms - (before.get(name) as Usage).cpu_ms;
    return [name, ms_used / plan.jobs] as const; // ms a job is s for 1,000 jobs
  });
  return {
    cell: cell.name,
    jobs_per_s: (plan.jobs / ms) * 1000,
    cpu: Object.fromEntries(cpu),
    peak_rss_mb: Object.fromEntries([...after].map(([name, use]) => [name, use.peak_rss_mb])),
    evalsha_per_job: stats.evalsha / plan.jobs,
    evalsha_us_per_job: stats.evalsha_us / plan.jobs,
    commands_per_job: stats.calls / plan.jobs,
    idle,
  };
}
