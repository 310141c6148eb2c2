/** What peers do to the hub: say things twice, too late, too much, or not read; and what many at once do. */
import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { startProcess } from '../../harness/processes.ts';
import { type Frame, Peer } from '../../harness/peer.ts';
import { now } from '../ledger.ts';
import { quantile } from '../report.ts';
import type { Scenario } from '../scenario.ts';
import { LEASE_MS, type World } from '../world.ts';

/** Files that a hub may have open when there shall be too few: what it needs itself is about 30. */
const FILES = 60;

const client = (url: string, name = 'probe') =>
  Peer.connect(url, { path: '/ws/client', query: { client_id: name } });

/** A machine that a scenario plays itself. */
async function machine(url: string, machine_id: string, gpu_count = 1): Promise<Peer> {
  const peer = await Peer.connect(url, { path: '/ws/worker' });
  await peer.request({ type: 'register_worker', machine_id, gpu_count, job_types: ['work'], running: [] });
  return peer;
}

const ack = (peer: Peer, lease_id: string) =>
  peer.next(frame => frame.type === 'job_ack' && frame['lease_id'] === lease_id);

async function latency(peer: Peer, times: number): Promise<number[]> {
  const all: number[] = [];
  for (let i = 0; i < times; i++) {
    const began = now();
    await peer.request({ type: 'get_job', job_id: 'nobody' });
    all.push(now() - began);
  }
  return all.sort((a, b) => a - b);
}

export const PROTOCOL: readonly Scenario[] = [
  {
    name: 'duplicates',
    faults: [27],
    title:
      'fifty submissions of one id at three hubs at once make one job, which runs once; other content is a conflict',
    short: true,
    allowed: { executed_twice: 'never' },
    async run(world) {
      await world.addHubs(3);
      await world.registered(world.worker({ name: 'sdk', gpus: 2 }));
      const job = world.job(300);
      const peers = await Promise.all(
        Array.from({ length: 50 }, (_, i) => client(world.hubs[i % 3]?.url as string, `twin-${i}`)),
      );
      const answers = await Promise.all(
        peers.map((peer, i) => {
          world.write(`twin-${i}`, 'submit', { job_id: job.job_id });
          return peer.request({ type: 'submit_job', ...job });
        }),
      );
      const fresh = answers.filter(({ type, duplicate }) => type === 'job_accepted' && !duplicate).length;
      const again = answers.filter(({ type, duplicate }) => type === 'job_accepted' && duplicate).length;
      world.expect(fresh === 1 && again === 49, `${fresh} were new and ${again} duplicates of 50`);
      const other = await (peers[7] as Peer).request({
        type: 'submit_job',
        ...job,
        params: { ...job.params, prompt: 'another one' },
      });
      world.expect(other['code'] === 'conflict', `other content under the id was answered ${other.type}`);
      await Promise.all(peers.map(peer => peer.next('job_completed', { timeout_ms: 10_000 })));
      await Promise.all(peers.map(peer => peer.terminate()));
      await world.settle();
    },
  },
  {
    name: 'late-and-twice',
    faults: [28],
    title:
      'a completion under a lost lease, after a cancel, after a failure, and twice: each is answered as the protocol says',
    short: true,
    allowed: { ends: () => ['completed', 'cancelled', 'failed'], executed_twice: 'never' },
    async run(world) {
      const hub = await world.addHub();
      const peer = await client(hub.url);
      const worker = await machine(hub.url, 'hand');
      const submit = async (): Promise<{ job_id: string; lease_id: string }> => {
        const job = world.job(10);
        world.write('probe', 'submit', { job_id: job.job_id });
        await peer.request({ type: 'submit_job', ...job, max_attempts: 1 });
        const { job_id, lease_id } = await worker.next('job_assigned');
        return { job_id, lease_id };
      };
      const says = async (
        message: { type: string; lease_id: string; [field: string]: unknown },
        wanted: string,
      ) => {
        worker.send(message);
        const { accepted, code } = await ack(worker, message.lease_id);
        const answer = accepted ? 'accepted' : String(code);
        world.expect(answer === wanted, `${message.type} was answered ${answer}, not ${wanted}`);
      };
      const error = { code: 'x', message: 'x', retryable: false };

      const twice = await submit();
      await says({ type: 'job_completed', ...twice, result: 1 }, 'accepted');
      await says({ type: 'job_completed', ...twice, result: 1 }, 'accepted');
      await says({ type: 'job_failed', ...twice, error }, 'conflict');

      const failed = await submit();
      await says({ type: 'job_failed', ...failed, error }, 'accepted');
      await says({ type: 'job_completed', ...failed, result: 1 }, 'conflict');

      const cancelled = await submit();
      worker.send({ type: 'job_started', ...cancelled });
      await peer.request({ type: 'cancel_job', job_id: cancelled.job_id });
      await worker.next('cancel_job');
      await says({ type: 'job_completed', ...cancelled, result: 1 }, 'conflict');
      await says({ type: 'job_completed', ...cancelled, result: 1 }, 'conflict');

      // Nothing is said of the lease for so long that it runs out, and another machine has the job.
      const lost = await submit();
      const other = await machine(hub.url, 'other');
      const again = await other.next('job_assigned', { timeout_ms: LEASE_MS + 3000 });
      world.expect(again['job_id'] === lost.job_id, `the other machine got ${again['job_id']}`);
      await says({ type: 'job_completed', ...lost, result: 1 }, 'stale_lease');
      other.send({ type: 'job_completed', job_id: lost.job_id, lease_id: again['lease_id'], result: 2 });
      const end: Frame = await ack(other, again['lease_id'] as string);
      world.expect(end['accepted'] === true, 'the result under the present lease was refused');
      await Promise.all([peer, worker, other].map(one => one.terminate()));
    },
  },
  {
    name: 'cancel-storm',
    faults: [36],
    title:
      'jobs are cancelled while they are claimed, begun and completed: each ends once, and none runs after it was cancelled',
    allowed: { executed_twice: 'never', ends: () => ['completed', 'cancelled'] },
    async run(world) {
      await world.addHubs(2);
      await world.registered(
        world.worker({ name: 'sdk', gpus: 6, machines: 2 }),
        world.worker({ name: 'raw', kind: 'raw', gpus: 6 }),
      );
      for (const kind of ['sdk', 'raw'] as const) {
        const steps = Array.from({ length: 1000 }, (_, i) => {
          const submit = world.job(world.random.int(0, 30));
          const at_ms = i * 6;
          return [
            { at_ms, submit },
            { at_ms: at_ms + world.random.int(0, 40), cancel: submit.job_id },
          ];
        });
        await world.client(
          `${kind}-client`,
          steps.flat().sort((a, b) => a.at_ms - b.at_ms),
          { kind },
        );
      }
      await world.settle();
      const entries = world.entries();
      const answers = entries.filter(({ op, outcome }) => op === 'cancelled' && outcome === 'ok');
      world.figures['cancels taken'] = answers.length;
      world.expect(answers.length > 100, 'too few cancels came in time to show anything');
      const at_once = new Map(
        answers.filter(({ status }) => status === 'cancelled').map(({ job_id, at }) => [job_id, at]),
      );
      const late = entries.filter(
        ({ op, job_id, at }) => op === 'begin' && at > (at_once.get(job_id) ?? Infinity),
      );
      world.expect(late.length === 0, `${late.length} jobs began after they were cancelled`);
      const taken = new Set(answers.map(({ job_id }) => job_id));
      const done = entries.filter(
        ({ op, type, job_id }) => op === 'event' && type === 'job_completed' && taken.has(job_id),
      );
      world.expect(done.length === 0, `${done.length} jobs completed though their cancel was taken`);
    },
  },
  {
    name: 'due-at-once',
    faults: [37],
    title:
      '3,000 delayed jobs are due in the same moment behind 3,000 that wait: others are served meanwhile',
    allowed: { executed_twice: 'never', inversions: true },
    async run(world) {
      const hub = await world.addHub();
      const delay_ms = 6000;
      const steps = Array.from({ length: 6000 }, (_, i) => {
        const at_ms = (i * 3000) / 6000;
        return { at_ms, submit: world.job(1, i % 2 === 0 ? {} : { delay_ms: Math.round(delay_ms - at_ms) }) };
      });
      await world.client('sdk-client', steps);
      await sleep(delay_ms - 500);
      await world.registered(world.worker({ name: 'sdk', machines: 2, gpus: 10 }));
      const peer = await client(hub.url);
      const times: number[] = [];
      const until = now() + 3000;
      while (now() < until) times.push(...(await latency(peer, 10)));
      times.sort((a, b) => a - b);
      world.figures['answers p99 ms'] = Math.round(quantile(times, 0.99) ?? 0);
      world.expect((quantile(times, 0.99) ?? 0) < 250, 'other requests waited behind the due ones');
      await peer.terminate();
      await world.settle();
    },
  },
  {
    name: 'slow-readers',
    faults: [31],
    title:
      'monitors and a client do not read for a while: they are closed, others are served, no end is missed',
    settings: { OUTBOX_SOFT_BYTES: '16384', OUTBOX_HARD_BYTES: '65536' },
    allowed: { executed_twice: 'never' },
    async run(world) {
      const hub = await world.addHub();
      await world.registered(world.worker({ name: 'sdk', machines: 2, gpus: 8 }));
      const monitors = await Promise.all(
        Array.from({ length: 20 }, () => Peer.connect(hub.url, { path: '/ws/monitor' })),
      );
      for (const { socket } of monitors) socket.pause();
      const stop_reading = { at_ms: 1000, for_ms: 4000 };
      await world.client('deaf', world.steps(1500, 5000, 20), { kind: 'raw', stop_reading });
      await world.client('good', world.steps(1500, 5000, 20));
      const before = await memory(world);
      await world.settle();
      world.figures['hub grew by MB'] = Math.round(((await memory(world)) - before) / 1e6);
      for (const { socket } of monitors) socket.resume();
      await Promise.all(monitors.map(monitor => monitor.terminate()));
    },
  },
  {
    name: 'no-more-files',
    faults: [38],
    title:
      'a hub may open no more files: those who are there are served, and others when there is room again',
    allowed: { executed_twice: 'never' },
    async run(world) {
      const hub = await world.addHub();
      await world.registered(world.worker({ name: 'sdk', gpus: 4 }));
      await world.client('client', world.steps(100, 6000, 50));
      await world.seen('answer', 5);
      if (!(await limitFiles(world, FILES))) {
        world.figures['not shown'] = 'prlimit is not there';
        return world.settle();
      }
      const peers = await Promise.all(
        Array.from({ length: 2 * FILES }, () =>
          Peer.connect(hub.url, { path: '/ws/client', timeout_ms: 2000 }).catch(() => undefined),
        ),
      );
      const inside = peers.filter(peer => peer !== undefined);
      world.figures['let in'] = `${inside.length} of ${peers.length}`;
      world.expect(inside.length < FILES, 'the limit did not hold: the scenario shows nothing');
      const from = now();
      await world.seen('answer', 1, ({ at, accepted }) => at > from && accepted === true);
      await Promise.all(inside.map(peer => peer.terminate()));
      await limitFiles(world, 4096);
      const late = await world.until('a new client is let in again', () =>
        client(hub.url).catch(() => undefined),
      );
      await late?.terminate();
      await world.settle();
    },
  },
  {
    name: 'hostile-peers',
    faults: [30],
    title: 'ten peers send garbage as fast as they can; good ones are served all the same',
    allowed: { executed_twice: 'never' },
    async run(world) {
      const hub = await world.addHub();
      await world.registered(world.worker({ name: 'sdk', gpus: 4 }));
      await world.client('client', world.steps(100, 5000, 50));
      const peer = await client(hub.url);
      const base = quantile(await latency(peer, 300), 0.99) ?? 0;
      const until = now() + 4000;
      const deep = `{"type":"submit_job","job_type":"work","params":${'['.repeat(20_000)}${']'.repeat(20_000)}}`;
      const garbage = [
        '{',
        'null',
        '[]',
        '{"type":"__proto__"}',
        '{"type":"submit_job","params":{"a":1e999}}',
        deep,
      ];
      let closed = 0;
      const attack = async () => {
        while (now() < until) {
          const bad = await client(hub.url, 'bad').catch(() => undefined);
          if (!bad) continue;
          while (bad.is_open && now() < until) {
            bad.sendRaw(world.random.pick(garbage));
            await sleep(1);
          }
          if (!bad.is_open) closed += 1;
          await bad.terminate();
        }
      };
      const attacks = Promise.all(Array.from({ length: 10 }, attack));
      const during: number[] = [];
      while (now() < until) during.push(...(await latency(peer, 10)));
      await attacks;
      during.sort((a, b) => a - b);
      world.figures['answers p99 ms'] = `${base.toFixed(1)} -> ${(quantile(during, 0.99) ?? 0).toFixed(1)}`;
      world.figures['peers closed'] = closed;
      world.expect(closed > 0, 'no peer was closed for its garbage');
      await peer.terminate();
      await world.settle();
    },
  },
];

/** The most files that the first hub may have open; Linux only. @returns whether it could be set */
async function limitFiles(world: World, count: number): Promise<boolean> {
  const pid = String(world.hubs[0]?.process.pid);
  const { code } = await startProcess('prlimit', ['--pid', pid, `--nofile=${count}:`]).exited;
  return code === 0;
}

/** Resident memory of the first hub, bytes; Linux only. */
async function memory(world: World): Promise<number> {
  const text = await readFile(`/proc/${world.hubs[0]?.process.pid}/statm`, 'utf8');
  return Number(text.split(' ')[1]) * 4096;
}
