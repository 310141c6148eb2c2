/** What happens to Redis and on the way to it: cuts, restarts, power loss, damage, no memory, no disk, slowness. */
import { cp, mkdir, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Peer } from '../../harness/peer.ts';
import { now } from '../ledger.ts';
import type { Scenario } from '../scenario.ts';
import { LEASE_MS, type World } from '../world.ts';

/** Two hubs, workers and clients of both kinds, and a load that lasts `over_ms`. */
async function underLoad(world: World, over_ms: number, work_ms = 150): Promise<void> {
  await world.addHubs(2);
  await peersUnderLoad(world, over_ms, work_ms);
}

async function peersUnderLoad(world: World, over_ms: number, work_ms: number): Promise<void> {
  const workers = [
    world.worker({ name: 'sdk', machines: 2, gpus: 2 }),
    world.worker({ name: 'raw', kind: 'raw', gpus: 2 }),
  ];
  await world.registered(...workers);
  const count = Math.round(over_ms / 70);
  await world.client('sdk-client', world.steps(count, over_ms, work_ms));
  await world.client('raw-client', world.steps(count, over_ms, work_ms), { kind: 'raw' });
  await world.seen('answer', 5);
}

/** From when Redis was back to the first result it took. */
async function measureResume(world: World, back_at: number): Promise<void> {
  const [first] = await world.seen('answer', 1, ({ at, accepted }) => at > back_at && accepted === true);
  const before = Number(world.figures['resumed after ms'] ?? 0);
  if (first) world.figures['resumed after ms'] = Math.max(before, Math.round(first.at - back_at));
}

async function restart(world: World, signal: 'SIGTERM' | 'SIGKILL'): Promise<void> {
  world.note('redis', { signal });
  await world.redis.server.kill(signal);
  await sleep(world.random.int(0, 1000));
  await world.redis.server.restart();
  await measureResume(world, now());
}

const aofFolder = (world: World) => join(world.redis.server.dir, 'appendonlydir');

/** The append-only file that is written to. */
async function aofFile(world: World): Promise<string> {
  const names = await readdir(aofFolder(world));
  const [file] = names
    .filter(name => name.endsWith('.incr.aof'))
    .sort()
    .reverse();
  return join(aofFolder(world), file as string);
}

/** Everything a client asks is refused with this, and nothing of it was stored. */
async function expectRefusal(world: World, peer: Peer): Promise<void> {
  const answer = await world.until('a submission is refused', async () => {
    const frame = await peer.request({
      type: 'submit_job',
      job_type: 'nobody',
      params: { filler: 'x'.repeat(5000) },
    });
    return frame.type === 'error' && frame;
  });
  if (!answer) return;
  const outcome = answer['details']?.outcome;
  world.expect(
    answer['code'] === 'unavailable' && outcome === 'none',
    `a submission was refused with ${answer['code']}, outcome ${outcome}`,
  );
}

/** Clients cannot submit, and machines end what they have: the number of accepted results grows. */
async function expectDraining(world: World): Promise<void> {
  const from = now();
  await world.seen('answer', 2, ({ at, accepted }) => at > from && accepted === true);
}

const slowRedis = (name: string, what: string, act: (world: World) => Promise<void>): Scenario => ({
  name,
  faults: [23],
  title: `${what}: what waits is bounded, no lease is lost by it, and work goes on by itself`,
  redis: ['--enable-debug-command', 'yes'],
  allowed: { executed_twice: 'never' },
  async run(world) {
    await underLoad(world, 6000, 400);
    await act(world);
    await measureResume(world, now());
    await world.settle();
  },
});

export const REDIS: readonly Scenario[] = [
  {
    name: 'redis-cut',
    faults: [13],
    title:
      'the link of each hub to Redis breaks when scripts have run and their replies are on the way, again and again',
    short: true,
    allowed: { executed_twice: 'never' },
    async run(world) {
      const proxies = [await world.proxy(world.redis.port), await world.proxy(world.redis.port)];
      for (const proxy of proxies) await world.addHub({}, proxy.port);
      await peersUnderLoad(world, 7000, 150);
      for (let i = 0; i < 12; i++) {
        const proxy = world.random.pick(proxies);
        proxy.stall('down');
        await sleep(world.random.int(10, 120));
        proxy.cutNow();
        proxy.pass();
        await sleep(world.random.int(100, 500));
      }
      await world.settle();
    },
  },
  {
    name: 'redis-restart',
    faults: [14],
    title: 'Redis is ended with SIGTERM and with SIGKILL under load and comes back with what it had',
    allowed: { executed_twice: 'never' },
    async run(world) {
      await underLoad(world, 9000);
      await restart(world, 'SIGTERM');
      await restart(world, 'SIGKILL');
      await world.settle();
    },
  },
  {
    name: 'redis-killed-always',
    faults: [15],
    title:
      'Redis that syncs every write is killed: what was acknowledged is there, what was unknown is settled by its id',
    redis: ['--appendfsync', 'always'],
    allowed: { executed_twice: 'never' },
    async run(world) {
      await underLoad(world, 7000);
      await restart(world, 'SIGKILL');
      await restart(world, 'SIGKILL');
      await world.settle();
      const entries = world.entries().filter(({ op }) => op === 'submitted');
      const unknown = new Set(
        entries.filter(({ outcome }) => outcome === 'unknown').map(({ job_id }) => job_id),
      );
      const settled = new Set(entries.filter(({ outcome }) => outcome === 'ok').map(({ job_id }) => job_id));
      const open = [...unknown].filter(id => !settled.has(id));
      world.figures['unknown outcomes'] = unknown.size;
      world.expect(open.length === 0, `${open.length} submissions of unknown outcome were never settled`);
    },
  },
  {
    name: 'power-loss',
    faults: [16],
    title:
      'Redis comes back with an older append-only file: clients submit again what it lost, no lease is given twice',
    allowed: { executed_twice: 'any', rolled_back: true, inversions: true },
    async run(world) {
      await underLoad(world, 6000);
      const copy = join(world.folder, 'older');
      await cp(aofFolder(world), copy, { recursive: true });
      const from = now();
      await sleep(world.random.int(200, 1000));
      await world.redis.server.kill('SIGKILL');
      const window = [from, now()] as const;
      await rm(aofFolder(world), { recursive: true });
      await cp(copy, aofFolder(world), { recursive: true });
      await world.redis.server.restart();
      await measureResume(world, now());
      await world.settle();
      const acknowledged = world
        .entries()
        .filter(
          ({ op, outcome, at }) => op === 'submitted' && outcome === 'ok' && at > window[0] && at < window[1],
        );
      world.figures['acknowledged in the lost time'] = acknowledged.length;
    },
  },
  {
    name: 'aof-damaged',
    faults: [17],
    title:
      'a cut tail of the append-only file loads; damage in its middle keeps Redis down, and hubs say so until it is mended',
    allowed: { executed_twice: 'any', rolled_back: true, inversions: true },
    async run(world) {
      await underLoad(world, 6000);
      await world.redis.server.kill('SIGKILL');
      let file = await aofFile(world);
      const whole = await readFile(file);
      await truncate(file, whole.length - world.random.int(1, 30));
      await world.redis.server.restart();
      await measureResume(world, now());
      // A cut inside a transaction may leave its beginning in the file, and a second restart would run that with the
      // next one: a new file is what an operator should have then, too.
      const redis = world.redis.client();
      await redis.call('BGREWRITEAOF');
      await world.until('the append-only file is rewritten', async () =>
        /aof_rewrite_in_progress:0[^]*aof_rewrite_scheduled:0/.test(await redis.info('persistence')),
      );

      await world.redis.server.kill('SIGKILL');
      file = await aofFile(world);
      const sound = await readFile(file);
      const damaged = Buffer.from(sound);
      damaged.fill('#', Math.floor(sound.length / 2), Math.floor(sound.length / 2) + 200);
      await writeFile(file, damaged);
      const started = await world.redis.server.restart().then(
        () => true,
        () => false,
      );
      world.expect(!started, 'Redis started with a damaged append-only file: the scenario shows nothing');
      const { status, reason } = (await world.hubs[0]?.ready()) ?? { status: 0, reason: null };
      world.expect(status === 503 && reason !== null, `a hub without Redis says ${status} to /readyz`);
      await writeFile(file, sound);
      await world.redis.server.restart();
      await measureResume(world, now());
      await world.settle();
    },
  },
  {
    name: 'redis-empty',
    faults: [18],
    title:
      'Redis comes back with nothing: hubs sound an alarm, machines drop what is gone, clients submit again',
    allowed: { executed_twice: 'any', rolled_back: true, inversions: true },
    async run(world) {
      await underLoad(world, 6000, 400);
      await world.redis.server.kill('SIGKILL');
      await rm(aofFolder(world), { recursive: true });
      await mkdir(aofFolder(world));
      await world.redis.server.restart();
      await measureResume(world, now());
      await world.settle();
      const alarm = world.hubs.some(({ process }) => /lost|empty|forgot|older/i.test(process.output));
      world.expect(alarm, 'no hub says in its log that Redis has lost its jobs');
    },
  },
  {
    name: 'out-of-memory',
    faults: [21],
    title:
      'Redis is full: submissions are refused with nothing stored, what runs completes, and all goes on when there is room',
    allowed: { executed_twice: 'never' },
    async run(world) {
      await underLoad(world, 5000, 600);
      const redis = world.redis.client();
      const used = Number(/used_memory:(\d+)/.exec(await redis.info('memory'))?.[1]);
      await redis.config('SET', 'maxmemory', String(used));
      const peer = await Peer.connect(world.hubs[0]?.url as string, { path: '/ws/client' });
      await expectRefusal(world, peer);
      await expectDraining(world);
      await sleep(LEASE_MS);
      await redis.config('SET', 'maxmemory', '0');
      await measureResume(world, now());
      await world.settle();
      await peer.terminate();
    },
  },
  {
    name: 'evicting-redis',
    faults: [22],
    title: 'a Redis that may evict keys: the hub says so when it starts',
    redis: ['--maxmemory-policy', 'allkeys-lru'],
    async run(world) {
      const hub = await world.addHub();
      await world.until(
        'a warning about maxmemory-policy',
        () => /maxmemory-policy/.test(hub.process.output),
        2000,
      );
    },
  },
  slowRedis('redis-halted', 'Redis hangs for one and a half leases', async world => {
    await world.redis.server.kill('SIGSTOP');
    await sleep(1.5 * LEASE_MS);
    await world.redis.server.kill('SIGCONT');
  }),
  slowRedis(
    'redis-slow',
    'one script blocks Redis for 2 s, and then its clients are paused for 2 s',
    async world => {
      const redis = world.redis.client();
      await redis.call('DEBUG', 'SLEEP', '2');
      await redis.call('CLIENT', 'PAUSE', '2000');
      await sleep(2000);
    },
  ),
  {
    name: 'disk-full',
    faults: [24],
    title:
      'Redis cannot write its snapshot and refuses writes (MISCONF): hubs are not ready, and recover by themselves',
    allowed: { executed_twice: 'never' },
    async run(world) {
      await underLoad(world, 5000, 300);
      const redis = world.redis.client();
      // A folder lies where the snapshot belongs: the server cannot rename its file to it.
      await mkdir(join(world.redis.server.dir, 'dump.rdb', 'in the way'), { recursive: true });
      await redis.config('SET', 'save', '3600 1000000');
      await redis.call('BGSAVE');
      const peer = await Peer.connect(world.hubs[0]?.url as string, { path: '/ws/client' });
      await expectRefusal(world, peer);
      await world.until(
        'readyz is 503 while Redis refuses writes',
        async () => (await world.hubs[0]?.ready())?.status === 503,
        3000,
      );
      await rm(join(world.redis.server.dir, 'dump.rdb'), { recursive: true });
      await redis.config('SET', 'save', '');
      await redis.config('SET', 'stop-writes-on-bgsave-error', 'no');
      await measureResume(world, now());
      await world.settle();
      await peer.terminate();
    },
  },
  {
    name: 'subscriber-cut',
    faults: [39],
    title: 'the connections that hear Redis’s channels are killed again and again: no watcher misses an end',
    allowed: { executed_twice: 'never' },
    async run(world) {
      await world.addHubs(2);
      const [workers_hub, clients_hub] = world.hubs.map(hub => hub.url) as [string, string];
      await world.registered(world.worker({ name: 'sdk', gpus: 4, urls: [workers_hub] }));
      const urls = [clients_hub];
      await world.client('sdk-client', world.steps(100, 5000, 100), { urls });
      await world.client('raw-client', world.steps(100, 5000, 100), { urls, kind: 'raw' });
      await world.seen('event', 5);
      const redis = world.redis.client();
      let killed = 0;
      for (let i = 0; i < 20; i++) {
        killed += Number(await redis.call('CLIENT', 'KILL', 'TYPE', 'pubsub'));
        await sleep(world.random.int(50, 400));
      }
      world.figures['subscribers killed'] = killed;
      world.expect(killed > 10, `only ${killed} subscribers were killed`);
      await world.settle();
    },
  },
];
