import type { JobRecord } from '../messages/job.ts';
import type { Stats } from '../messages/stats.ts';
import { errorText } from './event_text.ts';
import { bar, duration, NOTHING, percent, visible } from './format.ts';

/**
 * What a list says of a job: how far it is, why it failed, or what of its waiting can be told without asking.
 *
 * @param now by the clock of Redis
 */
export function noteOf(job: JobRecord, { stats, now }: { stats: Stats; now: number }): string {
  const { status, error, run_at } = job;
  if (status === 'assigned' || status === 'processing') {
    const share = job.progress ?? 0;
    return `${bar(share)} ${percent(share)} ${visible(job.progress_message ?? '')}`.trimEnd();
  }
  const fault = error == null || status === 'completed' ? '' : errorText(error);
  if (status === 'scheduled') {
    const due = `due in ${duration(run_at === null ? null : run_at - now)}`;
    return fault === '' ? due : `${due}, ${fault}`;
  }
  if (status !== 'queued') return fault === '' ? NOTHING : fault;
  const pause = stats.paused.find(({ job_type }) => job_type === null || job_type === job.job_type);
  if (pause !== undefined) return `paused${pause.reason ? `: ${visible(pause.reason)}` : ''}`;
  const { idle, busy, stopping, draining, quarantined } = stats.workers;
  if (idle + busy + stopping + draining + quarantined === 0) return 'no machine is connected';
  return idle + busy + stopping === 0 ? 'every GPU is draining or sick' : NOTHING;
}
