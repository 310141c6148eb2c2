/**
 * What always holds in Redis, checked from outside: what `gpuhub audit` checks (each job lies in the one index its record
 * names, slots and leases name each other), and what needs everything to be read at once: counts are right, no queue
 * hides from a class that could run it, and nothing is left over.
 *
 *     expect(await audit(redis)).toEqual([]);
 *
 * It reads with plain commands in several steps. What other programs change meanwhile can look wrong for a moment, so
 * only what two looks in a row find is told.
 */
import type { Redis } from 'ioredis';
import { readConfig } from '../../core/config.ts';
import { type AuditReader, auditStore } from '../../core/store/audit.ts';
import { KEYS, type KeyName, keyOf, shardTag } from '../../core/store/keys.ts';
import { type Letter, StoredJob } from '../../core/store/records.ts';
import { loadScripts } from '../../core/store/scripts.ts';

/** Everything in Redis that is ours. */
interface Snapshot {
  jobs: Map<string, StoredJob['fields']>;
  /** By what follows the name of the key. */
  zsets: Map<KeyName, Map<string, Map<string, number>>>;
  hashes: Map<KeyName, Map<string, Map<string, string>>>;
  fit: Map<string, Set<string>>;
  /** Ref to the last id of its outputs. */
  outs: Map<string, string>;
  tombs: string[];
  clock: number;
  unknown: string[];
}

const ZSETS = [
  'all',
  'queue',
  'improved',
  'classes',
  'heads',
  'scheduled',
  'leases',
  'deadlines',
  'done',
  'hubs',
] as const satisfies KeyName[];
const HASHES = [
  'layout',
  'bodies',
  'results',
  'pasts',
  'signatures',
  'unfinished',
  'tomb',
  'seen',
  'paused',
  'counts',
  'reaper',
  'machine',
  'workers',
  'hub_info',
] as const satisfies KeyName[];
type ZsetName = (typeof ZSETS)[number];
type HashName = (typeof HASHES)[number];

const ENDED = new Set<Letter>(['c', 'f', 'x', 'e']);
const SCAN_COUNT = 1000;
/** Commands sent at once. */
const READ_CHUNK = 500;

const isSafe = (score: number) => Number.isSafeInteger(score);

/** @returns a sentence for each thing that is wrong; empty when all is well */
export async function audit(redis: Redis, shard = 0): Promise<string[]> {
  const { problems } = await auditStore(readerOf(redis));
  const first = check(await readAll(redis, shard));
  if (first.length === 0) return problems;
  const again = new Set(check(await readAll(redis, shard)));
  return [...problems, ...first.filter(problem => again.has(problem))];
}

const SCRIPT = (loadScripts(readConfig({})).get('audit') as { text: string }).text;

const readerOf = (redis: Redis): AuditReader => ({
  call: (command, ...args) => redis.call(command, ...args),
  run: (_script, args) => redis.eval(SCRIPT, 1, shardTag(0), ...args),
});

// Reading

async function readAll(redis: Redis, shard: number): Promise<Snapshot> {
  const snapshot: Snapshot = {
    jobs: new Map(),
    zsets: new Map(ZSETS.map(name => [name, new Map()])),
    hashes: new Map(HASHES.map(name => [name, new Map()])),
    fit: new Map(),
    outs: new Map(),
    tombs: [],
    clock: Number((await redis.get(keyOf(shard, 'clock'))) ?? 0),
    unknown: [],
  };
  const keys = await keysOf(redis, shard);
  for (let i = 0; i < keys.length; i += READ_CHUNK) {
    await Promise.all(keys.slice(i, i + READ_CHUNK).map(key => readKey(redis, shard, key, snapshot)));
  }
  return snapshot;
}

async function keysOf(redis: Redis, shard: number): Promise<string[]> {
  const keys = new Set<string>();
  let cursor = '0';
  do {
    const [next, found] = await redis.scan(
      cursor,
      'MATCH',
      `${keyOf(shard, 'all', '').slice(0, -KEYS.all.length)}*`,
      'COUNT',
      SCAN_COUNT,
    );
    for (const key of found) keys.add(key);
    cursor = next;
  } while (cursor !== '0');
  return [...keys].sort();
}

/** The names of families end with a colon, the others are whole. */
function nameOf(shard: number, key: string): { name: KeyName; suffix: string } | null {
  for (const [name, text] of Object.entries(KEYS) as [KeyName, string][]) {
    const prefix = keyOf(shard, name);
    if (key === prefix && !text.endsWith(':')) return { name, suffix: '' };
    if (text.endsWith(':') && key.startsWith(prefix)) return { name, suffix: key.slice(prefix.length) };
  }
  return null;
}

async function readKey(redis: Redis, shard: number, key: string, into: Snapshot): Promise<void> {
  const found = nameOf(shard, key);
  if (found === null) {
    into.unknown.push(key);
    return;
  }
  const { name, suffix } = found;
  if (name === 'jobs') {
    for (const [ref, record] of Object.entries(await redis.hgetall(key)))
      into.jobs.set(ref, new StoredJob(ref, '', record, null, null).fields);
  } else if (name === 'tombs') {
    into.tombs = await redis.lrange(key, 0, -1);
  } else if (name === 'out') {
    const last = (await redis.xrevrange(key, '+', '-', 'COUNT', 1))[0];
    into.outs.set(suffix, last?.[0] ?? '');
  } else if (name === 'fit') {
    into.fit.set(suffix, new Set(await redis.smembers(key)));
  } else if (into.zsets.has(name)) {
    into.zsets.get(name)?.set(suffix, toScores(await redis.zrange(key, '0', '-1', 'WITHSCORES')));
  } else if (into.hashes.has(name)) {
    into.hashes.get(name)?.set(suffix, new Map(Object.entries(await redis.hgetall(key))));
  }
}

function toScores(flat: string[]): Map<string, number> {
  const scores = new Map<string, number>();
  for (let i = 0; i < flat.length; i += 2) scores.set(flat[i] as string, Number(flat[i + 1]));
  return scores;
}

// Checking

function check(snapshot: Snapshot): string[] {
  const problems = snapshot.unknown.map(key => `${key} is no key of ours`);
  const tell = (problem: string) => problems.push(problem);
  checkAll(snapshot, tell);
  checkCounts(snapshot, tell);
  checkSignatures(snapshot, tell);
  checkHeads(snapshot, tell);
  checkRemains(snapshot, tell);
  return problems;
}

type Tell = (problem: string) => void;

const family = (snapshot: Snapshot, name: ZsetName) =>
  snapshot.zsets.get(name) as Map<string, Map<string, number>>;
const zset = (snapshot: Snapshot, name: ZsetName, suffix = '') =>
  family(snapshot, name).get(suffix) ?? new Map<string, number>();
const hash = (snapshot: Snapshot, name: HashName, suffix = '') =>
  snapshot.hashes.get(name)?.get(suffix) ?? new Map<string, string>();

function checkAll(snapshot: Snapshot, tell: Tell): void {
  const arrivals = new Map<number, string>();
  for (const [ref, arrival] of zset(snapshot, 'all')) {
    if (!isSafe(arrival) || arrival <= 0) tell(`${ref} arrived as number ${arrival}`);
    if (arrival > snapshot.clock)
      tell(`${ref} arrived as number ${arrival}, after the clock ${snapshot.clock}`);
    const other = arrivals.get(arrival);
    if (other !== undefined) tell(`${ref} and ${other} both arrived as number ${arrival}`);
    arrivals.set(arrival, ref);
  }
  for (const [ref, job] of snapshot.jobs) {
    if (!isSafe(job.n) || job.n <= 0) tell(`job ${ref} has the seq ${job.n}`);
  }
}

/** Present states are counted exactly; ended ones since Redis was first used, so also those forgotten since. */
function checkCounts(snapshot: Snapshot, tell: Tell): void {
  const recount = new Map<string, number>();
  for (const job of snapshot.jobs.values()) {
    const field = `${job.ty} ${job.st}`;
    recount.set(field, (recount.get(field) ?? 0) + 1);
  }
  const counts = hash(snapshot, 'counts');
  for (const field of new Set([...counts.keys(), ...recount.keys()])) {
    const counted = Number(counts.get(field) ?? 0);
    const real = recount.get(field) ?? 0;
    const ended = ENDED.has(field.slice(-1) as Letter);
    if (ended ? counted < real : counted !== real)
      tell(`counts says ${counted} for "${field}", but there are ${real}`);
  }
}

/** Every job that may still wait in a queue has a signature that Redis knows, and those are counted. */
function checkSignatures(snapshot: Snapshot, tell: Tell): void {
  const signatures = hash(snapshot, 'signatures');
  const recount = new Map<string, number>();
  for (const [ref, job] of snapshot.jobs) {
    if (ENDED.has(job.st)) continue;
    recount.set(job.sg, (recount.get(job.sg) ?? 0) + 1);
    if (!signatures.has(job.sg)) tell(`job ${ref} has the signature ${job.sg}, which Redis does not know`);
  }
  const unfinished = hash(snapshot, 'unfinished');
  for (const signature of new Set([...recount.keys(), ...unfinished.keys()])) {
    const counted = Number(unfinished.get(signature) ?? 0);
    const real = recount.get(signature) ?? 0;
    if (counted !== real) tell(`unfinished says ${counted} for ${signature}, but there are ${real}`);
  }
  for (const signature of zset(snapshot, 'improved').keys()) {
    if (!signatures.has(signature)) tell(`improved has ${signature}, which Redis does not know`);
  }
}

/** Whoever claims for a class finds its most urgent job: no head is better than what the class believes or can read. */
function checkHeads(snapshot: Snapshot, tell: Tell): void {
  const seen = hash(snapshot, 'seen');
  const classes = zset(snapshot, 'classes');
  const improved = zset(snapshot, 'improved');
  for (const id of new Set([
    ...seen.keys(),
    ...classes.keys(),
    ...snapshot.fit.keys(),
    ...family(snapshot, 'heads').keys(),
  ])) {
    if (!seen.has(id) || !classes.has(id)) tell(`class ${id} is known in part only`);
    const heads = zset(snapshot, 'heads', id);
    const fit = snapshot.fit.get(id) ?? new Set();
    for (const signature of heads.keys()) {
      if (!fit.has(signature)) tell(`heads of class ${id} has ${signature}, which it does not fit`);
    }
    for (const signature of fit) {
      const head = Math.min(...zset(snapshot, 'queue', signature).values());
      if (head === Number.POSITIVE_INFINITY || isPaused(snapshot, signature)) continue;
      const bound = heads.get(signature);
      const version = improved.get(signature) ?? 0;
      if ((bound === undefined || bound > head) && version <= Number(seen.get(id) ?? 0))
        tell(`class ${id} would not find the head ${head} of ${signature}: it believes ${bound}`);
    }
  }
}

function isPaused(snapshot: Snapshot, signature: string): boolean {
  const paused = hash(snapshot, 'paused');
  const definition = hash(snapshot, 'signatures').get(signature);
  const type = definition === undefined ? '' : (JSON.parse(definition) as [string])[0];
  return paused.has('*') || paused.has(type);
}

/** Nothing outlives what it belongs to. */
function checkRemains(snapshot: Snapshot, tell: Tell): void {
  for (const [ref, last] of snapshot.outs) {
    const job = snapshot.jobs.get(ref);
    if (job === undefined) tell(`there are outputs of ${ref}, which is no job`);
    else if (last !== `1-${job.oi}`)
      tell(`the last output of ${ref} is ${last}, but its record says ${job.oi}`);
  }
  for (const name of ['bodies', 'results', 'pasts'] as const) {
    for (const ref of hash(snapshot, name).keys())
      if (!snapshot.jobs.has(ref)) tell(`${name} has ${ref}, which is no job`);
  }
  for (const ref of hash(snapshot, 'results').keys())
    if (snapshot.jobs.get(ref)?.st !== 'c') tell(`${ref} has a result, and is not completed`);
  const ends = new Set(snapshot.tombs);
  for (const [ref, tomb] of hash(snapshot, 'tomb')) {
    const seq = tomb.split(' ')[2];
    if (!ends.has(`${seq} ${ref}`)) tell(`the tombstone of ${ref} is not in the order in which they end`);
    const job = snapshot.jobs.get(ref);
    if (job && !ENDED.has(job.st)) tell(`${ref} has not ended and has a tombstone`);
  }
}
