import { hubNow } from '../../state/hub_clock.ts';
import type { Job } from '../../state/job_events.ts';
import { runMs, waitMs } from '../../state/job_times.ts';
import { duration, fullTime } from '../../text/format.ts';
import { Id, Text } from '../../text/text.tsx';
import { go, hrefOf } from '../../ui/route.ts';
import { JobStateWord } from '../../ui/state_word.tsx';
import { WhatHappens } from './what_happens.tsx';

interface RowProps {
  job: Job;
  /** It does not match any more; it goes when the list is let go. */
  leaving: boolean;
}

interface TableRowProps extends RowProps {
  selected: boolean;
  cursor: boolean;
  onToggle: (range: boolean) => void;
}

function open(event: MouseEvent, jobId: string): void {
  const inLink = event.target instanceof Element && event.target.closest('a, button, input') !== null;
  const selecting = (getSelection()?.toString() ?? '') !== '';
  if (!inLink && !selecting) go('job', jobId);
}

export function JobRow({ job, leaving, selected, cursor, onToggle }: TableRowProps) {
  const now = hubNow();
  const look = `${leaving ? 'leaving' : ''} ${selected ? 'selected' : ''} ${cursor ? 'cursor' : ''}`;
  return (
    <tr data-row class={look} onClick={event => open(event, job.job_id)}>
      <td class="pick">
        <input
          type="checkbox"
          aria-label={`select ${job.job_id}`}
          checked={selected}
          onClick={event => onToggle(event.shiftKey)}
        />
      </td>
      <td>
        <JobStateWord state={job.status} />
      </td>
      <td>
        <a href={hrefOf('job', job.job_id)}>
          <Id value={job.job_id} />
        </a>
      </td>
      <td>
        <Text value={job.job_type} max={40} />
      </td>
      <td class="num">{String(job.priority).replace('-', '−')}</td>
      <td class="muted drop-2">
        <Text value={job.client_id ?? '—'} max={24} />
      </td>
      <td class="what">
        <WhatHappens job={job} />
      </td>
      <td class="num drop-4" title={fullTime(job.created_at)}>
        {duration(waitMs(job, now))}
      </td>
      <td class="num" title={fullTime(job.assigned_at)}>
        {duration(runMs(job, now))}
      </td>
      <td class="num muted drop-3">
        {job.attempt}/{job.max_attempts}
      </td>
      <td class="drop-1">
        {job.worker_id === null ? (
          <span class="muted">—</span>
        ) : (
          <a href={hrefOf('worker', job.worker_id)}>
            <Id value={job.worker_id} max={20} />
          </a>
        )}
      </td>
    </tr>
  );
}

/** The same in two lines, for narrow screens. */
export function JobCard({ job, leaving }: RowProps) {
  const now = hubNow();
  return (
    <li class={`job-card ${leaving ? 'leaving' : ''}`}>
      <a href={hrefOf('job', job.job_id)}>
        <span class="job-card-head">
          <JobStateWord state={job.status} />
          <Id value={job.job_id} max={22} />
          <span class="spacer" />
          <span class="num">{duration(runMs(job, now) ?? waitMs(job, now))}</span>
        </span>
        <span class="job-card-what">
          <WhatHappens job={job} />
          <span class="muted">
            <Text value={job.job_type} max={40} />
          </span>
        </span>
      </a>
    </li>
  );
}
