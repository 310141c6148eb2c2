// `/` finds, `g` then a letter goes to a view, `t` changes the theme, Ctrl+Z takes back, `?` says all keys. Off inside fields.

import { isHelpOpen, toggleHelp } from './help.tsx';
import { go, readRoute, type View } from './route.ts';
import { toggleTheme } from './theme.ts';
import { undoNewest } from '../state/undo.ts';

const VIEW_KEYS: Record<string, View> = { o: 'overview', m: 'machines', j: 'jobs', c: 'console' };
const SEQUENCE_MS = 1500;

/** Where keys are written, not pressed. */
export function inField(target: EventTarget | null): boolean {
  return (
    target instanceof HTMLElement &&
    target.closest('input:not([type=checkbox]), textarea, select, [contenteditable]') !== null
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

/** Buttons have their keys printed on them, and named in `data-key`. */
function press(event: KeyboardEvent): void {
  const named = document.querySelectorAll<HTMLButtonElement>('main [data-key]');
  const button = [...named].find(one => one.dataset['key'] === event.key && !one.disabled);
  if (button === undefined) return;
  event.preventDefault();
  button.click();
}

/** Back to the list that the detail belongs to. */
function escape(): void {
  const { page } = readRoute(location.hash);
  if (isHelpOpen()) toggleHelp();
  else if (page === 'job') go('jobs');
  else if (page === 'worker') go('machines');
}

export function startHotKeys(): void {
  let sawG = Number.NEGATIVE_INFINITY;
  addEventListener('keydown', event => {
    if ((event.ctrlKey || event.metaKey) && event.key === 'z' && !inField(event.target) && undoNewest())
      event.preventDefault();
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (inField(event.target)) {
      if (event.key === 'Escape') (event.target as HTMLElement).blur();
      return;
    }
    const view = VIEW_KEYS[event.key];
    if (view !== undefined && performance.now() - sawG < SEQUENCE_MS) {
      sawG = Number.NEGATIVE_INFINITY;
      go(view);
    } else if (event.key === 'g') sawG = performance.now();
    else if (event.key === 't') toggleTheme();
    else if (event.key === '/') {
      event.preventDefault();
      focusFilter();
    } else if (event.key === '?') toggleHelp();
    else if (event.key === 'Escape') escape();
    else press(event);
  });
}
