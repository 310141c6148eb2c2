/** Runs one scenario with one seed, and judges it. */
import { cp, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { readConfig } from '../../core/config.ts';
import type { JobRecord } from '../../core/messages/job.ts';
import { RedisStore } from '../../core/store/redis_store.ts';
import { audit } from '../store/audit.ts';
import { check, type Verdict } from './checker.ts';
import { type Entry, now } from './ledger.ts';
import type { Scenario } from './scenario.ts';
import { World } from './world.ts';

export interface Outcome {
  name: string;
  seed: number;
  took_ms: number;
  verdict: Verdict;
  figures: Record<string, number | string>;
}

/** Records read at once. */
const CHUNK = 200;

/** What Redis holds of every job that a client tried to submit. */
async function readRecords(url: string, entries: Entry[]): Promise<Map<string, JobRecord>> {
  const ids = new Set(entries.filter(({ op }) => op === 'submit').map(({ job_id }) => job_id as string));
  const records = new Map<string, JobRecord>();
  const store = new RedisStore(readConfig({ REDIS_URL: url }), { shares_layout: false });
  try {
    await store.open();
    const all = [...ids];
    for (let i = 0; i < all.length; i += CHUNK) {
      const jobs = await Promise.all(all.slice(i, i + CHUNK).map(id => store.get(id)));
      for (const job of jobs) if (job) records.set(job.record(false).job_id, job.record(true));
    }
    return records;
  } finally {
    store.close();
  }
}

/** The errors that a hub logs with their stacks, which are bugs of its own; each once. */
function bugsOf(output: string): Set<string> {
  const lines = output.split('\n').filter(line => line.includes('"level":50') && line.includes('"err":'));
  return new Set(lines.map(line => (/"message":"([^"]*)/.exec(line)?.[1] ?? line).slice(0, 300)));
}

/**
 * @param keep a folder to keep the ledgers in, when something was violated
 * @throws never for what the scenario finds: that is in the verdict
 */
export async function runScenario(scenario: Scenario, seed: number, keep?: string): Promise<Outcome> {
  const began = performance.now();
  await using world = await World.start(scenario, seed);
  try {
    await scenario.run(world);
  } catch (error) {
    world.problems.push(`the scenario itself failed: ${(error as Error).stack}`);
  }
  const ended_at = now();
  const entries = world.entries();
  const { lease_ms, heartbeat_ms } = world;
  let records = new Map<string, JobRecord>();
  try {
    records = await readRecords(world.redis.url, entries);
    for (const problem of (await audit(world.redis.client())).slice(0, 10))
      world.problems.push(`audit: ${problem}`);
  } catch (error) {
    world.problems.push(`Redis could not be read at the end: ${(error as Error).message}`);
  }
  for (const hub of world.hubs) {
    for (const bug of bugsOf(hub.process.output)) world.problems.push(`a hub says: ${bug}`);
  }
  const verdict = check({ entries, records, lease_ms, heartbeat_ms, ended_at }, scenario.allowed ?? {});
  verdict.violations.unshift(...world.problems);
  if (verdict.violations.length > 0 && keep !== undefined) {
    const folder = join(keep, `${scenario.name}-${seed}`);
    await mkdir(folder, { recursive: true });
    await cp(world.folder, folder, { recursive: true });
    verdict.violations.push(`its ledgers are in ${folder}`);
  }
  return {
    name: scenario.name,
    seed,
    took_ms: Math.round(performance.now() - began),
    verdict,
    figures: world.figures,
  };
}
