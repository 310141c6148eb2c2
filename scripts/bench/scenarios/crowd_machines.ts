import { setTimeout as sleep } from 'node:timers/promises';
import type { BenchProcess } from '../process.ts';
import type { Bench } from '../scenario.ts';
import type { Held } from './hub_meter.ts';
import { type CpuShare, type MeasuredHub, Started } from './measured_hub.ts';

export interface MachinePlan {
  machines: number;
  /** As a real machine does it by default. */
  heartbeat_ms: number;
  /** Machines that come and go before anything is measured. */
  warm_up: number;
  measured_ms: number;
  /** After sockets came or jobs were handed out: what is still being tidied up belongs to no measurement. */
  settle_ms: number;
  rounds: number;
  jobs_per_round: number;
  reconnects: number;
}

/** What the hub holds for one socket. */
export type SocketBytes = Held;

export interface MachineFindings {
  machines: number;
  idle: { bytes: SocketBytes; silent: CpuShare; beating: CpuShare };
  leased: { bytes: SocketBytes; beating: CpuShare };
  /** From submission to arrival at a machine, ms, by round. */
  dispatch: { many: number[][]; few: number[][] };
  reconnect: { count: number; ms: number; continued: number };
}

const FEW = 10;
const PACE_PER_S = 100;
const POLL_MS = 100;
const WARM_UP_MS = 300;
const WARM_UP_JOBS = 30;
const ANSWER_TIMEOUT_MS = 120_000;

/** A hub with machines, and a client beside them. */
interface Side {
  hub: MeasuredHub;
  machines: BenchProcess;
  client: BenchProcess;
}

async function openSide(
  started: Started,
  bench: Bench,
  count: number,
  warm_up: number,
): Promise<Side & { before: Held }> {
  const [machines, client] = [started.load('machine_load'), started.load('client_load')];
  const hub = await started.hub(await started.redis(), bench.profile);
  await client.ask('open', { url: hub.url, count: 1 });
  await warmUp(hub, warm_up);
  const before = await hub.held();
  await machines.ask('open', { url: hub.url, count, slots: 1 }, ANSWER_TIMEOUT_MS);
  return { hub, machines, client, before };
}

/** Code that runs for the first time, and memory it leaves behind, are no machine's. */
async function warmUp(hub: MeasuredHub, count: number): Promise<void> {
  await using started = new Started();
  const machines = started.load('machine_load');
  await machines.ask('open', { url: hub.url, count, slots: 1 });
  await machines.ask('beat', WARM_UP_MS);
  await sleep(WARM_UP_MS);
}

async function bytesEach(hub: MeasuredHub, before: Held, count: number): Promise<SocketBytes> {
  const after = await hub.held();
  return {
    rss_bytes: (after.rss_bytes - before.rss_bytes) / count,
    heap_bytes: (after.heap_bytes - before.heap_bytes) / count,
  };
}

/** Both sides take turns: paced submissions, and when they arrived at a machine. */
async function measureDispatch(
  many: Side,
  few: Side,
  { rounds, jobs_per_round }: MachinePlan,
): Promise<MachineFindings['dispatch']> {
  const dispatch: MachineFindings['dispatch'] = { many: [], few: [] };
  const pace = async ({ client, machines }: Side, run_id: string, jobs: number) => {
    await client.ask('pace', { run_id, jobs, per_second: PACE_PER_S });
    return machines.ask<number[]>('dispatched');
  };
  await Promise.all([many, few].map(side => pace(side, 'warm', WARM_UP_JOBS)));
  for (let round = 0; round < rounds; round++) {
    dispatch.many.push(await pace(many, `round-${round}`, jobs_per_round));
    dispatch.few.push(await pace(few, `round-${round}`, jobs_per_round));
  }
  return dispatch;
}

/** Every machine gets a job and keeps it. */
async function leaseAll(
  { machines, client }: Side,
  { machines: count, settle_ms }: MachinePlan,
): Promise<void> {
  await machines.ask('hold');
  await client.ask('submitMany', { run_id: 'hold', count }, ANSWER_TIMEOUT_MS);
  while ((await machines.ask<number>('leases')) < count) await sleep(POLL_MS);
  await sleep(settle_ms);
}

/** Idle machines, then the same with a lease each, then some of them come back at once. */
export async function measureMachines(bench: Bench, plan: MachinePlan): Promise<MachineFindings> {
  const { machines: count, heartbeat_ms, measured_ms, reconnects } = plan;
  await using started = new Started();
  bench.say(`crowd: ${count.toLocaleString('en-US')} machines connect`);
  const [many, few] = await Promise.all([
    openSide(started, bench, count, plan.warm_up),
    openSide(started, bench, FEW, plan.warm_up),
  ]);
  const { hub, machines, before } = many;
  const share = async () => (await hub.during(() => sleep(measured_ms))).share;

  await sleep(plan.settle_ms);
  const silent = await share();
  for (const side of [many, few]) await side.machines.ask('beat', heartbeat_ms);
  bench.say('crowd: idle machines beat');
  const beating = await share();
  const idle = { bytes: await bytesEach(hub, before, count), silent, beating };
  bench.say('crowd: dispatch among many and among few');
  const dispatch = await measureDispatch(many, few, plan);
  bench.say('crowd: every machine has a lease');
  await leaseAll(many, plan);
  const leased = { beating: await share(), bytes: await bytesEach(hub, before, count) };
  bench.say(`crowd: ${reconnects.toLocaleString('en-US')} machines come back at once`);
  const back = await machines.ask<{ ms: number; continued: number }>('reconnect', reconnects);
  return { machines: count, idle, leased, dispatch, reconnect: { count: reconnects, ...back } };
}
