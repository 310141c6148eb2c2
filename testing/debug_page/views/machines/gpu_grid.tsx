import { useEffect, useMemo, useRef, useState } from 'preact/hooks';
import { hub } from '../../state/hub_state.ts';
import { listen } from '../../state/live.ts';
import { go, hrefOf } from '../../ui/route.ts';
import { onTheme } from '../../ui/theme.ts';
import { useNarrow } from '../../ui/use_narrow.ts';
import { cellAt, type Direction, layOut, neighbour } from './grid_layout.ts';
import { GridPainter } from './grid_paint.ts';
import { type Group, isProblem } from './groups.ts';
import type { Measure } from './measures.ts';

/** The bar at the top of the page covers so much of what scrolls under it. */
const HEADER_PX = 40;
const CELL_PX = 13;
/** On phones a finger must be able to meet one. */
const CELL_NARROW_PX = 24;
/** For readers that hear the page: as many as are worth hearing. */
const TOLD_MAX = 100;

interface GpuGridProps {
  groups: Group[];
  measure: Measure;
  /** The GPU under the cursor. */
  cursor: string;
  onHover: (workerId: string) => void;
}

const KEYS: Record<string, Direction> = {
  ArrowLeft: 'left',
  ArrowRight: 'right',
  ArrowUp: 'up',
  ArrowDown: 'down',
};

/** The next GPU that needs a look, after or before the cursor, around the ends. */
function nextProblem(ids: readonly string[], from: string, step: 1 | -1): string | undefined {
  const at = ids.indexOf(from);
  for (let i = 1; i <= ids.length; i++) {
    const id = ids[(at + step * i + 2 * ids.length) % ids.length];
    const worker = id === undefined ? undefined : hub.workers.get(id);
    if (worker !== undefined && isProblem(worker)) return id;
  }
  return undefined;
}

/** Thousands of GPUs on one canvas, as large as the screen, wherever the page is scrolled to. */
export function GpuGrid({ groups, measure, cursor, onHover }: GpuGridProps) {
  const narrow = useNarrow();
  const place = useRef<HTMLDivElement>(null);
  const canvas = useRef<HTMLCanvasElement>(null);
  const [width, setWidth] = useState(0);
  const size = narrow ? CELL_NARROW_PX : CELL_PX;
  const layout = useMemo(() => layOut(groups, width, size), [groups, width, size]);
  const latest = useRef({ layout, measure, cursor });
  latest.current = { layout, measure, cursor };
  const repaint = useRef(() => {});

  useEffect(() => {
    const [box, screen] = [place.current, canvas.current];
    if (box === null || screen === null) return;
    const painter = new GridPainter(screen);
    const paint = () => {
      const { layout: now, measure: shown, cursor: at } = latest.current;
      const top = Math.max(0, HEADER_PX - box.getBoundingClientRect().top);
      const sight = { top, height: Math.min(now.height, innerHeight - HEADER_PX), width: box.clientWidth };
      screen.style.height = `${sight.height}px`;
      painter.paint(now, sight, shown, at);
      screen.dataset['painted'] = String(painter.painted);
    };
    repaint.current = paint;
    const anew = () => {
      painter.reset();
      paint();
    };
    const resized = new ResizeObserver(() => setWidth(box.clientWidth));
    resized.observe(box);
    const ends = [listen(['workers', 'jobs'], paint), onTheme(anew)];
    addEventListener('scroll', paint, { passive: true });
    return () => {
      resized.disconnect();
      removeEventListener('scroll', paint);
      for (const end of ends) end();
    };
  }, []);
  useEffect(() => repaint.current(), [layout, measure, cursor]);

  const under = (event: MouseEvent) => {
    const screen = (event.currentTarget as HTMLElement).getBoundingClientRect();
    const box = place.current?.getBoundingClientRect();
    const scrolled = Math.max(0, HEADER_PX - (box?.top ?? 0));
    return cellAt(layout, event.clientX - screen.left, event.clientY - screen.top + scrolled)?.id;
  };
  const keys = (event: KeyboardEvent) => {
    const direction = KEYS[event.key];
    const step = event.key === ']' ? 1 : event.key === '[' ? -1 : undefined;
    const ids = layout.cells.map(cell => cell.id);
    const next =
      direction !== undefined
        ? neighbour(layout, cursor, direction)
        : step !== undefined
          ? nextProblem(ids, cursor, step)
          : undefined;
    if (next === undefined) return;
    event.preventDefault();
    history.replaceState(null, '', hrefOf('worker', next));
    dispatchEvent(new HashChangeEvent('hashchange'));
  };
  return (
    <div ref={place} class="gpu-grid" style={{ height: `${layout.height}px` }}>
      <canvas
        ref={canvas}
        tabIndex={0}
        role="application"
        aria-label={`${layout.cells.length} GPUs: arrows move, [ and ] go to the next problem`}
        onMouseMove={event => onHover(under(event) ?? '')}
        onMouseLeave={() => onHover('')}
        onClick={event => {
          const id = under(event);
          if (id !== undefined) go('worker', id);
        }}
        onKeyDown={keys}
      />
      <Told groups={groups} />
    </div>
  );
}

/** A canvas says nothing to who does not see it: what is wrong stands here as text. */
function Told({ groups }: { groups: Group[] }) {
  const problems = groups
    .flatMap(group => group.machines)
    .flatMap(machine => machine.workers)
    // The groups tell who is there; how each is, is newer.
    .map(worker => hub.workers.get(worker.worker_id) ?? worker)
    .filter(isProblem);
  return (
    <ul class="only-heard" aria-label="GPUs with problems">
      {problems.slice(0, TOLD_MAX).map(worker => (
        <li key={worker.worker_id}>
          <a tabIndex={-1} href={hrefOf('worker', worker.worker_id)}>
            {worker.worker_id} {worker.status}
          </a>
        </li>
      ))}
    </ul>
  );
}
