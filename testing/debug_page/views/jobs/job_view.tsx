import { useMemo } from 'preact/hooks';
import type { JobRecord } from '../../../../core/messages/job.ts';
import { hubNow } from '../../state/hub_clock.ts';
import type { Job } from '../../state/job_events.ts';
import { hasEnded, isActive, isWaiting, runMs, waitMs } from '../../state/job_times.ts';
import { errorText } from '../../state/waiting_reason.ts';
import { bytes, duration, percent } from '../../text/format.ts';
import { writeJson } from '../../text/json_text.ts';
import { JsonTree } from '../../text/json_tree.tsx';
import { Id, Text } from '../../text/text.tsx';
import { oneLine } from '../../text/visible.ts';
import { Bar } from '../../ui/bar.tsx';
import { Card } from '../../ui/card.tsx';
import { CopyButton } from '../../ui/copy_button.tsx';
import { hrefOf } from '../../ui/route.ts';
import { JobStateWord } from '../../ui/state_word.tsx';
import { JobActions } from './job_actions.tsx';
import { OutputCard } from './output_card.tsx';
import { TimelineCard } from './timeline_card.tsx';
import { useWholeJob } from './use_whole_job.ts';
import { WhyCard } from './why_card.tsx';

export function JobView({ jobId }: { jobId: string }) {
  const { whole, job, error } = useWholeJob(jobId);
  return (
    <>
      <div class="crumbs">
        <a href={hrefOf('jobs')}>Jobs</a> <span class="muted">›</span>
        <h1 class="mono">
          <Text value={jobId} max={128} />
        </h1>
        <CopyButton text={() => jobId} label="copy id" hotKey="y" />
        {job !== undefined && <Facts job={job} />}
        <span class="spacer" />
        {job !== undefined && <JobActions job={job} whole={whole} />}
      </div>
      {job === undefined && <p class="empty">{error || 'Asking the hub for it…'}</p>}
      {job !== undefined && <Now job={job} />}
      {job !== undefined && <OutputCard jobId={jobId} />}
      {job !== undefined && whole !== undefined && <Whole job={job} whole={whole} />}
    </>
  );
}

function Facts({ job }: { job: Job }) {
  const facts = [job.job_type, `priority ${job.priority}`.replace('-', '−')];
  if (job.client_id !== null) facts.push(`client ${job.client_id}`);
  if (job.attempt > 0) facts.push(`attempt ${job.attempt} of ${job.max_attempts}`);
  if (job.retry_of !== null) facts.push(`retry of ${job.retry_of}`);
  return (
    <>
      <JobStateWord state={job.status} />
      <span class="muted">
        <Text value={facts.join(' · ')} max={300} />
      </span>
    </>
  );
}

/** Waiting: why. Running: how far. Ended: how. */
function Now({ job }: { job: Job }) {
  if (isWaiting(job)) return <WhyCard job={job} />;
  if (isActive(job)) return <Progress job={job} />;
  const tones = { completed: 'good', failed: 'bad' } as Record<string, string>;
  const now = hubNow();
  return (
    <Card title="Outcome" tone={tones[job.status] ?? 'closed'}>
      <p class="sentence">
        <b>{job.status}</b>{' '}
        {job.status === 'failed' ? (
          <Text value={oneLine(errorText(job.error))} />
        ) : (
          <Text value={reasonOf(job)} />
        )}
      </p>
      <p class="muted">
        waited {duration(waitMs(job, now))} · ran {duration(runMs(job, now))}
        {job.worker_id !== null && (
          <>
            {' '}
            on{' '}
            <a href={hrefOf('worker', job.worker_id)}>
              <Id value={job.worker_id} />
            </a>
          </>
        )}
      </p>
    </Card>
  );
}

function reasonOf(job: Job): string {
  if (job.status === 'expired') return 'It was not started within its start_timeout_ms.';
  return job.status === 'cancelled' ? (job.note ?? '') : '';
}

function Progress({ job }: { job: Job }) {
  return (
    <Card title="Progress" tone="running">
      <div class="big-progress">
        <Bar part={job.progress ?? 0} label="progress" />
        <b>{percent(job.progress ?? 0)}</b>
        <Text value={job.progress_message ?? ''} max={300} />
        <span class="spacer" />
        <span class="muted">
          running {duration(runMs(job, hubNow()))} on{' '}
          <a href={hrefOf('worker', job.worker_id ?? '')}>
            <Id value={job.worker_id ?? '—'} />
          </a>
        </span>
      </div>
    </Card>
  );
}

function Value({ title, value, folded = false }: { title: string; value: unknown; folded?: boolean }) {
  // Made once a value: params may be large, and this page is drawn many times a second.
  const size = useMemo(() => writeJson(value).length, [value]);
  return (
    <Card
      title={
        <>
          {title} <span class="muted">{bytes(size)}</span>
        </>
      }
      aside={<CopyButton text={() => writeJson(value, 2)} label="copy" />}
    >
      <JsonTree value={value} folded={folded} />
    </Card>
  );
}

function Whole({ job, whole }: { job: Job; whole: JobRecord }) {
  const { params, result } = whole;
  const needs = useMemo(() => ({ requirements: whole.requirements, metadata: whole.metadata }), [whole]);
  const rest = useMemo(() => {
    const { params: _params, result: _result, attempts: _attempts, ...other } = whole;
    return other;
  }, [whole]);
  return (
    <>
      <TimelineCard job={isNewer(job, whole) ? { ...whole, ...job } : whole} ended={hasEnded(job)} />
      <div class="columns even">
        <div class="column">
          <Value title="params" value={params ?? {}} />
          <Value title="requirements · metadata" value={needs} />
        </div>
        <div class="column">
          {whole.status === 'completed' && <Value title="result" value={result ?? null} />}
          {whole.error != null && <Value title="error" value={whole.error} />}
          <Value title="record" value={rest} folded />
        </div>
      </div>
    </>
  );
}

const isNewer = (job: Job, whole: JobRecord) => job.seq > whole.seq;
