/** The operations that are tried at random, each on the store and on the model. */
import fc from 'fast-check';
import { expect } from 'vitest';
import { refOf } from '../../core/store/keys.ts';
import type { Letter } from '../../core/store/records.ts';
import type { Claimed, FinishKind, Held, Submitted } from '../../core/store/store.ts';
import { Model, type Spec } from './model.ts';
import { checkClaimed, checkFinished, checkMore, checkSubmitted, compare } from './model_checks.ts';
import {
  claim,
  CLASS_IDS,
  CLASSES,
  CONNECTIONS,
  finish,
  IDS,
  LeasePicks,
  MACHINES,
  pick,
  type Picked,
  type Real,
  report,
  running,
  SLOTS,
  Specs,
  STRICT,
  submit,
  toRefs,
  UNIT_MS,
} from './model_world.ts';

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
          [...kept.slots].map(([index, { lease_id, job_id, mark }]) => [
            index,
            { lease_id, ref: refOf(job_id), mark },
          ]);
        expect(answer && [...answer.slots].sort(), 'the slots it finds').toEqual(expected && expected.sort());
        expect(answer && [...answer.drained.keys()].sort()).toEqual(kept && [...kept.drained].sort());
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
export const COMMANDS: fc.Arbitrary<Step>[] = [
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
