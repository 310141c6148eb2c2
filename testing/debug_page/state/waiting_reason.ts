// Why a job waits, in words, from what the page holds. It knows the types that slots take, not every
// requirement: that is the hub's to say (`explain_job`), so nothing here claims more.

import { duration } from '../text/format.ts';
import { hub, type Worker } from './hub_state.ts';
import type { Job } from './job_events.ts';

export interface WaitingReason {
  text: string;
  /** Nothing will happen by itself: somebody must do something. */
  stuck: boolean;
}

const takes = (worker: Worker, type: string) =>
  worker.job_types.includes('*') || worker.job_types.includes(type);

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
  const connected = [...hub.workers.values()].filter(worker => worker.status !== 'offline');
  if (connected.length === 0) return { text: 'no GPU is connected', stuck: true };
  const able = connected.filter(worker => takes(worker, job.job_type));
  if (able.length === 0) return { text: `no GPU takes ${job.job_type}`, stuck: true };
  const place = job.position === null ? '' : ` · #${job.position}`;
  const idle = able.filter(worker => worker.status === 'idle').length;
  const slots = `${able.length} of ${connected.length} GPUs take the type`;
  if (idle === 0) return { text: `${slots}, none idle${place}`, stuck: false };
  const needs = job.requirements === null ? '' : ', requirements may keep it out';
  return { text: `${slots}, ${idle} idle${needs}${place}`, stuck: false };
}

/** The sentence of an error, whatever its shape. */
export function errorText(error: unknown): string {
  if (typeof error !== 'object' || error === null) return error === null ? '' : String(error);
  const { code, message } = error as { code?: unknown; message?: unknown };
  return [code, message].filter(part => typeof part === 'string').join(': ');
}
