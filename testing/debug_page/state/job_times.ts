import type { JobRecord, JobState } from '../../../core/messages/job.ts';

type Times = Pick<
  JobRecord,
  'status' | 'created_at' | 'run_at' | 'assigned_at' | 'started_at' | 'finished_at' | 'queued_at'
>;

const ENDED: ReadonlySet<JobState> = new Set(['completed', 'failed', 'cancelled', 'expired']);

export const hasEnded = (job: { status: JobState }) => ENDED.has(job.status);
export const isActive = (job: { status: JobState }) =>
  job.status === 'assigned' || job.status === 'processing';
export const isWaiting = (job: { status: JobState }) => job.status === 'queued' || job.status === 'scheduled';

/** Waiting for a worker: `queued_ms` of the protocol, or its present value; null while not due. */
export function waitMs(job: Times, now: number): number | null {
  const from = Math.max(job.created_at, job.run_at ?? 0);
  // A job that went back to the queue still names its last assignment.
  if (job.assigned_at !== null && !isWaiting(job)) return Math.max(0, job.assigned_at - from);
  if (job.status === 'scheduled') return null;
  const to = hasEnded(job) ? (job.finished_at ?? now) : now;
  return to < from ? null : to - from;
}

/** At work in the present attempt: `run_ms` of the protocol, or its present value; null before it. */
export function runMs(job: Times, now: number): number | null {
  if (job.assigned_at === null || isWaiting(job)) return null;
  return Math.max(0, (job.finished_at ?? now) - job.assigned_at);
}
