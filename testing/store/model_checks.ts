/** That the store says what the model says, and that its records are as the model has them. */
import { expect } from 'vitest';
import { assignmentText } from '../../core/store/bodies.ts';
import { keyOf, refOf } from '../../core/store/keys.ts';
import { type RawJob, StoredJob } from '../../core/store/records.ts';
import type {
  Claimed,
  Finished,
  FinishKind,
  JobEvent,
  SlotAddress,
  Submitted,
} from '../../core/store/store.ts';
import { type Job, Model, type ModelClaim, type Spec } from './model.ts';
import { contentOfSpec, IDS, MACHINES, type Picked, type Real, SIGNATURES } from './model_world.ts';

const STATUS_OF_EVENT: Record<string, string> = {
  job_queued: 'queued',
  job_scheduled: 'scheduled',
  job_retrying: 'scheduled',
  job_assigned: 'assigned',
  job_started: 'processing',
  job_completed: 'completed',
  job_failed: 'failed',
  job_cancelled: 'cancelled',
  job_expired: 'expired',
};
/** The HASHes that hold a job, in the order of RawJob. */
const RAW_KEYS = ['bodies', 'jobs', 'results', 'pasts'] as const;
const FINAL = ['completed', 'failed', 'cancelled', 'expired'];

/** A watcher's events: seq grows strictly, progress and output aside, and nothing follows the terminal one. */
function hear(real: Real, event: JobEvent): void {
  const before = real.heard.get(event.job_id) ?? { seq: 0, status: null };
  expect(FINAL, `${event.type} of ${event.job_id} after its end`).not.toContain(before.status);
  if (event.type === 'job_progress' || event.type === 'job_output') expect(event.seq).toBe(before.seq);
  else expect(event.seq).toBeGreaterThan(before.seq);
  real.heard.set(event.job_id, {
    seq: event.seq,
    status: STATUS_OF_EVENT[event.type] ?? before.status,
  });
}

function hearAll(real: Real): void {
  for (const effect of real.effects.splice(0)) if (effect.kind === 'event') hear(real, effect.event);
}

const viewOfModel = (job: Job) => ({
  status: job.state,
  attempt: job.attempt,
  priority: job.priority,
  present: job.lease !== null && job.lease.state !== 'over' ? job.lease.lease_id : null,
  ran_out: job.lease?.state === 'ran_out',
  cancelling: job.cancelling,
  stopping: job.lease?.stop ?? null,
  error: job.error,
  crashed_on: job.crashed_on,
  next_output: job.lease?.next_output ?? 0,
  attempts: [...job.past, ...(job.lease === null ? [] : [job.lease])]
    .slice(-20)
    .map(lease => ({ attempt: lease.attempt, worker_id: `${lease.machine}:gpu${lease.index}` })),
});

function viewOfRecord(job: StoredJob) {
  const { fields } = job;
  const record = job.record(true);
  return {
    status: record.status,
    attempt: record.attempt,
    priority: record.priority,
    present: fields.l !== undefined && fields.lo === undefined ? fields.l : null,
    ran_out: fields.lx !== undefined,
    cancelling: record.cancel_requested_at !== null,
    stopping: fields.sp ?? null,
    error: (record.error as { code: string } | null)?.code ?? null,
    crashed_on: fields.xc?.split(' ') ?? [],
    next_output: fields.oi ?? 0,
    attempts: record.attempts?.map(({ attempt, worker_id }) => ({ attempt, worker_id })),
  };
}

export async function compare(model: Model, real: Real): Promise<void> {
  hearAll(real);
  const pipeline = real.redis.pipeline();
  for (const name of RAW_KEYS) pipeline.hmget(keyOf(0, name), ...IDS.map(id => refOf(id)));
  for (const machine of MACHINES) pipeline.hgetall(keyOf(0, 'machine', machine));
  for (const signature of SIGNATURES) pipeline.zrange(keyOf(0, 'queue', signature), '0', '-1');
  const replies = (await pipeline.exec())?.map(([error, reply]) => {
    if (error) throw error;
    return reply;
  }) as unknown[];

  const columns = RAW_KEYS.map(() => replies.shift() as (string | null)[]);
  for (const [i, id] of IDS.entries())
    compareJob(model, real, id, columns.map(column => column[i]) as RawJob);
  for (const id of MACHINES) compareMachine(model, id, replies.shift() as Record<string, string>);
  for (const signature of SIGNATURES) {
    expect(replies.shift(), `the order of ${signature}`).toEqual(
      model.queue(signature).map(job => refOf(job.job_id)),
    );
  }
}

function compareJob(model: Model, real: Real, id: string, raw: RawJob): void {
  const job = model.jobs.get(id);
  const stored = StoredJob.of(refOf(id), raw);
  if (job === undefined || stored === null) {
    expect(stored === null, `${id} is in Redis or not`).toBe(job === undefined);
    return;
  }
  expect(viewOfRecord(stored), `job ${id}`).toEqual(viewOfModel(job));
  const heard = real.heard.get(id);
  expect({ status: heard?.status, seq: heard?.seq }, `events of ${id}`).toEqual({
    status: job.state,
    seq: stored.fields.n,
  });
  job.told = { run_at: stored.fields.ra ?? 0, finished_at: stored.finished_at ?? 0 };
}

function compareMachine(model: Model, id: string, fields: Record<string, string>): void {
  const machine = model.machine(id);
  const expected: Record<string, string> = {};
  if (machine.connection !== null) {
    expected['conn'] = machine.connection;
    expected['at'] = fields['at'] ?? 'the time of registration';
  }
  for (const [index, { lease_id, job_id, mark }] of machine.slots)
    expected[`s${index}`] = [lease_id, refOf(job_id), ...(mark === null ? [] : [mark])].join(' ');
  for (const index of machine.drained) expected[`o${index}`] = fields[`o${index}`] ?? 'drained';
  expect(fields, `machine ${id}`).toEqual(expected);
}

export function checkSubmitted(
  model: Model,
  real: Real,
  job_id: string,
  spec: Spec,
  answer: Submitted,
): void {
  const known_before = model.signatures.has(spec.signature);
  const expected = model.submit(job_id, spec);
  if (!('status' in answer)) {
    expect(answer, `submission of ${job_id}`).toEqual(expected);
    return;
  }
  const { outcome, status, position } = answer;
  expect({ outcome, status, position }, `submission of ${job_id}`).toEqual(expected);
  if (outcome !== 'new') return;
  real.heard.delete(job_id);
  const introduced = real.effects.some(
    effect => effect.kind === 'signature' && effect.signature === spec.signature,
  );
  if (!known_before) expect(introduced, `${spec.signature} is made known`).toBe(true);
}

export function checkClaimed(model: Model, slot: SlotAddress, answer: Claimed): void {
  const { machine_id, connection, index, class_id } = slot;
  const expected = model.claim(machine_id, connection, index, class_id);
  const words = `claim of ${machine_id}:gpu${index}`;
  if (answer.outcome !== 'job' && answer.outcome !== 'held') {
    const ref =
      expected.outcome === 'stuck' ? { ref: refOf(expected.job_id), lease_id: expected.lease_id } : {};
    expect(answer, words).toEqual({ outcome: expected.outcome, ...ref });
    return;
  }
  const { outcome, ref } = answer;
  expect({ outcome, ref }, words).toEqual({
    outcome: expected.outcome,
    ref: refOf(jobOf(expected)?.job_id ?? ''),
  });
  const { job, lease } = expected as Extract<ModelClaim, { outcome: 'job' | 'held' }>;
  if (lease !== null) expect(answer.lease_id).toBe(lease.lease_id);
  else model.assign(job, answer.lease_id, machine_id, index);
  expect(answer.attempt).toBe(job.attempt);
  expect(answer.lease_id).toMatch(new RegExp(`^${job.attempt}-[A-Za-z0-9_-]{22}$`));
  expect(answer.body).toBe(assignmentText(contentOfSpec(job.spec).body));
  expect(answer.signature).toBe(job.spec.signature);
}

/** A hint to claim on: it may be too high, but not none while there are jobs. */
export function checkMore(model: Model, asked: SlotAddress[], answers: Claimed[]): void {
  for (const [i, { class_id }] of asked.entries()) {
    const answer = answers[i] as Claimed;
    const left = model.eligible(class_id).length;
    if (answer.outcome === 'job' && left > 0) expect(answer.more, 'more to claim').toBeGreaterThan(0);
  }
}

const jobOf = (claimed: ModelClaim) => ('job' in claimed ? claimed.job : null);

export function checkFinished(
  model: Model,
  what: Picked & { kind: FinishKind; retryable: boolean },
  answer: Finished,
): void {
  const { job_id, lease_id, machine, kind, retryable } = what;
  const { accepted, code, freed } = answer;
  const expected = model.finish(job_id, lease_id, machine, kind, retryable);
  expect({ accepted, code, freed }, `${kind} of ${job_id} under ${lease_id}`).toEqual(expected);
}
