// No frame tells a monitor that a queue was paused or resumed. What shows it is a job that waits while a GPU that fits
// is idle: the hub is asked about one such job now and then, and about the pauses that the page believes in.

import type { Explanation } from '../../../core/messages/client.ts';
import { fittingOf } from '../state/fitting.ts';
import { hubNow } from '../state/hub_clock.ts';
import { hub } from '../state/hub_state.ts';
import type { Job } from '../state/job_events.ts';
import { touch } from '../state/live.ts';
import type { Frame } from './connection.ts';

/** A job that waits less beside an idle GPU is just about to be assigned. */
const ODD_AFTER_MS = 2000;
const TYPES_MAX = 4;

/** Waiting jobs that a pause would explain, one a type, and one of each type that is said to be paused. */
function suspects(): Job[] {
  const byType = new Map<string, Job>();
  for (const job of hub.jobs.values()) {
    if (job.status !== 'queued' || byType.has(job.job_type)) continue;
    const believed = hub.paused.some(pause => pause.job_type === null || pause.job_type === job.job_type);
    const odd = hubNow() - (job.queued_at ?? job.created_at) > ODD_AFTER_MS && fittingOf(job).idle > 0;
    if (believed || odd) byType.set(job.job_type, job);
    if (byType.size >= TYPES_MAX) break;
  }
  return [...byType.values()];
}

function take(type: string, { as_of, reasons }: Explanation): void {
  const said = reasons.find(reason => reason.code === 'queue_paused');
  const known = hub.paused.some(pause => pause.job_type === null || pause.job_type === type);
  if ((said !== undefined) === known) return;
  if (said === undefined) {
    hub.paused = hub.paused.filter(pause => pause.job_type !== null && pause.job_type !== type);
  } else {
    // Only the sentence tells a pause of all types from one of this type.
    const job_type = said.message.startsWith('all queues') ? null : type;
    const reason = said.message.split(': ').slice(1).join(': ') || null;
    hub.paused = [...hub.paused, { job_type, reason, at: as_of }];
  }
  touch('stats', 'jobs');
}

/** Asks once. A hub that does not know the question leaves things as the snapshot said. */
export async function checkPauses(request: (frame: Frame) => Promise<Frame>): Promise<void> {
  for (const job of suspects()) {
    const answer = await request({ type: 'explain_job', job_id: job.job_id }).catch(() => undefined);
    if (answer === undefined) return;
    take(job.job_type, answer as unknown as Explanation);
  }
}
