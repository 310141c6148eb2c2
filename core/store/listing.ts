import {
  type JobState,
  JOB_STATES,
  type JobRecord,
  STATE_GROUPS,
  type StateFilter,
} from '../messages/job.ts';
import type { KeyName } from './keys.ts';
import { LETTER_OF, RAW_KEYS, type RawJob, StoredJob } from './records.ts';
import type { RedisLink } from './redis_link.ts';
import type { ListFilter } from './store.ts';

type KeyOf = (name: KeyName, suffix?: string) => string;

/** Jobs read at once while a list looks for those that match. */
const CHUNK = 100;
/** The most jobs one call looks at: a page may end before it is full, and its cursor goes on from there. */
const LOOK_MAX = 5000;
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

/** Jobs as they are at one moment; null for what is none. */
export async function readJobs(link: RedisLink, key: KeyOf, refs: string[]): Promise<(StoredJob | null)[]> {
  const columns = await link.atomically(RAW_KEYS.map(name => ['hmget', key(name), ...refs]));
  return refs.map((ref, i) => StoredJob.of(ref, columns.map(column => (column as string[])[i]) as RawJob));
}

async function read(link: RedisLink, key: KeyOf, chunk: [string, string][]): Promise<Found[]> {
  const jobs = await readJobs(
    link,
    key,
    chunk.map(([ref]) => ref),
  );
  return jobs.flatMap((job, i) => {
    const [, arrival] = chunk[i] as [string, string];
    return job === null ? [] : [{ job, arrival }];
  });
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
  for await (const chunk of candidates(link, key, states, last)) {
    for (const { job, arrival } of await read(link, key, chunk)) {
      if (matches(job, states, filter)) {
        if (jobs.length === filter.limit) return { jobs, next_cursor: last };
        const record = job.record(filter.full);
        bytes += JSON.stringify(record).length;
        if (bytes > filter.max_bytes && jobs.length > 0) return { jobs, next_cursor: last };
        jobs.push(record);
      }
      last = arrival;
    }
    looked += chunk.length;
    if (looked >= LOOK_MAX) return { jobs, next_cursor: last };
  }
  return { jobs, next_cursor: null };
}
