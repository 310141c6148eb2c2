// What a person should look at, made from the data, sorted by harm. Nothing here is guessed: each line says
// what it counts.

import type { Pause } from '../../../../core/messages/stats.ts';
import { hub } from '../../state/hub_state.ts';
import { hubNow } from '../../state/hub_clock.ts';
import { fittingOf, isStuck, whatLacks } from '../../state/fitting.ts';
import type { Job } from '../../state/job_events.ts';
import { errorText } from '../../state/waiting_reason.ts';
import { count, duration } from '../../text/format.ts';
import { hrefOf } from '../../ui/route.ts';

export interface Need {
  key: string;
  tone: 'bad' | 'waiting';
  title: string;
  text: string;
  href: string;
  link: string;
  /** A paused queue is resumed on the spot. */
  resume?: { job_type: string | undefined; reason: string | undefined };
}

const LISTED_MAX = 3;
const PAUSES_LISTED = 5;

function sickWorkers(): Need[] {
  return [...hub.workers.values()]
    .filter(worker => worker.status === 'quarantined')
    .slice(0, LISTED_MAX)
    .map(worker => ({
      key: `sick ${worker.worker_id}`,
      tone: 'bad',
      title: `${worker.worker_id} is quarantined`,
      text: worker.status_reason ?? '',
      href: hrefOf('worker', worker.worker_id),
      link: 'Machine',
    }));
}

function nobodyToWork(): Need[] {
  const waiting = hub.stats?.jobs.queued ?? 0;
  const connected = [...hub.workers.values()].some(worker => worker.status !== 'offline');
  if (waiting === 0 || connected) return [];
  const title = `${count(waiting)} waiting, and no GPU is connected`;
  const oldest = hub.stats?.oldest_queued_ms;
  const text = oldest == null ? '' : `oldest ${duration(oldest)}`;
  return [{ key: 'nobody', tone: 'bad', title, text, href: hrefOf('machines'), link: 'Machines' }];
}

function awayWithJob(): Need[] {
  const away = [...hub.workers.values()].filter(
    worker => worker.status === 'offline' && worker.job_id !== null,
  );
  if (away.length === 0) return [];
  const names = away.slice(0, LISTED_MAX).map(worker => worker.worker_id);
  const title = `${count(away.length)} away with a job`;
  const text = `${names.join(', ')}${away.length > LISTED_MAX ? ' …' : ''}: their leases run on`;
  return [{ key: 'away', tone: 'waiting', title, text, href: hrefOf('machines'), link: 'Machines' }];
}

function paused(): Need[] {
  const rest = hub.paused.length - PAUSES_LISTED;
  const more: Need = {
    key: 'paused more',
    tone: 'waiting',
    title: `${count(rest)} more queues paused`,
    text: 'gpuhub pause --list names all',
    href: hrefOf('jobs', '', { q: 'status:queued' }),
    link: 'Jobs',
  };
  return [...hub.paused.slice(0, PAUSES_LISTED).map(pausedNeed), ...(rest > 0 ? [more] : [])];
}

function pausedNeed(pause: Pause): Need {
  return {
    key: `paused ${pause.job_type}`,
    tone: 'waiting',
    title: `queue paused: ${pause.job_type ?? 'all types'}`,
    text: [pause.reason, `${duration(hubNow() - pause.at)} ago`].filter(Boolean).join(' · '),
    href: hrefOf('jobs', '', {
      q: pause.job_type === null ? 'status:queued' : `status:queued type:${pause.job_type}`,
    }),
    link: 'Jobs',
    resume: { job_type: pause.job_type ?? undefined, reason: pause.reason ?? undefined },
  };
}

/** Jobs that no connected GPU can run or will take, by what is missing. */
function unworkable(): Need[] {
  const byReason = new Map<string, Job[]>();
  for (const job of hub.jobs.values()) {
    if (job.status !== 'queued') continue;
    const fitting = fittingOf(job);
    if (!isStuck(fitting)) continue;
    const reason = whatLacks(job, fitting);
    const jobs = byReason.get(reason);
    if (jobs === undefined) byReason.set(reason, [job]);
    else jobs.push(job);
  }
  return [...byReason].slice(0, LISTED_MAX).map(([reason, jobs]) => {
    const oldest = Math.min(...jobs.map(job => job.created_at));
    const [first] = jobs as [Job];
    const one = jobs.length === 1;
    return {
      key: `unworkable ${reason}`,
      tone: 'bad',
      title: one ? `no GPU here takes ${first.job_id}` : `no GPU here takes ${count(jobs.length)} jobs`,
      text: `${reason} · ${one ? '' : 'oldest '}waits ${duration(hubNow() - oldest)}`,
      href: one
        ? hrefOf('job', first.job_id)
        : hrefOf('jobs', '', { q: `status:queued type:${first.job_type}` }),
      link: one ? 'Job' : 'Jobs',
    };
  });
}

/** Failures older than this are the past; the count of all is in the numbers above. */
const FAILED_WITHIN_MS = 15 * 60_000;

/** What failed for good in the last minutes, the commonest cause first; poison is said apart. */
function deadLetters(): Need[] {
  const since = hubNow() - FAILED_WITHIN_MS;
  const failed = [...hub.jobs.values()].filter(
    job => job.status === 'failed' && (job.finished_at ?? 0) > since,
  );
  if (failed.length === 0) return [];
  const causes = new Map<string, number>();
  for (const { error } of failed) {
    const code = errorText(error).split(':')[0] || 'unknown';
    causes.set(code, (causes.get(code) ?? 0) + 1);
  }
  const common = [...causes].sort((a, b) => b[1] - a[1]).slice(0, LISTED_MAX);
  const poison = causes.get('poison') ?? 0;
  return [
    {
      key: 'dead',
      tone: poison > 0 ? 'bad' : 'waiting',
      title: `${count(failed.length)} dead ${failed.length === 1 ? 'letter' : 'letters'} in 15 min`,
      text: `${common.map(([code, jobs]) => `${jobs} × ${code}`).join(', ')}${poison > 0 ? ' · poison jobs crashed several machines' : ''}`,
      href: hrefOf('jobs', '', { q: 'status:failed' }),
      link: 'Jobs',
    },
  ];
}

const MADE_EVERY_MS = 500;
let made: { at: number; needs: Need[] } = { at: Number.NEGATIVE_INFINITY, needs: [] };

/** Kept for half a second: the header and the overview ask for it, and it looks at every job held. */
export function needsYou(): Need[] {
  if (performance.now() - made.at < MADE_EVERY_MS) return made.needs;
  const needs = [
    ...nobodyToWork(),
    ...unworkable(),
    ...sickWorkers(),
    ...awayWithJob(),
    ...deadLetters(),
    ...paused(),
  ];
  made = { at: performance.now(), needs };
  return needs;
}

/** Something was just done about one of them. */
export function needsChanged(): void {
  made.at = Number.NEGATIVE_INFINITY;
}
