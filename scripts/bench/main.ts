// `npm run bench`: gpuhub beside BullMQ on the same Redis, in the same minutes. README.md says how to read it.

import { execFile } from 'node:child_process';
import { mkdir, writeFile } from 'node:fs/promises';
import { cpus, loadavg, totalmem } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs, promisify } from 'node:util';
import { Redis } from 'ioredis';
import { type RedisProcess, startRedis } from '../redis_server.ts';
import { type Cell, type Plan, type Run, runCell } from './cell.ts';
import { median, report } from './report.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const OUTPUT = join(ROOT, 'bench-results');

const HELP = `Measures gpuhub and BullMQ side by side: throughput, CPU, memory, idle latency.

usage: npm run bench -- [options]

  --quick          3 runs of each cell, shorter ones: under two minutes
  --reps N         runs of each cell (5)
  --jobs N         jobs of a flood (20000)
  --aof            each cell also on a Redis with the append-only file on, fsync every second
  --only A,B       only these systems: gpuhub, gpuhub-raw, bullmq
  --cpu-prof       write a CPU profile of the hub for each run, beside the results; the profiler takes its share
  --help

The table goes to standard output, everything measured to a JSON file in bench-results/.`;

const FLAGS = {
  quick: { type: 'boolean', default: false },
  reps: { type: 'string' },
  jobs: { type: 'string' },
  aof: { type: 'boolean', default: false },
  only: { type: 'string' },
  'cpu-prof': { type: 'boolean', default: false },
  help: { type: 'boolean', short: 'h', default: false },
} as const;
type Flags = ReturnType<typeof parseArgs<{ options: typeof FLAGS }>>['values'];

const SYSTEMS = [
  { name: 'gpuhub', system: 'gpuhub', has_hub: true },
  { name: 'gpuhub-raw', system: 'gpuhub_raw', has_hub: true },
  { name: 'bullmq', system: 'bullmq', has_hub: false },
];

function wholeNumber(flags: Flags, name: 'reps' | 'jobs', otherwise: number): number {
  const value = Number(flags[name] ?? otherwise);
  if (!Number.isInteger(value) || value < 1) throw new Error(`--${name} must be a whole number from 1`);
  return value;
}

function planOf(flags: Flags): { reps: number; plan: Plan } {
  return {
    reps: wholeNumber(flags, 'reps', flags.quick ? 3 : 5),
    plan: {
      warm_up_jobs: 5000,
      jobs: wholeNumber(flags, 'jobs', flags.quick ? 10_000 : 20_000),
      in_flight: 500,
      slots: 64,
      idle_jobs: flags.quick ? 200 : 500,
      idle_per_second: 100,
      profile: flags['cpu-prof'] ? OUTPUT : undefined,
    },
  };
}

function systemsOf({ only }: Flags): typeof SYSTEMS {
  if (only === undefined) return SYSTEMS;
  const names = only.split(',');
  const unknown = names.find(name => !SYSTEMS.some(system => system.name === name));
  if (unknown !== undefined) {
    throw new Error(`--only: "${unknown}" is none of ${SYSTEMS.map(({ name }) => name).join(', ')}`);
  }
  return SYSTEMS.filter(({ name }) => names.includes(name));
}

async function startRedisOf(kind: 'memory' | 'everysec'): Promise<RedisProcess> {
  const args = kind === 'memory' ? ['--appendonly', 'no'] : ['--appendfsync', 'everysec'];
  return startRedis({ args: [...args, '--loglevel', 'warning'] });
}

/** Which code is measured; `changed` where the working copy differs from the commit. */
async function commitOf(): Promise<string> {
  const git = async (...args: string[]) => (await promisify(execFile)('git', args, { cwd: ROOT })).stdout;
  try {
    const changed = (await git('status', '--porcelain', '--', 'core', 'scripts/bench')) !== '';
    return `${(await git('rev-parse', '--short', 'HEAD')).trim()}${changed ? ' (changed)' : ''}`;
  } catch {
    return 'unknown';
  }
}

async function machineOf(redis: RedisProcess): Promise<Record<string, unknown>> {
  const link = new Redis(redis.port, redis.host);
  const info = await link.info('server');
  link.disconnect();
  return {
    commit: await commitOf(),
    cpu: cpus()[0]?.model,
    cores: cpus().length,
    memory_gib: Math.round(totalmem() / 2 ** 30),
    node: process.version,
    redis: /(?:valkey|redis)_version:(\S+)/.exec(info)?.[1],
  };
}

/** Cells take turns within each repetition, each time in another order: the machine drifts, and all drift with it. */
async function runAll(cells: Cell[], reps: number, plan: Plan): Promise<Run[]> {
  const runs: Run[] = [];
  for (let rep = 0; rep < reps; rep++) {
    const shift = rep % cells.length;
    for (const cell of [...cells.slice(shift), ...cells.slice(0, shift)]) {
      const run = await runCell(cell, plan);
      runs.push(run);
      const noticed = median(run.idle.noticed).toFixed(2);
      process.stderr.write(
        `${rep + 1}/${reps} ${cell.name}: ${Math.round(run.jobs_per_s)} jobs/s, idle notice ${noticed} ms\n`,
      );
    }
  }
  return runs;
}

async function main(flags: Flags): Promise<void> {
  const { reps, plan } = planOf(flags);
  const systems = systemsOf(flags);
  const began = new Date();
  const kinds = flags.aof ? (['memory', 'everysec'] as const) : (['memory'] as const);
  const servers: RedisProcess[] = [];
  try {
    const cells: Cell[] = [];
    for (const kind of kinds) {
      const redis = await startRedisOf(kind);
      servers.push(redis);
      for (const { name, ...system } of systems) {
        cells.push({ name: kind === 'memory' ? name : `${name}, AOF`, redis, ...system });
      }
    }
    const machine = { ...(await machineOf(servers[0] as RedisProcess)), load_average_before: loadavg()[0] };
    await mkdir(OUTPUT, { recursive: true });
    const runs = await runAll(cells, reps, plan);
    const file = join(OUTPUT, `${began.toISOString().replaceAll(':', '-').slice(0, 19)}.json`);
    await writeFile(file, `${JSON.stringify({ at: began.toISOString(), machine, reps, plan, runs })}\n`);
    const { jobs, in_flight, slots } = plan;
    console.log(
      `\n${Object.entries(machine)
        .map(([name, value]) => `${name} ${value}`)
        .join(', ')}`,
    );
    console.log(`${jobs} jobs, ${in_flight} submissions in flight, ${slots} slots, ${reps} runs of each\n`);
    console.log(report(runs));
    console.log(`\neverything measured: ${file.slice(OUTPUT.lastIndexOf('bench-results'))}`);
  } finally {
    for (const server of servers) await server.stop();
  }
}

function read(): Flags | undefined {
  try {
    const flags = parseArgs({ options: FLAGS }).values;
    planOf(flags);
    systemsOf(flags);
    if (!flags.help) return flags;
    console.log(HELP);
  } catch (error) {
    console.error(`${(error as Error).message}\nRun with --help to see the options.`);
    process.exitCode = 2;
  }
  return undefined;
}

const flags = read();
if (flags) {
  await main(flags).catch((error: Error) => {
    console.error(`the benchmark broke off: ${error.message}`);
    process.exitCode = 1;
  });
}
