// `/` finds, `g` then a letter goes to a view, `t` changes the theme. Off inside fields.

import { go, readRoute, type View } from './route.ts';
import { toggleTheme } from './theme.ts';

const VIEW_KEYS: Record<string, View> = { o: 'overview', m: 'machines', j: 'jobs', c: 'console' };
const SEQUENCE_MS = 1500;

function inField(target: EventTarget | null): boolean {
  return (
    target instanceof HTMLElement && target.closest('input, textarea, select, [contenteditable]') !== null
  );
}

/** The views that have a filter; from the others `/` goes to Jobs. */
const WITH_FILTER: ReadonlySet<string> = new Set(['machines', 'worker', 'jobs', 'console']);
/** A view may be drawn only some frames after its address is set. */
const FRAMES_WAITED = 30;

function focusFilter(): void {
  if (!WITH_FILTER.has(readRoute(location.hash).page)) go('jobs');
  const wanted = `main.view-${readRoute(location.hash).page} [data-filter]`;
  const select = (frames: number) => {
    const filter = document.querySelector<HTMLInputElement>(wanted);
    if (filter !== null) filter.select();
    else if (frames > 0) requestAnimationFrame(() => select(frames - 1));
  };
  select(FRAMES_WAITED);
}

export function startHotKeys(): void {
  let sawG = 0;
  addEventListener('keydown', event => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (inField(event.target)) {
      if (event.key === 'Escape') (event.target as HTMLElement).blur();
      return;
    }
    const view = VIEW_KEYS[event.key];
    if (view !== undefined && performance.now() - sawG < SEQUENCE_MS) {
      sawG = 0;
      go(view);
    } else if (event.key === 'g') sawG = performance.now();
    else if (event.key === 't') toggleTheme();
    else if (event.key === '/') {
      event.preventDefault();
      focusFilter();
    }
  });
}
