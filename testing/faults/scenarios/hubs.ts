/** What happens to hubs: killed, halted, restarted. */
import { setTimeout as sleep } from 'node:timers/promises';
import { MOMENTS } from '../../../core/store/kill_points.ts';
import { now } from '../ledger.ts';
import type { Scenario } from '../scenario.ts';
import { arrivals } from '../workload.ts';
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

/** Machines of both kinds on so many hubs, and clients of both kinds. */
async function peersUnderLoad(world: World, hubs: number, over_ms: number, work_ms: number): Promise<void> {
  await world.addHubs(hubs);
  const workers = [
    world.worker({ name: 'sdk', machines: 3, gpus: 2 }),
    world.worker({ name: 'raw', kind: 'raw', gpus: 2 }),
  ];
  await world.registered(...workers);
  const count = Math.round(over_ms / 100);
  await world.client('sdk-client', world.steps(count, over_ms, work_ms));
  await world.client('raw-client', world.steps(count, over_ms, work_ms), { kind: 'raw' });
  await world.seen('answer', 5);
}

const STORM = 300;
const TRACE_SPEED = 60;
const KILL_EVERY_MS = 5000;

/**
 * Three hubs, 40 slots, the arrivals of a real service so many times faster, priorities mixed; every 5 s a hub is killed
 * with SIGKILL and started again.
 *
 * @param share how much of the hour
 */
function trace(name: string, share: number, short: boolean): Scenario {
  return {
    name,
    faults: [1, 32],
    title: `${share === 1 ? 'the' : 'a part of the'} hour of real arrivals, ${TRACE_SPEED} times faster, on 3 hubs and 40 slots, a hub killed every 5 s`,
    short,
    allowed: { executed_twice: 'away' },
    async run(world) {
      await world.addHubs(3);
      const workers = [
        world.worker({ name: 'sdk-a', machines: 4, gpus: 4 }),
        world.worker({ name: 'sdk-b', machines: 4, gpus: 4 }),
        world.worker({ name: 'raw', machines: 2, gpus: 4, kind: 'raw' }),
      ];
      await world.registered(...workers);
      const { source, arrivals: all } = await arrivals(TRACE_SPEED, share, world.random);
      world.figures['of'] = source;
      const steps = all.map(({ at_ms, work_ms }) => ({
        at_ms,
        submit: world.job(Math.round(work_ms), { priority: world.random.pick([0, 0, 0, 5, -5]) }),
      }));
      await world.client(
        'sdk-client',
        steps.filter((_, i) => i % 2 === 0),
      );
      await world.client(
        'raw-client',
        steps.filter((_, i) => i % 2 === 1),
        { kind: 'raw' },
      );
      const end = now() + (steps.at(-1)?.at_ms ?? 0);
      let kills = 0;
      const starts = new Map<HubSeat, Promise<void>>();
      while (now() + KILL_EVERY_MS < end || kills === 0) {
        await sleep(KILL_EVERY_MS);
        const hub = world.hubs[kills++ % world.hubs.length] as HubSeat;
        await starts.get(hub);
        await hub.kill();
        starts.set(hub, hub.start());
      }
      await Promise.all(starts.values());
      world.figures['hubs killed'] = kills;
      await world.settle(90_000);
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
  {
    name: 'hub-halted',
    faults: [7],
    title:
      'a hub hangs for two leases under load and wakes: its peers have left, and what it still says changes nothing',
    allowed: { executed_twice: 'away' },
    async run(world) {
      await peersUnderLoad(world, 2, 9000, 200);
      const [hub] = world.hubs as [HubSeat];
      const from = now();
      hub.process.kill('SIGSTOP');
      await sleep(2 * LEASE_MS);
      hub.process.kill('SIGCONT');
      await world.settle();
      // Its machines were cut off from the moment it hung, not only since they found out.
      const since = world.entries().filter(({ at }) => at > from);
      for (const { who, at } of since.filter(({ op }) => op === 'down')) {
        const back = since.find(entry => entry.op === 'up' && entry.who === who && entry.at > at);
        world.away([who], from, back?.at ?? now(), 'held by a hub that hung');
      }
    },
  },
  {
    name: 'hub-halted-alone',
    faults: [7],
    title: 'the only hub hangs for longer than a lease and wakes: its machines go on with what they have',
    allowed: { executed_twice: 'never' },
    async run(world) {
      const [first, second] = [await world.addHub(), await world.addHub()];
      const urls = [first.url];
      await world.registered(
        world.worker({ name: 'sdk', urls }),
        world.worker({ name: 'raw', urls, kind: 'raw' }),
      );
      await world.client('client', world.steps(6, 50, 3 * LEASE_MS), { urls: [second.url] });
      await world.seen('begin', 4);
      first.process.kill('SIGSTOP');
      await sleep(1.5 * LEASE_MS);
      first.process.kill('SIGCONT');
      await world.settle();
      const refused = world.entries().filter(({ op }) => op === 'ended');
      world.expect(refused.length === 0, `${refused.length} machines were refused for good`);
    },
  },
  {
    name: 'rolling-restart',
    faults: [33],
    title:
      'three hubs are restarted with SIGTERM one after the other, three times over, under load: no failure, no second run',
    allowed: { executed_twice: 'never' },
    async run(world) {
      await peersUnderLoad(world, 3, 20_000, 500);
      for (let i = 0; i < 9; i++) {
        const hub = world.hubs[i % 3] as HubSeat;
        hub.process.kill('SIGTERM');
        const { code } = await hub.process.exited;
        world.expect(code === 0, `a hub that was asked to stop ended with ${code}`);
        await hub.start();
      }
      await world.settle();
    },
  },
  {
    name: 'reconnect-storm',
    faults: [32],
    title: 'all hubs are killed and start again; 300 machines and their jobs come back at once',
    allowed: { executed_twice: 'away' },
    async run(world) {
      await world.addHubs(2);
      const crowd = world.worker({ name: 'crowd', machines: STORM, gpus: 1 });
      await world.registered(crowd);
      await world.client('client', world.steps(STORM, 1500, 2.5 * LEASE_MS));
      await world.seen('begin', STORM);
      const killed_at = now();
      await Promise.all(world.hubs.map(hub => hub.kill()));
      await Promise.all(world.hubs.map(hub => hub.start()));
      const ready_at = now();
      const back = new Map<string, number>();
      await world.until('99 % of the machines are back', () => {
        for (const { op, who, at } of world.entries())
          if (op === 'up' && at > killed_at && crowd.machines.includes(who)) back.set(who, at);
        return back.size >= 0.99 * STORM;
      });
      const times = [...back.values()].sort((a, b) => a - b);
      const at = times[Math.ceil(0.99 * STORM) - 1] ?? Number.NaN;
      world.figures['99 % back after ms'] = Math.round(at - ready_at);
      await world.settle();
    },
  },
  trace('trace-short', 1 / 12, true),
  trace('trace', 1, false),
];
