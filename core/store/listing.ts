import {
  type JobState,
  JOB_STATES,
  type JobRecord,
  STATE_GROUPS,
  type StateFilter,
} from '../messages/job.ts';
import { jsonBytes } from '../messages/json.ts';
import type { KeyName } from './keys.ts';
import { LETTER_OF, type RawJob, StoredJob } from './records.ts';
import type { RedisLink } from './redis_link.ts';
import type { ListFilter } from './store.ts';

type KeyOf = (name: KeyName, suffix?: string) => string;

/** Jobs read at once while a list looks for those that match. */
const CHUNK = 100;
/** The most jobs one call looks at: a page may end before it is full, and its cursor goes on from there. */
const LOOK_MAX = 5000;
/** Jobs that one call asks for: Redis is nobody else's meanwhile, nor is the link while its reply comes. */
const ASK_MAX = 50;
/** An index with at most this many jobs is read whole, instead of walking through all jobs. */
const SMALL = 1000;

interface Found {
  job: StoredJob;
  arrival: string;
}

const statesOf = (filter: StateFilter | undefined): readonly JobState[] =>
  filter === undefined
    ? JOB_STATES
    : filter in STATE_GROUPS
      ? STATE_GROUPS[filter as keyof typeof STATE_GROUPS]
      : [filter as JobState];

/** The indexes in which jobs of these states lie, or null when they are only to be found among all. */
function indexesOf(states: readonly JobState[], key: KeyOf): string[] | null {
  const indexes = new Set<string>();
  for (const state of states) {
    if (state === 'queued') return null;
    else if (state === 'scheduled') indexes.add(key('scheduled'));
    else if (state === 'assigned' || state === 'processing') indexes.add(key('leases'));
    else indexes.add(key('done', LETTER_OF[state]));
  }
  return [...indexes];
}

/** Refs with their arrival, newest first, below the cursor: from small indexes where that does, else from all jobs. */
async function* candidates(
  link: RedisLink,
  key: KeyOf,
  states: readonly JobState[],
  cursor: string,
): AsyncGenerator<[string, string][]> {
  const indexes = indexesOf(states, key);
  const sizes =
    indexes === null
      ? []
      : ((await Promise.all(indexes.map(index => link.call('ZCARD', index)))) as number[]);
  if (indexes !== null && sizes.every(size => size <= SMALL)) {
    const refs = (
      await Promise.all(indexes.map(index => link.call('ZRANGE', index, 0, -1)))
    ).flat() as string[];
    yield* chunks(await newestFirst(link, key, refs, cursor));
    return;
  }
  let below = cursor;
  for (;;) {
    // Pairs come nested or flat, by the protocol version the server speaks.
    const found = (await link.call(
      'ZRANGE',
      key('all'),
      `(${below}`,
      '-inf',
      'BYSCORE',
      'REV',
      'LIMIT',
      0,
      CHUNK,
      'WITHSCORES',
    )) as (string | [string, string])[];
    const reply = found.flat();
    if (reply.length === 0) return;
    const chunk: [string, string][] = [];
    for (let i = 0; i < reply.length; i += 2) chunk.push([reply[i] as string, reply[i + 1] as string]);
    yield chunk;
    below = (chunk.at(-1) as [string, string])[1];
  }
}

async function newestFirst(
  link: RedisLink,
  key: KeyOf,
  refs: string[],
  cursor: string,
): Promise<[string, string][]> {
  if (refs.length === 0) return [];
  const arrivals = (await link.call('ZMSCORE', key('all'), ...refs)) as (string | null)[];
  return refs
    .map((ref, i): [string, string] => [ref, arrivals[i] ?? ''])
    .filter(([, arrival]) => arrival !== '' && (cursor === '+inf' || Number(arrival) < Number(cursor)))
    .sort((a, b) => Number(b[1]) - Number(a[1]));
}

function* chunks<T>(list: T[]): Generator<T[]> {
  for (let i = 0; i < list.length; i += CHUNK) yield list.slice(i, i + CHUNK);
}

/**
 * Jobs, null for what is none, asked for slice by slice: the link to Redis is everybody's, and these may be large. The next
 * slice is asked for when all of one was taken.
 *
 * @param ask answers for as many of the first refs as one call should bear
 */
export async function* inCalls(
  refs: string[],
  ask: (refs: string[]) => Promise<unknown>,
): AsyncGenerator<StoredJob | null> {
  let at = 0;
  while (at < refs.length) {
    const part = refs.slice(at, at + ASK_MAX);
    const replies = (await ask(part)) as (RawJob | null)[];
    for (const [i, raw] of replies.entries()) yield raw && StoredJob.of(part[i] as string, raw);
    at += replies.length;
  }
}

/** Jobs as they are, each at one moment. @param full with params, result and past */
export const readJobs = (link: RedisLink, refs: string[], full: boolean): AsyncGenerator<StoredJob | null> =>
  inCalls(refs, part => link.run('read', [full ? 1 : 0, ...part]));

/** Of a chunk those that match by their records, which are small. */
async function likely(
  link: RedisLink,
  key: KeyOf,
  chunk: [string, string][],
  isWanted: (job: StoredJob) => boolean,
): Promise<[string, string][]> {
  const records = (await link.call('HMGET', key('jobs'), ...chunk.map(([ref]) => ref))) as (string | null)[];
  return chunk.filter(([ref], i) => {
    const record = records[i] ?? null;
    return record !== null && isWanted(new StoredJob(ref, '', record, null, null));
  });
}

/** The jobs of a chunk that match. */
async function* read(
  link: RedisLink,
  key: KeyOf,
  chunk: [string, string][],
  full: boolean,
  isWanted: (job: StoredJob) => boolean,
): AsyncGenerator<Found> {
  const those = await likely(link, key, chunk, isWanted);
  const refs = those.map(([ref]) => ref);
  let at = 0;
  for await (const job of readJobs(link, refs, full)) {
    const [, arrival] = those[at++] as [string, string];
    // It may have gone on meanwhile.
    if (job !== null && isWanted(job)) yield { job, arrival };
  }
}

function matches(job: StoredJob, states: readonly JobState[], filter: ListFilter): boolean {
  const d = job.fields;
  return (
    states.includes(job.status) &&
    (filter.job_type === undefined || d.ty === filter.job_type) &&
    (filter.client_id === undefined || d.ci === filter.client_id) &&
    (filter.worker_id === undefined ||
      (d.lw === filter.worker_id && job.status !== 'queued' && job.status !== 'scheduled'))
  );
}

/** A job as a list shows it: one that fills more than a page by itself in its short form, though all were asked in full. */
function shown(job: StoredJob, { full, max_bytes }: ListFilter): { record: JobRecord; bytes: number } {
  const record = job.record(full);
  const bytes = jsonBytes(record);
  return full && bytes > max_bytes ? shown(job, { full: false, max_bytes, limit: 1 }) : { record, bytes };
}

/** A page of jobs, newest first. Arrival numbers are unique and do not change, so a job is on one page only. */
export async function listJobs(
  link: RedisLink,
  key: KeyOf,
  filter: ListFilter,
): Promise<{ jobs: JobRecord[]; next_cursor: string | null }> {
  const states = statesOf(filter.status);
  const jobs: JobRecord[] = [];
  let bytes = 0;
  let looked = 0;
  let last = filter.cursor ?? '+inf';
  const isWanted = (job: StoredJob) => matches(job, states, filter);
  for await (const chunk of candidates(link, key, states, last)) {
    for await (const { job, arrival } of read(link, key, chunk, filter.full, isWanted)) {
      if (jobs.length === filter.limit) return { jobs, next_cursor: last };
      const { record, bytes: more } = shown(job, filter);
      bytes += more;
      if (bytes > filter.max_bytes && jobs.length > 0) return { jobs, next_cursor: last };
      jobs.push(record);
      last = arrival;
    }
    last = (chunk.at(-1) as [string, string])[1];
    looked += chunk.length;
    if (looked >= LOOK_MAX) return { jobs, next_cursor: last };
  }
  return { jobs, next_cursor: null };
}
