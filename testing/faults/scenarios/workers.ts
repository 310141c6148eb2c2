/** What happens to workers: killed, halted, poisoned, twins. */
import type { Scenario } from '../scenario.ts';
import { LEASE_MS, REAP_MS } from '../world.ts';

/** What a machine that is busy with other things may take longer, ms. */
const SLACK_MS = 1000;

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
];
