import type { JobRecord } from '../messages/job.ts';
import type { Stats, WorkerState } from '../messages/stats.ts';
import type { WorkerRecord } from '../messages/worker.ts';
import {
  bar,
  count,
  duration,
  fitting,
  memory,
  NOTHING,
  paint,
  percent,
  plural,
  type Screen,
  shownWidth,
  state,
  table,
  visible,
} from './format.ts';
import { phases } from './job_times.ts';
import { connected, problems, typeTable } from './summary.ts';

/** What a picture shows. */
export interface Picture {
  /** The hub's address. */
  url: string;
  stats: Stats;
  /** How many waited, the oldest first: for the little chart. */
  depths: readonly number[];
  workers: readonly WorkerRecord[];
  /** The newest of those that run. */
  running: readonly JobRecord[];
  /** The present time by the clock of Redis, ms. */
  now: number;
  /** Right of the address: whether the picture is live. */
  link: string;
  /** At the right end of the first line. */
  note: string;
}

const TYPES_MOST = 4;
const PROBLEMS_MOST = 3;
/** Of the lines that machines and jobs share, so much goes to the machines at most. */
const MACHINES_SHARE = 0.4;
const CHART_CELLS = 20;
const STEPS = '▁▂▃▄▅▆▇█';
/** One sign a GPU. */
const SIGNS: Record<WorkerState, string> = {
  idle: '□',
  busy: '■',
  stopping: '◔',
  draining: '‖',
  quarantined: '☒',
  offline: '┄',
};

/**
 * The picture of `top`, line by line, none wider than the screen.
 *
 * @param rows how many lines there is room for; machines and jobs beyond it are counted, not shown
 */
export function topLines(screen: Screen, picture: Picture, rows: number): string[] {
  const { stats, workers, running } = picture;
  const lines = [...headLines(screen, picture)];
  const wrong = problems(stats).slice(0, PROBLEMS_MOST);
  lines.push(...wrong.map(problem => paint(screen, 'red', `✕ ${problem}`)));
  if (Object.keys(stats.by_type).length > 0) {
    lines.push('', ...typeTable(screen, stats, TYPES_MOST).split('\n'));
  }
  const machines = machinesOf(workers);
  // Each of the two lists has a blank line, a head, and perhaps a line that counts the rest.
  const room = Math.max(2, rows - lines.length - 6);
  const active = stats.jobs.assigned + stats.jobs.processing;
  const most = Math.min(
    machines.length,
    Math.max(1, Math.floor(room * MACHINES_SHARE), room - running.length),
  );
  lines.push('', ...machineLines(screen, machines, most));
  lines.push(
    '',
    ...runningLines(screen, picture, Math.max(1, room - most), Math.max(active, running.length)),
  );
  return lines.slice(0, rows).map(line => fitting(line, screen.width));
}

function headLines(screen: Screen, { url, stats, depths, link, note }: Picture): string[] {
  const { jobs, workers, rates, latency_ms: latency } = stats;
  const title = `${paint(screen, 'bold', 'gpuhub top')} · ${url} · ${plural(stats.hubs, 'hub')} · ${link}`;
  const gap = Math.max(2, (screen.width ?? 100) - shownWidth(title) - shownWidth(note));
  const slots = connected(stats);
  const working = workers.busy + workers.stopping;
  const use = slots > 0 ? working / slots : 0;
  const label = (text: string) => paint(screen, 'gray', text);
  return [
    `${title}${' '.repeat(gap)}${note}`,
    [
      `${label('WAIT')} ${count(jobs.queued)} ${chart(depths)} +${count(jobs.scheduled)} scheduled`,
      `${label('BUSY')} ${count(working)}/${count(slots)} ${bar(use)} ${percent(use)}`,
      `${label('IN')} ${rates.submitted_per_s.toFixed(1)}/s`,
      `${label('DONE')} ${rates.completed_per_s.toFixed(1)}/s`,
      `${label('FAIL')} ${rates.failed_per_s.toFixed(1)}/s`,
    ].join(' │ '),
    [
      `${label('WAIT')} p50 ${duration(latency.queue_p50)} p99 ${duration(latency.queue_p99)}`,
      `${label('RUN')} p50 ${duration(latency.run_p50)} p99 ${duration(latency.run_p99)}`,
      `${label('OLDEST')} ${duration(stats.oldest_queued_ms)}`,
      `${count(jobs.completed)} completed ${count(jobs.failed)} failed`,
    ].join(' │ '),
  ];
}

/** The newest values as steps from zero to the largest. */
function chart(values: readonly number[]): string {
  const shown = values.slice(-CHART_CELLS);
  const most = Math.max(1, ...shown);
  return shown.map(value => STEPS[Math.round((value / most) * (STEPS.length - 1))]).join('');
}

type Machine = [machine_id: string, gpus: WorkerRecord[]];

function machinesOf(workers: readonly WorkerRecord[]): Machine[] {
  const machines = new Map<string, WorkerRecord[]>();
  for (const worker of workers) {
    const gpus = machines.get(worker.machine_id);
    if (gpus === undefined) machines.set(worker.machine_id, [worker]);
    else gpus.push(worker);
  }
  for (const gpus of machines.values()) gpus.sort((a, b) => a.index - b.index);
  return [...machines].sort(([a], [b]) => (a < b ? -1 : 1));
}

function machineLines(screen: Screen, machines: readonly Machine[], most: number): string[] {
  if (machines.length === 0) return ['no machine is connected'];
  const rows = machines.slice(0, most).map(([machine_id, gpus]) => {
    const telemetry = gpus.flatMap(gpu => gpu.telemetry ?? []);
    const hottest = largest(telemetry.map(reading => reading.temperature_c));
    return [
      visible(machine_id),
      gpus.map(gpu => SIGNS[gpu.status] ?? '?').join(''),
      `${gpus.filter(gpu => gpu.status === 'busy' || gpu.status === 'stopping').length}/${gpus.length}`,
      percentText(mean(telemetry.map(reading => reading.gpu_util))),
      `${memory(sum(telemetry.map(reading => reading.vram_used_mb)))}/${memory(sum(gpus.map(gpu => gpu.vram_mb)))}`,
      hottest === null ? NOTHING : `${Math.round(hottest)}°C`,
      visible([...new Set(gpus.map(gpu => gpu.gpu_name ?? NOTHING))].join(', ')),
    ];
  });
  const right = ['BUSY', 'UTIL', 'TEMP'];
  const head = ['MACHINE', 'GPUS', 'BUSY', 'UTIL', 'MEM', 'TEMP', 'MODEL'];
  const lines = table(screen, head, rows, { right }).split('\n');
  if (machines.length > most)
    lines.push(`… ${plural(machines.length - most, 'more machine')}: gpuhub workers`);
  return lines;
}

const numbers = (values: readonly (number | null | undefined)[]) => values.filter(value => value != null);

function sum(values: readonly (number | null | undefined)[]): number | null {
  const known = numbers(values);
  return known.length === 0 ? null : known.reduce((a, b) => a + b, 0);
}

function mean(values: readonly (number | null | undefined)[]): number | null {
  const known = numbers(values);
  const total = sum(known);
  return total === null ? null : total / known.length;
}

function largest(values: readonly (number | null | undefined)[]): number | null {
  const known = numbers(values);
  return known.length === 0 ? null : Math.max(...known);
}

const percentText = (value: number | null) => (value === null ? NOTHING : `${Math.round(value)}%`);

function runningLines(screen: Screen, { running, now }: Picture, most: number, all: number): string[] {
  if (running.length === 0) return ['no job runs'];
  const rows = running.slice(0, most).map(job => {
    const share = job.progress ?? 0;
    return [
      state(screen, job.status),
      visible(job.job_id),
      visible(job.job_type),
      duration(phases(job, now).ran_ms),
      visible(job.worker_id ?? NOTHING),
      `${bar(share)} ${percent(share)} ${visible(job.progress_message ?? '')}`.trimEnd(),
      `${job.attempt}/${job.max_attempts}`,
      String(job.priority),
    ];
  });
  const head = ['STATE', 'JOB', 'TYPE', 'RUN', 'WORKER', 'PROGRESS', 'TRY', 'PRI'];
  const lines = table(screen, head, rows, { right: ['RUN', 'TRY', 'PRI'] }).split('\n');
  if (all > rows.length) lines.push(`… ${count(all - rows.length)} more: gpuhub jobs --status active`);
  return lines;
}
