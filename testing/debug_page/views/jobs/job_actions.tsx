import type { JobRecord } from '../../../../core/messages/job.ts';
import { httpUrl } from '../../net/hub_address.ts';
import { link } from '../../net/hub_link.ts';
import { hubNow } from '../../state/hub_clock.ts';
import type { Job } from '../../state/job_events.ts';
import { hasEnded, runMs } from '../../state/job_times.ts';
import { duration } from '../../text/format.ts';
import { Action } from '../../ui/action.tsx';
import { CopyButton } from '../../ui/copy_button.tsx';
import { go } from '../../ui/route.ts';
import {
  cancelRequest,
  curlOf,
  PRIORITY,
  priorityRequest,
  retryRequest,
  submissionOf,
} from './job_requests.ts';

/** Work beyond this is asked about before it is thrown away. */
const DEAR_MS = 10 * 60_000;

function Cancel({ job }: { job: Job }) {
  if (job.cancel_requested_at !== null) return <span class="tone-waiting">cancelling…</span>;
  const run = runMs(job, hubNow()) ?? 0;
  const price = run > DEAR_MS ? `This throws away ${duration(run)} of GPU time.` : undefined;
  const cancel = async () => String((await link.request(cancelRequest(job)))['status']);
  return (
    <Action run={cancel} confirm={price} danger hotKey="c">
      Cancel
    </Action>
  );
}

function Priority({ job }: { job: Job }) {
  const change = async (text: string) => {
    await link.request(priorityRequest(job, Number(text)));
    return `priority ${text}`.replace('-', '−');
  };
  return (
    <Action run={change} ask={{ ...PRIORITY, value: String(job.priority) }} hotKey="p">
      Priority
    </Action>
  );
}

function Retry({ job }: { job: Job }) {
  const retry = async () => {
    const answer = await link.request(retryRequest(job));
    go('job', String(answer['job_id']));
    return undefined;
  };
  return (
    <Action run={retry} hotKey="r">
      Retry as a new job
    </Action>
  );
}

/** The same content under a new id, whatever became of this one. */
function Resubmit({ whole }: { whole: JobRecord }) {
  const submit = async () => {
    const answer = await link.request({ type: 'submit_job', ...submissionOf(whole) });
    go('job', String(answer['job_id']));
    return undefined;
  };
  return (
    <Action run={submit} hotKey="R">
      Resubmit as new
    </Action>
  );
}

export function JobActions({ job, whole }: { job: Job; whole: JobRecord | undefined }) {
  return (
    <div class="row">
      {hasEnded(job) ? (
        <Retry job={job} />
      ) : (
        <>
          <Cancel job={job} />
          <Priority job={job} />
        </>
      )}
      {whole !== undefined && (
        <>
          <Resubmit whole={whole} />
          <CopyButton
            text={() => curlOf(whole, httpUrl(link.hub, '/jobs'), link.token !== '')}
            label="copy as curl"
            hotKey="Y"
          />
        </>
      )}
    </div>
  );
}
