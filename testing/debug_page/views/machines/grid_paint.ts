// Draws the cells of the grid. State is told by outline and pattern, so that it is seen without colour; the height of
// the fill tells one measure. Only cells that changed are drawn again.

import { hub, type Worker } from '../../state/hub_state.ts';
import { colourOf } from '../../ui/theme.ts';
import { GAP, type Layout, NAME_CHARS } from './grid_layout.ts';
import { levelOf, type Measure } from './measures.ts';

const TOKENS = [
  'page',
  'text',
  'muted',
  'strong',
  'running-fill',
  'waiting-fill',
  'bad-fill',
  'ink',
  'focus',
] as const;
type Token = (typeof TOKENS)[number];
const STATES = ['idle', 'busy', 'stopping', 'draining', 'quarantined', 'offline'];
const HATCH_PX = 4;
const CURSOR_PX = 2;

/** The part of the layout that is in sight. */
export interface Sight {
  top: number;
  height: number;
  width: number;
}

export class GridPainter {
  readonly #canvas: HTMLCanvasElement;
  readonly #colours = new Map<Token, string>();
  /** What each cell looked like when it was last drawn: state, height of the fill, under the cursor. */
  #drawn = new Map<string, number>();
  #sight: Sight = { top: 0, height: 0, width: 0 };
  #layout: Layout | undefined;
  #hatch: CanvasPattern | null = null;
  /** Cells drawn by the last call. */
  painted = 0;

  constructor(canvas: HTMLCanvasElement) {
    this.#canvas = canvas;
  }

  /** Another theme, another screen: everything is drawn anew. */
  reset(): void {
    this.#drawn = new Map();
    this.#colours.clear();
    this.#layout = undefined;
  }

  paint(layout: Layout, sight: Sight, measure: Measure, cursor: string): void {
    const context = this.#canvas.getContext('2d');
    if (context === null) return;
    const same = layout === this.#layout && isSame(sight, this.#sight);
    if (!same) this.#clear(context, layout, sight);
    this.painted = 0;
    let ring: CellLook | undefined;
    for (const { id, x, y } of layout.cells) {
      if (y + layout.size < sight.top || y > sight.top + sight.height) continue;
      const worker = hub.workers.get(id);
      const fill = worker === undefined ? 0 : Math.round(clamp(levelOf(worker, measure)) * (layout.size - 2));
      const cell = { x, y: y - sight.top, size: layout.size, fill };
      if (id === cursor) ring = cell;
      const look = codeOf(worker, fill, id === cursor);
      if (this.#drawn.get(id) === look) continue;
      this.#drawn.set(id, look);
      this.painted++;
      this.#cell(context, worker, cell);
    }
    // It lies over the gaps to its neighbours, which may have been drawn after it.
    if (ring !== undefined) this.#cursor(context, ring);
  }

  #clear(context: CanvasRenderingContext2D, layout: Layout, sight: Sight): void {
    const ratio = devicePixelRatio;
    this.#canvas.width = Math.round(sight.width * ratio);
    this.#canvas.height = Math.round(sight.height * ratio);
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    if (this.#colours.size === 0) for (const token of TOKENS) this.#colours.set(token, colourOf(token));
    this.#hatch = hatchOf(context, this.#colour('waiting-fill'));
    this.#drawn.clear();
    this.#layout = layout;
    this.#sight = sight;
    context.textBaseline = 'middle';
    for (const label of layout.labels) {
      const y = label.y - sight.top;
      if (y < -layout.size || y > sight.height + layout.size) continue;
      context.font = label.heading ? '600 13px system-ui, sans-serif' : '11px ui-monospace, Menlo, monospace';
      context.fillStyle = this.#colour(label.heading ? 'text' : 'muted');
      context.fillText(label.heading ? label.text : middleCut(label.text), label.x, y);
    }
  }

  #colour(token: Token): string {
    return this.#colours.get(token) ?? '#888';
  }

  #cell(context: CanvasRenderingContext2D, worker: Worker | undefined, cell: CellLook): void {
    const { x, y, size, fill } = cell;
    context.clearRect(x - GAP, y - GAP, size + 2 * GAP, size + 2 * GAP);
    const status = worker?.status ?? 'offline';
    if (status === 'quarantined') this.#sick(context, cell);
    else {
      const drains = status === 'draining' || status === 'stopping';
      if (drains && this.#hatch !== null) {
        context.fillStyle = this.#hatch;
        context.fillRect(x + 1, y + 1, size - 2, size - 2);
      }
      if (fill > 0 && status !== 'offline') {
        context.fillStyle = this.#colour('running-fill');
        context.fillRect(x + 1, y + size - 1 - fill, size - 2, fill);
      }
      context.strokeStyle = this.#colour(
        drains ? 'waiting-fill' : status === 'busy' ? 'running-fill' : 'strong',
      );
      context.lineWidth = 1;
      context.setLineDash(status === 'offline' ? [2, 2] : []);
      context.strokeRect(x + 0.5, y + 0.5, size - 1, size - 1);
    }
  }

  #sick(context: CanvasRenderingContext2D, { x, y, size }: CellLook): void {
    context.fillStyle = this.#colour('bad-fill');
    context.fillRect(x, y, size, size);
    context.strokeStyle = this.#colour('ink');
    context.lineWidth = 1.5;
    context.setLineDash([]);
    context.beginPath();
    const near = size * 0.28;
    const far = size - near;
    context.moveTo(x + near, y + near);
    context.lineTo(x + far, y + far);
    context.moveTo(x + far, y + near);
    context.lineTo(x + near, y + far);
    context.stroke();
  }

  #cursor(context: CanvasRenderingContext2D, { x, y, size }: CellLook): void {
    context.strokeStyle = this.#colour('focus');
    context.lineWidth = CURSOR_PX;
    context.setLineDash([]);
    context.strokeRect(x - 1, y - 1, size + 2, size + 2);
  }
}

interface CellLook {
  x: number;
  y: number;
  size: number;
  fill: number;
}

const clamp = (part: number) => Math.min(1, Math.max(0, part));
const isSame = (a: Sight, b: Sight) => a.top === b.top && a.height === b.height && a.width === b.width;

function codeOf(worker: Worker | undefined, fill: number, cursor: boolean): number {
  return (STATES.indexOf(worker?.status ?? 'offline') * 100 + fill) * 2 + Number(cursor);
}

function middleCut(name: string): string {
  return name.length <= NAME_CHARS ? name : `${name.slice(0, 4)}…${name.slice(5 - NAME_CHARS)}`;
}

/** Slanted lines, for what drains. */
function hatchOf(context: CanvasRenderingContext2D, colour: string): CanvasPattern | null {
  const tile = document.createElement('canvas');
  tile.width = tile.height = HATCH_PX;
  const pen = tile.getContext('2d');
  if (pen === null) return null;
  pen.strokeStyle = colour;
  pen.lineWidth = 1.4;
  pen.beginPath();
  for (const shift of [-HATCH_PX, 0, HATCH_PX]) {
    pen.moveTo(shift, HATCH_PX);
    pen.lineTo(shift + HATCH_PX, 0);
  }
  pen.stroke();
  return context.createPattern(tile, 'repeat');
}
