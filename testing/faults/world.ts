/** What a scenario is made of: a Redis, hubs, machines and clients as processes, proxies between them, and their ledgers. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { freePort, startHubProcess, startScript, type TestProcess } from '../harness/processes.ts';
import { startProxy, type TcpProxy } from '../harness/proxy.ts';
import { type TestRedis, testRedis } from '../harness/redis.ts';
import type { ClientPlan } from './client_process.ts';
import { type Entry, Ledger, now, readLedgers } from './ledger.ts';
import { Random } from './random.ts';
import type { Scenario } from './scenario.ts';
import type { WorkerPlan } from './worker_process.ts';
import { type Job, type JobParams, prompts, type Step } from './workload.ts';

/** Short times, so that a scenario takes seconds; all ms. */
export const LEASE_MS = 3000;
export const HEARTBEAT_MS = 500;
export const REAP_MS = 200;
export const PING_MS = 500;
const SETTINGS: Readonly<Record<string, string>> = {
  LOG_LEVEL: 'warn',
  LEASE_MS: String(LEASE_MS),
  HEARTBEAT_INTERVAL_MS: String(HEARTBEAT_MS),
  REAP_INTERVAL_MS: String(REAP_MS),
  RESEND_MS: '500',
  PING_INTERVAL_MS: String(PING_MS),
  CANCEL_GRACE_MS: '500',
  REDIS_COMMAND_TIMEOUT_MS: '1000',
};

/** What a healthy system needs for a small load after the last fault, generously, ms. */
const SETTLE_MS = 30_000;
const POLL_MS = 20;

/** A hub that keeps its port over restarts. */
export class HubSeat {
  readonly port: number;
  readonly #env: Readonly<Record<string, string>>;
  readonly #world: World;
  #process: TestProcess | undefined;

  constructor(world: World, port: number, env: Readonly<Record<string, string>>) {
    this.#world = world;
    this.port = port;
    this.#env = env;
  }

  get url(): string {
    return `ws://127.0.0.1:${this.port}`;
  }

  get http(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  get process(): TestProcess {
    return this.#process as TestProcess;
  }

  /**
   * Starts it as `npm start` does, again or for the first time, and waits until it is ready.
   *
   * @throws Error with the end of its output if it dies before
   */
  async start(env: Readonly<Record<string, string>> = {}): Promise<void> {
    const all = { HUB_HOST: '127.0.0.1', ...this.#env, ...env, HUB_PORT: String(this.port) };
    this.#process = await startHubProcess({ env: all });
    this.#world.owns(this.process);
    await this.process.waitForHttp(`${this.http}/readyz`);
  }

  /** Ends it with SIGKILL and waits for that. */
  async kill(): Promise<void> {
    this.#world.note('hub killed', { port: this.port });
    this.process.kill('SIGKILL');
    await this.process.exited;
  }

  /** `{ status, reason }` of /readyz; status 0 when nobody answers. */
  async ready(): Promise<{ status: number; reason: string | null }> {
    try {
      const response = await fetch(`${this.http}/readyz`, { signal: AbortSignal.timeout(2000) });
      const body = (await response.json()) as { reason?: string };
      return { status: response.status, reason: body.reason ?? null };
    } catch {
      return { status: 0, reason: null };
    }
  }
}

/** A process with machines, which can be killed and halted; the ledger is told, so that the checker knows who was away. */
export class WorkerSeat {
  readonly plan: WorkerPlan;
  readonly #world: World;
  readonly process: TestProcess;
  #halted_at: number | undefined;

  constructor(world: World, plan: WorkerPlan) {
    this.#world = world;
    this.plan = plan;
    this.process = startScript('testing/faults/worker_process.ts', [JSON.stringify(plan)]);
    world.owns(this.process);
  }

  get machines(): string[] {
    return this.plan.machines.map(({ machine_id }) => machine_id);
  }

  async kill(): Promise<void> {
    this.#world.away(this.machines, now(), Number.MAX_SAFE_INTEGER, 'killed');
    this.process.kill('SIGKILL');
    await this.process.exited;
  }

  /** It died by itself, as its jobs wanted. */
  died(): void {
    this.#world.away(this.machines, now(), Number.MAX_SAFE_INTEGER, 'killed');
  }

  /** Halts it (SIGSTOP), as a machine that hangs. */
  halt(): void {
    this.#halted_at = now();
    this.process.kill('SIGSTOP');
  }

  resume(): void {
    this.process.kill('SIGCONT');
    this.#world.away(this.machines, this.#halted_at ?? now(), now(), 'halted');
  }
}

export interface WorkerWish {
  name: string;
  kind?: 'sdk' | 'raw';
  /** How many machines the process has, and GPUs each. */
  machines?: number;
  gpus?: number;
  urls?: string[];
  stop_when_lost?: boolean;
  twice?: boolean;
  /** In place of made-up names: the machine's. */
  machine_id?: string;
}

export class World implements AsyncDisposable {
  readonly random: Random;
  readonly folder: string;
  readonly redis: TestRedis;
  readonly hubs: HubSeat[] = [];
  readonly problems: string[] = [];
  readonly figures: Record<string, number | string> = {};
  readonly #settings: Readonly<Record<string, string>>;
  readonly #ledger: Ledger;
  readonly #texts: string[];
  readonly #processes: TestProcess[] = [];
  readonly #clients: { name: string; process: TestProcess }[] = [];
  readonly #proxies: TcpProxy[] = [];
  #job_count = 0;

  private constructor(
    folder: string,
    redis: TestRedis,
    texts: string[],
    settings: Readonly<Record<string, string>>,
    seed: number,
  ) {
    this.folder = folder;
    this.redis = redis;
    this.random = new Random(seed);
    this.#texts = texts;
    this.#settings = settings;
    this.#ledger = new Ledger(folder, 'harness');
  }

  static async start(scenario: Scenario, seed: number): Promise<World> {
    const folder = await mkdtemp(join(tmpdir(), 'gpuhub-faults-'));
    const redis = await testRedis({ durable: true, args: scenario.redis ?? [] });
    const { texts } = await prompts();
    return new World(folder, redis, texts, { ...SETTINGS, ...scenario.settings }, seed);
  }

  get lease_ms(): number {
    return Number(this.#settings['LEASE_MS']);
  }

  get heartbeat_ms(): number {
    return Number(this.#settings['HEARTBEAT_INTERVAL_MS']);
  }

  /** All hubs, in an order of its own for each who asks, so that peers spread over them. */
  get urls(): string[] {
    return this.random.shuffle(this.hubs.map(hub => hub.url));
  }

  /** @param redis_port of a proxy in front of Redis */
  async addHub(env: Readonly<Record<string, string>> = {}, redis_port = this.redis.port): Promise<HubSeat> {
    const settings = { ...this.#settings, REDIS_URL: `redis://127.0.0.1:${redis_port}`, ...env };
    const hub = new HubSeat(this, await freePort(), settings);
    this.hubs.push(hub);
    await hub.start();
    return hub;
  }

  async addHubs(count: number): Promise<void> {
    await Promise.all(Array.from({ length: count }, () => this.addHub()));
  }

  /** Starts machines; does not wait for them. */
  worker(wish: WorkerWish): WorkerSeat {
    const { name, kind = 'sdk', machines = 1, gpus = 2, machine_id, stop_when_lost, twice } = wish;
    return new WorkerSeat(this, {
      name,
      folder: this.folder,
      kind,
      machines: Array.from({ length: machines }, (_, i) => ({
        machine_id: machine_id ?? `${name}-${i}`,
        gpus,
        urls: wish.urls ?? this.urls,
      })),
      ...(stop_when_lost !== undefined && { stop_when_lost }),
      ...(twice !== undefined && { twice }),
    });
  }

  /** Starts a client that submits these; {@link settle} waits for its end. */
  async client(name: string, steps: Step[], more: Partial<ClientPlan> = {}): Promise<TestProcess> {
    const plan: ClientPlan = { name, folder: this.folder, kind: 'sdk', urls: this.urls, steps, ...more };
    const file = join(this.folder, `${name}.plan`);
    await writeFile(file, JSON.stringify(plan));
    const process = startScript('testing/faults/client_process.ts', [file]);
    this.owns(process);
    this.#clients.push({ name, process });
    return process;
  }

  /** A job with a real prompt. */
  job(work_ms: number, more: Omit<Partial<Job>, 'params'> & { params?: Partial<JobParams> } = {}): Job {
    const number = this.#job_count++;
    const prompt = this.#texts[number % this.#texts.length] as string;
    const params = { prompt, work_ms, ...more.params };
    return { job_id: `job-${number}`, job_type: 'work', ...more, params };
  }

  /** So many jobs, spread evenly over a time; their work takes from half to one and a half of `work_ms`. */
  steps(count: number, over_ms: number, work_ms: number, more: Omit<Partial<Job>, 'params'> = {}): Step[] {
    return Array.from({ length: count }, (_, i) => {
      const took_ms = Math.round(work_ms * (0.5 + this.random.next()));
      return { at_ms: (i * over_ms) / count, submit: this.job(took_ms, more) };
    });
  }

  async proxy(port: number): Promise<TcpProxy> {
    const proxy = await startProxy(port);
    this.#proxies.push(proxy);
    return proxy;
  }

  owns(process: TestProcess): void {
    this.#processes.push(process);
  }

  /** Writes down what was done to the system. */
  note(op: string, fields: object = {}): void {
    this.#ledger.write('harness', op, fields);
  }

  /** Writes a line for a peer that a scenario plays itself. */
  write(who: string, op: string, fields: object = {}): void {
    this.#ledger.write(who, op, fields);
  }

  /** These machines could not be expected to keep their leases for this time. */
  away(machines: string[], from: number, to: number, why: string): void {
    this.note('away', { machines, from, to, why });
  }

  /** Entries of the machines and clients so far. */
  entries(): Entry[] {
    return readLedgers(this.folder);
  }

  /** Must hold, beside what the checker looks at by itself. */
  expect(holds: boolean, sentence: string): void {
    if (!holds) this.problems.push(sentence);
  }

  /**
   * Looks until it is so. What never comes is a violation.
   *
   * @returns what `look` found; undefined when the time was over
   */
  async until<T>(
    what: string,
    look: () => Promise<T | undefined | false | null> | T | undefined | false | null,
    within_ms = 15_000,
  ): Promise<T | undefined> {
    const deadline = now() + within_ms;
    while (now() < deadline) {
      const found = await look();
      if (found !== undefined && found !== false && found !== null) return found;
      await sleep(POLL_MS);
    }
    this.problems.push(`waited ${within_ms} ms in vain: ${what}`);
    return undefined;
  }

  /** Until the ledgers have so many such entries. */
  async seen(op: string, count = 1, where: (entry: Entry) => boolean = () => true): Promise<Entry[]> {
    const found = await this.until(`${count} × "${op}" in the ledgers`, () => {
      const entries = this.entries().filter(entry => entry.op === op && where(entry));
      return entries.length >= count && entries;
    });
    return found ?? [];
  }

  /** Until all machines have registered. */
  async registered(...workers: WorkerSeat[]): Promise<void> {
    const ids = new Set(workers.flatMap(worker => worker.machines));
    await this.until('all machines registered', () => {
      const up = new Set(
        this.entries()
          .filter(({ op, who }) => op === 'up' && ids.has(who))
          .map(({ who }) => who),
      );
      return up.size === ids.size;
    });
  }

  /** Until every client has seen the end of all its jobs, or the time is over. */
  async settle(within_ms = SETTLE_MS): Promise<void> {
    const late = sleep(within_ms, 'late' as const, { ref: false });
    for (const { name, process } of this.#clients) {
      const ending = await Promise.race([process.exited, late]);
      if (ending === 'late')
        this.problems.push(`${name} waits for jobs ${within_ms} ms after the last fault`);
      else if (ending.code !== 0)
        this.problems.push(
          `${name} ended with ${ending.code ?? ending.signal}: ${process.output.slice(-500)}`,
        );
    }
    await this.#acknowledged();
  }

  /** What the machines said at the end of a job is answered soon after. */
  async #acknowledged(): Promise<void> {
    const deadline = now() + 5000;
    while (now() < deadline) {
      const open = new Set<unknown>();
      const gone = new Set<unknown>();
      for (const { op, lease_id, who, machines, to } of this.entries()) {
        if (op === 'told') open.add(`${who} ${lease_id}`);
        if (op === 'answer' || op === 'dropped') open.delete(`${who} ${lease_id}`);
        if (op === 'away' && to === Number.MAX_SAFE_INTEGER)
          for (const id of machines as string[]) gone.add(id);
        if (op === 'ended') gone.add(who);
      }
      if ([...open].every(key => gone.has(String(key).split(' ')[0]))) return;
      await sleep(POLL_MS * 5);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const process of this.#processes) process.kill('SIGKILL');
    await Promise.all(this.#processes.map(process => process.exited));
    await Promise.all(this.#proxies.map(proxy => proxy.stop()));
    await this.redis.stop();
    await rm(this.folder, { recursive: true, force: true });
  }
}
