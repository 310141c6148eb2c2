import type { Worker } from '../../state/hub_state.ts';

export interface Machine {
  machineId: string;
  workers: Worker[];
}

const PROBLEMS: ReadonlySet<string> = new Set(['quarantined', 'offline', 'draining', 'stopping']);

export const isProblem = (worker: Worker) => PROBLEMS.has(worker.status);

const byName = new Intl.Collator('en', { numeric: true }).compare;

/** Machines by name, GPUs by index: a tile is always in the same place. */
export function machinesOf(workers: Iterable<Worker>, filter: string, problemsOnly: boolean): Machine[] {
  const machines = new Map<string, Worker[]>();
  for (const worker of workers) {
    if (problemsOnly && !isProblem(worker)) continue;
    if (!matches(worker, filter)) continue;
    const list = machines.get(worker.machine_id);
    if (list === undefined) machines.set(worker.machine_id, [worker]);
    else list.push(worker);
  }
  return [...machines]
    .map(([machineId, list]) => ({ machineId, workers: list.sort((a, b) => a.index - b.index) }))
    .sort((a, b) => byName(a.machineId, b.machineId));
}

function matches(worker: Worker, filter: string): boolean {
  if (filter === '') return true;
  const labels = Object.entries(worker.labels).map(([key, value]) => `${key}=${value}`);
  const text = [worker.worker_id, worker.status, worker.gpu_name, worker.job_id, ...worker.models, ...labels];
  const lower = text.join(' ').toLowerCase();
  return filter
    .toLowerCase()
    .split(/\s+/)
    .every(word => lower.includes(word));
}

/** Drawn as elements of the page. */
export type TileDensity = 'large' | 'medium';
/** Small ones are drawn on a canvas. */
export type Density = TileDensity | 'small';

/** Chosen by how many there are: as much of each as fits a screen. */
export function densityFor(gpus: number): Density {
  if (gpus <= 32) return 'large';
  return gpus <= 300 ? 'medium' : 'small';
}

export interface Group {
  name: string;
  machines: Machine[];
}

export const GROUPINGS = ['GPU model', 'hub', 'nothing'] as const;
export type Grouping = (typeof GROUPINGS)[number];

function groupOf(machine: Machine, by: Grouping): string {
  const [first] = machine.workers;
  if (by === 'hub') return first?.hub_id ?? 'no hub';
  if (by === 'GPU model') return (first?.gpu_name ?? 'GPUs of unknown name').replace(/^NVIDIA /, '');
  return 'All';
}

/** Machines under their headings; both stay in the order of their names. */
export function groupsOf(
  machines: readonly Machine[],
  by: Grouping,
): { name: string; machines: Machine[] }[] {
  const groups = new Map<string, Machine[]>();
  for (const machine of machines) {
    const name = groupOf(machine, by);
    const held = groups.get(name);
    if (held === undefined) groups.set(name, [machine]);
    else held.push(machine);
  }
  return [...groups].map(([name, list]) => ({ name, machines: list })).sort((a, b) => byName(a.name, b.name));
}
