import { JOB_STATES, type JobRecord, type JobState } from '../messages/job.ts';
import { errorText, stateAfter } from './event_text.ts';
import {
  bar,
  count,
  cutMiddle,
  duration,
  fitting,
  padded,
  paint,
  percent,
  plural,
  type Screen,
  shownWidth,
  state,
  visible,
} from './format.ts';
import type { JobEvent } from './http.ts';
import { phases } from './job_times.ts';

/** What a line of the board shows of a job. Times are ms by the clock of Redis. */
export interface BoardJob {
  job_id: string;
  /** Null before anything is known of it. */
  status: JobState | null;
  progress: number;
  message: string;
  worker_id: string | null;
  /** When its waiting began, or, once assigned, its run. */
  since: number | null;
  /** How long it ran, when it has ended. */
  ran_ms: number | null;
  /** Why it failed, waits again, or is being cancelled; safe to show. */
  note: string;
}

const ENDED: ReadonlySet<JobState | null> = new Set<JobState>([
  'completed',
  'failed',
  'cancelled',
  'expired',
]);
/** Which jobs keep their line when there is not room for all: first what moves, then what went wrong. */
const RANK: readonly (JobState | null)[] = [
  'processing',
  'assigned',
  'failed',
  'expired',
  'queued',
  'scheduled',
  null,
  'cancelled',
  'completed',
];
const STATE_WIDTH = 12;
const ID_LEAST = 12;
/** Of the width, so much goes to the ids at most. */
const ID_SHARE = 0.4;
const BAR_CELLS = 10;

export function boardJob(job_id: string): BoardJob {
  return {
    job_id,
    status: null,
    progress: 0,
    message: '',
    worker_id: null,
    since: null,
    ran_ms: null,
    note: '',
  };
}

export const hasEnded = ({ status }: BoardJob): boolean => ENDED.has(status);

/** Takes what the hub's record says. */
export function takeRecord(job: BoardJob, record: JobRecord): void {
  const { status, finished_at } = record;
  const running = status === 'assigned' || status === 'processing';
  job.status = status;
  job.progress = record.progress ?? 0;
  job.message = record.progress_message ?? '';
  job.worker_id = record.worker_id ?? null;
  job.since = running
    ? record.assigned_at
    : status === 'scheduled'
      ? record.run_at
      : (record.queued_at ?? record.created_at);
  job.ran_ms = finished_at === null ? null : phases(record, finished_at).ran_ms;
  job.note = record.error === null || status === 'completed' ? '' : errorText(record.error);
}

/** Takes an event, in the order in which the hub tells them. */
export function takeEvent(job: BoardJob, event: JobEvent): void {
  const after = stateAfter(event.type);
  if (after === undefined) takeDetail(job, event);
  else if (ENDED.has(after)) end(job, event, after);
  else if (after === 'assigned' || after === 'processing') run(job, event, after);
  else wait(job, event, after);
}

function takeDetail(job: BoardJob, event: JobEvent): void {
  if (event.type === 'job_progress') {
    job.progress = Number(event['progress']);
    job.message = String(event['message'] ?? '');
    // Also when the watch began after the start.
    if (job.status !== 'processing') run(job, event, 'processing');
  }
  if (event.type === 'job_cancelling')
    job.note = `is being cancelled ${visible(event['reason'] ?? '')}`.trimEnd();
}

function run(job: BoardJob, event: JobEvent, status: JobState): void {
  // Its run is counted from the assignment.
  if (status === 'assigned' || job.status !== 'assigned') job.since = event.at;
  if (status === 'assigned' || job.status === 'queued' || job.status === 'scheduled') {
    if (event.type !== 'job_progress') job.progress = 0;
    job.note = '';
  }
  job.status = status;
  job.worker_id = (event['worker_id'] as string | undefined) ?? job.worker_id;
}

function wait(job: BoardJob, event: JobEvent, status: JobState): void {
  // It waited before, and only has another place.
  if (event['reason'] === 'operator' && job.status === status) return;
  job.status = status;
  job.since = status === 'scheduled' ? Number(event['run_at']) : event.at;
  job.worker_id = null;
  job.progress = 0;
  job.message = '';
  if (event['error'] !== undefined) job.note = errorText(event['error']);
}

function end(job: BoardJob, event: JobEvent, status: JobState): void {
  const ran = job.status === 'assigned' || job.status === 'processing';
  const told_ms = event['run_ms'];
  job.ran_ms =
    typeof told_ms === 'number' ? told_ms : ran && job.since !== null ? event.at - job.since : null;
  job.worker_id = (event['worker_id'] as string | undefined) ?? job.worker_id;
  job.status = status;
  job.note = event['error'] == null ? visible(event['reason'] ?? '') : errorText(event['error']);
}

/**
 * The board: a line a job in the order given, then one that counts all of them. When there are more jobs than room,
 * those that move stay, and a line sums up the rest.
 *
 * @param now by the clock of Redis, ms
 * @param rows how many lines there is room for
 * @param note right of the counts
 */
export function boardLines(
  screen: Screen,
  jobs: readonly BoardJob[],
  now: number,
  rows: number,
  note = '',
): string[] {
  const shown = chosen(jobs, rows);
  const kept = new Set(shown);
  const rest = jobs.filter(job => !kept.has(job));
  const width = screen.width ?? Number.POSITIVE_INFINITY;
  const id_most = Math.max(ID_LEAST, Math.floor(width * ID_SHARE));
  const ids = new Map(shown.map(job => [job, cutMiddle(visible(job.job_id), id_most)]));
  const id_width = Math.max(0, ...[...ids.values()].map(shownWidth));
  const lines = shown.map(job => jobLine(screen, job, padded(ids.get(job) as string, id_width), now));
  if (rest.length > 0 && rows > 1)
    lines.push(paint(screen, 'gray', `… ${count(rest.length)} more: ${tally(rest)}`));
  lines.push([`${plural(jobs.length, 'job')}: ${tally(jobs)}`, note].filter(text => text !== '').join(' · '));
  return lines.map(line => fitting(line, screen.width));
}

function chosen(jobs: readonly BoardJob[], rows: number): BoardJob[] {
  if (jobs.length + 1 <= rows) return [...jobs];
  const room = Math.max(0, rows - 2);
  const best = new Set(
    [...jobs].sort((a, b) => RANK.indexOf(a.status) - RANK.indexOf(b.status)).slice(0, room),
  );
  return jobs.filter(job => best.has(job));
}

/** `2 processing · 1 failed` */
function tally(jobs: readonly BoardJob[]): string {
  const counts = new Map<JobState | null, number>();
  for (const { status } of jobs) counts.set(status, (counts.get(status) ?? 0) + 1);
  return [...JOB_STATES, null]
    .filter(status => counts.has(status))
    .map(status => `${count(counts.get(status))} ${status ?? 'unknown'}`)
    .join(' · ');
}

function jobLine(screen: Screen, job: BoardJob, id: string, now: number): string {
  const name = job.status === null ? paint(screen, 'gray', '…') : state(screen, job.status);
  const time = timeText(job, now).padStart(6);
  return `${padded(name, STATE_WIDTH)}  ${id}  ${time}  ${detail(screen, job)}`.trimEnd();
}

function timeText(job: BoardJob, now: number): string {
  if (hasEnded(job)) return duration(job.ran_ms);
  if (job.since === null) return '';
  // A job that is scheduled: until it is due.
  return duration(Math.abs(now - job.since));
}

function detail(screen: Screen, job: BoardJob): string {
  const { status, worker_id, note } = job;
  const worker = worker_id === null ? '' : visible(worker_id);
  if (status === 'assigned' || status === 'processing') {
    const parts = [`${bar(job.progress, BAR_CELLS)} ${percent(job.progress).padStart(4)}`, worker];
    return [...parts, note === '' ? visible(job.message) : note].filter(text => text !== '').join('  ');
  }
  if (status === 'scheduled') return ['until it is due', note].filter(text => text !== '').join(', ');
  if (status === 'failed') return paint(screen, 'red', note);
  if (status === 'completed') return worker === '' ? '' : `on ${worker}`;
  return note;
}
