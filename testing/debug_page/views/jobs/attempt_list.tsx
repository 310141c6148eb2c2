import type { JobRecord } from '../../../../core/messages/job.ts';
import { errorText } from '../../state/waiting_reason.ts';
import { clock, duration, fullTime } from '../../text/format.ts';
import { Id, Text } from '../../text/text.tsx';
import { oneLine } from '../../text/visible.ts';
import { hrefOf } from '../../ui/route.ts';

/** Every attempt the record holds, newest first. */
export function AttemptList({ job }: { job: JobRecord }) {
  const attempts = [...(job.attempts ?? [])].reverse();
  if (attempts.length === 0) return null;
  return (
    <ul class="attempts">
      {attempts.map((one, i) => (
        <li key={attempts.length - i}>
          <span class="muted">attempt {one.attempt}</span>
          {one.worker_id !== null && (
            <a href={hrefOf('worker', one.worker_id)}>
              <Id value={one.worker_id} />
            </a>
          )}
          <span>{one.outcome ?? 'running'}</span>
          <span class="tone-bad">
            <Text value={oneLine(errorText(one.error))} max={300} />
          </span>
          <span class="spacer" />
          <span class="muted" title={fullTime(one.assigned_at)}>
            {clock(one.assigned_at)} → {clock(one.ended_at)} · {length(one.assigned_at, one.ended_at)}
          </span>
        </li>
      ))}
    </ul>
  );
}

function length(from: number | null, to: number | null): string {
  return from === null || to === null ? '—' : duration(to - from);
}
