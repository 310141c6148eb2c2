// The life of a job as a row of phases: wait, attempt, back-off, wait, attempt …

import type { AttemptRecord, JobRecord } from '../../../../core/messages/job.ts';
import { hasEnded, isWaiting } from '../../state/job_times.ts';
import { errorText } from '../../state/waiting_reason.ts';

export interface Phase {
  kind: 'planned' | 'wait' | 'dispatch' | 'run';
  /** Phases of one row share it. */
  row: string;
  from: number;
  /** Null: goes on now. */
  to: number | null;
  /** How a run ended. */
  outcome: 'completed' | 'failed' | 'lost' | 'cancelled' | undefined;
  text: string;
}

const OUTCOMES: Record<string, Phase['outcome']> = {
  completed: 'completed',
  failed: 'failed',
  cancelled: 'cancelled',
  expired: 'failed',
};

/**
 * A lease that ran out may still be taken up again, so the record gives no end: it ran out when the job was last
 * changed, at the latest when the next attempt began.
 */
function withEnds(attempts: readonly AttemptRecord[], job: JobRecord): AttemptRecord[] {
  return attempts.map((one, i) => {
    if (one.ended_at !== null || one.outcome === null) return one;
    return { ...one, ended_at: attempts[i + 1]?.assigned_at ?? job.updated_at };
  });
}

/** The attempts of the record; the present one is made from the job's own times if the list lacks it. */
function attemptsOf(job: JobRecord): AttemptRecord[] {
  const listed = job.attempts ?? [];
  const last = listed.at(-1);
  if (job.assigned_at === null || (last?.assigned_at ?? 0) >= job.assigned_at) return listed;
  const { attempt, worker_id, assigned_at, started_at, finished_at, error } = job;
  const outcome = hasEnded(job) ? job.status : null;
  return [...listed, { attempt, worker_id, assigned_at, started_at, ended_at: finished_at, outcome, error }];
}

function runPhases(one: AttemptRecord, row: string): Phase[] {
  if (one.assigned_at === null) return [];
  const outcome = one.ended_at === null ? undefined : (OUTCOMES[one.outcome ?? ''] ?? 'lost');
  const why =
    outcome === 'completed' ? '' : errorText(one.error) || (outcome === 'lost' ? (one.outcome ?? '') : '');
  const text = [one.worker_id, why].filter(Boolean).join(' · ');
  const started = one.started_at ?? one.ended_at;
  const dispatch: Phase = {
    kind: 'dispatch',
    row,
    from: one.assigned_at,
    to: started,
    outcome: undefined,
    text: '',
  };
  // It ended straight from the assignment, or was never heard of.
  if (one.started_at === null)
    return [
      { ...dispatch, kind: outcome === undefined || outcome === 'lost' ? 'dispatch' : 'run', outcome, text },
    ];
  return [dispatch, { kind: 'run', row, from: one.started_at, to: one.ended_at, outcome, text }];
}

/** The gap before an attempt: back-off until `due` if it was planned for later, then waiting. */
function gapPhases(from: number, to: number | null, due: number, number: number): Phase[] {
  const phases: Phase[] = [];
  const waitFrom = Math.max(from, due);
  const rest = { outcome: undefined, text: '' } as const;
  if (waitFrom > from) {
    const row = number === 1 ? 'delay' : 'back-off';
    phases.push({ kind: 'planned', row, from, to: to === null ? waitFrom : Math.min(waitFrom, to), ...rest });
  }
  if (to === null || to > waitFrom)
    phases.push({ kind: 'wait', row: `wait ${number}`, from: waitFrom, to, ...rest });
  return phases;
}

export function phasesOf(job: JobRecord): Phase[] {
  const attempts = withEnds(attemptsOf(job), job);
  const phases: Phase[] = [];
  let from = job.created_at;
  attempts.forEach((one, i) => {
    const isLast = i === attempts.length - 1;
    // run_at is that of the latest wait; the first delay and older back-offs are not kept apart.
    const due = isLast && !isWaiting(job) ? (job.run_at ?? 0) : 0;
    if (one.assigned_at !== null) phases.push(...gapPhases(from, one.assigned_at, due, i + 1));
    phases.push(...runPhases(one, `attempt ${i + 1}`));
    from = one.ended_at ?? from;
  });
  if (isWaiting(job)) {
    const gap = gapPhases(from, null, job.run_at ?? 0, attempts.length + 1);
    // Whether it will wait when it is due nobody knows yet.
    phases.push(...gap.filter(phase => phase.kind === 'planned' || job.status === 'queued'));
  } else if (attempts.length === 0) {
    phases.push(...gapPhases(from, job.finished_at, job.run_at ?? 0, 1));
  }
  return phases;
}
