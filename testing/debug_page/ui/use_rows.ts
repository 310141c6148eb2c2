import { useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks';

/** Rows drawn above and below what is in sight; the window moves in steps of half of it. */
const SPARE_ROWS = 12;
const STEP_ROWS = SPARE_ROWS / 2;
const FIRST_ROW_PX = 26;

interface Rows<T extends HTMLElement> {
  /** For the element that holds the rows, all of one height. */
  ref: { current: T | null };
  first: number;
  last: number;
  rowPx: number;
}

const stepped = (row: number) => Math.floor(row / STEP_ROWS) * STEP_ROWS;

/** Which rows of a long list are near the screen, in a page that scrolls as a whole. */
export function useRows<T extends HTMLElement>(count: number): Rows<T> {
  const ref = useRef<T>(null);
  const [view, setView] = useState({ first: 0, last: 60, rowPx: FIRST_ROW_PX });
  const look = () => {
    const element = ref.current;
    if (element === null) return;
    const measured = element.querySelector<HTMLElement>('[data-row]')?.getBoundingClientRect().height;
    const rowPx = measured || view.rowPx;
    const above = -element.getBoundingClientRect().top / rowPx;
    const first = Math.max(0, stepped(above - SPARE_ROWS));
    const last = stepped(above + innerHeight / rowPx + SPARE_ROWS) + STEP_ROWS;
    setView(before =>
      before.first === first && before.last === last && before.rowPx === rowPx
        ? before
        : { first, last, rowPx },
    );
  };
  useLayoutEffect(look, [count]);
  useEffect(() => {
    addEventListener('scroll', look, { passive: true });
    addEventListener('resize', look);
    return () => {
      removeEventListener('scroll', look);
      removeEventListener('resize', look);
    };
  }, []);
  const last = Math.min(count, view.last);
  return { ref, first: Math.min(view.first, Math.max(0, last - 1)), last, rowPx: view.rowPx };
}
