/** The small world in which the store is compared with its model: jobs, machines, classes and leases to choose from. */
import fc from 'fast-check';
import type { Redis } from 'ioredis';
import type { Submission } from '../../core/messages/job.ts';
import { contentOf } from '../../core/store/content.ts';
import { refOf } from '../../core/store/keys.ts';
import { RedisStore } from '../../core/store/redis_store.ts';
import type {
  Claimed,
  Effect,
  Finish,
  Finished,
  Held,
  Report,
  Reported,
  SlotAddress,
  Submitted,
} from '../../core/store/store.ts';
import { type Lease, Model, type Rules, type Spec } from './model.ts';

/** A unit of the model's time: no run takes a noticeable part of it. */
export const UNIT_MS = 1_000_000;
export const STRICT: Rules = { lease: 5, grace: 1, poison_after: 2, idempotency: 6, aging: null };
/** So many units a level that no sum of levels and whole units comes near to a tie. */
export const AGING: Rules = { ...STRICT, aging: 1.37 };
/** Below a unit, so that each back-off is over at the next one. */
const BACKOFF_MS = 500_000;

export const IDS = Array.from({ length: 12 }, (_, i) => `j${i}`);
export const MACHINES = ['m0', 'm1'];
export const SLOTS = [0, 1];
const HUBS = ['h_one', 'h_two'];
export const CONNECTIONS = HUBS.flatMap(hub => [`${hub}:c0.0`, `${hub}:c1.1`]);

export interface Real {
  store: RedisStore;
  redis: Redis;
  effects: Effect[];
  /** What the events told of each job. */
  heard: Map<string, { seq: number; status: string | null }>;
}

// Submissions

const LINES: Pick<Submission, 'job_type' | 'requirements'>[] = [
  { job_type: 'image' },
  { job_type: 'image', requirements: { min_vram_mb: 24_000 } },
  { job_type: 'text' },
];
const units = (value: number | null) => (value === null ? undefined : value * UNIT_MS);

function submissionOf(spec: Omit<Spec, 'signature'>, line: number): Submission {
  const times = {
    start_timeout_ms: units(spec.start_timeout),
    run_timeout_ms: units(spec.run_timeout),
    progress_timeout_ms: units(spec.progress_timeout),
    delay_ms: spec.delay === 0 ? undefined : units(spec.delay),
  };
  return {
    ...LINES[line],
    params: { note: spec.note },
    priority: spec.priority,
    max_attempts: spec.max_attempts,
    backoff_ms: spec.backoff ? BACKOFF_MS : 0,
    ...Object.fromEntries(Object.entries(times).filter(([, time]) => time !== undefined)),
  } as unknown as Submission;
}

export const SIGNATURES = LINES.map(
  line =>
    contentOf({
      ...line,
      params: {},
      priority: 0,
      max_attempts: 3,
      backoff_ms: 0,
      watch: false,
    }).signature,
);
/** Which lines the slots of a class can run. Nobody makes the last one known. */
export const CLASSES: Record<string, string[]> = {
  all: SIGNATURES,
  small: [SIGNATURES[0] as string, SIGNATURES[2] as string],
  large: [SIGNATURES[1] as string],
};
export const CLASS_IDS = [...Object.keys(CLASSES), 'unheard_of'];

export const contentOfSpec = (spec: Spec) =>
  contentOf(submissionOf(spec, SIGNATURES.indexOf(spec.signature)), { client_id: 'tester' });

export const Specs: fc.Arbitrary<Spec> = fc
  .record({
    line: fc.nat(LINES.length - 1),
    priority: fc.constantFrom(0, 0, 0, 1, 5, -1, 10, -10),
    max_attempts: fc.constantFrom(1, 2, 3, 3),
    backoff: fc.boolean(),
    delay: fc.constantFrom(0, 0, 0, 0, 1, 3),
    start_timeout: fc.constantFrom(null, null, 2, 7),
    run_timeout: fc.constantFrom(null, null, 2, 6),
    progress_timeout: fc.constantFrom(null, null, 1, 3),
    note: fc.constantFrom('a', 'b'),
  })
  .map(({ line, ...rest }) => ({
    ...rest,
    job_type: (LINES[line] as { job_type: string }).job_type,
    signature: SIGNATURES[line] as string,
  }));

// Choosing among what there is

/** Which lease an operation bears: one that may still change its job, any ever granted, one nobody granted, or one of another job. */
interface LeasePick {
  which: 'present' | 'any' | 'made_up' | 'other_job';
  n: number;
  wrong_machine: boolean;
}

export interface Picked {
  job_id: string;
  lease_id: string;
  machine: string;
}

export const LeasePicks: fc.Arbitrary<LeasePick> = fc.record({
  which: fc.oneof(
    { weight: 14, arbitrary: fc.constant('present' as const) },
    { weight: 4, arbitrary: fc.constant('any' as const) },
    { weight: 1, arbitrary: fc.constant('made_up' as const) },
    { weight: 1, arbitrary: fc.constant('other_job' as const) },
  ),
  n: fc.nat(1000),
  wrong_machine: fc.nat(30).map(n => n === 17),
});

const isPresent = (model: Model, { job_id, lease }: { job_id: string; lease: Lease }) =>
  lease.state !== 'over' && model.jobs.get(job_id)?.lease === lease;

export function pick(model: Model, { which, n, wrong_machine }: LeasePick): Picked | null {
  const among = which === 'present' ? model.granted.filter(one => isPresent(model, one)) : model.granted;
  const one = among[n % among.length];
  if (one === undefined) return null;
  const { lease } = one;
  const machine = wrong_machine ? (MACHINES.find(other => other !== lease.machine) as string) : lease.machine;
  const job_id = which === 'other_job' ? (IDS[n % IDS.length] as string) : one.job_id;
  return { job_id, lease_id: which === 'made_up' ? `1-${'x'.repeat(22)}` : lease.lease_id, machine };
}

/** What a machine says that it is at: what it has, by a mask, or anything it ever had. */
export function running(model: Model, machine: string, mask: number, ever: boolean): Held[] {
  return model.granted
    .filter(one => one.lease.machine === machine && (ever || isPresent(model, one)))
    .filter((_, i) => (mask >> (i % 8)) & 1)
    .map(({ job_id, lease }) => ({ ref: job_id, lease_id: lease.lease_id }));
}

export const toRefs = (held: Held[]) => held.map(({ ref, lease_id }) => ({ ref: refOf(ref), lease_id }));

// The operations of the store as promises

export const submit = (store: RedisStore, job_id: string, spec: Spec) =>
  new Promise<Submitted>((resolve, reject) =>
    store.submit(job_id, contentOfSpec(spec), 'all', (error, answer) =>
      error ? reject(error) : resolve(answer),
    ),
  );
export const claim = (store: RedisStore, slot: SlotAddress) =>
  new Promise<Claimed>((resolve, reject) =>
    store.claim(slot, (error, answer) => (error ? reject(error) : resolve(answer))),
  );
/** Whether progress was written hangs on real time, which the model has none of. */
export const report = (store: RedisStore, what: Report) =>
  new Promise<Reported>((resolve, reject) =>
    store.report(what, (error, answer) =>
      error ? reject(error) : resolve(answer === 'late' ? 'ok' : answer),
    ),
  );
export const finish = (store: RedisStore, what: Finish) =>
  new Promise<Finished>((resolve, reject) =>
    store.finish(what, (error, answer) => (error ? reject(error) : resolve(answer))),
  );
