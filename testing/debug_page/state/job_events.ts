// What an event of the protocol (section 4) does to the record of a job that the page holds.

import type { EventType, JobRecord, JobState } from '../../../core/messages/job.ts';
import { writeJson } from '../text/json_text.ts';

/** A job as the page holds it: the record of lists and snapshots, and what only events tell. */
export type Job = JobRecord & {
  /** Among the waiting jobs of its signature; an estimate, known only when an event told it. */
  position: number | null;
  /** Why it went back to the queue, why it was cancelled, or its result in one line. */
  note: string | null;
};

export interface JobEvent {
  type: EventType;
  job_id: string;
  seq: number;
  at: number;
  attempt: number;
  [field: string]: unknown;
}

/** Answers about jobs are no events: those have a seq and a time. */
export function isJobEvent(frame: { type: string } & Record<string, unknown>): frame is JobEvent {
  return frame.type.startsWith('job_') && typeof frame['seq'] === 'number' && typeof frame['at'] === 'number';
}

const RESULT_LINE_MAX = 160;

/** A result in one line. Lists never hold whole results: 5,000 of them could be gigabytes. */
export function resultLine(result: unknown): string | null {
  if (result === undefined || result === null) return null;
  const text = writeJson(result, undefined, (_key, value) =>
    typeof value === 'string' && value.length > RESULT_LINE_MAX ? `${value.slice(0, 24)}…` : value,
  );
  return text.length > RESULT_LINE_MAX ? `${text.slice(0, RESULT_LINE_MAX)}…` : text;
}

type Change = (job: Job, event: JobEvent) => Partial<Job>;

const text = (value: unknown) => (typeof value === 'string' ? value : null);
const worker = (event: JobEvent) => text(event['worker_id']);
const notRunning = {
  worker_id: null,
  assigned_at: null,
  started_at: null,
  progress: 0,
  progress_message: null,
};
const ended = (status: JobState, event: JobEvent) => ({ status, finished_at: event.at, position: null });

const CHANGES: Partial<Record<EventType, Change>> = {
  job_queued: (job, event) => {
    const position = event['position'] as number | null;
    // It waited before, and only has another place; unless the event that said so was left out.
    if (event['reason'] === 'operator' && job.status === 'queued') return { position };
    return { ...notRunning, status: 'queued', queued_at: event.at, position, note: text(event['reason']) };
  },
  job_scheduled: (_job, event) => ({ ...notRunning, status: 'scheduled', run_at: event['run_at'] as number }),
  job_assigned: (_job, event) => ({
    ...notRunning,
    status: 'assigned',
    worker_id: worker(event),
    assigned_at: event.at,
    position: null,
    note: null,
  }),
  job_started: (job, event) => ({
    status: 'processing',
    worker_id: worker(event) ?? job.worker_id,
    started_at: job.started_at ?? event.at,
  }),
  job_progress: (job, event) => ({
    status: 'processing',
    progress: event['progress'] as number,
    progress_message: text(event['message']) ?? job.progress_message,
  }),
  job_retrying: (_job, event) => ({
    ...notRunning,
    status: 'scheduled',
    error: event['error'],
    run_at: event['run_at'] as number,
  }),
  job_cancelling: (_job, event) => ({ cancel_requested_at: event.at, note: text(event['reason']) }),
  job_completed: (job, event) => ({
    ...ended('completed', event),
    worker_id: worker(event) ?? job.worker_id,
    note: resultLine(event['result']),
  }),
  job_failed: (job, event) => ({
    ...ended('failed', event),
    worker_id: worker(event) ?? job.worker_id,
    error: event['error'],
  }),
  job_cancelled: (job, event) => ({ ...ended('cancelled', event), note: text(event['reason']) ?? job.note }),
  job_expired: (_job, event) => ended('expired', event),
};

/** The job after the event; the same object when the event is older than what is held. */
export function afterEvent(job: Job, event: JobEvent): Job {
  const change = CHANGES[event.type];
  if (change === undefined || event.seq < job.seq) return job;
  if (event.seq === job.seq && event.type !== 'job_progress') return job;
  return { ...job, ...change(job, event), attempt: event.attempt, seq: event.seq, updated_at: event.at };
}
