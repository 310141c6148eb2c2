// Where each GPU of a large fleet is drawn: a machine is one strip after its name, its GPUs in the order of their
// index, machines by name under the heading of their group. Places depend on who is there, never on what they do.

import type { Group, Machine } from './groups.ts';

export const GAP = 2;
const NAME_CHAR_PX = 6.7;
const NAME_GAP_PX = 8;
/** Longer names lose their middle. */
export const NAME_CHARS = 10;
const STRIP_GAP_PX = 14;
const ROW_GAP_PX = 5;
const HEADING_PX = 24;
const GROUP_GAP_PX = 8;
/** GPUs beyond these go on in the next row of the strip. */
const IN_A_ROW = 8;

export interface Cell {
  id: string;
  x: number;
  y: number;
}

export interface Label {
  text: string;
  x: number;
  y: number;
  heading: boolean;
}

export interface Layout {
  size: number;
  /** The place of a machine's name, before its GPUs. */
  nameWidth: number;
  height: number;
  cells: Cell[];
  labels: Label[];
}

function headingOf({ name, machines }: Group): string {
  const gpus = machines.reduce((sum, machine) => sum + machine.workers.length, 0);
  return `${name}  ${machines.length} machines · ${gpus} GPUs`;
}

function nameWidthOf(groups: readonly Group[]): number {
  const lengths = groups.flatMap(group => group.machines.map(machine => machine.machineId.length));
  const longest = lengths.reduce((most, length) => Math.max(most, length), 0);
  return Math.ceil(Math.min(longest, NAME_CHARS) * NAME_CHAR_PX) + NAME_GAP_PX;
}

/** @param width of the place, CSS px
 *  @param size of a cell, CSS px */
export function layOut(groups: readonly Group[], width: number, size: number): Layout {
  const nameWidth = nameWidthOf(groups);
  const layout: Layout = { size, nameWidth, height: 0, cells: [], labels: [] };
  const step = size + GAP;
  const strip = nameWidth + IN_A_ROW * step;
  const columns = Math.max(1, Math.floor((width + STRIP_GAP_PX) / (strip + STRIP_GAP_PX)));
  let y = 0;
  for (const group of groups) {
    layout.labels.push({ text: headingOf(group), x: 0, y: y + HEADING_PX / 2, heading: true });
    y += HEADING_PX;
    for (let i = 0; i < group.machines.length; i += columns) {
      const row = group.machines.slice(i, i + columns);
      row.forEach((machine, column) => placeStrip(layout, machine, column * (strip + STRIP_GAP_PX), y));
      const most = Math.max(...row.map(machine => machine.workers.length));
      y += Math.ceil(most / IN_A_ROW) * step - GAP + ROW_GAP_PX;
    }
    y += GROUP_GAP_PX;
  }
  layout.height = y;
  return layout;
}

function placeStrip(layout: Layout, machine: Machine, x: number, y: number): void {
  const step = layout.size + GAP;
  layout.labels.push({ text: machine.machineId, x, y: y + layout.size / 2, heading: false });
  machine.workers.forEach((worker, i) => {
    const [column, row] = [i % IN_A_ROW, Math.floor(i / IN_A_ROW)];
    layout.cells.push({ id: worker.worker_id, x: x + layout.nameWidth + column * step, y: y + row * step });
  });
}

/** The cell under a point, its share of the gap included. */
export function cellAt({ cells, size }: Layout, x: number, y: number): Cell | undefined {
  const near = GAP / 2;
  return cells.find(
    cell => x >= cell.x - near && x < cell.x + size + near && y >= cell.y - near && y < cell.y + size + near,
  );
}

export type Direction = 'left' | 'right' | 'up' | 'down';

/** The next cell in a direction; the same when there is none. */
export function neighbour({ cells }: Layout, id: string, direction: Direction): string | undefined {
  const at = cells.findIndex(cell => cell.id === id);
  const from = cells[at];
  if (from === undefined) return cells[0]?.id;
  if (direction === 'left') return cells[Math.max(0, at - 1)]?.id;
  if (direction === 'right') return cells[Math.min(cells.length - 1, at + 1)]?.id;
  const sign = direction === 'down' ? 1 : -1;
  const beyond = cells.filter(cell => (cell.y - from.y) * sign > 0);
  // Straight on counts more than near.
  const distance = (cell: Cell) => Math.abs(cell.y - from.y) + 4 * Math.abs(cell.x - from.x);
  return beyond.reduce((best, cell) => (distance(cell) < distance(best) ? cell : best), beyond[0] ?? from).id;
}
