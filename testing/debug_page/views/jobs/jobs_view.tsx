import type { ComponentChildren } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import { hub, JOBS_MAX } from '../../state/hub_state.ts';
import type { Job } from '../../state/job_events.ts';
import { useLive } from '../../state/live.ts';
import { count } from '../../text/format.ts';
import { hrefOf } from '../../ui/route.ts';
import { FilterBar } from './filter_bar.tsx';
import { inOrder, matches, readFilter } from './job_filter.ts';
import { JobList } from './job_list.tsx';
import { useHeldOrder } from './use_held_order.ts';
import { useMoreJobs } from './use_more_jobs.ts';

const ROWS_STEP = 100;

/** The query lives in the address, but typing does not fill the history. */
function useQuery(given: string): [string, (query: string) => void] {
  const [query, setQuery] = useState(given);
  useEffect(() => setQuery(given), [given]);
  return [
    query,
    next => {
      setQuery(next);
      history.replaceState(null, '', hrefOf('jobs', '', { q: next }));
    },
  ];
}

export function JobsView({ query: given }: { query: string }) {
  useLive('jobs', 'second');
  const [query, setQuery] = useQuery(given);
  const [pointed, setPointed] = useState(false);
  const [rows, setRows] = useState(ROWS_STEP);
  const { more, error } = useMoreJobs(query);
  const filter = readFilter(query);
  const matching = inOrder([...hub.jobs.values()].filter(job => matches(job, filter)));
  const order = useHeldOrder(
    matching.map(job => job.job_id),
    pointed,
    query,
  );
  const shown = order.ids
    .slice(0, rows)
    .map(id => hub.jobs.get(id))
    .filter(job => job !== undefined);
  return (
    <div class="card jobs-card">
      <FilterBar query={query} onQuery={setQuery} />
      <Summary
        matching={matching.length}
        fresh={order.fresh}
        error={error}
        release={() => setPointed(false)}
      />
      <Held onPointed={setPointed}>
        <JobList jobs={shown} isLeaving={(job: Job) => !matches(job, filter)} />
      </Held>
      {shown.length === 0 && <Empty query={query} clear={() => setQuery('')} />}
      <div class="row list-end">
        {order.ids.length > rows && (
          <button type="button" onClick={() => setRows(rows + ROWS_STEP)}>
            Show {Math.min(ROWS_STEP, order.ids.length - rows)} more of {count(order.ids.length)}
          </button>
        )}
        {more !== undefined && order.ids.length <= rows && (
          <button type="button" onClick={more}>
            Ask the hub for older ones
          </button>
        )}
      </div>
    </div>
  );
}

function Held(props: { onPointed: (pointed: boolean) => void; children: ComponentChildren }) {
  return (
    <div
      class="held"
      onPointerEnter={event => event.pointerType === 'mouse' && props.onPointed(true)}
      onPointerLeave={() => props.onPointed(false)}
    >
      {props.children}
    </div>
  );
}

interface SummaryProps {
  matching: number;
  fresh: number;
  error: string;
  release: () => void;
}

function Summary({ matching, fresh, error, release }: SummaryProps) {
  const full = hub.jobs.size >= JOBS_MAX ? ` This page holds at most ${count(JOBS_MAX)}.` : '';
  return (
    <p class="summary muted">
      {count(matching)} of the {count(hub.jobs.size)} jobs held here match.{full}{' '}
      {fresh > 0 && (
        <button type="button" class="link" onClick={release}>
          {count(fresh)} new ↑
        </button>
      )}
      {error !== '' && <span class="tone-bad">The hub could not list more: {error}</span>}
    </p>
  );
}

function Empty({ query, clear }: { query: string; clear: () => void }) {
  if (hub.stats === undefined) return <p class="empty">No picture yet: the hub has not answered.</p>;
  if (query === '') return <p class="empty">No job yet. Submit one from the console, or with any client.</p>;
  return (
    <p class="empty">
      Nothing matches.{' '}
      <button type="button" class="link" onClick={clear}>
        Clear the filter
      </button>
    </p>
  );
}
