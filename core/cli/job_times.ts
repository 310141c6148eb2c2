import type { JobRecord } from '../messages/job.ts';

export interface Phases {
  /** From when the job could have run to its last assignment, or to now; null when its time has not come. */
  waited_ms: number | null;
  /** From its last assignment to its end, or to now; null when it is not assigned. */
  ran_ms: number | null;
}

type Times = Pick<JobRecord, 'status' | 'created_at' | 'run_at' | 'assigned_at' | 'finished_at'>;

/** How long a job waited and ran, as the protocol counts `queued_ms` and `run_ms`. */
export function phases(job: Times, now: number): Phases {
  const due = Math.max(job.created_at, job.run_at ?? 0);
  const end = job.finished_at ?? now;
  const waits = job.status === 'queued' || job.status === 'scheduled';
  if (waits || job.assigned_at === null) {
    return { waited_ms: end < due ? null : end - due, ran_ms: null };
  }
  return {
    waited_ms: Math.max(0, job.assigned_at - due),
    ran_ms: Math.max(0, end - job.assigned_at),
  };
}
