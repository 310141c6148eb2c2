// A producer or a worker process of a cell: `peer.ts SYSTEM producer|worker`.

import { type FloodPlan, flood, type PacePlan, pace } from './load.ts';
import { makeResult } from './payload.ts';
import { ownUsage, serve, type Usage } from './served.ts';
import { type Address, nowMs, type Params, type Submitter, type System } from './system.ts';
import { descendantsUsage } from './usage.ts';

const [name, role] = process.argv.slice(2);
const { system } = (await import(`./systems/${name}.js`)) as { system: System };

/** Looking for children costs more CPU than some systems' whole work, so only those that have some pay for it. */
async function usage(): Promise<Usage> {
  const own = ownUsage();
  if (!system.has_children) return own;
  const below = await descendantsUsage(process.pid);
  return { cpu_ms: own.cpu_ms + below.cpu_ms, peak_rss_mb: own.peak_rss_mb + below.peak_rss_mb };
}

function serveProducer(): void {
  let submitter: Submitter;
  serve({
    usage,
    open: async (address: Address) => void (submitter = await system.openSubmitter(address)),
    flood: (plan: FloodPlan) => flood(submitter, plan),
    pace: (plan: PacePlan) => pace(submitter, plan),
  });
}

/** Several machines share the slots; all are in this process. */
interface Fleet {
  address: Address;
  machines: number;
  slots: number;
}

function serveWorker(): void {
  /** From the end of one handler to the start of the next: with one slot, how long it lay idle. */
  let gaps: number[] = [];
  let ended_ms: number | undefined;
  const handle = (params: Params) => {
    const result = makeResult(params);
    if (ended_ms !== undefined) gaps.push(result.started_ms - ended_ms);
    ended_ms = nowMs();
    return result;
  };
  serve({
    usage,
    open: async ({ address, machines, slots }: Fleet) => {
      const openOne = (_: unknown, i: number) =>
        system.openMachine(address, { machine_id: `bench-${i}`, slots: slots / machines }, handle);
      await Promise.all(Array.from({ length: machines }, openOne));
    },
    /** The gaps since the last call. */
    gaps: () => {
      const taken = gaps;
      gaps = [];
      ended_ms = undefined;
      return taken;
    },
  });
}

if (role === 'producer') serveProducer();
else serveWorker();
