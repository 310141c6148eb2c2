// Which of the GPUs that the page knows could run a job, by the hub's own test. It only serves lists, where
// the hub cannot be asked about each row; a job's own page asks the hub (`explain_job`).

import type { Requirements } from '../../../core/messages/fields.ts';
import { type Misfit, misfit, type Profile } from '../../../core/services/matching.ts';
import { count } from '../text/format.ts';
import { hub, type Worker } from './hub_state.ts';
import type { Job } from './job_events.ts';

export interface Fitting {
  connected: number;
  /** Of those, how many could run it; how many of these are idle, and how many take no new job. */
  able: number;
  idle: number;
  barred: number;
  /** Each that could not, under the first test it fails. */
  misfits: ReadonlyMap<Misfit, number>;
}

/** GPUs of one profile are counted together: a fleet has few kinds. */
interface Kind {
  profile: Profile;
  connected: number;
  idle: number;
  barred: number;
}

/** Telemetry changes worker records many times a second; which job fits where changes seldom. */
const KEEP_MS = 1000;
const ANSWERS_MAX = 500;

const profileKeys = new WeakMap<Worker, string>();
const needKeys = new WeakMap<object, string>();
let kinds: Kind[] = [];
let answers = new Map<string, Fitting>();
let madeAt = Number.NEGATIVE_INFINITY;

function profileKey(worker: Worker): string {
  let key = profileKeys.get(worker);
  if (key === undefined) {
    const { job_types, gpu_name, vram_mb, models, labels } = worker;
    profileKeys.set(worker, (key = JSON.stringify([job_types, gpu_name, vram_mb, models, labels])));
  }
  return key;
}

export function kindsOf(workers: Iterable<Worker>): Kind[] {
  const found = new Map<string, Kind>();
  for (const worker of workers) {
    if (worker.status === 'offline') continue;
    const key = profileKey(worker);
    let kind = found.get(key);
    if (kind === undefined) found.set(key, (kind = { profile: worker, connected: 0, idle: 0, barred: 0 }));
    kind.connected++;
    if (worker.status === 'idle') kind.idle++;
    if (worker.status === 'draining' || worker.status === 'quarantined') kind.barred++;
  }
  return [...found.values()];
}

export function fittingIn(of: readonly Kind[], job_type: string, requirements: Requirements): Fitting {
  const misfits = new Map<Misfit, number>();
  const sum = { connected: 0, able: 0, idle: 0, barred: 0, misfits };
  for (const kind of of) {
    sum.connected += kind.connected;
    const why = misfit(kind.profile, { job_type, requirements });
    if (why !== null) misfits.set(why, (misfits.get(why) ?? 0) + kind.connected);
    else {
      sum.able += kind.connected;
      sum.idle += kind.idle;
      sum.barred += kind.barred;
    }
  }
  return sum;
}

function needKey({ job_type, requirements }: Job): string {
  if (requirements === null) return job_type;
  let key = needKeys.get(requirements);
  if (key === undefined) needKeys.set(requirements, (key = JSON.stringify(requirements)));
  return `${job_type} ${key}`;
}

/** What fits now, or did within the last second. */
export function fittingOf(job: Job): Fitting {
  if (performance.now() - madeAt > KEEP_MS || answers.size > ANSWERS_MAX) {
    madeAt = performance.now();
    kinds = kindsOf(hub.workers.values());
    answers = new Map();
  }
  const key = needKey(job);
  let answer = answers.get(key);
  if (answer === undefined) {
    answers.set(key, (answer = fittingIn(kinds, job.job_type, job.requirements ?? {})));
  }
  return answer;
}

const LACKS: Record<Misfit, (job: Job, needs: Requirements) => string> = {
  job_type: job => `takes ${job.job_type}`,
  gpu_model: (_job, needs) => `is a ${(needs.gpu_model ?? []).join(' or ')}`,
  vram_too_small: (_job, needs) => `has ${((needs.min_vram_mb ?? 0) / 1024).toFixed(1).replace('.0', '')} GB`,
  models: (_job, needs) => `has ${(needs.models ?? []).join(' and ')}`,
  labels: (_job, needs) =>
    `is labelled ${Object.entries(needs.labels ?? {})
      .map(([key, value]) => `${key}=${String(value)}`)
      .join(' ')}`,
};

/** The order of the tests; the furthest that any GPU got says what is really missing. */
const TESTS: readonly Misfit[] = ['labels', 'models', 'vram_too_small', 'gpu_model', 'job_type'];

/** No connected GPU will take the job before somebody does something. */
export function isStuck({ connected, able, barred }: Fitting): boolean {
  return connected > 0 && able === barred;
}

/** `no GPU that takes video has 195 GB`, or that those that fit are drained: said only of jobs that are stuck. */
export function whatLacks(job: Job, { misfits, able }: Fitting): string {
  if (able === 1) return 'the one GPU that fits is drained or quarantined';
  if (able > 1) return `the ${count(able)} GPUs that fit are drained or quarantined`;
  const furthest = TESTS.find(test => misfits.has(test)) ?? 'job_type';
  const needs = job.requirements ?? {};
  const among = furthest === 'job_type' ? '' : ` that takes ${job.job_type}`;
  return `no GPU${among} ${LACKS[furthest](job, needs)}`;
}
