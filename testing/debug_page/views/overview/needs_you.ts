// What a person should look at, made from the data, sorted by harm. Nothing here is guessed: each line says
// what it counts.

import { hub } from '../../state/hub_state.ts';
import { hubNow } from '../../state/hub_clock.ts';
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
  resume?: { job_type?: string };
}

const LISTED_MAX = 3;

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
  return hub.paused.map(pause => ({
    key: `paused ${pause.job_type}`,
    tone: 'waiting',
    title: `queue paused: ${pause.job_type ?? 'all types'}`,
    text: [pause.reason, `${duration(hubNow() - pause.at)} ago`].filter(Boolean).join(' · '),
    href: hrefOf('jobs', '', {
      q: pause.job_type === null ? 'status:queued' : `status:queued type:${pause.job_type}`,
    }),
    link: 'Jobs',
    resume: pause.job_type === null ? {} : { job_type: pause.job_type },
  }));
}

export function needsYou(): Need[] {
  return [...nobodyToWork(), ...sickWorkers(), ...awayWithJob(), ...paused()];
}
