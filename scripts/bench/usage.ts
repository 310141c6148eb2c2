import { readdir, readFile } from 'node:fs/promises';
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

/** One process, by the kernel's account. */
interface Entry {
  pid: number;
  parent: number;
  usage: Usage;
}

const NOTHING: Usage = { cpu_ms: 0, peak_rss_mb: 0 };

/** Undefined where there is no such process, or no /proc. */
async function entryOf(pid: number): Promise<Entry | undefined> {
  const read = (file: string) => readFile(`/proc/${pid}/${file}`, 'utf8').catch(() => '');
  const [stat, status] = await Promise.all([read('stat'), read('status')]);
  if (stat === '') return undefined;
  // After the name, which is in parentheses and may contain anything: field 3 and on. The parent is 4; utime, stime and
  // those of children that have ended are 14 to 17.
  const fields = stat
    .slice(stat.lastIndexOf(')') + 2)
    .split(' ')
    .map(Number);
  const ticks = fields.slice(11, 15).reduce((sum, value) => sum + value, 0);
  return {
    pid,
    parent: fields[1] as number,
    usage: {
      cpu_ms: (ticks / TICKS_PER_SECOND) * 1000,
      peak_rss_mb: Number(/^VmHWM:\s+(\d+)/m.exec(status)?.[1] ?? 0) / 1024,
    },
  };
}

const sum = (usages: readonly Usage[]): Usage =>
  usages.reduce(
    (all, { cpu_ms, peak_rss_mb }) => ({
      cpu_ms: all.cpu_ms + cpu_ms,
      peak_rss_mb: all.peak_rss_mb + peak_rss_mb,
    }),
    NOTHING,
  );

/** What any process has used. Where there is no /proc, zeros, which tables show as `-`. */
export async function processUsage(pid: number): Promise<Usage> {
  return (await entryOf(pid))?.usage ?? NOTHING;
}

/** What all processes below one have used together. */
export async function descendantsUsage(pid: number): Promise<Usage> {
  const names = await readdir('/proc').catch(() => []);
  const entries = await Promise.all(
    names.filter(name => /^\d+$/.test(name)).map(name => entryOf(Number(name))),
  );
  const below = (parent: number): Usage[] =>
    entries.flatMap(entry => (entry?.parent === parent ? [entry.usage, ...below(entry.pid)] : []));
  return sum(below(pid));
}
