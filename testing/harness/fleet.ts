/** What the suites of whole systems share: hubs as processes on a Redis of their own, SDK clients and machines. */
import { setTimeout as sleep } from 'node:timers/promises';
import { HubApi } from '../../core/cli/http.ts';
import { type ClientOptions, GpuhubClient, type JobEvent } from '../../core/sdk/client.ts';
import {
  type AssignedJob,
  GpuhubWorker,
  type JobContext,
  type WorkerEvent,
  type WorkerOptions,
} from '../../core/sdk/worker.ts';
import { type HubProcess, startHub, type TestProcess } from './processes.ts';
import { Peer } from './peer.ts';
import { type TestRedis, type TestRedisOptions, testRedis } from './redis.ts';

/** Peers come back at once: a test must not wait for what spares a large fleet. */
const BACKOFF = { base_ms: 20, cap_ms: 200 };
const POLL_MS = 20;
const WITHIN_MS = 10_000;

type Settings = Readonly<Record<string, string>>;

/** A Redis, hubs on it, and what a test connects to them; all ends with it. */
export class Fleet implements AsyncDisposable {
  readonly redis: TestRedis;
  readonly #settings: Settings;
  readonly #ends: (() => Promise<unknown>)[] = [];
  #hub: HubProcess | undefined;

  private constructor(redis: TestRedis, settings: Settings) {
    this.redis = redis;
    this.#settings = settings;
  }

  /** A Redis and one hub. @param settings of all hubs */
  static async start(settings: Settings = {}, redis: TestRedisOptions = {}): Promise<Fleet> {
    const fleet = new Fleet(await testRedis(redis), settings);
    try {
      fleet.#hub = await fleet.addHub();
      return fleet;
    } catch (error) {
      await fleet[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** The first hub, or what {@link restartHub} put in its place. */
  get hub(): HubProcess {
    return this.#hub as HubProcess;
  }

  get api(): HubApi {
    return new HubApi({ url: this.hub.httpUrl });
  }

  /** One more hub on the same Redis. */
  async addHub(settings: Settings = {}): Promise<HubProcess> {
    const env = { LOG_LEVEL: 'warn', REDIS_URL: this.redis.url, ...this.#settings, ...settings };
    const hub = await startHub(env);
    this.#ends.push(() => hub.process.stop());
    return hub;
  }

  /** Starts the hub again on the port that it had. */
  async restartHub(): Promise<void> {
    this.#hub = await this.addHub({ HUB_PORT: String(this.hub.port) });
  }

  /** Ends a process with the test. */
  owns(process: TestProcess): TestProcess {
    this.#ends.push(() => process.stop());
    return process;
  }

  client(options: ClientOptions = {}): GpuhubClient {
    const client = new GpuhubClient({ url: this.hub.wsUrl, backoff: BACKOFF, ...options });
    this.#ends.push(() => client.close());
    return client;
  }

  /** A registered machine of the SDK. */
  async machine(options: WorkerOptions): Promise<GpuhubWorker> {
    const worker = new GpuhubWorker({ url: this.hub.wsUrl, backoff: BACKOFF, ...options });
    this.#ends.push(() => worker.stop({ grace_ms: 0, timeout_ms: 500 }));
    await worker.start();
    return worker;
  }

  /** A raw connection of a monitor. */
  async monitor(hub: HubProcess = this.hub): Promise<Peer> {
    const peer = await Peer.connect(hub.wsUrl, { path: '/ws/monitor' });
    this.#ends.push(() => peer.terminate());
    return peer;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const end of this.#ends.splice(0).reverse()) await end();
    await this.redis.stop();
  }
}

/** One run of a handler, which the test ends. */
export interface Run {
  job: AssignedJob;
  context: JobContext;
  complete(result?: unknown): void;
  fail(error: unknown): void;
}

/** A handler whose runs the test ends by hand; every run is kept, so that they can be counted. */
export function byHand() {
  const runs: Run[] = [];
  const handler = (job: AssignedJob, context: JobContext) =>
    new Promise((complete, fail) => {
      runs.push({ job, context, complete, fail });
      context.signal.addEventListener('abort', () => fail(context.signal.reason));
    });
  /** The n-th run of all, or of one job. */
  const run = (index: number, job_id?: string): Promise<Run> =>
    until(
      `run ${index} of ${job_id ?? 'any job'}`,
      () => runs.filter(({ job }) => job_id === undefined || job.job_id === job_id)[index],
    );
  return { handler, runs, run };
}

/** Handlers of two jobs that every suite can use: one says what it was given, one fails for good. */
export const echoAndBroken = {
  echo: (job: AssignedJob) => ({ said: job.params }),
  broken: () => {
    throw Object.assign(new Error('no such weights'), { code: 'bad_model', retryable: false });
  },
};

/** Hears the events of a machine, also those that came before somebody asked. */
export function ears() {
  const events: WorkerEvent[] = [];
  const on_event = (event: WorkerEvent) => void events.push(event);
  const heard = <T extends WorkerEvent['type']>(type: T) =>
    until(`the machine says ${type}`, () =>
      events.find((event): event is Extract<WorkerEvent, { type: T }> => event.type === type),
    );
  return { events, on_event, heard };
}

/** All events of a job to its end. */
export async function all(handle: AsyncIterable<JobEvent>): Promise<JobEvent[]> {
  const events: JobEvent[] = [];
  for await (const event of handle) events.push(event);
  return events;
}

export const types = (events: readonly { type: string }[]): string[] => events.map(({ type }) => type);

/** What the protocol promises of the events of a job on one connection, or over several. */
export function inGoodOrder(events: readonly JobEvent[]): boolean {
  let seq = 0;
  for (const event of events) {
    const repeats = event.type === 'job_progress' || event.type === 'job_output';
    if (repeats ? event.seq < seq : event.seq <= seq) return false;
    seq = event.seq;
  }
  return true;
}

/**
 * Looks until there is something, and returns it. For what tells nobody when it changes.
 *
 * @throws Error that names what was waited for
 */
export async function until<T>(
  what: string,
  look: () => Promise<T | undefined | false | null> | T | undefined | false | null,
  within_ms = WITHIN_MS,
): Promise<T> {
  const error = new Error(`waited ${within_ms} ms for: ${what}`);
  const deadline = performance.now() + within_ms;
  while (performance.now() < deadline) {
    const found = await look();
    if (found !== undefined && found !== false && found !== null) return found;
    await sleep(POLL_MS);
  }
  throw error;
}
