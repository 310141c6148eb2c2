/**
 * Random operations, given to the real scripts on a real Redis and to the model: both must say the same, the records
 * must be as the model says after each, and the audit must find nothing at the end.
 *
 * `FC_SEED` and `FC_RUNS` vary what is tried; a failure prints the seed and the shortest run that shows it.
 */
import fc from 'fast-check';
import type { Redis } from 'ioredis';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { readConfig } from '../../core/config.ts';
import type { Submission } from '../../core/messages/job.ts';
import { assignmentText } from '../../core/store/bodies.ts';
import { contentOf } from '../../core/store/content.ts';
import { keyOf, refOf } from '../../core/store/keys.ts';
import { type Letter, RAW_KEYS, type RawJob, StoredJob } from '../../core/store/records.ts';
import { RedisStore } from '../../core/store/redis_store.ts';
import type {
  Claimed,
  Effect,
  Finish,
  Finished,
  FinishKind,
  Held,
  JobEvent,
  Report,
  SlotAddress,
  Submitted,
} from '../../core/store/store.ts';
import { type TestRedis, testRedis } from '../harness/redis.ts';
import { audit } from './audit.ts';
import { hasEnded, type Job, type Lease, Model, type ModelClaim, type Rules, type Spec } from './model.ts';

const SEED = Number(process.env['FC_SEED'] ?? 20260101);
const RUNS = Number(process.env['FC_RUNS'] ?? 300);
const COMMANDS_MAX = 60;
const TIMEOUT_MS = 300_000;

/** A unit of the model's time: no run takes a noticeable part of it. */
const UNIT_MS = 1_000_000;
const STRICT: Rules = { lease: 5, grace: 1, poison_after: 2, idempotency: 6, aging: null };
/** So many units a level that no sum of levels and whole units comes near to a tie. */
const AGING: Rules = { ...STRICT, aging: 1.37 };
/** Below a unit, so that each back-off is over at the next one. */
const BACKOFF_MS = 500_000;

const IDS = Array.from({ length: 12 }, (_, i) => `j${i}`);
const MACHINES = ['m0', 'm1'];
const SLOTS = [0, 1];
const HUBS = ['h_one', 'h_two'];
const CONNECTIONS = HUBS.flatMap(hub => [`${hub}:c0.0`, `${hub}:c1.1`]);

interface Real {
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

const SIGNATURES = LINES.map(
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
const CLASSES: Record<string, string[]> = {
  all: SIGNATURES,
  small: [SIGNATURES[0] as string, SIGNATURES[2] as string],
  large: [SIGNATURES[1] as string],
};
const CLASS_IDS = [...Object.keys(CLASSES), 'unheard_of'];

const contentOfSpec = (spec: Spec) =>
  contentOf(submissionOf(spec, SIGNATURES.indexOf(spec.signature)), { client_id: 'tester' });

const Specs: fc.Arbitrary<Spec> = fc
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

interface Picked {
  job_id: string;
  lease_id: string;
  machine: string;
}

const LeasePicks: fc.Arbitrary<LeasePick> = fc.record({
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

function pick(model: Model, { which, n, wrong_machine }: LeasePick): Picked | null {
  const among = which === 'present' ? model.granted.filter(one => isPresent(model, one)) : model.granted;
  const one = among[n % among.length];
  if (one === undefined) return null;
  const { lease } = one;
  const machine = wrong_machine ? (MACHINES.find(other => other !== lease.machine) as string) : lease.machine;
  const job_id = which === 'other_job' ? (IDS[n % IDS.length] as string) : one.job_id;
  return { job_id, lease_id: which === 'made_up' ? `1-${'x'.repeat(22)}` : lease.lease_id, machine };
}

/** What a machine says that it is at: what it has, by a mask, or anything it ever had. */
function running(model: Model, machine: string, mask: number, ever: boolean): Held[] {
  return model.granted
    .filter(one => one.lease.machine === machine && (ever || isPresent(model, one)))
    .filter((_, i) => (mask >> (i % 8)) & 1)
    .map(({ job_id, lease }) => ({ ref: job_id, lease_id: lease.lease_id }));
}

const toRefs = (held: Held[]) => held.map(({ ref, lease_id }) => ({ ref: refOf(ref), lease_id }));

// The operations of the store as promises

const submit = (store: RedisStore, job_id: string, spec: Spec) =>
  new Promise<Submitted>((resolve, reject) =>
    store.submit(job_id, contentOfSpec(spec), 'all', (error, answer) =>
      error ? reject(error) : resolve(answer),
    ),
  );
const claim = (store: RedisStore, slot: SlotAddress) =>
  new Promise<Claimed>((resolve, reject) =>
    store.claim(slot, (error, answer) => (error ? reject(error) : resolve(answer))),
  );
const report = (store: RedisStore, what: Report) =>
  new Promise<'ok' | 'stale' | number>((resolve, reject) =>
    store.report(what, (error, answer) => (error ? reject(error) : resolve(answer))),
  );
const finish = (store: RedisStore, what: Finish) =>
  new Promise<Finished>((resolve, reject) =>
    store.finish(what, (error, answer) => (error ? reject(error) : resolve(answer))),
  );

// Comparing

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

function takeEffects(real: Real): Effect[] {
  const effects = real.effects.splice(0);
  for (const effect of effects) if (effect.kind === 'event') hear(real, effect.event);
  return effects;
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

async function compare(model: Model, real: Real): Promise<void> {
  takeEffects(real);
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

function checkSubmitted(model: Model, real: Real, job_id: string, spec: Spec, answer: Submitted): void {
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

function checkClaimed(model: Model, slot: SlotAddress, answer: Claimed): void {
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
function checkMore(model: Model, asked: SlotAddress[], answers: Claimed[]): void {
  for (const [i, { class_id }] of asked.entries()) {
    const answer = answers[i] as Claimed;
    const left = model.eligible(class_id).length;
    if (answer.outcome === 'job' && left > 0) expect(answer.more, 'more to claim').toBeGreaterThan(0);
  }
}

const jobOf = (claimed: ModelClaim) => ('job' in claimed ? claimed.job : null);

function checkFinished(
  model: Model,
  what: Picked & { kind: FinishKind; retryable: boolean },
  answer: Finished,
): void {
  const { job_id, lease_id, machine, kind, retryable } = what;
  const { accepted, code, freed } = answer;
  const expected = model.finish(job_id, lease_id, machine, kind, retryable);
  expect({ accepted, code, freed }, `${kind} of ${job_id} under ${lease_id}`).toEqual(expected);
}

// The commands

/** One operation on both, chosen by how things are. `twice` repeats it word for word, as after a lost answer. */
class Step implements fc.AsyncCommand<Model, Real> {
  readonly #text: string;
  readonly #ready: (model: Model) => boolean;
  readonly #plan: (model: Model) => (real: Real) => Promise<void>;
  readonly #times: number;

  constructor(
    text: string,
    plan: (model: Model) => (real: Real) => Promise<void>,
    twice = false,
    ready: (model: Model) => boolean = () => true,
  ) {
    this.#text = text;
    this.#plan = plan;
    this.#times = twice ? 2 : 1;
    this.#ready = ready;
  }

  check(model: Readonly<Model>): boolean {
    return this.#ready(model as Model);
  }

  async run(model: Model, real: Real): Promise<void> {
    const act = this.#plan(model);
    for (let i = 0; i < this.#times; i++) {
      await act(real);
      await compare(model, real);
    }
  }

  toString(): string {
    return this.#times === 2 ? `${this.#text} twice` : this.#text;
  }
}

const twice = fc.nat(4).map(n => n === 0);
const ids = fc.constantFrom(...IDS);
const machines = fc.constantFrom(...MACHINES);
const slots = fc.constantFrom(...SLOTS);
const connections = fc.constantFrom(...CONNECTIONS);
/** Mostly the class that fits all, so that queues get empty. */
const classes = fc.oneof(
  { weight: 6, arbitrary: fc.constant('all') },
  { weight: 3, arbitrary: fc.constantFrom('small', 'large') },
  { weight: 1, arbitrary: fc.constantFrom(...CLASS_IDS) },
);
const masks = fc.oneof(
  { weight: 3, arbitrary: fc.constant(255) },
  { weight: 1, arbitrary: fc.constant(0) },
  { weight: 2, arbitrary: fc.nat(255) },
);
const kinds = fc.constantFrom<FinishKind[]>(
  'completed',
  'completed',
  'failed',
  'failed',
  'cancelled',
  'released',
  'rejected',
  'undelivered',
);

/** The content that the id was accepted with, if it was and that is asked for. */
const specFor = (model: Model, id: string, spec: Spec, same: boolean) =>
  same ? (model.jobs.get(id)?.spec ?? model.tombs.get(id)?.spec ?? spec) : spec;

const Submissions = fc.record({ id: ids, spec: Specs, same: fc.boolean() });

/** The address of a slot; `fenced` with a connection that is not the machine's. */
const addressOf = (model: Model, machine_id: string, index: number, class_id: string, fenced: boolean) => {
  const present = model.machine(machine_id).connection;
  const connection = fenced || present === null ? 'h_one:gone.7' : present;
  return { machine_id, connection, index, class_id };
};

type Claims = [batch: [machine: string, index: number, of: string][], fence: number];
const Claims: fc.Arbitrary<Claims> = fc.tuple(
  fc.array(fc.tuple(machines, slots, classes), { minLength: 1, maxLength: 4 }),
  fc.nat(15),
);
const textOfClaims = ([batch, fence]: Claims) =>
  `claim ${batch.map(([machine, index, of]) => `${machine}:gpu${index} as ${of}`).join(', ')}${fence === 0 ? ' fenced' : ''}`;

/** Asks at once; what is returned compares the answers, and lets the model claim. */
function planClaims(model: Model, [batch, fence]: Claims): (real: Real) => Promise<() => void> {
  const addresses = batch.map(([machine, index, of]) => addressOf(model, machine, index, of, fence === 0));
  return async real => {
    const answers = await Promise.all(addresses.map(address => claim(real.store, address)));
    return () => {
      for (const [i, address] of addresses.entries()) checkClaimed(model, address, answers[i] as Claimed);
      checkMore(model, addresses, answers);
    };
  };
}

const claims = fc.tuple(Claims, twice).map(
  ([claimed, again]) =>
    new Step(
      textOfClaims(claimed),
      model => {
        const plan = planClaims(model, claimed);
        return async real => (await plan(real))();
      },
      again,
    ),
);

/** Claims of the same turn go with the submissions, in one script. */
const submits = fc.tuple(fc.array(Submissions, { minLength: 1, maxLength: 4 }), fc.option(Claims), twice).map(
  ([batch, claimed, again]) =>
    new Step(
      `submit ${batch.map(({ id, spec, same }) => (same ? `${id} or the same` : `${id}`) + JSON.stringify(spec)).join(', ')}${claimed ? ` and ${textOfClaims(claimed)}` : ''}`,
      model => {
        const all = batch.map(({ id, spec, same }) => ({ id, spec: specFor(model, id, spec, same) }));
        const plan = claimed && planClaims(model, claimed);
        return async real => {
          const submitted = Promise.all(all.map(({ id, spec }) => submit(real.store, id, spec)));
          const checkClaims = plan?.(real);
          const answers = await submitted;
          for (const [i, { id, spec }] of all.entries())
            checkSubmitted(model, real, id, spec, answers[i] as Submitted);
          (await checkClaims)?.();
        };
      },
      again,
    ),
);

const finishes = fc.tuple(LeasePicks, kinds, fc.boolean(), fc.boolean(), twice).map(
  ([which, kind, retryable, claims_next, again]) =>
    new Step(
      `finish ${kind}${retryable ? '' : ' for good'} ${JSON.stringify(which)}${claims_next ? ' and claim' : ''}`,
      model => {
        const what = pick(model, which) as Picked;
        const { job_id, lease_id, machine: machine_id } = what;
        const slot = addressOf(model, machine_id, 0, 'all', false);
        return async real => {
          const payload = kind === 'failed' ? '{"code":"boom"}' : kind === 'completed' ? '[1]' : '';
          // Both leave in one turn: the claim sees what the terminal message made of the slot.
          const [answer, claimed] = await Promise.all([
            finish(real.store, { ref: refOf(job_id), lease_id, machine_id, kind, payload, retryable }),
            claims_next ? claim(real.store, slot) : null,
          ]);
          checkFinished(model, { ...what, kind, retryable }, answer);
          if (claimed !== null) checkClaimed(model, slot, claimed);
        };
      },
      again,
      model => pick(model, which) !== null,
    ),
);

const reports = fc
  .tuple(
    LeasePicks,
    fc.constantFrom('started' as const, 'progress' as const, 'output' as const),
    fc.nat(3),
    twice,
  )
  .map(
    ([which, kind, n, again]) =>
      new Step(
        `report ${kind} ${n} ${JSON.stringify(which)}`,
        model => {
          const { job_id, lease_id, machine } = pick(model, which) as Picked;
          return async real => {
            const head = { ref: refOf(job_id), lease_id, machine_id: machine };
            const sign =
              kind === 'started'
                ? ({ kind } as const)
                : kind === 'progress'
                  ? ({ kind, progress: n / 4, message: '', data: '' } as const)
                  : ({ kind, index: n, data: `"${n}"` } as const);
            const expected = model.report(job_id, lease_id, machine, kind === 'output' ? n : null);
            expect(await report(real.store, { ...head, ...sign })).toBe(expected);
          };
        },
        again,
        model => pick(model, which) !== null,
      ),
  );

const registers = fc
  .tuple(
    machines,
    connections,
    fc.constantFrom<number[][]>([0, 1], [0, 1], [0], [1]),
    masks,
    fc.nat(3),
    twice,
  )
  .map(
    ([machine, connection, indexes, mask, ever, again]) =>
      new Step(
        `register ${machine} at ${connection} with slots ${indexes} naming ${mask}${ever === 0 ? ' of all ever had' : ''}`,
        model => {
          const held = running(model, machine, mask, ever === 0);
          return async real => {
            const answer = await real.store.register(machine, connection, indexes, toRefs(held));
            expect(answer.answers, 'what becomes of the jobs').toEqual(
              model.register(machine, connection, indexes, held),
            );
            const { slots: kept, drained } = model.machine(machine);
            const expected = [...kept].map(([index, { lease_id, job_id, mark }]) => [
              index,
              { lease_id, ref: refOf(job_id), mark },
            ]);
            expect(answer.slots).toEqual(new Map(expected as [number, Held & { mark: null }][]));
            expect([...answer.drained.keys()].sort()).toEqual([...drained].sort());
          };
        },
        again,
      ),
  );

const renews = fc.tuple(machines, masks, fc.nat(3), fc.nat(9), twice).map(
  ([machine, mask, ever, n, again]) =>
    new Step(
      `heartbeat of ${machine} naming ${mask}${ever === 0 ? ' of all ever had' : ''}${n === 0 ? ' fenced' : ''}`,
      model => {
        const { connection } = addressOf(model, machine, 0, 'all', n === 0);
        const held = running(model, machine, mask, ever === 0);
        return async real => {
          const answer = await real.store.renew(machine, connection, toRefs(held));
          answer?.freed.sort();
          expect(answer, 'what becomes of the jobs').toEqual(model.renew(machine, connection, held));
        };
      },
      again,
    ),
);

/** A job that somebody is at, or any. */
const cancels = fc.tuple(ids, fc.option(LeasePicks), twice).map(
  ([id, which, again]) =>
    new Step(
      `cancel ${id}${which === null ? '' : ` or ${JSON.stringify(which)}`}`,
      model => {
        const job_id = (which === null ? null : pick(model, which)?.job_id) ?? id;
        return async real => {
          expect(await real.store.cancel(job_id, 'changed "my" mind')).toBe(model.cancel(job_id));
        };
      },
      again,
    ),
);

const priorities = fc.tuple(ids, fc.constantFrom(-100, -3, 0, 2, 7, 100), twice).map(
  ([id, priority, again]) =>
    new Step(
      `set priority of ${id} to ${priority}`,
      model => async real => {
        // With aging, levels beyond 20 come too near to a tie.
        const level =
          model.rules.aging === null ? priority : Math.sign(priority) * Math.min(10, Math.abs(priority));
        expect(await real.store.setPriority(id, level)).toBe(model.setPriority(id, level));
      },
      again,
    ),
);

const pauses = fc.tuple(fc.constantFrom('*', 'image', 'text'), fc.nat(3), twice).map(
  ([type, n, again]) =>
    new Step(
      `${n === 0 ? 'pause' : 'resume'} ${type}`,
      model => async real => {
        if (n === 0) model.paused.add(type);
        else model.paused.delete(type);
        await real.store.pause(type === '*' ? null : type, n === 0 ? { reason: null, at: 1 } : null);
      },
      again,
    ),
);

const drains = fc.tuple(machines, slots, fc.nat(3)).map(
  ([machine, index, n]) =>
    new Step(`${n === 0 ? 'drain' : 'resume'} ${machine}:gpu${index}`, model => async real => {
      model.drain(machine, index, n === 0);
      await real.store.drain([`${machine}:gpu${index}`], n === 0 ? { reason: null, resume_at: null } : null);
    }),
);

async function pass(model: Model, real: Real, amount: number): Promise<void> {
  model.pass(amount);
  await real.redis.set('test_offset_ms', model.now * UNIT_MS);
}

const passes = fc.tuple(fc.constantFrom(0, 1, 1, 1, 2, 2, 3, 6), fc.nat(5), twice).map(
  ([amount, n, again]) =>
    new Step(
      `${amount} units pass${n === 0 ? ' unseen' : ''}`,
      model => async real => {
        await pass(model, real, amount);
        if (n === 0) return;
        await real.store.reap();
        model.reap();
      },
      again,
    ),
);

/** In steps short enough for the reaper, so that it does not hold still. */
async function passOneByOne(model: Model, real: Real, amount: number): Promise<void> {
  for (let i = 0; i < amount; i++) {
    await pass(model, real, 1);
    await real.store.reap();
    model.reap();
    await compare(model, real);
  }
}

const silences = fc
  .constantFrom(4, 6)
  .map(
    amount => new Step(`${amount} units pass one by one`, model => real => passOneByOne(model, real, amount)),
  );

/** What takes several steps that chance would seldom put together: a worker takes a job and is not heard of again. */
const losses = fc
  .tuple(
    machines,
    slots,
    classes,
    fc.boolean(),
    fc.constantFrom('nothing', 'heartbeat', 'heartbeat without it', 'heartbeat after another job'),
    classes,
  )
  .map(
    ([machine, index, of, starts, after, next]) =>
      new Step(
        `${machine}:gpu${index} as ${of} takes a job, ${starts ? 'starts, ' : ''}falls silent; ${after} as ${next}`,
        model => async real => {
          const address = addressOf(model, machine, index, of, false);
          const claimed = await claim(real.store, address);
          checkClaimed(model, address, claimed);
          if (claimed.outcome !== 'job') return;
          const { ref, lease_id } = claimed;
          const job_id = ref.slice(ref.indexOf('/') + 1);
          if (starts) {
            const answer = report(real.store, { ref, lease_id, machine_id: machine, kind: 'started' });
            expect(await answer).toBe(model.report(job_id, lease_id, machine, null));
          }
          await passOneByOne(model, real, STRICT.lease);
          const beat = async (held: Held[]) => {
            const answer = await real.store.renew(machine, address.connection, toRefs(held));
            answer?.freed.sort();
            expect(answer).toEqual(model.renew(machine, address.connection, held));
          };
          const held = [{ ref: job_id, lease_id }];
          if (after === 'heartbeat') await beat(held);
          if (after === 'heartbeat without it') await beat([]);
          if (after !== 'heartbeat after another job') return;
          await beat([]);
          const another = { ...address, class_id: next };
          checkClaimed(model, another, await claim(real.store, another));
          await beat(held);
        },
      ),
  );

const disconnects = fc.tuple(machines, fc.constantFrom('present', 'h_two', 'h_one:gone.7'), twice).map(
  ([machine, who, again]) =>
    new Step(
      `disconnect ${machine} from ${who}`,
      model => async real => {
        const connection = who === 'present' ? addressOf(model, machine, 0, 'all', false).connection : who;
        const held = await real.store.disconnect(machine, connection);
        expect(held?.sort() ?? null).toEqual(model.disconnect(machine, connection));
      },
      again,
    ),
);

/** The hub is gone before it could send what it claimed. */
const crashes = fc.tuple(machines, slots).map(
  ([machine, index]) =>
    new Step(`the hub of ${machine} claims for gpu${index} and crashes`, model => async real => {
      const address = addressOf(model, machine, index, 'all', false);
      checkClaimed(model, address, await claim(real.store, address));
      const [hub] = address.connection.split(':') as [string];
      const held = await real.store.disconnect(machine, hub);
      expect(held?.sort() ?? null).toEqual(model.disconnect(machine, hub));
    }),
);

/** A hub says that it has the machine still, as after an outage. */
const attaches = fc.tuple(machines, connections, fc.boolean(), twice).map(
  ([machine, connection, later, again]) =>
    new Step(
      `${connection} says again that it has ${machine}, ${later ? 'as the newest' : 'from long ago'}`,
      model => async real => {
        const at = later ? Number.MAX_SAFE_INTEGER : 0;
        const answer = await real.store.attach(machine, connection, at);
        const kept = model.attach(machine, connection, later);
        const expected =
          kept &&
          [...kept].map(([index, { lease_id, job_id, mark }]) => [
            index,
            { lease_id, ref: refOf(job_id), mark },
          ]);
        expect(answer && [...answer].sort(), 'the slots it finds').toEqual(expected && expected.sort());
      },
      again,
    ),
);

const fits = fc.tuple(fc.constantFrom(...Object.keys(CLASSES)), fc.nat(4), twice).map(
  ([id, n, again]) =>
    new Step(
      `fit ${id}`,
      model => async real => {
        const signatures = (CLASSES[id] as string[]).filter((_, i) => n !== i + 1);
        model.fit(id, signatures);
        await real.store.fit(id, signatures);
      },
      again,
    ),
);

const trims = fc.tuple(fc.nat(2), fc.constantFrom(0, 3, 1000), twice).map(
  ([keep, age, again]) =>
    new Step(
      `trim to ${keep}, ${age} units old`,
      model => async real => {
        const trim = { letters: ['c', 'f', 'x', 'e'] as Letter[], keep, age_ms: age * UNIT_MS };
        const { forgotten } = await real.store.trim(trim);
        expect(forgotten).toBe(model.trim(keep, age));
      },
      again,
    ),
);

const purges = twice.map(
  again =>
    new Step(
      'purge signatures',
      model => async real => {
        model.purgeSignatures();
        await real.store.purgeSignatures();
      },
      again,
    ),
);

/** fc.commands takes each with the same chance: what happens often is named often. */
const often = <T>(times: number, what: T) => Array.from({ length: times }, () => what);
const COMMANDS: fc.Arbitrary<Step>[] = [
  ...often(7, submits),
  ...often(8, claims),
  ...often(9, finishes),
  ...often(6, reports),
  ...often(3, registers),
  ...often(4, renews),
  ...often(3, cancels),
  ...often(2, priorities),
  pauses,
  drains,
  ...often(5, passes),
  ...often(2, silences),
  ...often(5, losses),
  disconnects,
  crashes,
  attaches,
  ...often(2, fits),
  ...often(2, trims),
  purges,
];

describe.each([
  { name: 'strict priorities', rules: STRICT, runs: Math.ceil(RUNS * 0.75) },
  { name: 'priorities that age', rules: AGING, runs: Math.ceil(RUNS * 0.25) },
])('with $name', ({ rules, runs }) => {
  let server: TestRedis;
  let redis: Redis;
  let store: RedisStore;
  const effects: Effect[] = [];

  beforeAll(async () => {
    server = await testRedis();
    redis = server.client();
    const config = readConfig({
      REDIS_URL: server.url,
      LEASE_MS: String(rules.lease * UNIT_MS),
      CANCEL_GRACE_MS: String(rules.grace * UNIT_MS),
      POISON_AFTER: String(rules.poison_after),
      IDEMPOTENCY_MS: String(rules.idempotency * UNIT_MS),
      PRIORITY_AGING_MS: String(Math.round((rules.aging ?? 0) * UNIT_MS)),
    });
    store = new RedisStore(config, { hub_id: 'h_one', test_clock: true });
    store.onEffect(effect => effects.push(effect));
    await store.open();
  });

  afterAll(async () => {
    store?.close();
    await server?.stop();
  });

  beforeEach(() => {
    effects.length = 0;
  });

  /** Empty, but for the machines and the classes that hubs have told. */
  async function begin(): Promise<{ model: Model; real: Real }> {
    await redis.flushall('SYNC');
    effects.length = 0;
    const model = new Model(rules);
    const real = { store, redis, effects, heard: new Map() };
    for (const machine of MACHINES) {
      await store.register(machine, CONNECTIONS[0] as string, SLOTS, []);
      model.register(machine, CONNECTIONS[0] as string, SLOTS, []);
    }
    for (const [id, signatures] of Object.entries(CLASSES)) {
      await store.fit(id, signatures);
      model.fit(id, signatures);
    }
    return { model, real };
  }

  test('the scripts do what the protocol says', { timeout: TIMEOUT_MS }, async () => {
    const property = fc.asyncProperty(
      fc.commands(COMMANDS, { maxCommands: COMMANDS_MAX, size: 'max' }),
      async commands => {
        const start = await begin();
        await fc.asyncModelRun(() => start, commands);
        expect(await audit(redis), 'what the audit finds').toEqual([]);
        expect([...start.model.jobs.values()].filter(hasEnded).length).toBeLessThanOrEqual(IDS.length);
      },
    );
    await fc.assert(property, { seed: SEED, numRuns: runs });
  });
});
