import { hubNow } from '../../state/hub_clock.ts';
import type { Job } from '../../state/job_events.ts';
import { isActive, isWaiting } from '../../state/job_times.ts';
import { errorText, waitingReason } from '../../state/waiting_reason.ts';
import { duration, percent } from '../../text/format.ts';
import { Text } from '../../text/text.tsx';
import { oneLine } from '../../text/visible.ts';
import { Bar } from '../../ui/bar.tsx';

const LINE_MAX = 140;

/** Running: how far. Waiting: why, in words. Ended: how, in one line. */
export function WhatHappens({ job }: { job: Job }) {
  if (isWaiting(job)) return <Waiting job={job} />;
  if (isActive(job)) return <Running job={job} />;
  if (job.status === 'failed') {
    return (
      <span class="tone-bad">
        <Text value={oneLine(errorText(job.error))} max={LINE_MAX} />
      </span>
    );
  }
  if (job.status === 'expired') return <span class="muted">not started in time</span>;
  return (
    <span class="muted one-line">
      <Text value={oneLine(job.note ?? (job.status === 'completed' ? 'done' : '—'))} max={LINE_MAX} />
    </span>
  );
}

function Waiting({ job }: { job: Job }) {
  const { text, stuck } = waitingReason(job, hubNow());
  const before = job.attempt > 0 ? errorText(job.error) : '';
  return (
    <span class={stuck ? 'tone-bad' : ''}>
      {text}
      {before !== '' && (
        <span class="muted">
          {' '}
          after <Text value={oneLine(before)} max={80} />
        </span>
      )}
    </span>
  );
}

function Running({ job }: { job: Job }) {
  if (job.cancel_requested_at !== null) {
    return <span class="tone-waiting">cancelling… {duration(hubNow() - job.cancel_requested_at)}</span>;
  }
  if (job.status === 'assigned') {
    return (
      <span class="muted">sent to the GPU {duration(hubNow() - (job.assigned_at ?? hubNow()))} ago</span>
    );
  }
  return (
    <span class="progress-cell">
      <Bar part={job.progress ?? 0} label="progress" />
      <span class="num-fixed">{percent(job.progress ?? 0)}</span>
      <span class="muted">
        <Text value={oneLine(job.progress_message ?? '')} max={60} />
      </span>
    </span>
  );
}
