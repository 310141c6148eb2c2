import { readFile } from 'node:fs/promises';
import type { Redis } from 'ioredis';
import type { Usage } from './served.ts';

/** Of Linux on every machine that Node runs on. */
const TICKS_PER_SECOND = 100;

async function infoOf(redis: Redis, section: string): Promise<Map<string, string>> {
  const lines = (await redis.info(section)).split('\r\n').filter(line => line.includes(':'));
  return new Map(lines.map(line => line.split(/:(.*)/).slice(0, 2) as [string, string]));
}

/** What a Redis server has used, by its own account. */
export async function redisUsage(redis: Redis): Promise<Usage> {
  const [cpu, memory] = [await infoOf(redis, 'cpu'), await infoOf(redis, 'memory')];
  const seconds = (name: string) => Number(cpu.get(name));
  return {
    cpu_ms: (seconds('used_cpu_user') + seconds('used_cpu_sys')) * 1000,
    peak_rss_mb: Number(memory.get('used_memory_rss')) / 1024 / 1024,
  };
}

/** What Redis did since its statistics were reset. */
export interface RedisCounts {
  /** All commands, those inside scripts too. */
  commands: number;
  evalsha: number;
  /** Redis's own time inside EVALSHA, µs. */
  evalsha_us: number;
}

export async function redisCounts(redis: Redis): Promise<RedisCounts> {
  const counts = { commands: 0, evalsha: 0, evalsha_us: 0 };
  for (const [name, text] of await infoOf(redis, 'commandstats')) {
    const calls = Number(/calls=(\d+)/.exec(text)?.[1]);
    counts.commands += calls;
    if (name !== 'cmdstat_evalsha') continue;
    counts.evalsha = calls;
    counts.evalsha_us = Number(/usec=(\d+)/.exec(text)?.[1]);
  }
  return counts;
}

/** What any process has used, by the kernel's account. Where there is no /proc, zeros, which tables show as `-`. */
export async function processUsage(pid: number): Promise<Usage> {
  const read = (file: string) => readFile(`/proc/${pid}/${file}`, 'utf8').catch(() => '');
  const [stat, status] = await Promise.all([read('stat'), read('status')]);
  // The fields after the name, which is in parentheses and may contain anything: utime and stime are 14 and 15.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const ticks = Number(fields[11] ?? 0) + Number(fields[12] ?? 0);
  return {
    cpu_ms: (ticks / TICKS_PER_SECOND) * 1000,
    peak_rss_mb: Number(/^VmHWM:\s+(\d+)/m.exec(status)?.[1] ?? 0) / 1024,
  };
}
