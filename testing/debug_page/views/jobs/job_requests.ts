// What the page asks of the hub about a job, and the same for a shell.

import type { JobRecord } from '../../../../core/messages/job.ts';
import type { Job } from '../../state/job_events.ts';
import { isActive, runMs } from '../../state/job_times.ts';
import { duration } from '../../text/format.ts';
import { writeJson } from '../../text/json_text.ts';
import type { Ask } from '../../ui/action.tsx';

type JobRef = { job_id: string };

export const PRIORITY: Ask = { label: 'priority', value: '10', number: { min: -100, max: 100 } };

export const cancelRequest = ({ job_id }: JobRef) => ({
  type: 'cancel_job',
  job_id,
  reason: 'from the debug page',
});
export const retryRequest = ({ job_id }: JobRef) => ({ type: 'retry_job', job_id });

/** Work beyond this is asked about before it is thrown away. */
const DEAR_MS = 10 * 60_000;

/** What cancelling them costs; empty when it is little. */
export function priceOf(jobs: readonly Job[], now: number): string {
  const run = jobs.filter(isActive).reduce((sum, job) => sum + (runMs(job, now) ?? 0), 0);
  return run > DEAR_MS ? `This throws away ${duration(run)} of GPU time.` : '';
}

/** A new submission of the same content. Its timeouts are not in a job's record, so they are not in here. */
export function submissionOf(job: JobRecord): Record<string, unknown> {
  const { job_type, params, priority, requirements, max_attempts, metadata } = job;
  return {
    job_type,
    params: params ?? {},
    priority,
    max_attempts,
    ...(requirements === null ? {} : { requirements }),
    ...(metadata === null ? {} : { metadata }),
  };
}

/** One word of a POSIX shell, whatever it holds. */
const quoted = (text: string) => `'${text.replaceAll("'", `'\\''`)}'`;

/** The submission as a command. A token is never written out: the shell's own variable stands for it. */
export function curlOf(job: JobRecord, jobsUrl: string, withToken: boolean): string {
  const lines = [`curl -sS ${quoted(jobsUrl)}`, `-H 'Content-Type: application/json'`];
  if (withToken) lines.push('-H "Authorization: Bearer $GPUHUB_TOKEN"');
  lines.push(`--data-raw ${quoted(writeJson(submissionOf(job)))}`);
  return lines.join(' \\\n  ');
}
