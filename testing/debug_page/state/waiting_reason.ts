// Why a job waits, in one line of a list, from what the page holds. The hub itself is asked on the job's page.

import { count, duration } from '../text/format.ts';
import { fittingOf, isStuck, whatLacks } from './fitting.ts';
import { hub } from './hub_state.ts';
import type { Job } from './job_events.ts';

export interface WaitingReason {
  text: string;
  /** Nothing will happen by itself: somebody must do something. */
  stuck: boolean;
}

function isPaused(type: string): boolean {
  return hub.paused.some(pause => pause.job_type === null || pause.job_type === type);
}

export function waitingReason(job: Job, now: number): WaitingReason {
  if (job.status === 'scheduled') {
    const due = (job.run_at ?? now) - now;
    const again = job.attempt > 0 ? 'retries' : 'starts';
    return { text: due > 0 ? `${again} in ${duration(due)}` : 'due now', stuck: false };
  }
  if (isPaused(job.job_type)) return { text: 'the queue is paused', stuck: true };
  const fitting = fittingOf(job);
  if (fitting.connected === 0) return { text: 'no GPU is connected', stuck: true };
  if (isStuck(fitting)) return { text: whatLacks(job, fitting), stuck: true };
  const place = job.position === null ? '' : ` · #${job.position} when it came`;
  const slots = `${count(fitting.able)} of ${count(fitting.connected)} GPUs fit`;
  const idle = fitting.idle === 0 ? 'none idle' : `${count(fitting.idle)} idle`;
  return { text: `${slots}, ${idle}${place}`, stuck: false };
}

/** The sentence of an error, whatever its shape. */
export function errorText(error: unknown): string {
  if (typeof error !== 'object' || error === null) return error === null ? '' : String(error);
  const { code, message } = error as { code?: unknown; message?: unknown };
  return [code, message].filter(part => typeof part === 'string').join(': ');
}
