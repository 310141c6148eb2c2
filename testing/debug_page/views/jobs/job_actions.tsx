import type { JobRecord } from '../../../../core/messages/job.ts';
import { httpUrl } from '../../net/hub_address.ts';
import { link } from '../../net/hub_link.ts';
import { hubNow } from '../../state/hub_clock.ts';
import type { Job } from '../../state/job_events.ts';
import { hasEnded } from '../../state/job_times.ts';
import { offerUndo } from '../../state/undo.ts';
import { Action } from '../../ui/action.tsx';
import { CopyButton } from '../../ui/copy_button.tsx';
import { go } from '../../ui/route.ts';
import { changePriority } from './change_priority.ts';
import { cancelRequest, curlOf, priceOf, PRIORITY, retryRequest, submissionOf } from './job_requests.ts';

function Cancel({ job }: { job: Job }) {
  if (job.cancel_requested_at !== null) return <span class="tone-waiting">cancelling…</span>;
  const cancel = async () => String((await link.request(cancelRequest(job)))['status']);
  return (
    <Action run={cancel} confirm={`Cancel this job? ${priceOf([job], hubNow())}`.trim()} danger hotKey="c">
      Cancel
    </Action>
  );
}

const signed = (priority: number) => String(priority).replace('-', '−');

function Priority({ job }: { job: Job }) {
  const change = async (text: string) => {
    const [before, after] = [job.priority, Number(text)];
    await changePriority(job.job_id, after);
    offerUndo(`${job.job_id} has priority ${signed(after)}`, async () => {
      await changePriority(job.job_id, before);
      return `priority ${signed(before)} again`;
    });
    return undefined;
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
