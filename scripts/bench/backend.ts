import { Redis } from 'ioredis';
import { startHub } from './hub.ts';
import { BenchProcess } from './process.ts';
import type { Bench, Durability, Stoppable } from './scenario.ts';
import type { Usage } from './served.ts';
import { type RedisCounts, redisCounts, redisUsage } from './usage.ts';

/** What lies between the producer and the worker in one run of a cell, empty and ready. */
export interface Backend {
  /** What clients connect to. */
  url: string;
  /** What its processes have used so far: `hub` for ours and the floors, `server` for the store or broker. */
  usage(): Promise<Record<string, Usage>>;
  /** Begins to count Redis's commands; undefined where there is no Redis. */
  count?: { begin(): Promise<unknown>; read(): Promise<RedisCounts> };
  /** Ends what was started for this run alone. */
  close(): Promise<void>;
}

/** How a cell comes by its backend. */
export type OpenBackend = (bench: Bench) => Promise<Backend>;

/** An emptied Redis. */
export function onRedis(kind: Durability): OpenBackend {
  return async bench => {
    const server = await bench.redis(kind);
    const redis = new Redis(server.port, server.host);
    await redis.flushall('SYNC');
    return {
      url: server.url,
      usage: async () => ({ server: await redisUsage(redis) }),
      count: { begin: () => redis.config('RESETSTAT'), read: () => redisCounts(redis) },
      close: async () => redis.disconnect(),
    };
  };
}

/** A process in front of a Redis; both end, or are let go, together. */
function inFront(
  kind: Durability,
  start: (redis_url: string, bench: Bench) => Promise<{ hub: BenchProcess; url: string }>,
): OpenBackend {
  return async bench => {
    const redis = await onRedis(kind)(bench);
    try {
      const { hub, url } = await start(redis.url, bench);
      return {
        ...redis,
        url,
        usage: async () => ({ hub: await hub.usage(), ...(await redis.usage()) }),
        close: async () => {
          await hub.stop();
          await redis.close();
        },
      };
    } catch (error) {
      await redis.close();
      throw error;
    }
  };
}

/** A hub, compiled and configured as in production, on an emptied Redis. */
export function onHub(kind: Durability): OpenBackend {
  return inFront(kind, (redis_url, bench) => startHub(redis_url, bench.profile));
}

/** One of floors/, on an emptied Redis. */
export function onFloor(name: string): OpenBackend {
  return inFront('memory', async redis_url => {
    const hub = new BenchProcess('hub', `scripts/bench/floors/${name}.js`, []);
    const port = await hub.ask<number>('open', redis_url);
    return { hub, url: `ws://127.0.0.1:${port}` };
  });
}

/** A server of somebody else's, as brokers/ start them. */
interface Server extends Stoppable {
  port: number;
  usage(): Promise<Usage>;
}

/**
 * A broker that serves the whole run; what cells put into it has names of their own.
 * @returns what a cell needs, and its backend
 */
export function onBroker(
  scheme: string,
  name: string,
  start: () => Promise<Server>,
): { needs: (bench: Bench) => Promise<Server>; backend: OpenBackend } {
  const needs = (bench: Bench) => bench.shared(name, start);
  const backend: OpenBackend = async bench => {
    const server = await needs(bench);
    return {
      url: `${scheme}://127.0.0.1:${server.port}`,
      usage: async () => ({ server: await server.usage() }),
      close: async () => {},
    };
  };
  return { needs, backend };
}
