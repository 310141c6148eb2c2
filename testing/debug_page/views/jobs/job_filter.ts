// `status:active type:video client:app worker:m-7:gpu0 words`: what the hub can filter by name, the rest as text.

import { protocol } from '../../protocol/protocol.ts';
import type { Job } from '../../state/job_events.ts';
import { errorText } from '../../state/waiting_reason.ts';

export interface JobFilter {
  status: string;
  type: string;
  client: string;
  worker: string;
  words: string[];
}

const KEYS = ['status', 'type', 'client', 'worker'] as const;

export function readFilter(query: string): JobFilter {
  const filter: JobFilter = { status: '', type: '', client: '', worker: '', words: [] };
  for (const word of query.split(/\s+/).filter(Boolean)) {
    const key = KEYS.find(name => word.startsWith(`${name}:`));
    if (key === undefined) filter.words.push(word.toLowerCase());
    else filter[key] = word.slice(key.length + 1);
  }
  return filter;
}

/** The query with one of its named parts replaced, or taken out when the value is empty. */
export function withPart(query: string, key: (typeof KEYS)[number], value: string): string {
  const rest = query.split(/\s+/).filter(word => word !== '' && !word.startsWith(`${key}:`));
  return (value === '' ? rest : [`${key}:${value}`, ...rest]).join(' ');
}

/** What `status:` may be: a state or a group of them. */
export const STATES: readonly string[] = [...Object.keys(protocol.stateGroups), ...protocol.jobStates];

/** Whether it asks for a state that there is; as one does that asks for any. */
export const isState = (status: string) => status === '' || STATES.includes(status);

/** The part that the hub filters by, over all jobs it has. */
export function hubFilter({ status, type, client, worker }: JobFilter): Record<string, string> {
  const parts = {
    status: isState(status) ? status : '',
    job_type: type,
    client_id: client,
    worker_id: worker,
  };
  return Object.fromEntries(Object.entries(parts).filter(([, value]) => value !== ''));
}

function hasStatus(job: Job, status: string): boolean {
  return status === '' || job.status === status || (protocol.stateGroups[status] ?? []).includes(job.status);
}

export function matches(job: Job, filter: JobFilter): boolean {
  if (!hasStatus(job, filter.status)) return false;
  if (filter.type !== '' && job.job_type !== filter.type) return false;
  if (filter.client !== '' && job.client_id !== filter.client) return false;
  if (filter.worker !== '' && job.worker_id !== filter.worker) return false;
  if (filter.words.length === 0) return true;
  const parts = [job.job_id, job.job_type, job.client_id, job.worker_id, job.progress_message, job.note];
  const text = [...parts, errorText(job.error)].join(' ').toLowerCase();
  return filter.words.every(word => text.includes(word));
}

const ORDER: Record<string, number> = { processing: 0, assigned: 1, queued: 2, scheduled: 3 };

/** What runs, then what waits in the order it will run, then what ended, newest first. */
export function inOrder(jobs: Job[]): Job[] {
  const rank = (job: Job) => ORDER[job.status] ?? 4;
  return jobs.sort((a, b) => {
    if (rank(a) !== rank(b)) return rank(a) - rank(b);
    if (rank(a) === 4) return (b.finished_at ?? 0) - (a.finished_at ?? 0);
    return b.priority - a.priority || a.created_at - b.created_at || (a.job_id < b.job_id ? -1 : 1);
  });
}
