import { setTimeout as sleep } from 'node:timers/promises';
import type { Bench } from '../scenario.ts';
import type { Held } from './hub_meter.ts';
import { type CpuShare, Started } from './measured_hub.ts';
import type { Seen } from './stream_watchers.ts';

const SLOTS = 64;
const ANSWER_TIMEOUT_MS = 120_000;
const POLL_MS = 20;

export interface ClientFindings {
  clients: number;
  /** What the hub holds for one of them. */
  bytes: Held;
  ms: number;
  /** From its submission to its end, ms, of each job. */
  ended: number[];
  /** CPU-seconds for 1,000 jobs. */
  cpu: CpuShare;
}

/** As many clients as jobs, all at once, on one machine of 64 slots. */
export async function measureClients(bench: Bench, clients: number): Promise<ClientFindings> {
  bench.say(`crowd: ${clients.toLocaleString('en-US')} clients with one job each`);
  await using started = new Started();
  const [machine, client] = [started.load('machine_load'), started.load('client_load')];
  const hub = await started.hub(await bench.redis('memory'), bench.profile);
  await machine.ask('open', { url: hub.url, count: 1, slots: SLOTS });
  const before = await hub.held();
  await client.ask('open', { url: hub.url, count: clients }, ANSWER_TIMEOUT_MS);
  const after = await hub.held();
  const { result, ms, cpu_ms } = await hub.during(() =>
    client.ask<number[]>('submitEach', 'each', ANSWER_TIMEOUT_MS),
  );
  return {
    clients,
    bytes: {
      rss_bytes: (after.rss_bytes - before.rss_bytes) / clients,
      heap_bytes: (after.heap_bytes - before.heap_bytes) / clients,
    },
    ms,
    ended: result,
    cpu: { hub: cpu_ms.hub / clients, redis: cpu_ms.redis / clients },
  };
}

export interface WatcherFindings {
  watchers: number;
  /** Events a second, each for all watchers. */
  events_per_s: number;
  /** Once for each watcher. */
  sent: number;
  delivered: number;
  /** Until the last has arrived. */
  delivered_per_s: number;
  delays: number[];
  closed: number;
  share: CpuShare;
}

const STREAMS = 20;
const WARM_UP_SECONDS = 0.4;
/** Of hundreds of thousands of deliveries a second only some can be read beside the hub on the same machine. */
const SAMPLE = 100;

/** All watchers watch the same jobs, which send so many outputs a second together. */
export async function measureWatchers(
  bench: Bench,
  watchers: number,
  events_per_s: number,
  seconds: number,
): Promise<WatcherFindings> {
  bench.say(`crowd: ${watchers} watchers of ${events_per_s.toLocaleString('en-US')} events/s`);
  await using started = new Started();
  const [worker, reader] = [started.load('stream_worker'), started.load('stream_watchers')];
  const hub = await started.hub(await bench.redis('memory'), bench.profile);
  await worker.ask('open', { url: hub.url, slots: STREAMS });
  await reader.ask('openShared', { url: hub.url, watchers, jobs: STREAMS, sample: SAMPLE });
  while ((await worker.ask<number>('running')) < STREAMS) await sleep(POLL_MS);
  const per_second = events_per_s / STREAMS;
  const stream = async (seconds: number) => {
    const sent = await worker.ask<number>('stream', { per_second, seconds }, ANSWER_TIMEOUT_MS);
    return { sent, seen: await reader.ask<Seen>('arrived', sent * watchers, ANSWER_TIMEOUT_MS) };
  };
  await stream(WARM_UP_SECONDS);
  const { result, ms, share } = await hub.during(() => stream(seconds));
  const { outputs, delays, closed } = result.seen;
  return {
    watchers,
    events_per_s,
    sent: result.sent * watchers,
    delivered: outputs,
    delivered_per_s: (outputs / ms) * 1000,
    delays,
    closed,
    share,
  };
}
