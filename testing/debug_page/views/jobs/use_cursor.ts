import { useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks';
import { go } from '../../ui/route.ts';
import { inField } from '../../ui/hot_keys.ts';

/** The row that `j` and `k` move, `Enter` opens and `x` selects. */
export function useCursor(ids: readonly string[], onToggle: (id: string, range: boolean) => void): string {
  const [cursor, setCursor] = useState('');
  const latest = useRef({ ids, cursor, onToggle });
  latest.current = { ids, cursor, onToggle };
  // Before the rows are painted: who sees them may press a key at once.
  useLayoutEffect(() => {
    const pressed = (event: KeyboardEvent) => {
      if (event.ctrlKey || event.metaKey || event.altKey || inField(event.target)) return;
      const { ids: list, cursor: at, onToggle: toggle } = latest.current;
      const index = list.indexOf(at);
      const move = (row: number) => {
        // At once: the next key may come before the next redraw.
        latest.current.cursor = list[row] ?? '';
        setCursor(latest.current.cursor);
      };
      if (event.key === 'j') move(Math.min(list.length - 1, index + 1));
      else if (event.key === 'k') move(Math.max(0, index - 1));
      else if (event.key === 'Enter' && index >= 0 && !onControl(event.target)) go('job', at);
      else if (event.key.toLowerCase() === 'x' && index >= 0) toggle(at, event.shiftKey);
    };
    addEventListener('keydown', pressed);
    return () => removeEventListener('keydown', pressed);
  }, []);
  useEffect(() => document.querySelector('.jobs tr.cursor')?.scrollIntoView({ block: 'nearest' }), [cursor]);
  return cursor;
}

const onControl = (target: EventTarget | null) =>
  target instanceof Element && target.closest('a, button') !== null;
