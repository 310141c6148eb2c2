import type { ComponentChildren } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import { hub, JOBS_MAX } from '../../state/hub_state.ts';
import type { Job } from '../../state/job_events.ts';
import { useLive } from '../../state/live.ts';
import { count } from '../../text/format.ts';
import { Text } from '../../text/text.tsx';
import { hrefOf } from '../../ui/route.ts';
import { BulkBar } from './bulk_bar.tsx';
import { FilterBar } from './filter_bar.tsx';
import { isState, matches, readFilter, STATES } from './job_filter.ts';
import { JobList } from './job_list.tsx';
import { useCursor } from './use_cursor.ts';
import { useMoreJobs } from './use_more_jobs.ts';
import { useOrder } from './use_order.ts';

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

const NONE: ReadonlySet<string> = new Set();

/** The selected jobs, and the row that a range starts from. */
function useSelection(ids: readonly string[]) {
  const [selected, setSelected] = useState(NONE);
  const anchor = useRef('');
  const toggle = (id: string, range: boolean) => {
    const [from, to] = [ids.indexOf(anchor.current), ids.indexOf(id)].sort((a, b) => a - b) as [
      number,
      number,
    ];
    anchor.current = id;
    // Of what is selected then: the next may be picked before this one is drawn.
    setSelected(before => {
      const next = new Set(before);
      if (range && from >= 0) for (const one of ids.slice(from, to + 1)) next.add(one);
      else if (!next.delete(id)) next.add(id);
      return next;
    });
  };
  return { selected, toggle, select: (list: Iterable<string>) => setSelected(new Set(list)) };
}

export function JobsView({ query: given }: { query: string }) {
  useLive('jobs', 'second');
  const [query, setQuery] = useQuery(given);
  const [pointed, setPointed] = useState(false);
  const holding = useRef(false);
  const { more, error } = useMoreJobs(query);
  const { ids, fresh, matching } = useOrder(query, pointed || holding.current);
  const { selected, toggle, select } = useSelection(ids);
  holding.current = selected.size > 0;
  const cursor = useCursor(ids, toggle);
  const filter = readFilter(query);
  return (
    <div class="card jobs-card">
      <FilterBar query={query} onQuery={setQuery} />
      {selected.size > 0 ? (
        <BulkBar selected={selected} ids={ids} onSelect={select} />
      ) : (
        <Summary
          query={query}
          matching={matching}
          fresh={fresh}
          error={error}
          release={() => setPointed(false)}
        />
      )}
      <Held onPointed={setPointed}>
        <JobList
          ids={ids}
          selected={selected}
          cursor={cursor}
          onToggle={toggle}
          isLeaving={(job: Job) => !matches(job, filter)}
        />
      </Held>
      {ids.length === 0 && <Empty query={query} clear={() => setQuery('')} />}
      <div class="row list-end">
        {more !== undefined && (
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
  query: string;
  matching: number;
  fresh: number;
  error: string;
  release: () => void;
}

function Summary({ query, matching, fresh, error, release }: SummaryProps) {
  const { status } = readFilter(query);
  if (!isState(status)) return <NoSuchState status={status} />;
  const full = hub.jobs.size >= JOBS_MAX ? ` This page holds at most ${count(JOBS_MAX)}.` : '';
  const words = readFilter(query).words.length > 0 ? ' Words are looked for in these only.' : '';
  return (
    <p class="summary muted">
      {count(matching)} of the {count(hub.jobs.size)} jobs held here match.{full}
      {words}{' '}
      {fresh > 0 && (
        <button type="button" class="link" onClick={release}>
          {count(fresh)} new ↑
        </button>
      )}
      {error !== '' && <span class="tone-bad">The hub could not list more: {error}</span>}
      <span class="keys wide-only">
        <kbd>j</kbd> <kbd>k</kbd> move <kbd>⏎</kbd> open <kbd>x</kbd> select
      </span>
    </p>
  );
}

function NoSuchState({ status }: { status: string }) {
  return (
    <p class="summary">
      <span class="tone-bad">
        There is no state “<Text value={status} max={40} />
        ”.
      </span>
      <span class="muted">There are {STATES.join(', ')}.</span>
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
