import type { JobState } from '../messages/job.ts';
import { memberText } from './as_written.ts';
import { bar, duration, percent, type Screen, shownJson, state, visible } from './format.ts';
import type { JobEvent } from './http.ts';

/** What a line says of each event; other events are told by their type alone. */
const DETAILS: Record<string, (event: JobEvent) => string> = {
  job_queued: event => text(event['reason']),
  job_scheduled: event => `runs in ${duration(Number(event['run_at']) - event.at)}`,
  job_assigned: event => text(event['worker_id']),
  job_started: event => text(event['worker_id']),
  job_progress: event => {
    const share = Number(event['progress']);
    return `${bar(share)} ${percent(share)} ${text(event['message'])}`;
  },
  job_output: event => `#${event['index']} ${shownJson(memberText(event, 'data'))}`,
  job_output_gap: event => `#${event['from']} to #${event['to']} are lost`,
  job_retrying: event =>
    `${errorText(event['error'])}, again in ${duration(Number(event['run_at']) - event.at)}`,
  job_cancelling: event => text(event['reason']),
  job_completed: event =>
    `waited ${duration(event['queued_ms'] as number)}, ran ${duration(event['run_ms'] as number)}`,
  job_failed: event => errorText(event['error']),
  job_cancelled: event => text(event['reason']),
};

/** The state a job is in after an event that changes it. */
const STATE_AFTER: Record<string, JobState> = {
  job_queued: 'queued',
  job_scheduled: 'scheduled',
  job_assigned: 'assigned',
  job_started: 'processing',
  job_retrying: 'scheduled',
  job_completed: 'completed',
  job_failed: 'failed',
  job_cancelled: 'cancelled',
  job_expired: 'expired',
};

/** Undefined for an event that tells more of a job without changing its state. */
export function stateAfter(type: string): JobState | undefined {
  return Object.hasOwn(STATE_AFTER, type) ? STATE_AFTER[type] : undefined;
}

/** The new state, or the kind of the event. */
export function eventName(screen: Screen, type: string): string {
  const after = stateAfter(type);
  return after === undefined ? visible(type.replace(/^job_/, '')) : state(screen, after);
}

/** What else an event tells, safe to show. */
export function eventDetails(event: JobEvent): string {
  return Object.hasOwn(DETAILS, event.type) ? (DETAILS[event.type]?.(event) ?? '').trimEnd() : '';
}

const text = (value: unknown) => (value == null ? '' : visible(value));

/** `code: message`, safe to show. */
export function errorText(error: unknown): string {
  const { code, message } = (error ?? {}) as { code?: unknown; message?: unknown };
  return visible(`${code}: ${message}`);
}
