// `npm run bench`: gpuhub beside its peers and beside floors, in the same minutes. README.md says how to read it.

import { execFile } from 'node:child_process';
import { mkdir, writeFile } from 'node:fs/promises';
import { cpus, loadavg, totalmem } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs, promisify } from 'node:util';
import { Redis } from 'ioredis';
import { startRedis } from '../redis_server.ts';
import { report } from './report.ts';
import type { Bench, Durability, Findings, Scenario, Stoppable } from './scenario.ts';
import { SCENARIOS } from './scenarios/index.ts';
import { drawPlot } from './svg.ts';

/** A load average above this before anything was started. */
const BUSY_LOAD = 0.5;
const ROOT = fileURLToPath(new URL('../..', import.meta.url));

const HELP = `Measures gpuhub beside BullMQ, RabbitMQ, beanstalkd, NATS JetStream, Celery and floors, in the same minutes.

usage: npm run bench -- [options]

  --scenario A,B   only these (all); --list names them
  --only A,B       only these systems: gpuhub, gpuhub-raw, bullmq, rabbitmq, beanstalkd, nats, celery,
                   mini-hub, ws-script, ws-echo
  --quick          fewer systems, runs and jobs: under two minutes
  --reps N         runs of each cell (5; 2 with --quick)
  --jobs N         jobs of a flood (20000)
  --aof            with --quick: throughput also on a Redis with the append-only file on, fsync every second
  --cpu-prof       write a CPU profile of the hub for each run, beside the results; the profiler takes its share
  --output FOLDER  where results go (bench-results)
  --list, --help

Tables go to standard output; everything measured to a JSON file and plots as SVG to bench-results/.`;

const FLAGS = {
  scenario: { type: 'string' },
  only: { type: 'string' },
  quick: { type: 'boolean', default: false },
  reps: { type: 'string' },
  jobs: { type: 'string' },
  aof: { type: 'boolean', default: false },
  'cpu-prof': { type: 'boolean', default: false },
  output: { type: 'string', default: join(ROOT, 'bench-results') },
  list: { type: 'boolean', default: false },
  help: { type: 'boolean', short: 'h', default: false },
} as const;
type Flags = ReturnType<typeof parseArgs<{ options: typeof FLAGS }>>['values'];

const SYSTEMS = [
  'gpuhub',
  'gpuhub-raw',
  'bullmq',
  'rabbitmq',
  'beanstalkd',
  'nats',
  'celery',
  'mini-hub',
  'ws-script',
  'ws-echo',
];

function wholeNumber(flags: Flags, name: 'reps' | 'jobs'): number | undefined {
  if (flags[name] === undefined) return undefined;
  const value = Number(flags[name]);
  if (!Number.isInteger(value) || value < 1) throw new Error(`--${name} must be a whole number from 1`);
  return value;
}

function namesOf(flags: Flags, name: 'scenario' | 'only', known: readonly string[]): string[] | undefined {
  const names = flags[name]?.split(',');
  const unknown = names?.find(given => !known.includes(given));
  if (unknown !== undefined) throw new Error(`--${name}: "${unknown}" is none of ${known.join(', ')}`);
  return names;
}

function scenariosOf(flags: Flags): Scenario[] {
  const all = SCENARIOS.map(({ name }) => name);
  const names = namesOf(flags, 'scenario', all) ?? all;
  return SCENARIOS.filter(({ name }) => names.includes(name));
}

/** Starts what scenarios ask for, once each, and stops it all at the end. */
class Servers {
  readonly #started = new Map<string, Promise<Stoppable>>();

  shared<T extends Stoppable>(name: string, start: () => Promise<T>): Promise<T> {
    const started = this.#started.get(name) ?? start();
    this.#started.set(name, started);
    return started as Promise<T>;
  }

  async stop(): Promise<void> {
    // One that did not start was told where it was asked for.
    for (const server of await Promise.allSettled(this.#started.values())) {
      if (server.status === 'fulfilled') await server.value.stop();
    }
  }
}

const REDIS_ARGS: Record<Durability, string[]> = {
  memory: ['--appendonly', 'no'],
  everysec: ['--appendfsync', 'everysec'],
};

/** @throws Error with one sentence, if a flag is wrong */
function benchOf(flags: Flags, servers: Servers): Bench {
  return {
    quick: flags.quick,
    reps: wholeNumber(flags, 'reps') ?? (flags.quick ? 2 : 5),
    jobs: wholeNumber(flags, 'jobs'),
    aof: flags.aof,
    profile: flags['cpu-prof'] ? resolve(flags.output) : undefined,
    only: namesOf(flags, 'only', SYSTEMS),
    say: text => void process.stderr.write(`${text}\n`),
    redis: kind =>
      servers.shared(`redis ${kind}`, () =>
        startRedis({ args: [...REDIS_ARGS[kind], '--loglevel', 'warning'] }),
      ),
    shared: (name, start) => servers.shared(name, start),
  };
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

async function machineOf(bench: Bench): Promise<Record<string, unknown>> {
  const { host, port } = await bench.redis('memory');
  const link = new Redis(port, host);
  const info = await link.info('server');
  link.disconnect();
  return {
    commit: await commitOf(),
    cpu: cpus()[0]?.model,
    cores: cpus().length,
    memory_gib: Math.round(totalmem() / 2 ** 30),
    node: process.version,
    redis: /(?:valkey|redis)_version:(\S+)/.exec(info)?.[1],
    load_average_before: loadavg()[0],
  };
}

/** @returns the names of the files */
async function write(
  folder: string,
  at: string,
  results: object,
  found: Map<string, Findings>,
): Promise<string[]> {
  await mkdir(folder, { recursive: true });
  const stamp = at.replaceAll(':', '-').slice(0, 19);
  const plots = [...found.values()].flatMap(({ plots }) => plots);
  const files = new Map([
    [`${stamp}.json`, `${JSON.stringify({ at, ...results, scenarios: Object.fromEntries(found) })}\n`],
    ...plots.map(plot => [`${stamp}-${plot.file}.svg`, drawPlot(plot)] as const),
  ]);
  for (const [name, text] of files) await writeFile(join(folder, name), text);
  return [...files.keys()];
}

async function main(flags: Flags): Promise<void> {
  const servers = new Servers();
  const bench = benchOf(flags, servers);
  const at = new Date().toISOString();
  try {
    const machine = await machineOf(bench);
    if (Number(loadavg()[0]) > BUSY_LOAD)
      bench.say('this machine has other work to do: no figure of this run counts');
    await mkdir(flags.output, { recursive: true });
    const found = new Map<string, Findings>();
    for (const scenario of scenariosOf(flags)) found.set(scenario.name, await scenario.run(bench));
    const facts = Object.entries(machine).map(([name, value]) => `${name} ${value}`);
    console.log(`\n${facts.join(', ')}; ${bench.reps} runs of each cell\n`);
    console.log(report([...found.values()]));
    const { quick, reps } = bench;
    const files = await write(flags.output, at, { machine, quick, reps }, found);
    console.log(`\n${flags.output}: ${files.join(', ')}`);
  } finally {
    await servers.stop();
  }
}

function read(): Flags | undefined {
  try {
    const flags = parseArgs({ options: FLAGS }).values;
    benchOf(flags, new Servers());
    scenariosOf(flags);
    if (flags.help) console.log(HELP);
    else if (flags.list) console.log(SCENARIOS.map(({ name, about }) => `${name}: ${about}`).join('\n'));
    else return flags;
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
