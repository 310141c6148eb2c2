import type { Stats } from '../../../../core/messages/stats.ts';
import { hub } from '../../state/hub_state.ts';
import { count, duration, rate, roundDuration } from '../../text/format.ts';
import { Chart, type Line } from '../../ui/chart.tsx';
import { busyOf, slotsOf, waitingOf } from './kpi_strip.tsx';

type Value = (stats: Stats) => number | null;

/** A pause of this length in the samples is a gap in the picture, not a line across it. */
const GAP_MS = 45_000;

/** uPlot's columns, with an empty row where nothing was heard. */
function columns(history: readonly Stats[], values: readonly Value[]): (number | null)[][] {
  const rows: (number | null)[][] = [[], ...values.map(() => [])];
  let before: number | undefined;
  for (const stats of history) {
    if (before !== undefined && stats.at - before > GAP_MS) {
      rows[0]?.push((before + 1000) / 1000);
      for (let i = 0; i < values.length; i++) rows[i + 1]?.push(null);
    }
    rows[0]?.push(stats.at / 1000);
    for (let i = 0; i < values.length; i++) rows[i + 1]?.push(values[i]?.(stats) ?? null);
    before = stats.at;
  }
  return rows;
}

const active: Value = stats => stats.jobs.assigned + stats.jobs.processing;
const withDraining = (stats: Stats) => busyOf(stats) + stats.workers.draining;
const withSick = (stats: Stats) => withDraining(stats) + stats.workers.quarantined;
/** A logarithmic axis has no zero. */
const floor = (value: number | null) => (value === null ? null : Math.max(1, value));

interface ChartSpec {
  title: string;
  lines: Line[];
  values: Value[];
  /** What the legend says where it is not what is drawn: a part of a stack. */
  said?: Value[];
  format: (value: number) => string;
  tick?: (value: number) => string;
  log?: boolean;
  whole?: boolean;
}

const CHARTS: ChartSpec[] = [
  {
    title: 'Waiting and running',
    format: count,
    whole: true,
    lines: [
      { label: 'waiting', token: 'waiting-fill', stepped: true },
      { label: 'running', token: 'running-fill', stepped: true },
    ],
    values: [waitingOf, active],
  },
  {
    title: 'Slots, stacked',
    format: count,
    whole: true,
    lines: [
      // Drawn from the top down: each lies over the one that contains it.
      { label: 'slots', token: 'strong', dash: true, stepped: true },
      { label: 'sick', token: 'bad-fill', fill: true, stepped: true },
      { label: 'draining', token: 'waiting-fill', fill: true, stepped: true },
      { label: 'busy', token: 'running-fill', fill: true, stepped: true },
    ],
    values: [slotsOf, withSick, withDraining, busyOf],
    said: [slotsOf, stats => stats.workers.quarantined, stats => stats.workers.draining, busyOf],
  },
  {
    title: 'Done and failed per second',
    format: rate,
    lines: [
      { label: 'done', token: 'good-fill' },
      { label: 'failed', token: 'bad-fill' },
    ],
    values: [stats => stats.rates.completed_per_s, stats => stats.rates.failed_per_s],
  },
  {
    title: 'Wait and run, p50 and p99, log scale',
    format: duration,
    tick: roundDuration,
    log: true,
    lines: [
      { label: 'wait', token: 'waiting-fill' },
      { label: 'p99', token: 'waiting-fill', dash: true },
      { label: 'run', token: 'running-fill' },
      { label: 'p99', token: 'running-fill', dash: true },
    ],
    values: [
      stats => floor(stats.latency_ms.queue_p50),
      stats => floor(stats.latency_ms.queue_p99),
      stats => floor(stats.latency_ms.run_p50),
      stats => floor(stats.latency_ms.run_p99),
    ],
  },
];

export function HistoryCharts() {
  return (
    <section class="charts" aria-label="the last minutes">
      {CHARTS.map(({ values, said, ...spec }) => (
        <Chart
          key={spec.title}
          {...spec}
          data={columns(hub.history, values)}
          said={said && columns(hub.history, said)}
        />
      ))}
    </section>
  );
}
