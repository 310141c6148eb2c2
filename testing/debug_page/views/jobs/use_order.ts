import { useRef } from 'preact/hooks';
import { hub } from '../../state/hub_state.ts';
import { inOrder, matches, readFilter } from './job_filter.ts';

/** Rows show every change at once; which rows there are is worked out at most so often. */
const ORDER_EVERY_MS = 500;

interface Order {
  ids: string[];
  /** How many match and are not in the list, as it holds still. */
  fresh: number;
  matching: number;
}

/** The jobs that match, in order. While `hold` is true the order stays, so that nothing moves under the pointer. */
export function useOrder(query: string, hold: boolean): Order {
  const made = useRef({ query: '', at: Number.NEGATIVE_INFINITY, ids: [] as string[] });
  const kept = useRef({ query: '', ids: [] as string[] });
  const now = performance.now();
  if (made.current.query !== query || now - made.current.at > ORDER_EVERY_MS) {
    const filter = readFilter(query);
    const jobs = inOrder([...hub.jobs.values()].filter(job => matches(job, filter)));
    made.current = { query, at: now, ids: jobs.map(job => job.job_id) };
  }
  const { ids } = made.current;
  if (!hold || kept.current.query !== query) kept.current = { query, ids };
  if (kept.current.ids === ids) return { ids, fresh: 0, matching: ids.length };
  const shown = new Set(kept.current.ids);
  return { ids: kept.current.ids, fresh: ids.filter(id => !shown.has(id)).length, matching: ids.length };
}
