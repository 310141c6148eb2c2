// `npm run demo`: a whole gpuhub on this machine, real processes and real prompts, with a machine killed in the
// middle; and at the end the proof that every job ran exactly once, the most urgent first.

import { once } from 'node:events';
import { createServer } from 'node:net';
import { parseArgs } from 'node:util';
import pc from 'picocolors';
import { count, plural } from '../core/cli/format.ts';
import { GpuhubClient, GpuhubError, type JobHandle, type JobRecord } from '../core/sdk/client.ts';
import { nodeWire } from '../core/sdk/socket.ts';
import {
  freePort,
  type HubProcess,
  startHub,
  startScript,
  stopAll,
  type TestProcess,
} from '../testing/harness/processes.ts';
import { Display } from './demo_display.ts';
import { type DemoJob, type DemoMachine, queueWaits, readRecords, Witness } from './demo_evidence.ts';
import { type DemoPrompt, readPrompts } from './demo_prompts.ts';
import { type RedisAddress, redisFromEnvOrLauncher } from './redis_server.ts';

const HELP = `Runs a hub, a Redis and a fleet of pretended GPU machines on this computer, and proves what they did.

usage: npm run demo [-- options]

  --stay    leave everything running at the end, until Ctrl-C
  --help

Ends with 0 if every promise held, 1 if one did not. HUB_PORT (8000) and REDIS_URL are taken from the environment.`;

/** Short, so that the jobs of the killed machine come back while one watches. Machines renew four times in it. */
const LEASE_MS = 3000;
/** All but the jobs of a killed machine must have ended long before. */
const PATIENCE_MS = 75_000;
const JOB_MS = 135;
const KILL_AT = 0.4;
const ADD_AT = 0.55;
const WATCH_MS = 20;
/** The rest arrives one by one while the fleet works, as users do. */
const SHARE_AT_ONCE = 0.75;
const ARRIVAL_MS = 45;
const HUB_PORT = 8000;
const INTERRUPTED = 130;

const GIB = 1024;
const FLEET: DemoMachine[] = [
  { machine_id: 'alpha', gpus: 2, vram_mb: 12 * GIB, gpu_name: 'NVIDIA RTX 3060', state: 'starting' },
  { machine_id: 'bravo', gpus: 2, vram_mb: 24 * GIB, gpu_name: 'NVIDIA RTX 4090', state: 'starting' },
  { machine_id: 'charlie', gpus: 4, vram_mb: 80 * GIB, gpu_name: 'NVIDIA A100', state: 'starting' },
];
const LATECOMER: DemoMachine = {
  machine_id: 'delta',
  gpus: 2,
  vram_mb: 48 * GIB,
  gpu_name: 'NVIDIA L40S',
  state: 'starting',
};
const VICTIM = 'bravo';

const PRIORITIES = [
  { name: 'urgent', priority: 50, share: 0.1 },
  { name: 'interactive', priority: 10, share: 0.3 },
  { name: 'normal', priority: 0, share: 0.4 },
  { name: 'batch', priority: -10, share: 0.2 },
];

/** How much memory the prompts of a kind ask for; most run anywhere. */
const VRAM_MB: Record<string, number> = { 'Fine-grained Detail': 20 * GIB, Complex: 40 * GIB };

/** Spreads whole numbers evenly over 0 to 1, the same way each time (multiples of the golden ratio). */
function spread(index: number): number {
  return (index * 0.618033988749895) % 1;
}

function toJob({ prompt, seed, challenge }: DemoPrompt, index: number, run_id: string): DemoJob {
  let at = spread(index + 1);
  const level = PRIORITIES.find(({ share }) => (at -= share) < 0) ?? PRIORITIES[2];
  const min_vram_mb = VRAM_MB[challenge];
  return {
    job_id: `${run_id}-${String(index + 1).padStart(4, '0')}`,
    job_type: 'image',
    params: { prompt, seed, model: 'sdxl' },
    priority: level?.priority ?? 0,
    watch: 'all',
    ...(min_vram_mb !== undefined && { requirements: { min_vram_mb } }),
  };
}

function say(text = ''): void {
  process.stdout.write(`${text}\n`);
}

async function isFree(port: number): Promise<boolean> {
  const server = createServer().listen(port, '127.0.0.1');
  try {
    await once(server, 'listening');
  } catch {
    return false;
  }
  server.close();
  await once(server, 'close');
  return true;
}

/** The port of HUB_PORT, or 8000, or a free one if that is taken. */
async function hubPort(): Promise<number> {
  if (process.env['HUB_PORT']) return Number(process.env['HUB_PORT']);
  return (await isFree(HUB_PORT)) ? HUB_PORT : freePort();
}

class Demo {
  readonly #witness = new Witness();
  readonly #machines = [...FLEET];
  readonly #processes = new Map<string, TestProcess>();
  readonly #run_id = `demo-${Date.now().toString(36)}`;
  #redis: RedisAddress | undefined;
  #hub: HubProcess | undefined;
  #client: GpuhubClient | undefined;
  #display: Display | undefined;
  #ending: Promise<void> | undefined;

  /** @returns whether every promise held */
  async run(): Promise<boolean> {
    const { source, prompts } = await readPrompts();
    const jobs = prompts.map((prompt, i) => toJob(prompt, i, this.#run_id));
    await this.#start(source, jobs);
    const began = performance.now();
    const display = new Display(this.#witness, this.#machines, jobs.length);
    this.#display = display;
    this.#disturb(display, jobs.length);
    const ended = this.#submit(jobs, display);
    // The proof tells what has not ended.
    const patience = AbortSignal.timeout(PATIENCE_MS);
    await Promise.race([ended, once(patience, 'abort')]);
    const seconds = (performance.now() - began) / 1000;
    display.stop();
    return this.#prove(await this.#records(), jobs, seconds);
  }

  /** The address of the page that shows all of it. */
  get debug_page(): string {
    return `${this.#hub?.httpUrl}/debug`;
  }

  /** The address for clients and workers. */
  get url(): string | undefined {
    return this.#hub?.wsUrl;
  }

  /** Ends all processes: machines, then the hub, then Redis. */
  end(): Promise<void> {
    this.#ending ??= (async () => {
      this.#display?.stop();
      await this.#client?.close();
      // There is nothing to save on a machine that only pretends.
      for (const machine of this.#processes.values()) machine.kill('SIGKILL');
      await this.#hub?.process.stop();
      await stopAll();
      await this.#redis?.stop();
    })();
    return this.#ending;
  }

  async #start(source: string, jobs: readonly DemoJob[]): Promise<void> {
    say();
    say(`  ${pc.bold('gpuhub demo')}: ${count(jobs.length)} image prompts through a fleet of GPU machines`);
    say();
    this.#redis = await redisFromEnvOrLauncher(process.env);
    const { server } = this.#redis;
    say(`  Redis     ${server ? `a private one, 127.0.0.1:${server.port}` : 'the one of your environment'}`);
    this.#hub = await startHub({
      ...this.#redis.env,
      HUB_PORT: String(await hubPort()),
      LEASE_MS: String(LEASE_MS),
      PRIORITY_AGING_MS: '0',
      LOG_LEVEL: 'warn',
    });
    say(`  hub       ${this.#hub.httpUrl}   watch it live: ${pc.cyan(this.debug_page)}`);
    await Promise.all(FLEET.map(machine => this.#startMachine(machine)));
    const slots = FLEET.reduce((sum, { gpus }) => sum + gpus, 0);
    say(`  machines  ${FLEET.map(({ machine_id }) => machine_id).join(', ')}: ${slots} GPUs, simulated`);
    say(`  prompts   ${source}`);
    say(`            priorities 50, 10, 0 and -10; some ask for a large GPU`);
    say();
    this.#client = new GpuhubClient({
      url: this.#hub.wsUrl,
      client_id: this.#run_id,
      factory: (address, events) =>
        nodeWire(address, {
          ...events,
          message: text => {
            this.#witness.frame(text);
            events.message(text);
          },
        }),
    });
    await this.#client.connect();
  }

  async #startMachine(machine: DemoMachine): Promise<void> {
    const { machine_id, gpus, vram_mb, gpu_name } = machine;
    const { host, port } = this.#hub as HubProcess;
    const flags: Record<string, string | number> = {
      'machine-id': machine_id,
      'gpu-count': gpus,
      'vram-mb': vram_mb,
      'gpu-name': gpu_name,
      'job-types': 'image',
      'duration-ms': JOB_MS,
      'ws-host': host,
      'ws-port': port,
    };
    const args = Object.entries(flags).flatMap(([name, value]) => [`--${name}`, String(value)]);
    const worker = startScript('testing/mock_worker.ts', args);
    this.#processes.set(machine_id, worker);
    await worker.waitFor(/registered/);
    machine.state = 'up';
  }

  /** Most jobs at once, the others one by one. Resolves when all have ended. */
  async #submit(jobs: readonly DemoJob[], display: Display): Promise<void> {
    const client = this.#client as GpuhubClient;
    const results: Promise<unknown>[] = [];
    const taken = (job: DemoJob, handle: JobHandle | GpuhubError) => {
      if (handle instanceof GpuhubError) throw handle;
      this.#witness.accepted(job.job_id, handle.accepted?.seq ?? 0);
      results.push(handle.result());
    };
    const at_once = jobs.slice(0, Math.floor(jobs.length * SHARE_AT_ONCE));
    const one_by_one = jobs.slice(at_once.length);
    for (const job of at_once) this.#witness.submitted(job);
    const began = performance.now();
    const handles = await client.submitMany(at_once);
    for (const [i, handle] of handles.entries()) taken(at_once[i] as DemoJob, handle);
    const ms = Math.round(performance.now() - began);
    display.say(
      `${count(at_once.length)} jobs accepted in ${ms} ms; ${count(one_by_one.length)} more arrive one by one`,
    );
    for (const [i, job] of one_by_one.entries()) {
      await new Promise(resolve => setTimeout(resolve, ARRIVAL_MS));
      this.#witness.submitted(job);
      taken(job, await client.submit(job));
      if (i === one_by_one.length - 1) display.say('the last job was submitted');
    }
    await Promise.allSettled(results);
  }

  /** Kills a machine in the middle, sees its jobs come back, adds another. */
  #disturb(display: Display, total: number): void {
    const victim = this.#machines.find(({ machine_id }) => machine_id === VICTIM) as DemoMachine;
    let killed_at = 0;
    let returned = false;
    let added = false;
    const timer = setInterval(() => {
      const share = this.#witness.count.completed / total;
      const busy = this.#witness.busy(VICTIM);
      if (share >= KILL_AT && killed_at === 0 && busy === victim.gpus) {
        killed_at = performance.now();
        this.#processes.get(VICTIM)?.kill('SIGKILL');
        victim.state = 'killed';
        display.say(`${pc.red(`${VICTIM} was killed`)} (SIGKILL) in the middle of its work`);
      }
      if (killed_at > 0 && !returned && busy === 0) {
        returned = true;
        const seconds = ((performance.now() - killed_at) / 1000).toFixed(1);
        const jobs = plural(this.#witness.returned.size, 'job');
        display.say(`${seconds} s later its leases ran out: ${jobs} back in the queue, in the old place`);
      }
      if (share >= ADD_AT && !added) {
        added = true;
        this.#machines.push(LATECOMER);
        this.#startMachine(LATECOMER).then(
          () => display.say(`${pc.green(`${LATECOMER.machine_id} joined`)}: ${LATECOMER.gpus} more GPUs`),
          (error: Error) => display.say(`${LATECOMER.machine_id} could not join: ${error.message}`),
        );
      }
      if (returned && added) clearInterval(timer);
    }, WATCH_MS);
    timer.unref();
  }

  async #records(): Promise<JobRecord[]> {
    const client = this.#client as GpuhubClient;
    const records: JobRecord[] = [];
    for await (const record of client.iterateJobs({ client_id: this.#run_id, full: true, limit: 500 })) {
      records.push(record);
    }
    return records;
  }

  #prove(records: readonly JobRecord[], jobs: readonly DemoJob[], seconds: number): boolean {
    const total = jobs.length;
    const stored = readRecords(records);
    const not_once = this.#witness.notOnce();
    const wrong = this.#witness.wrongResults();
    const { assignments, inversions } = this.#witness.inversions(this.#machines);
    let held = true;
    const promise = (holds: boolean, text: string, ...more: string[]) => {
      held &&= holds;
      say(`  ${holds ? pc.green('✓') : pc.red('✕')} ${text}`);
      for (const line of more) say(pc.dim(`    ${line}`));
    };
    say();
    say(`  ${pc.bold('The proof')}`);
    promise(
      stored.completed === total && records.length === total,
      `${count(stored.completed)} of ${count(total)} jobs completed`,
      ...(this.#witness.unfinished > 0 ? [`${count(this.#witness.unfinished)} have not ended`] : []),
    );
    promise(
      not_once.length === 0 && stored.not_once === 0,
      `each completed exactly once${not_once.length > 0 ? `, but not ${count(not_once.length)}, such as ${not_once[0]}` : ''}`,
      `over the wire: one terminal event for each job; in the records: one accepted`,
      `completion for each among ${count(stored.attempts)} attempts`,
    );
    promise(wrong.length === 0, `each result is that of its own prompt`);
    promise(
      inversions === 0,
      `highest priority first: ${plural(inversions, 'inversion')} in ${count(assignments)} assignments`,
      'an inversion: a GPU got a job while it could have had one that was more',
      'urgent, or as urgent and older; by the clock of Redis, to the microsecond',
    );
    const { held_by, rerun } = this.#witness.takenOver(VICTIM);
    promise(
      rerun === held_by,
      `the ${plural(held_by, 'job')} that the killed machine held ${held_by === 1 ? 'was' : 'were'} run again elsewhere`,
      `${plural(stored.crashed, 'attempt')} lost by a crash, ${stored.undelivered} never begun`,
    );
    this.#figures(records, seconds);
    return held;
  }

  #figures(records: readonly JobRecord[], seconds: number): void {
    const total_rate = (records.length / seconds).toFixed(1);
    say();
    say(`  ${pc.bold('The figures')}   ${seconds.toFixed(1)} s, ${total_rate} jobs/s`);
    say();
    say(pc.dim('    priority               jobs     waited p50     waited p99'));
    const line = (name: string, of: readonly JobRecord[]) => {
      const waits = queueWaits(of).sort((a, b) => a - b);
      const at = (share: number) =>
        `${((waits[Math.max(0, Math.ceil(share * waits.length) - 1)] ?? 0) / 1000).toFixed(2)} s`;
      say(
        `    ${name.padEnd(20)}${count(of.length).padStart(7)}${at(0.5).padStart(15)}${at(0.99).padStart(15)}`,
      );
    };
    for (const { name, priority } of PRIORITIES) {
      line(
        `${String(priority).padStart(3)}  ${name}`,
        records.filter(record => record.priority === priority),
      );
    }
    line('     all', records);
    say();
  }
}

async function main({ stay }: { stay: boolean }): Promise<void> {
  const demo = new Demo();
  let result: number | undefined;
  let interrupted = false;
  const interrupt = () => {
    if (interrupted) return;
    interrupted = true;
    void demo.end().then(() => process.exit(result ?? INTERRUPTED));
  };
  process.on('SIGINT', interrupt).on('SIGTERM', interrupt);
  try {
    result = (await demo.run()) ? 0 : 1;
    if (stay) {
      say(`  Debug page: ${pc.cyan(demo.debug_page)}`);
      say(`  All stays as it is until Ctrl-C. Try in another terminal:`);
      say(pc.dim(`    npx tsx testing/test_client.ts --url ${demo.url} --prompt "a red fox" --count 20`));
      return;
    }
    say(`  Debug page: ${pc.cyan(demo.debug_page)} (npm run demo -- --stay keeps it up)`);
  } catch (error) {
    if (interrupted) return; // what broke was being taken down
    process.stderr.write(`gpuhub: the demo broke off: ${(error as Error).message}\n`);
    result = 1;
  }
  await demo.end();
  process.exit(result);
}

try {
  const { values } = parseArgs({
    options: {
      stay: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  if (values.help) say(HELP);
  else void main(values);
} catch (error) {
  process.stderr.write(`${(error as Error).message}\nRun with --help to see the options.\n`);
  process.exitCode = 2;
}
