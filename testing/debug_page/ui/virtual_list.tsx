import type { ComponentChildren } from 'preact';
import { useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks';

interface VirtualListProps {
  count: number;
  rowHeight: number;
  /** Stay at the end while new rows come. */
  follow: boolean;
  /** Told when the reader scrolls away from the end, or back to it. */
  onFollow: (follow: boolean) => void;
  row: (index: number) => ComponentChildren;
  label: string;
}

const OVERSCAN = 8;
const NEAR_END_PX = 40;

/** Draws only the rows in sight. All rows have one height. */
export function VirtualList({ count, rowHeight, follow, onFollow, row, label }: VirtualListProps) {
  const box = useRef<HTMLDivElement>(null);
  const [view, setView] = useState({ top: 0, height: 400 });

  const scrolled = () => {
    const element = box.current;
    if (element === null) return;
    setView({ top: element.scrollTop, height: element.clientHeight });
    const atEnd = element.scrollHeight - element.scrollTop - element.clientHeight < NEAR_END_PX;
    if (atEnd !== follow) onFollow(atEnd);
  };
  useLayoutEffect(() => {
    const element = box.current;
    if (follow && element !== null) element.scrollTop = element.scrollHeight;
  }, [count, follow]);
  useEffect(() => {
    const element = box.current;
    if (element === null) return;
    const watcher = new ResizeObserver(() =>
      setView({ top: element.scrollTop, height: element.clientHeight }),
    );
    watcher.observe(element);
    return () => watcher.disconnect();
  }, []);

  const first = Math.max(0, Math.floor(view.top / rowHeight) - OVERSCAN);
  const last = Math.min(count, Math.ceil((view.top + view.height) / rowHeight) + OVERSCAN);
  const rows = [];
  for (let i = first; i < last; i++) rows.push(row(i));
  return (
    <div class="virtual" ref={box} onScroll={scrolled} role="log" aria-label={label} tabIndex={0}>
      <div class="virtual-space" style={{ height: `${count * rowHeight}px` }}>
        <div class="virtual-rows" style={{ transform: `translateY(${first * rowHeight}px)` }}>
          {rows}
        </div>
      </div>
    </div>
  );
}
