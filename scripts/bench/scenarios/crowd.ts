import type { Bench, Findings, Scenario } from '../scenario.ts';
import { measureClients, measureWatchers, type WatcherFindings } from './crowd_clients.ts';
import { type MachinePlan, measureMachines } from './crowd_machines.ts';
import {
  clientTable,
  crowdRatios,
  dispatchPlot,
  dispatchTable,
  machineTable,
  reconnectTable,
  watcherTable,
} from './crowd_report.ts';

interface Plan extends MachinePlan {
  clients: number;
  watchers: number;
  events_per_s: number[];
  watch_seconds: number;
}

const QUICK: Plan = {
  machines: 300,
  heartbeat_ms: 15_000,
  warm_up: 50,
  measured_ms: 500,
  settle_ms: 200,
  rounds: 1,
  jobs_per_round: 50,
  reconnects: 100,
  clients: 300,
  watchers: 200,
  events_per_s: [100],
  watch_seconds: 1,
};
const FULL: Plan = {
  machines: 10_000,
  heartbeat_ms: 15_000,
  warm_up: 200,
  measured_ms: 30_000,
  settle_ms: 3000,
  rounds: 8,
  jobs_per_round: 250,
  reconnects: 1000,
  clients: 10_000,
  watchers: 200,
  events_per_s: [100, 500, 2000],
  watch_seconds: 8,
};

export const scenario: Scenario = {
  name: 'crowd',
  about: 'thousands of idle machines, of clients with one job, of reconnects, and watchers of everything',
  async run(bench: Bench): Promise<Findings> {
    const plan = bench.quick ? QUICK : FULL;
    const machines = await measureMachines(bench, plan);
    const clients = await measureClients(bench, plan.clients);
    const watchers: WatcherFindings[] = [];
    for (const events_per_s of plan.events_per_s) {
      watchers.push(await measureWatchers(bench, plan.watchers, events_per_s, plan.watch_seconds));
    }
    return {
      tables: [
        machineTable(machines, plan),
        dispatchTable(machines),
        reconnectTable(machines),
        clientTable(clients),
        watcherTable(watchers),
      ],
      plots: [dispatchPlot(machines)],
      ratios: bench.quick ? [] : crowdRatios(machines),
      raw: { plan, machines, clients, watchers },
    };
  },
};
