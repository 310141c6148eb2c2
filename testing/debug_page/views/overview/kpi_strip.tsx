import type { Stats } from '../../../../core/messages/stats.ts';
import { hub } from '../../state/hub_state.ts';
import { count, duration, percent, rate } from '../../text/format.ts';
import { hrefOf } from '../../ui/route.ts';
import { Spark } from './spark.tsx';

interface Kpi {
  label: string;
  value: string;
  extra?: string;
  below: string;
  href: string;
  token: string;
  /** A number is coloured only when it says that something is wrong. */
  bad?: boolean;
  of: (stats: Stats) => number | null;
}

export const waitingOf = (stats: Stats) => stats.jobs.queued + stats.jobs.scheduled;
export const busyOf = (stats: Stats) => stats.workers.busy + stats.workers.stopping;
/** Slots that are there: those of machines that are away are not. */
export const slotsOf = (stats: Stats) =>
  Object.values(stats.workers).reduce((a, b) => a + b, 0) - stats.workers.offline;

const OLD_MS = 5 * 60_000;
const MINUTE_MS = 60_000;

function inLastMinute(stats: Stats): string {
  const before = hub.history.find(past => past.at >= stats.at - MINUTE_MS);
  const change = before === undefined ? 0 : waitingOf(stats) - waitingOf(before);
  if (change === 0) return 'steady for a minute';
  return `${change > 0 ? '+' : '−'}${count(Math.abs(change))} in 1 min`;
}

function kpisOf(stats: Stats): Kpi[] {
  const { rates, latency_ms: latency, jobs } = stats;
  const slots = slotsOf(stats);
  const finished = rates.completed_per_s + rates.failed_per_s;
  return [
    {
      label: 'waiting',
      value: count(waitingOf(stats)),
      below: jobs.scheduled === 0 ? inLastMinute(stats) : `${count(jobs.scheduled)} of them scheduled`,
      href: hrefOf('jobs', '', { q: 'status:waiting' }),
      token: 'waiting-fill',
      of: waitingOf,
    },
    {
      label: 'slots busy',
      value: count(busyOf(stats)),
      extra: `/ ${count(slots)}`,
      below: slots === 0 ? 'no GPU connected' : percent(busyOf(stats) / slots),
      href: hrefOf('machines'),
      token: 'running-fill',
      of: busyOf,
    },
    {
      label: 'done / s',
      value: rate(rates.completed_per_s),
      below: `${count(jobs.completed)} in all`,
      href: hrefOf('jobs', '', { q: 'status:completed' }),
      token: 'good-fill',
      of: s => s.rates.completed_per_s,
    },
    {
      label: 'failed / s',
      value: rate(rates.failed_per_s),
      below:
        finished === 0
          ? `${count(jobs.failed)} in all`
          : `${percent(rates.failed_per_s / finished)} of what ended`,
      href: hrefOf('jobs', '', { q: 'status:failed' }),
      token: 'bad-fill',
      bad: rates.failed_per_s > 0,
      of: s => s.rates.failed_per_s,
    },
    {
      label: 'queue wait p99',
      value: duration(latency.queue_p99),
      below: `p50 ${duration(latency.queue_p50)}`,
      href: hrefOf('jobs', '', { q: 'status:waiting' }),
      token: 'waiting-fill',
      of: s => s.latency_ms.queue_p99,
    },
    {
      label: 'oldest waiting',
      value: duration(stats.oldest_queued_ms),
      below: `of ${count(jobs.queued)} queued`,
      href: hrefOf('jobs', '', { q: 'status:queued' }),
      token: 'waiting-fill',
      bad: (stats.oldest_queued_ms ?? 0) > OLD_MS,
      of: s => s.oldest_queued_ms,
    },
  ];
}

export function KpiStrip() {
  const stats = hub.stats;
  if (stats === undefined) return null;
  return (
    <section class="card kpis" aria-label="key numbers">
      {kpisOf(stats).map(kpi => (
        <a key={kpi.label} class="kpi" href={kpi.href}>
          <span class="kpi-label">{kpi.label}</span>
          <span class={`kpi-value ${kpi.bad ? 'tone-bad' : ''}`}>
            {kpi.value} {kpi.extra !== undefined && <small>{kpi.extra}</small>}
          </span>
          <Spark values={hub.history.slice(-300).map(kpi.of)} token={kpi.token} />
          <span class="kpi-below">{kpi.below}</span>
        </a>
      ))}
    </section>
  );
}
