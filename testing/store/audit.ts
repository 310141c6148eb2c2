/**
 * What always holds in Redis, checked from outside: each job lies in the one index its record names, slots and leases
 * name each other, counts are right, no queue hides from a class that could run it, and nothing is left over.
 *
 *     expect(await audit(redis)).toEqual([]);
 *
 * It reads with plain commands in several steps. What other programs change meanwhile can look wrong for a moment, so
 * only what two looks in a row find is told.
 */
import { decode } from '@msgpack/msgpack';
import type { Redis } from 'ioredis';
import { KEYS, type KeyName, keyOf } from '../../core/store/keys.ts';
import { LETTERS, type Letter } from '../../core/store/records.ts';

/** The fields of a job that decide where it lies; all are explained in core/store/lua/lib/job.lua. */
interface Fields {
  st: Letter;
  ix?: 'q' | 's' | 'l' | 'd';
  n: number;
  ty: string;
  sg: string;
  sc?: number;
  so?: number;
  ro?: number;
  po?: number;
  ca: number;
  ra?: number;
  fa?: number;
  at?: number;
  aa?: number;
  ac?: number;
  gr?: number;
  dl?: number;
  l?: string;
  lw?: string;
  lx?: string;
  lo?: string;
  oi?: number;
}

/** Everything in Redis that is ours. */
interface Snapshot {
  jobs: Map<string, Fields>;
  /** By what follows the name of the key. */
  zsets: Map<KeyName, Map<string, Map<string, number>>>;
  hashes: Map<KeyName, Map<string, Map<string, string>>>;
  fit: Map<string, Set<string>>;
  /** Ref to the last id of its outputs. */
  outs: Map<string, string>;
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
  'tombs',
  'hubs',
] as const satisfies KeyName[];
const HASHES = [
  'layout',
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

const STATES_OF_INDEX: Record<string, string> = { q: 'q', s: 's', l: 'ap', d: 'cfxe' };
const ENDED = new Set<Letter>(['c', 'f', 'x', 'e']);
const SCAN_COUNT = 1000;
/** Commands sent at once. */
const READ_CHUNK = 500;

const isSafe = (score: number) => Number.isSafeInteger(score);

/** @returns a sentence for each thing that is wrong; empty when all is well */
export async function audit(redis: Redis, shard = 0): Promise<string[]> {
  const first = check(await readAll(redis, shard));
  if (first.length === 0) return [];
  const again = new Set(check(await readAll(redis, shard)));
  return first.filter(problem => again.has(problem));
}

// Reading

async function readAll(redis: Redis, shard: number): Promise<Snapshot> {
  const snapshot: Snapshot = {
    jobs: new Map(),
    zsets: new Map(ZSETS.map(name => [name, new Map()])),
    hashes: new Map(HASHES.map(name => [name, new Map()])),
    fit: new Map(),
    outs: new Map(),
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
  if (name === 'job') {
    const packed = await redis.hgetBuffer(key, 'd');
    if (packed === null) into.unknown.push(`${key} (a job without a record)`);
    else into.jobs.set(suffix, decode(packed) as Fields);
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
  checkIndexes(snapshot, tell);
  checkAll(snapshot, tell);
  checkDeadlines(snapshot, tell);
  checkSlots(snapshot, tell);
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

/** Each job is in the one index that its record names and nowhere else, with the score of its record. */
function checkIndexes(snapshot: Snapshot, tell: Tell): void {
  const found = new Map<string, [string, number][]>();
  for (const name of ['queue', 'scheduled', 'leases', 'done'] as const) {
    for (const [suffix, members] of family(snapshot, name)) {
      for (const [ref, score] of members) {
        const places = found.get(ref) ?? [];
        places.push([KEYS[name] + suffix, score]);
        found.set(ref, places);
        if (!snapshot.jobs.has(ref)) tell(`${KEYS[name]}${suffix} has ${ref}, which is no job`);
        if (!isSafe(score)) tell(`${ref} has the score ${score} in ${KEYS[name]}${suffix}`);
      }
    }
  }
  for (const [ref, job] of snapshot.jobs) {
    if (!(job.st in LETTERS)) tell(`job ${ref} has the state ${job.st}`);
    if (!STATES_OF_INDEX[job.ix ?? '']?.includes(job.st))
      tell(`job ${ref} is ${job.st} but its ix says ${job.ix}`);
    const places = found.get(ref) ?? [];
    const [key, score] = placeOf(job);
    const where = places.map(([name]) => name).join(', ') || 'no index';
    if (places.length !== 1 || places[0]?.[0] !== key)
      tell(`job ${ref} should lie in ${key}, but lies in ${where}`);
    else if (score !== undefined && places[0][1] !== score)
      tell(`job ${ref} has the score ${places[0][1]} in ${key}, but its record says ${score}`);
  }
}

/** Where the record says that the job lies; the score of a lease is in its index only. */
function placeOf(job: Fields): [key: string, score: number | undefined] {
  switch (job.ix) {
    case 'q':
      return [KEYS.queue + job.sg, job.sc];
    case 's':
      return [KEYS.scheduled, job.ra];
    case 'l':
      return [KEYS.leases, undefined];
    default:
      return [KEYS.done + job.st, job.fa];
  }
}

function checkAll(snapshot: Snapshot, tell: Tell): void {
  const all = zset(snapshot, 'all');
  for (const ref of snapshot.jobs.keys()) if (!all.has(ref)) tell(`job ${ref} is not in all`);
  const arrivals = new Map<number, string>();
  for (const [ref, arrival] of all) {
    if (!snapshot.jobs.has(ref)) tell(`all has ${ref}, which is no job`);
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

/** A job with a clock of its own is among the deadlines, with the next of them. */
function checkDeadlines(snapshot: Snapshot, tell: Tell): void {
  const deadlines = zset(snapshot, 'deadlines');
  for (const ref of deadlines.keys())
    if (!snapshot.jobs.has(ref)) tell(`deadlines has ${ref}, which is no job`);
  for (const [ref, job] of snapshot.jobs) {
    const due = nextDeadline(job);
    const kept = deadlines.get(ref);
    if (due !== kept) tell(`job ${ref} has its next deadline at ${due}, but deadlines says ${kept}`);
    if ((kept !== undefined) !== (job.dl !== undefined))
      tell(`job ${ref} says ${job.dl} of its deadline ${kept}`);
  }
}

function nextDeadline(job: Fields): number | undefined {
  if (ENDED.has(job.st)) return undefined;
  if (job.gr !== undefined) return job.gr;
  const times: number[] = [];
  if (job.ix === 'l') {
    if (job.ro !== undefined) times.push((job.aa ?? 0) + job.ro);
    if (job.po !== undefined) times.push((job.ac ?? job.aa ?? 0) + job.po);
  } else if (job.so !== undefined && (job.at ?? 0) === 0) {
    times.push(Math.max(job.ca, job.ra ?? 0) + job.so);
  }
  return times.length === 0 ? undefined : Math.min(...times);
}

/** A leased job has a slot, a slot with a live lease has that job, and no lease is in two slots. */
function checkSlots(snapshot: Snapshot, tell: Tell): void {
  const slots = new Map<string, string>();
  for (const [machine, fields] of snapshot.hashes.get('machine') as Map<string, Map<string, string>>) {
    for (const [field, held] of fields) {
      if (!/^s\d+$/.test(field)) continue;
      const worker = `${machine}:gpu${field.slice(1)}`;
      const [lease, ref, mark] = held.split(' ') as [string, string, string | undefined];
      const other = slots.get(lease);
      if (other !== undefined) tell(`${worker} and ${other} both hold the lease ${lease}`);
      slots.set(lease, worker);
      checkSlot(worker, lease, mark, ref, snapshot.jobs.get(ref), tell);
      if (mark !== undefined && !fields.has('conn'))
        tell(`${worker} waits for a word, but its machine is away`);
    }
  }
  for (const [ref, job] of snapshot.jobs) {
    if (job.ix === 'l' && slots.get(job.l ?? '') !== job.lw)
      tell(`job ${ref} is leased to ${job.lw}, whose slot does not hold it`);
    if (job.ix === 'l' && (job.lo !== undefined || job.lx !== undefined))
      tell(`job ${ref} is leased under a lease that is over`);
    if (ENDED.has(job.st) && job.l !== undefined && job.lo === undefined)
      tell(`job ${ref} has ended, but its lease has not`);
  }
}

function checkSlot(
  worker: string,
  lease: string,
  mark: string | undefined,
  ref: string,
  job: Fields | undefined,
  tell: Tell,
): void {
  const live = job?.ix === 'l' && job.l === lease && job.lw === worker;
  if (mark === undefined && !live) tell(`${worker} holds the lease ${lease} of ${ref}, which does not`);
  if (mark !== undefined && live)
    tell(`${worker} lost the lease ${lease} (${mark}), but ${ref} has it still`);
  if (mark !== undefined && mark !== 'x' && mark !== 't') tell(`${worker} has the mark ${mark}`);
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
  const [tombs, expiries] = [hash(snapshot, 'tomb'), zset(snapshot, 'tombs')];
  for (const ref of new Set([...tombs.keys(), ...expiries.keys()])) {
    if (!tombs.has(ref) || !expiries.has(ref)) tell(`the tombstone of ${ref} is there in part only`);
    const job = snapshot.jobs.get(ref);
    if (job && !ENDED.has(job.st)) tell(`${ref} has not ended and has a tombstone`);
  }
}
