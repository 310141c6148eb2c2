import { useEffect, useState } from 'preact/hooks';
import { link } from '../../net/hub_link.ts';
import { loadJobs } from '../../net/job_filler.ts';
import { useLive } from '../../state/live.ts';
import { hubFilter, readFilter } from './job_filter.ts';

const TYPING_MS = 300;

interface MoreJobs {
  /** Asks for the next page; undefined when the hub has no more. */
  more: (() => void) | undefined;
  error: string;
}

/** The page holds the newest jobs; what a filter asks for beyond them is fetched from the hub. */
export function useMoreJobs(query: string): MoreJobs {
  useLive('link');
  const live = link.state === 'live';
  const filter = hubFilter(readFilter(query));
  const key = JSON.stringify(filter);
  const [cursor, setCursor] = useState<string | null>(null);
  const [error, setError] = useState('');

  const load = (from: string | null, isCurrent: () => boolean) => {
    const asked = { ...filter, ...(from === null ? {} : { cursor: from }) };
    loadJobs(frame => link.request(frame), asked).then(
      next => isCurrent() && (setCursor(next), setError('')),
      (failed: Error) => isCurrent() && setError(failed.message),
    );
  };
  useEffect(() => {
    if (!live) return;
    let current = true;
    const timer = setTimeout(() => load(null, () => current), TYPING_MS);
    return () => {
      current = false;
      clearTimeout(timer);
    };
  }, [key, live]);
  return { more: cursor === null ? undefined : () => load(cursor, () => true), error };
}
