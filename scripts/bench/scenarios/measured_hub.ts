import { Redis } from 'ioredis';
import type { RedisProcess } from '../../redis_server.ts';
import { startHub } from '../hub.ts';
import { BenchProcess } from '../process.ts';
import type { Usage } from '../served.ts';
import { redisUsage } from '../usage.ts';
import type { Held } from './hub_meter.ts';
import { startMemoryRedis } from './store_bench.ts';

const METER = ['--expose-gc', '--import', './.cache/bench/scripts/bench/scenarios/hub_meter.js'];

/** What hub and Redis have used so far. */
export interface UsedCpu {
  at_ms: number;
  hub: Usage;
  redis: Usage;
}

/** Of one core. */
export interface CpuShare {
  hub: number;
  redis: number;
}

/** A compiled hub with its defaults on a Redis, that can be asked what it uses and holds. */
export class MeasuredHub {
  readonly url: string;
  readonly #hub: BenchProcess;
  readonly #redis: Redis;

  private constructor(hub: BenchProcess, url: string, redis: Redis) {
    this.#hub = hub;
    this.url = url;
    this.#redis = redis;
  }

  /**
   * @param server whose data is dropped, unless other hubs are there already
   * @param profile the folder for its CPU profile, if wanted
   */
  static async start(
    server: RedisProcess,
    profile: string | undefined,
    { first = true } = {},
  ): Promise<MeasuredHub> {
    const redis = new Redis(server.port, server.host);
    if (first) await redis.flushall('SYNC');
    const { hub, url } = await startHub(server.url, profile, METER);
    return new MeasuredHub(hub, url, redis);
  }

  /** What it holds, without its garbage. */
  held(): Promise<Held> {
    return this.#hub.ask('held');
  }

  async used(): Promise<UsedCpu> {
    const [hub, redis] = await Promise.all([this.#hub.usage(), redisUsage(this.#redis)]);
    return { at_ms: performance.now(), hub, redis };
  }

  /** Messages from hub to hub since their Redis began. */
  async published(): Promise<number> {
    return Number(/^cmdstat_publish:calls=(\d+)/m.exec(await this.#redis.info('commandstats'))?.[1] ?? 0);
  }

  /** What was used while something went on. */
  async during<T>(
    work: () => Promise<T>,
  ): Promise<{ result: T; share: CpuShare; ms: number; cpu_ms: CpuShare }> {
    const before = await this.used();
    const result = await work();
    const after = await this.used();
    const ms = after.at_ms - before.at_ms;
    const cpu_ms = {
      hub: after.hub.cpu_ms - before.hub.cpu_ms,
      redis: after.redis.cpu_ms - before.redis.cpu_ms,
    };
    return { result, ms, cpu_ms, share: { hub: cpu_ms.hub / ms, redis: cpu_ms.redis / ms } };
  }

  async stop(): Promise<void> {
    await this.#hub.stop();
    this.#redis.disconnect();
  }
}

/** What a part of a scenario started: at its end the load processes stop, then the hubs, then the Redises. */
export class Started implements AsyncDisposable {
  readonly #loads: BenchProcess[] = [];
  readonly #hubs: MeasuredHub[] = [];
  readonly #redises: RedisProcess[] = [];

  /** A Redis of its own. */
  async redis(): Promise<RedisProcess> {
    const server = await startMemoryRedis();
    this.#redises.push(server);
    return server;
  }

  async hub(...args: Parameters<typeof MeasuredHub.start>): Promise<MeasuredHub> {
    const hub = await MeasuredHub.start(...args);
    this.#hubs.push(hub);
    return hub;
  }

  process(process: BenchProcess): BenchProcess {
    this.#loads.push(process);
    return process;
  }

  /** A process of this folder. */
  load(name: string): BenchProcess {
    return this.process(new BenchProcess(name, `scripts/bench/scenarios/${name}.js`, []));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const things of [this.#loads, this.#hubs, this.#redises]) {
      await Promise.all(things.map(thing => thing.stop()));
    }
  }
}
