/** What happens between workers, clients and hubs: silence, one-sided silence, cuts in the middle of frames, delay. */
import { setTimeout as sleep } from 'node:timers/promises';
import { now } from '../ledger.ts';
import type { Scenario } from '../scenario.ts';
import { HEARTBEAT_MS, LEASE_MS, type World } from '../world.ts';

/** The SDK looks once a second whether a lease was lost. */
const STOP_CHECK_MS = 1000;
const SLACK_MS = 500;

/** One worker behind a proxy, one beside it, and jobs on both when the returned proxy is there. */
async function behindProxy(world: World, work_ms: number, stop_when_lost = false) {
  const hub = await world.addHub();
  const proxy = await world.proxy(hub.port);
  const urls = [`ws://127.0.0.1:${proxy.port}`];
  const kind = stop_when_lost ? 'sdk' : world.random.pick(['sdk', 'raw'] as const);
  const far = world.worker({ name: 'far', gpus: 2, urls, kind, stop_when_lost });
  await world.registered(far);
  await world.client('client', world.steps(6, 50, work_ms), { urls: [hub.url] });
  await world.seen('begin', 2, ({ who }) => who === 'far-0');
  const near = world.worker({ name: 'near', gpus: 8, urls: [hub.url] });
  await world.registered(near);
  return { hub, proxy, far };
}

const blackHole = (name: string, leases: number): Scenario => ({
  name,
  faults: [8],
  title: `nothing passes between a worker and its hub for ${leases} leases, and nobody is told`,
  allowed: { executed_twice: 'away' },
  async run(world) {
    const { proxy, far } = await behindProxy(world, (1 + leases / 2) * LEASE_MS);
    const from = now();
    proxy.blackHole();
    await sleep(leases * LEASE_MS);
    world.away(far.machines, from, now(), 'cut off');
    proxy.pass();
    await world.settle();
  },
});

const oneWay = (name: string, direction: 'up' | 'down'): Scenario => ({
  name,
  faults: [9],
  title: `one direction (${direction === 'up' ? 'worker to hub' : 'hub to worker'}) is silent for two leases; a worker that asked for it stops by itself`,
  allowed: { executed_twice: 'away' },
  async run(world) {
    const { proxy, far } = await behindProxy(world, 3 * LEASE_MS, true);
    const from = now();
    proxy.stall(direction);
    await sleep(2 * LEASE_MS + STOP_CHECK_MS);
    world.away(far.machines, from, now(), 'cut off');
    proxy.pass();
    await world.settle();
    const entries = world.entries().filter(({ who }) => who === 'far-0');
    const leases = new Set(
      entries.filter(({ op, at }) => op === 'begin' && at < from).map(({ lease_id }) => lease_id),
    );
    const ends = entries.filter(({ op, lease_id }) => op === 'end' && leases.has(lease_id));
    const last_ms = Math.max(...ends.map(({ at }) => at - from));
    world.figures['stopped after ms'] = Math.round(last_ms);
    world.expect(
      ends.length === leases.size && last_ms <= LEASE_MS + STOP_CHECK_MS + SLACK_MS,
      `the worker worked on for ${Math.round(last_ms)} ms without a renewal`,
    );
  },
});

/** Longest frame cut at any byte of it: an assignment or a completion has fewer. */
const FRAME_BYTES = 700;

export const NETWORK: readonly Scenario[] = [
  blackHole('black-hole-short', 0.5),
  blackHole('black-hole-long', 2),
  oneWay('one-way-to-hub', 'up'),
  oneWay('one-way-to-worker', 'down'),
  {
    name: 'cut-in-frames',
    faults: [10],
    title:
      'connections of workers and clients are cut at random bytes, in the middle of frames, again and again',
    allowed: { executed_twice: 'away' },
    async run(world) {
      const hub = await world.addHub();
      const proxy = await world.proxy(hub.port);
      const urls = [`ws://127.0.0.1:${proxy.port}`];
      const workers = [
        world.worker({ name: 'sdk', urls, gpus: 2 }),
        world.worker({ name: 'raw', urls, gpus: 2, kind: 'raw' }),
      ];
      await world.registered(...workers);
      await world.client('sdk-client', world.steps(150, 12_000, 100), { urls });
      await world.client('raw-client', world.steps(150, 12_000, 100), { urls, kind: 'raw' });
      await world.seen('event');
      let cuts = 0;
      const until = now() + 12_000;
      while (now() < until) {
        const cut = proxy.cutAfter(world.random.int(1, FRAME_BYTES), world.random.pick(['up', 'down']));
        const done = await Promise.race([cut.then(() => true), sleep(1000, false)]);
        if (done) cuts += 1;
        await sleep(world.random.int(0, 150));
      }
      proxy.pass();
      world.figures['cuts'] = cuts;
      world.expect(cuts > 20, `only ${cuts} connections were cut`);
      await world.settle();
    },
  },
  {
    name: 'slow-network',
    faults: [11],
    title: 'about a second of delay in each direction, then 64 kB a second: slower, but no lease is lost',
    settings: {
      PING_INTERVAL_MS: '5000',
      LEASE_MS: '6000',
      HEARTBEAT_INTERVAL_MS: '1000',
      RESEND_MS: '4000',
    },
    allowed: { executed_twice: 'never' },
    async run(world) {
      const hub = await world.addHub();
      const proxy = await world.proxy(hub.port);
      const urls = [`ws://127.0.0.1:${proxy.port}`];
      const worker = world.worker({ name: 'far', urls, gpus: 4, machines: 2 });
      await world.registered(worker);
      await world.client('client', world.steps(40, 8000, 500), { urls });
      const until = now() + 8000;
      while (now() < until) {
        proxy.delay(world.random.int(800, 1200));
        await sleep(400);
      }
      proxy.throttle(64 * 1024);
      await world.settle();
      const downs = world.entries().filter(({ op }) => op === 'down').length;
      world.expect(downs === 0, `${downs} connections were given up though bytes flowed`);
    },
  },
  {
    name: 'frames-twice',
    faults: [12],
    title: 'a worker whose every frame arrives twice changes nothing twice',
    allowed: { executed_twice: 'never' },
    async run(world) {
      await world.addHub();
      const worker = world.worker({ name: 'double', kind: 'raw', gpus: 3, twice: true });
      await world.registered(worker);
      await world.client('client', world.steps(60, 1500, (4 * HEARTBEAT_MS) / 10), { kind: 'raw' });
      await world.settle();
    },
  },
];
