/** What happens to workers: killed, halted, poisoned, twins. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Scenario } from '../scenario.ts';
import { LEASE_MS, REAP_MS, type World } from '../world.ts';

/** What a machine that is busy with other things may take longer, ms. */
const SLACK_MS = 1000;

/** A halted worker holds a job, and another has begun it again. */
async function zombie(world: World, work_ms: number) {
  await world.addHub();
  const halted = world.worker({ name: 'zombie', gpus: 1, kind: world.random.pick(['sdk', 'raw']) });
  await world.registered(halted);
  await world.client('client', [{ at_ms: 0, submit: world.job(work_ms) }]);
  await world.seen('begin', 1);
  halted.halt();
  const other = world.worker({ name: 'other', gpus: 1 });
  await world.registered(other);
  await world.seen('begin', 1, ({ who }) => who === 'other-0');
  return halted;
}

/** What the zombie said came to nothing. */
async function refused(world: World): Promise<void> {
  await world.until('the zombie is refused', () =>
    world
      .entries()
      .some(
        ({ op, who, accepted }) => who === 'zombie-0' && (op === 'dropped' || (op === 'answer' && !accepted)),
      ),
  );
}

export const WORKERS: readonly Scenario[] = [
  {
    name: 'worker-killed',
    faults: [3],
    title: 'a worker is killed; its jobs run again within lease + reap interval, and nothing else does',
    short: true,
    allowed: { executed_twice: 'away' },
    async run(world) {
      await world.addHubs(1);
      const victim = world.worker({ name: 'victim', gpus: 2, kind: world.random.pick(['sdk', 'raw']) });
      await world.registered(victim);
      await world.client('client', world.steps(6, 100, 2000));
      await world.seen('begin', 2, ({ who }) => who === 'victim-0');
      const other = world.worker({ name: 'other', gpus: 4 });
      await world.registered(other);
      await victim.kill();
      await world.settle();
      const killed = world.entries().find(({ op, why }) => op === 'away' && why === 'killed');
      const begun = world.entries().filter(({ op }) => op === 'begin');
      const jobs = new Set(begun.filter(({ who }) => who === 'victim-0').map(({ job_id }) => job_id));
      const again = begun.filter(({ who, job_id }) => who === 'other-0' && jobs.has(job_id));
      const worst_ms = Math.max(...again.map(({ at }) => at - Number(killed?.['from'])));
      world.figures['rerun ms'] = Math.round(worst_ms);
      world.expect(again.length > 0, 'no job of the killed worker ran again');
      world.expect(
        worst_ms <= LEASE_MS + REAP_MS + SLACK_MS,
        `a job of the killed worker ran again only after ${worst_ms} ms`,
      );
    },
  },
  {
    name: 'zombie-late',
    faults: [5],
    title:
      'a worker hangs past its lease and wakes when another has completed the job: its result is refused',
    allowed: { executed_twice: 'away' },
    async run(world) {
      const halted = await zombie(world, 1500);
      await world.seen('answer', 1, ({ who, accepted }) => who === 'other-0' && accepted === true);
      halted.resume();
      await refused(world);
      await world.settle();
    },
  },
  {
    name: 'zombie-early',
    faults: [6],
    title:
      'a worker hangs past its lease and wakes while another runs the job: one result counts, the other’s',
    short: true,
    allowed: { executed_twice: 'away' },
    async run(world) {
      const halted = await zombie(world, 1.6 * LEASE_MS);
      halted.resume();
      await refused(world);
      await world.settle();
    },
  },
  {
    name: 'twins',
    faults: [29],
    title: 'two machines of one name: the newest has it, the other ends with 4409, and one result counts',
    // The newest says that it holds nothing: what the other ran goes back to the queue at once.
    allowed: { executed_twice: 'any' },
    async run(world) {
      await world.addHubs(2);
      const [first_hub, second_hub] = world.hubs.map(hub => hub.url) as [string, string];
      const first = world.worker({ name: 'first', machine_id: 'twin', urls: [first_hub] });
      await world.registered(first);
      await world.client('client', world.steps(4, 50, 1500));
      await world.seen('begin', 2);
      world.worker({ name: 'second', machine_id: 'twin', urls: [second_hub] });
      await world.until('the older one ends', () =>
        world.entries().some(({ op, who, why }) => op === 'ended' && who === 'twin' && why === 'replaced'),
      );
      await world.settle();
    },
  },
  {
    name: 'poison',
    faults: [35],
    title: 'a job that kills its workers fails as poison after two of them; the others’ jobs all complete',
    settings: { POISON_AFTER: '2' },
    allowed: { executed_twice: 'away', ends: id => (id === 'poison' ? ['failed'] : ['completed']) },
    async run(world) {
      await world.addHub();
      // One GPU each: a job beside the poison would go down with the same workers, and be taken for poison too.
      const workers = ['a', 'b', 'c'].map(name => world.worker({ name, gpus: 1 }));
      await world.registered(...workers);
      const poison = world.job(1000, { job_id: 'poison', params: { kills: true } });
      await world.client('client', [{ at_ms: 200, submit: poison }, ...world.steps(30, 4000, 300)]);
      for (const worker of workers) {
        void worker.process.exited.then(() => worker.died());
      }
      await world.settle();
      const begun = world.entries().filter(({ op, job_id }) => op === 'begin' && job_id === 'poison');
      world.figures['workers killed'] = begun.length;
      world.expect(begun.length === 2, `the poison job was given to ${begun.length} workers`);
    },
  },
  {
    name: 'failures-retried',
    faults: [28],
    title:
      'attempts that fail are retried with back-off while attempts are left, and nothing runs beside them',
    allowed: { executed_twice: 'never', inversions: true },
    async run(world) {
      await world.addHub();
      await world.registered(
        world.worker({ name: 'sdk', gpus: 3 }),
        world.worker({ name: 'raw', kind: 'raw' }),
      );
      const steps = Array.from({ length: 20 }, (_, i) => ({
        at_ms: i * 20,
        submit: { ...world.job(80, { params: { fail_until: i % 3 } }), backoff_ms: 100, max_attempts: 3 },
      }));
      await world.client('client', steps);
      await sleep(500);
      await world.settle();
    },
  },
];
