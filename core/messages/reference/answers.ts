import type { TypeOf } from '../protocol.ts';
import type { Role } from '../shared.ts';

/**
 * Which message answers which request, for the references. A request that is not named here is shown without an
 * answer; any request may be answered by `error` instead.
 */
export const ANSWERS: { readonly [R in Role]: { readonly [T in TypeOf<R>]?: string } } = {
  client: {
    ping: 'pong',
    submit_job: 'job_accepted',
    submit_jobs: 'jobs_accepted',
    cancel_job: 'job_cancel_accepted',
    get_job: 'job',
    list_jobs: 'jobs',
    watch_jobs: 'jobs_watched',
    unwatch_jobs: 'jobs_unwatched',
    explain_job: 'job_explained',
    get_stats: 'stats',
  },
  worker: {
    ping: 'pong',
    register_worker: 'worker_registered',
    worker_heartbeat: 'heartbeat_ack',
    job_completed: 'job_ack',
    job_failed: 'job_ack',
    job_cancelled: 'job_ack',
    job_released: 'job_ack',
    job_rejected: 'job_ack',
    worker_drain: 'worker_draining',
    worker_resume: 'worker_resumed',
  },
  monitor: {
    ping: 'pong',
    get_stats: 'stats',
    submit_job: 'job_accepted',
    cancel_job: 'job_cancel_accepted',
    get_job: 'job',
    list_jobs: 'jobs',
    explain_job: 'job_explained',
    list_workers: 'workers',
    pause_queue: 'ok',
    resume_queue: 'ok',
    drain_worker: 'ok',
    resume_worker: 'ok',
    retry_job: 'job_accepted',
    set_priority: 'ok',
    purge_jobs: 'ok',
  },
};

/** The tag of the message that answers a request, or undefined. */
export function answerTo(role: Role, tag: string): string | undefined {
  return (ANSWERS[role] as Record<string, string | undefined>)[tag];
}
