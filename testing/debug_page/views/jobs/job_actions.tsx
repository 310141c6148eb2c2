import { link } from '../../net/hub_link.ts';
import { hubNow } from '../../state/hub_clock.ts';
import type { Job } from '../../state/job_events.ts';
import { hasEnded, runMs } from '../../state/job_times.ts';
import { duration } from '../../text/format.ts';
import { Action } from '../../ui/action.tsx';
import { go } from '../../ui/route.ts';

/** Work beyond this is asked about before it is thrown away. */
const DEAR_MS = 10 * 60_000;

export function JobActions({ job }: { job: Job }) {
  const run = runMs(job, hubNow()) ?? 0;
  const price = run > DEAR_MS ? `This throws away ${duration(run)} of GPU time.` : undefined;
  const cancel = async () => {
    const answer = await link.request({
      type: 'cancel_job',
      job_id: job.job_id,
      reason: 'from the debug page',
    });
    return String(answer['status']);
  };
  const retry = async () => {
    const answer = await link.request({ type: 'retry_job', job_id: job.job_id });
    go('job', String(answer['job_id']));
    return undefined;
  };
  if (hasEnded(job)) return <Action run={retry}>Retry as a new job</Action>;
  if (job.cancel_requested_at !== null) return <span class="tone-waiting">cancelling…</span>;
  return (
    <Action run={cancel} confirm={price} danger>
      Cancel
    </Action>
  );
}
