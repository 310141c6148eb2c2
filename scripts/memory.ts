/**
 * Does memory come back to where it was? Runs many jobs through a hub with retention on, and compares what the hub and
 * Redis hold at rest before and after.
 *
 *     npx tsx scripts/memory.ts                  # 1,000,000 jobs, several minutes
 *     npx tsx scripts/memory.ts --jobs 200000
 *
 * The base is taken after a first part of the jobs, when retention is full and the code is warm. Exits 1 when either is
 * more than 10 % above its base. Not a part of CI.
 */
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { parseArgs } from 'node:util';
import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import WebSocket from 'ws';
import { startProcess, type TestProcess } from '../testing/harness/processes.ts';
import { freePort, startRedis } from './redis_server.ts';

const { values } = parseArgs({ options: { jobs: { type: 'string', default: '1000000' } } });
const JOBS = Number(values.jobs);
/** Enough to fill retention. */
const WARM_UP = Math.max(10_000, Math.min(50_000, Math.ceil(JOBS / 4)));
const GROWTH_MAX = 0.1;
const SLOTS = 64;
const BATCH = 500;
/** Submitted and not yet ended. */
const UNDER_WAY_MAX = 4 * BATCH;
const SETTINGS = {
  RETENTION_COUNT: '2000',
  /** Remembered ids are a part of memory as long as they must be. */
  IDEMPOTENCY_MS: '5000',
  LOG_LEVEL: 'warn',
};
const REST_MS = 8000;
/** Lets a process be asked, by a signal, what it holds after collecting its garbage. */
const REPORTER = `process.on('SIGUSR2',()=>{gc();gc();console.log('MEMORY '+JSON.stringify(process.memoryUsage()))})`;

interface Memory {
  hub_heap: number;
  hub_rss: number;
  redis: number;
}

const mib = (bytes: number) => `${(bytes / 2 ** 20).toFixed(1)} MiB`;

/** A machine that completes at once what it is sent. */
async function openMachine(url: string): Promise<WebSocket> {
  const ws = new WebSocket(`${url}/ws/worker`);
  ws.on('message', data => {
    const { type, job_id, lease_id } = JSON.parse(String(data)) as Record<string, string>;
    if (type === 'job_assigned')
      ws.send(JSON.stringify({ type: 'job_completed', job_id, lease_id, result: { ok: true } }));
  });
  await once(ws, 'open');
  ws.send(JSON.stringify({ type: 'register_worker', machine_id: 'm', gpu_count: SLOTS, job_types: ['*'] }));
  const beat = setInterval(
    () => ws.send(JSON.stringify({ type: 'worker_heartbeat', workers: [], running: [] })),
    5000,
  );
  ws.on('close', () => clearInterval(beat));
  return ws;
}

/** Submits so many jobs and waits for the end of each. */
async function run(client: WebSocket, count: number): Promise<void> {
  let [submitted, ended] = [0, 0];
  await new Promise<void>((resolve, reject) => {
    const submit = () => {
      while (submitted < count && submitted - ended < UNDER_WAY_MAX) {
        const size = Math.min(BATCH, count - submitted);
        const jobs = Array.from({ length: size }, (_, i) => ({
          job_type: 'work',
          params: { prompt: `job ${submitted + i}` },
          watch: 'end',
        }));
        submitted += size;
        client.send(JSON.stringify({ type: 'submit_jobs', jobs }));
      }
    };
    const read = (data: WebSocket.RawData) => {
      const { type } = JSON.parse(String(data)) as { type: string };
      if (type === 'error' || type === 'job_failed') reject(new Error(String(data)));
      if (type !== 'job_completed') return;
      ended += 1;
      if (ended === count) {
        client.off('message', read);
        return resolve();
      }
      if (submitted - ended <= UNDER_WAY_MAX - BATCH) submit();
    };
    client.on('message', read);
    client.once('close', code => reject(new Error(`the hub closed the client with ${code}`)));
    submit();
  });
}

async function measure(hub: TestProcess, redis: Redis): Promise<Memory> {
  await sleep(REST_MS);
  const told = hub.output.split('MEMORY ').length;
  hub.kill('SIGUSR2');
  while (hub.output.split('MEMORY ').length === told) await sleep(50);
  const { heapUsed, rss } = JSON.parse(
    (hub.output.split('MEMORY ').at(-1) as string).split('\n')[0] as string,
  );
  const info = await redis.info('memory');
  return { hub_heap: heapUsed, hub_rss: rss, redis: Number(/used_memory:(\d+)/.exec(info)?.[1]) };
}

function report(name: string, base: number, after: number): boolean {
  const growth = after / base - 1;
  const fine = growth <= GROWTH_MAX;
  console.log(
    `${fine ? 'ok  ' : 'FAIL'} ${name}: ${mib(base)} -> ${mib(after)} (${(growth * 100).toFixed(1)} %)`,
  );
  return fine;
}

async function main(): Promise<number> {
  // As it runs in production: sources translated as they load have a loader beside them.
  execFileSync(process.execPath, ['scripts/build.mjs'], { stdio: 'inherit' });
  await using server = await startRedis();
  const port = await freePort();
  const env = { REDIS_URL: server.url, HUB_PORT: String(port), ...SETTINGS };
  const reporter = `data:text/javascript,${encodeURIComponent(REPORTER)}`;
  const args = ['--expose-gc', '--import', reporter, 'dist/core/main.js'];
  await using hub = startProcess(process.execPath, args, { env });
  await hub.waitForHttp(`http://127.0.0.1:${port}/readyz`);
  const redis = new Redis(server.url);
  const url = `ws://127.0.0.1:${port}`;
  const machine = await openMachine(url);
  const client = new WebSocket(`${url}/ws/client`);
  await once(client, 'open');

  await run(client, WARM_UP);
  const base = await measure(hub, redis);
  const began = performance.now();
  await run(client, JOBS);
  const seconds = (performance.now() - began) / 1000;
  const after = await measure(hub, redis);
  console.log(`${JOBS} jobs in ${seconds.toFixed(0)} s, after ${WARM_UP} to warm up`);
  const fine = [
    report('heap of the hub', base.hub_heap, after.hub_heap),
    report('resident memory of the hub', base.hub_rss, after.hub_rss),
    report('memory of Redis', base.redis, after.redis),
  ];
  client.removeAllListeners('close');
  client.terminate();
  machine.terminate();
  redis.disconnect();
  return fine.every(Boolean) ? 0 : 1;
}

process.exitCode = await main();
