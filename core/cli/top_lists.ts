import type { JobRecord } from '../messages/job.ts';
import type { Stats, WorkerState } from '../messages/stats.ts';
import type { WorkerRecord } from '../messages/worker.ts';
import { errorText } from './event_text.ts';
import {
  count,
  cut,
  cutMiddle,
  duration,
  memory,
  NOTHING,
  paint,
  type Screen,
  shownWidth,
  state,
  visible,
} from './format.ts';
import { noteOf } from './job_note.ts';
import { phases } from './job_times.ts';
import type { ListView, Tab } from './top_state.ts';

/** What the lists are made from. */
export interface Facts {
  stats: Stats;
  workers: readonly WorkerRecord[];
  jobs: readonly JobRecord[];
  /** The present time by the clock of Redis, ms. */
  now: number;
}

/** A list as it is shown. */
export interface List {
  /** The ids of its rows, in their order. */
  ids: string[];
  /** The head, then a line a row; the last column may be wider than there is room. */
  lines: string[];
  /** How many there are without the filter. */
  all: number;
  /** The head by which it is sorted, with an arrow; empty when it is in the order of the hub. */
  sorted: string;
}

type Value = number | string | null;

interface Column<T> {
  head: string;
  right?: boolean;
  cell(screen: Screen, item: T, facts: Facts): string;
  /** By what it is sorted; none where that has no meaning. */
  value?(item: T, facts: Facts): Value;
  /** The largest first, as of everything that may be a trouble. */
  down?: boolean;
}

interface Kind<T> {
  /** The first one with a value is the usual order, unless `orders` begins with another. */
  columns: Column<T>[];
  /** Heads of the columns that a narrow terminal does without, the first one first. */
  drops: string[];
  /** Heads of the columns in the order in which `s` goes through them; '' is the order of the hub. */
  orders: string[];
  items(facts: Facts): T[];
  id(item: T): string;
  /** What the filter looks through. */
  text(item: T): string;
}

/** One sign a GPU. */
const SIGNS: Record<WorkerState, string> = {
  idle: '□',
  busy: '■',
  stopping: '◔',
  draining: '‖',
  quarantined: '☒',
  offline: '┄',
};
const ID_MOST = 40;
/** Room that the last column has at least: it is cut where the screen ends. */
const LAST_LEAST = 24;
const NOTE_MOST = 80;

export interface Machine {
  machine_id: string;
  gpus: WorkerRecord[];
}

/** Machines by name, the GPUs of each by number. */
export function machinesOf(workers: readonly WorkerRecord[]): Machine[] {
  const machines = new Map<string, WorkerRecord[]>();
  for (const worker of workers) {
    const gpus = machines.get(worker.machine_id);
    if (gpus === undefined) machines.set(worker.machine_id, [worker]);
    else gpus.push(worker);
  }
  for (const gpus of machines.values()) gpus.sort((a, b) => a.index - b.index);
  return [...machines]
    .map(([machine_id, gpus]) => ({ machine_id, gpus }))
    .sort((a, b) => compare(a.machine_id, b.machine_id));
}

const isAtWork = ({ status }: WorkerRecord) => status === 'busy' || status === 'stopping';
const busyOf = ({ gpus }: Machine) => gpus.filter(isAtWork).length;
const readings = ({ gpus }: Machine) => gpus.flatMap(gpu => gpu.telemetry ?? []);
const utilOf = (machine: Machine) => mean(readings(machine).map(({ gpu_util }) => gpu_util));
const usedOf = (machine: Machine) => sum(readings(machine).map(({ vram_used_mb }) => vram_used_mb));
const heatOf = (machine: Machine) => largest(readings(machine).map(({ temperature_c }) => temperature_c));
const seenOf = ({ gpus }: Machine) => Math.max(...gpus.map(({ last_seen_at }) => last_seen_at));
const wrongOf = ({ gpus }: Machine) =>
  gpus.find(({ status_reason }) => status_reason != null)?.status_reason ?? null;

const MACHINES: Kind<Machine> = {
  drops: ['SEEN', 'MODEL', 'TEMP', 'MEM', 'UTIL', 'BUSY'],
  orders: ['MACHINE', 'BUSY', 'UTIL', 'MEM', 'TEMP', 'SEEN'],
  items: ({ workers }) => machinesOf(workers),
  id: ({ machine_id }) => machine_id,
  text: ({ machine_id, gpus }) =>
    [
      machine_id,
      ...gpus.flatMap(gpu => [gpu.status, gpu.gpu_name, gpu.job_id, gpu.status_reason, ...gpu.models]),
    ].join(' '),
  columns: [
    {
      head: 'MACHINE',
      cell: (_, { machine_id }) => cutMiddle(visible(machine_id), ID_MOST),
      value: ({ machine_id }) => machine_id,
    },
    { head: 'GPUS', cell: (_, { gpus }) => gpus.map(({ status }) => SIGNS[status] ?? '?').join('') },
    {
      head: 'BUSY',
      right: true,
      down: true,
      cell: (_, machine) => `${busyOf(machine)}/${machine.gpus.length}`,
      value: machine => busyOf(machine) / machine.gpus.length,
    },
    {
      head: 'UTIL',
      right: true,
      down: true,
      cell: (_, machine) => rounded(utilOf(machine), '%'),
      value: utilOf,
    },
    {
      head: 'MEM',
      down: true,
      cell: (_, machine) =>
        `${memory(usedOf(machine))}/${memory(sum(machine.gpus.map(({ vram_mb }) => vram_mb)))}`,
      value: usedOf,
    },
    {
      head: 'TEMP',
      right: true,
      down: true,
      cell: (_, machine) => rounded(heatOf(machine), '°C'),
      value: heatOf,
    },
    {
      head: 'SEEN',
      right: true,
      down: true,
      cell: (_, machine, { now }) => duration(now - seenOf(machine)),
      value: (machine, { now }) => now - seenOf(machine),
    },
    {
      head: 'MODEL',
      cell: (_, { gpus }) =>
        visible([...new Set(gpus.map(({ gpu_name }) => gpu_name ?? NOTHING))].join(', ')),
    },
    { head: 'REASON', cell: (_, machine) => visible(wrongOf(machine) ?? '') },
  ],
};

const JOBS: Kind<JobRecord> = {
  drops: ['TRY', 'PRI', 'WORKER', 'TYPE', 'WAIT', 'RUN'],
  orders: ['', 'WAIT', 'RUN', 'PROGRESS / WHY', 'PRI', 'TYPE', 'JOB', 'TRY'],
  items: ({ jobs }) => [...jobs],
  id: ({ job_id }) => job_id,
  text: job =>
    [
      ...[job.job_id, job.job_type, job.status, job.worker_id, job.client_id, job.progress_message],
      job.error == null ? '' : errorText(job.error),
    ].join(' '),
  columns: [
    { head: 'STATE', cell: (screen, { status }) => state(screen, status) },
    {
      head: 'JOB',
      cell: (_, { job_id }) => cutMiddle(visible(job_id), ID_MOST),
      value: ({ job_id }) => job_id,
    },
    {
      head: 'TYPE',
      cell: (_, { job_type }) => cutMiddle(visible(job_type), ID_MOST),
      value: ({ job_type }) => job_type,
    },
    {
      head: 'WAIT',
      right: true,
      down: true,
      cell: (_, job, { now }) => duration(phases(job, now).waited_ms),
      value: (job, { now }) => phases(job, now).waited_ms,
    },
    {
      head: 'RUN',
      right: true,
      down: true,
      cell: (_, job, { now }) => duration(phases(job, now).ran_ms),
      value: (job, { now }) => phases(job, now).ran_ms,
    },
    { head: 'WORKER', cell: (_, { worker_id }) => cutMiddle(visible(worker_id ?? NOTHING), ID_MOST) },
    {
      head: 'PRI',
      right: true,
      down: true,
      cell: (_, { priority }) => String(priority),
      value: ({ priority }) => priority,
    },
    {
      head: 'TRY',
      right: true,
      down: true,
      cell: (_, { attempt, max_attempts }) => `${attempt}/${max_attempts}`,
      value: ({ attempt }) => attempt,
    },
    {
      head: 'PROGRESS / WHY',
      down: true,
      cell: (_, job, facts) => cut(noteOf(job, facts), NOTE_MOST),
      value: ({ progress }) => progress ?? null,
    },
  ],
};

type Queue = [job_type: string, counts: Stats['by_type'][string]];
const pauseOf = (job_type: string, { stats }: Facts) =>
  stats.paused.find(paused => paused.job_type === null || paused.job_type === job_type);

const QUEUES: Kind<Queue> = {
  drops: ['MEAN RUN', 'FAILED', 'DONE'],
  orders: ['WAIT', 'RUN', 'DONE', 'FAILED', 'MEAN RUN', 'TYPE'],
  items: ({ stats }) => Object.entries(stats.by_type),
  id: ([job_type]) => job_type,
  text: ([job_type]) => job_type,
  columns: [
    { head: 'TYPE', cell: (_, [type]) => cutMiddle(visible(type), ID_MOST), value: ([type]) => type },
    {
      head: 'WAIT',
      right: true,
      down: true,
      cell: (_, [, { queued }]) => count(queued),
      value: ([, { queued }]) => queued,
    },
    {
      head: 'RUN',
      right: true,
      down: true,
      cell: (_, [, { active }]) => count(active),
      value: ([, { active }]) => active,
    },
    {
      head: 'DONE',
      right: true,
      down: true,
      cell: (_, [, { completed }]) => count(completed),
      value: ([, { completed }]) => completed,
    },
    {
      head: 'FAILED',
      right: true,
      down: true,
      cell: (_, [, { failed }]) => count(failed),
      value: ([, { failed }]) => failed,
    },
    {
      head: 'MEAN RUN',
      right: true,
      down: true,
      cell: (_, [, { avg_run_ms }]) => duration(avg_run_ms),
      value: ([, { avg_run_ms }]) => avg_run_ms,
    },
    {
      head: 'PAUSED',
      cell: (_, [type], facts) => {
        const pause = pauseOf(type, facts);
        if (pause === undefined) return '';
        const whole = pause.job_type === null ? ' (all queues)' : '';
        const why = pause.reason ? ` ${visible(pause.reason)}` : '';
        return `‖ for ${duration(facts.now - pause.at)}${whole}${why}`;
      },
    },
  ],
};

const KINDS = { machines: MACHINES, jobs: JOBS, queues: QUEUES } as const;
type ListTab = keyof typeof KINDS;

/** How many orders a list has. */
export function ordersOf(tab: Tab): number {
  return tab === 'overview' ? 1 : KINDS[tab].orders.length;
}

/** The list of a tab as the view wants it: filtered and sorted. The head that it is sorted by has an arrow. */
export function listOf(screen: Screen, tab: ListTab, facts: Facts, view: ListView): List {
  // Each kind has items of its own, which only it looks at.
  return made(screen, KINDS[tab] as Kind<unknown>, facts, view);
}

function made<T>(screen: Screen, kind: Kind<T>, facts: Facts, { order, reversed, filter }: ListView): List {
  const all = kind.items(facts);
  const wanted = filter.toLowerCase();
  const items = wanted === '' ? all : all.filter(item => kind.text(item).toLowerCase().includes(wanted));
  const by = kind.columns.find(({ head }) => head === kind.orders[order]);
  const falls = (by?.down === true) !== reversed;
  if (by?.value !== undefined) {
    const values = new Map(items.map(item => [item, by.value?.(item, facts) ?? null]));
    items.sort((a, b) => compareKnown(values.get(a) ?? null, values.get(b) ?? null, falls));
  } else if (reversed) items.reverse();
  const sorted = by === undefined ? '' : `${by.head}${falls ? '▼' : '▲'}`;
  const heads = kind.columns.map(column => (column === by ? sorted : column.head));
  const cells = items.map(item => kind.columns.map(column => column.cell(screen, item, facts)));
  return {
    ids: items.map(item => kind.id(item)),
    lines: layOut(screen, kind, heads, cells),
    all: all.length,
    sorted,
  };
}

/** In columns two spaces apart, as many as there is room for. */
function layOut<T>(screen: Screen, { columns, drops }: Kind<T>, heads: string[], rows: string[][]): string[] {
  const last = columns.length - 1;
  const widths = heads.map((head, i) =>
    Math.max(shownWidth(head), ...rows.map(row => shownWidth(row[i] as string))),
  );
  const dropped = new Set<string>();
  const kept = () => columns.map((_, i) => i).filter(i => !dropped.has((columns[i] as Column<T>).head));
  const total = () =>
    kept().reduce(
      (sum, i) => sum + 2 + Math.min(widths[i] as number, i === last ? LAST_LEAST : Infinity),
      -2,
    );
  for (const head of drops) {
    if (screen.width === null || total() <= screen.width) break;
    dropped.add(head);
  }
  const shown = kept();
  return [heads, ...rows].map((cells, row) => {
    const line = shown.map(i => {
      const text = row === 0 ? paint(screen, 'bold', cells[i] as string) : (cells[i] as string);
      const gap = ' '.repeat(Math.max(0, (widths[i] as number) - shownWidth(text)));
      return columns[i]?.right === true ? gap + text : text + gap;
    });
    return line.join('  ').trimEnd();
  });
}

const compare = (a: number | string, b: number | string) => (a < b ? -1 : a > b ? 1 : 0);

/** What is not known comes last, in both directions. */
function compareKnown(a: Value, b: Value, falls: boolean): number {
  if (a === null || b === null) return a === b ? 0 : a === null ? 1 : -1;
  return falls ? compare(b, a) : compare(a, b);
}

const numbers = (values: readonly (number | null | undefined)[]) => values.filter(value => value != null);

function sum(values: readonly (number | null | undefined)[]): number | null {
  const known = numbers(values);
  return known.length === 0 ? null : known.reduce((total, value) => total + value, 0);
}

function mean(values: readonly (number | null | undefined)[]): number | null {
  const total = sum(values);
  return total === null ? null : total / numbers(values).length;
}

function largest(values: readonly (number | null | undefined)[]): number | null {
  const known = numbers(values);
  return known.length === 0 ? null : Math.max(...known);
}

const rounded = (value: number | null, unit: string) =>
  value === null ? NOTHING : `${Math.round(value)}${unit}`;
