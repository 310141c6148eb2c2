import { useEffect, useRef, useState } from 'preact/hooks';
import { link } from '../net/hub_link.ts';
import { protocol } from '../protocol/protocol.ts';
import { hub } from '../state/hub_state.ts';
import { useLive } from '../state/live.ts';
import { counted, short } from '../text/format.ts';
import { toggleHelp } from '../ui/help.tsx';
import { hrefOf, type Route, VIEWS, type View } from '../ui/route.ts';
import { toggleTheme } from '../ui/theme.ts';
import { needsYou } from './overview/needs_you.ts';

const TITLES: Record<View, string> = {
  overview: 'Overview',
  machines: 'Machines',
  jobs: 'Jobs',
  console: 'Console',
};
const PARENTS: Partial<Record<Route['page'], View>> = { job: 'jobs', worker: 'machines' };

/** Of the whole hub, as its statistics say: the page holds only some. Those that ended are counted for ever there. */
function unendedJobs(): number {
  const { waiting = [], active = [] } = protocol.stateGroups;
  const jobs: Record<string, number> = hub.stats?.jobs ?? {};
  return [...waiting, ...active].reduce((sum, state) => sum + (jobs[state] ?? 0), 0);
}

function countOf(view: View): string {
  if (view === 'machines') {
    const machines = new Set([...hub.workers.values()].map(worker => worker.machine_id)).size;
    return machines === 0 ? '' : short(machines);
  }
  const jobs = view === 'jobs' ? unendedJobs() : 0;
  return jobs === 0 ? '' : short(jobs);
}

export function Header({ page }: { page: Route['page'] }) {
  useLive('second', 'link', 'stats');
  const current = PARENTS[page] ?? page;
  const alarm = needsYou().some(item => item.tone === 'bad');
  return (
    <header class="top">
      <a class="brand" href={hrefOf('overview')}>
        gpuhub
      </a>
      <nav aria-label="views">
        {VIEWS.map(view => (
          <a key={view} href={hrefOf(view)} aria-current={view === current ? 'page' : undefined}>
            {TITLES[view]}
            <span class="count" title={view === 'jobs' ? 'wait or run' : undefined}>
              {countOf(view)}
            </span>
            {view === 'overview' && alarm && <i class="alarm" title="something needs you" />}
          </a>
        ))}
      </nav>
      <span class="spacer" />
      <button type="button" class="quiet theme" title="light or dark" onClick={toggleTheme}>
        <kbd>t</kbd>
        <span> theme</span>
      </button>
      <button type="button" class="quiet wide-only" title="all keys" onClick={toggleHelp}>
        <kbd>?</kbd> keys
      </button>
      <Pill />
    </header>
  );
}

/** Events a second, smoothed over the last three. */
function useEventRate(): number {
  const counts = useRef<number[]>([]);
  const [rate, setRate] = useState(0);
  useEffect(() => {
    const timer = setInterval(() => {
      counts.current = [...counts.current.slice(-3), hub.newsCount];
      const [first = 0] = counts.current;
      setRate((hub.newsCount - first) / Math.max(1, counts.current.length - 1));
    }, 1000);
    return () => clearInterval(timer);
  }, []);
  return rate;
}

function Pill() {
  useLive('link', 'second');
  const rate = useEventRate();
  if (link.state === 'live') {
    const hubs = hub.stats?.hubs ?? 1;
    return (
      <span class="pill" role="status" data-state="live">
        <i class="dot dot-good" /> live
        <span class="wide-only"> · {counted(hubs, 'hub')}</span>
        <span class="muted wide-only"> · {short(rate)} ev/s</span>
      </span>
    );
  }
  const wait = Math.max(0, Math.ceil((link.nextTryAt - performance.now()) / 1000));
  const words = link.state === 'connecting' ? 'connecting…' : `away · next try in ${wait}s`;
  return (
    <span class="pill" role="status" data-state={link.state}>
      <i class="dot dot-hollow" /> {words}
    </span>
  );
}
