/**
 * Every Redis key, with its type, its life and who writes it. The Lua scripts get these names by text
 * substitution (`K.jobs` becomes the quoted literal), so this file is the only place that spells them.
 *
 * Keys of one shard share a hash tag, so that each script works unchanged on Redis Cluster.
 * A job is addressed by its *ref*, `<tenant>/<job_id>`.
 */
export const KEYS = {
  /** HASH of the settings and the layout version all hubs share. Written once by the first hub. */
  layout: 'layout',
  /** STRING: the last arrival number given, µs since 2026-01-01, strictly growing. */
  clock: 'clock',

  /** HASH ref -> record, see lua/lib/job.lua. From submission until retention ends, as the next three. */
  jobs: 'jobs',
  /** HASH ref -> what was submitted, JSON members. */
  bodies: 'bodies',
  /** HASH ref -> result of a completed job, JSON. */
  results: 'results',
  /** HASH ref -> its ended leases before the present one, a line each. */
  pasts: 'pasts',
  /** HASH ref -> fingerprint, state, seq and created_at of an ended job: its id runs once, also after it was trimmed. */
  tomb: 'tomb',
  /** LIST of `<seq of the end> <ref>`: the order in which tombstones are over. They are cleared with the jobs beyond retention. */
  tombs: 'tombs',
  /** + ref. STREAM of the outputs of the present assignment. Bounded by OUTPUT_KEEP; goes with the job. */
  out: 'out:',
  /** ZSET of refs by acceptance: lists, newest first. An entry lives as long as its job. */
  all: 'all',

  /** + signature. ZSET ref -> score: the waiting jobs of one (type, requirements). Lower is claimed first. */
  queue: 'q:',
  /** HASH signature -> canonical JSON of what it stands for. Empty ones are purged. */
  signatures: 'signatures',
  /** HASH signature -> jobs of it that have not ended: while there are any, it is not forgotten. */
  unfinished: 'unfinished',
  /** ZSET signature -> arrival number of the last time its head became more urgent. */
  improved: 'improved',
  /** ZSET class of equal slots -> ms when a hub last spoke for it. Unused ones are purged. */
  classes: 'classes',
  /** HASH class -> how far it has read `improved`. */
  seen: 'seen',
  /** + class. SET of the signatures its slots can run. Written by the hubs, which do the matching. */
  fit: 'fit:',
  /** + class. ZSET signature -> score its head cannot be below. */
  heads: 'heads:',
  /** HASH job type, or `*`, -> JSON of who paused it, when and why. */
  paused: 'paused',

  /** ZSET ref -> ms when it is due: delayed jobs and retries. */
  scheduled: 'scheduled',
  /** ZSET ref -> ms when its lease runs out. */
  leases: 'leases',
  /** ZSET ref -> ms of the next deadline of its own (start, run or progress timeout, end of a grace). */
  deadlines: 'deadlines',
  /** + state letter. ZSET ref -> ms when it ended: retention. */
  done: 'done:',
  /** HASH `<type> <state letter>` -> count. */
  counts: 'counts',
  /** HASH `at`, `until`, `stops`: when the reaper last ran, and until when it leaves leases and their deadlines alone. */
  reaper: 'reaper',

  /** + machine. HASH `conn` (the fence), `s<i>` lease of slot i, `o<i>` an operator's drain. */
  machine: 'machine:',
  /** HASH worker id -> its record as JSON, for lists on other hubs. Written by the hub that has the machine. */
  workers: 'workers',
  /** ZSET hub id -> ms of its last beat. */
  hubs: 'hubs',
  /** HASH hub id -> JSON of its size and its last minute of measurements. */
  hub_info: 'hub_info',
  /** SET of the hubs with a monitor. */
  monitors: 'monitors',
  /** + hub id. CHANNEL: events for its watchers, orders for its workers. */
  hub: 'hub:',
  /** CHANNEL to all hubs: a queue has work, a queue was paused. */
  wake: 'wake',
} as const;

export type KeyName = keyof typeof KEYS;

/** The layout version in Redis; a hub refuses to serve with one it does not know. */
export const LAYOUT_VERSION = 3;

/** The hash tag of a shard. */
export const shardTag = (shard: number) => `{gpuhub:${shard}}`;

/** A key of a shard by name; `suffix` for the families. */
export const keyOf = (shard: number, name: KeyName, suffix = '') =>
  `${shardTag(shard)}:${KEYS[name]}${suffix}`;

/** The tenant of a hub without credentials. It has no name here, where it would stand four times for each waiting job. */
const DEFAULT_TENANT = '';

/** How Redis addresses a job. */
export const refOf = (job_id: string, tenant = DEFAULT_TENANT) => `${tenant}/${job_id}`;

/** The job id in a ref. */
export const idOf = (ref: string) => ref.slice(ref.indexOf('/') + 1);
