// An event names a job; type, priority and client are in its record. Records of jobs that appeared since the
// snapshot are asked for in few requests, whatever the rate of submissions.

import type { JobRecord } from '../../../core/messages/job.ts';
import { hub } from '../state/hub_state.ts';
import { touch } from '../state/live.ts';
import type { Frame } from './connection.ts';

const LIST_LIMIT = 500;
/** Up to so many are asked for one by one; beyond, a page of the newest has most of them. */
const SINGLES_MAX = 8;

type Request = (frame: Frame) => Promise<Frame>;

async function one(request: Request, jobId: string): Promise<void> {
  hub.unknown.delete(jobId);
  const answer = await request({ type: 'get_job', job_id: jobId }).catch(() => undefined);
  if (answer?.type === 'job') hub.takeJobs([answer['job'] as JobRecord]);
}

async function page(request: Request, filter: Record<string, unknown>): Promise<string | null> {
  const answer = await request({ type: 'list_jobs', limit: LIST_LIMIT, ...filter });
  hub.takeJobs(answer['jobs'] as JobRecord[]);
  return (answer['next_cursor'] as string | null) ?? null;
}

export async function fillUnknownJobs(request: Request): Promise<void> {
  if (hub.unknown.size > SINGLES_MAX) await page(request, {}).catch(() => undefined);
  const rest = [...hub.unknown].slice(0, SINGLES_MAX);
  await Promise.all(rest.map(jobId => one(request, jobId)));
}

/** One page of what matches at the hub, taken into the state; the cursor of the next page, or null. */
export async function loadJobs(request: Request, filter: Record<string, unknown>): Promise<string | null> {
  const cursor = await page(request, filter);
  touch('jobs');
  return cursor;
}
