/** What happens to hubs: killed, halted, restarted. */
import { setTimeout as sleep } from 'node:timers/promises';
import { MOMENTS } from '../../../core/store/kill_points.ts';
import type { Scenario } from '../scenario.ts';
import type { HubSeat, World } from '../world.ts';
import { LEASE_MS } from '../world.ts';

/** Scripts that the load of these scenarios reaches again and again, at any hub that has peers. */
const BUSY_SCRIPTS = ['submit', 'claim', 'finish', 'report', 'renew', 'watch', 'register', 'reap', 'beat'];
const RARE_SCRIPTS = ['register', 'watch'];
/** A point that was not reached in this time is given up: the other hub has the peers. */
const REACH_MS = 6000;

/** Starts the hub with a kill point again and again, until all points are used up. */
async function dieAtPoints(
  world: World,
  hub: HubSeat,
  points: string[],
  state: { died: number; idle: number },
) {
  for (let point = points.pop(); point !== undefined; point = points.pop()) {
    const [script = ''] = point.split(':');
    const times = RARE_SCRIPTS.includes(script) ? 1 : world.random.int(1, 12);
    world.note('armed', { port: hub.port, point, times });
    // Dying may come before it is ready.
    await hub.start({ GPUHUB_KILL_POINT: `${point}:${times}` }).catch(() => undefined);
    const ending = await Promise.race([hub.process.exited, sleep(REACH_MS, undefined)]);
    if (ending?.signal === 'SIGKILL') {
      state.died += 1;
      world.note('hub died', { port: hub.port, point });
    } else {
      state.idle += 1;
      await hub.kill();
    }
  }
  await hub.start();
}

function killPoints(name: string, points_of: (world: World) => string[], short: boolean): Scenario {
  return {
    name,
    faults: [1],
    title: 'hubs die by SIGKILL at exact moments of their scripts, under load; two take turns',
    short,
    allowed: { executed_twice: 'away' },
    async run(world) {
      const points = points_of(world);
      await world.addHubs(2);
      const workers = [
        world.worker({ name: 'sdk', machines: 2 }),
        world.worker({ name: 'raw', kind: 'raw' }),
      ];
      await world.registered(...workers);
      const over_ms = points.length * 1500;
      const count = Math.min(1500, points.length * 30);
      await world.client('sdk-client', world.steps(count, over_ms, 120));
      await world.client('raw-client', world.steps(count, over_ms, 120), { kind: 'raw' });
      await world.seen('event', 1);
      const state = { died: 0, idle: 0 };
      const asked = points.length;
      for (const hub of world.hubs) await hub.kill();
      await Promise.all(world.hubs.map(hub => dieAtPoints(world, hub, points, state)));
      world.figures['points'] = `${state.died}/${asked}`;
      world.expect(state.died > asked / 2, `only ${state.died} of ${asked} kill points were reached`);
      await world.settle();
    },
  };
}

const ALL_POINTS = BUSY_SCRIPTS.flatMap(script => MOMENTS.map(moment => `${script}:${moment}`));

export const HUBS: readonly Scenario[] = [
  killPoints(
    'kill-points-short',
    world =>
      world.random.shuffle(ALL_POINTS.filter(point => /^(submit|claim|finish)/.test(point))).slice(0, 5),
    true,
  ),
  killPoints('kill-points', world => world.random.shuffle(ALL_POINTS), false),
  {
    name: 'all-hubs-away',
    faults: [2],
    title: 'all hubs are killed for longer than a lease; workers that lived go on with what they have',
    allowed: { executed_twice: 'never' },
    async run(world) {
      await world.addHubs(2);
      const worker = world.worker({ name: 'sdk', machines: 2, gpus: 2 });
      await world.registered(worker);
      await world.client('client', world.steps(8, 100, 2 * LEASE_MS));
      await world.seen('begin', 4);
      await Promise.all(world.hubs.map(hub => hub.kill()));
      await sleep(1.5 * LEASE_MS);
      await Promise.all(world.hubs.map(hub => hub.start()));
      await world.settle();
    },
  },
];
