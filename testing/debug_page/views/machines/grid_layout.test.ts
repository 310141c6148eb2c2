import { describe, expect, test } from 'vitest';
import type { Worker } from '../../state/hub_state.ts';
import { cellAt, layOut, neighbour } from './grid_layout.ts';

const machine = (machineId: string, gpus: number) => ({
  machineId,
  workers: Array.from(
    { length: gpus },
    (_, index) => ({ worker_id: `${machineId}:gpu${index}`, machine_id: machineId, index }) as Worker,
  ),
});
const fleet = [{ name: 'L40S', machines: [machine('a', 8), machine('b', 10), machine('c', 2)] }];

describe('the grid of a large fleet', () => {
  test('has one cell a GPU, none over another', () => {
    const { cells, size } = layOut(fleet, 420, 13);
    expect(new Set(cells.map(cell => cell.id)).size).toBe(20);
    for (const one of cells)
      for (const other of cells)
        expect(
          one === other || Math.abs(one.x - other.x) >= size || Math.abs(one.y - other.y) >= size,
          `${one.id} ${other.id}`,
        ).toBe(true);
  });

  test('stays within its width, and is one column when there is no room', () => {
    const right = (width: number) => Math.max(...layOut(fleet, width, 13).cells.map(cell => cell.x + 13));
    expect(right(420)).toBeLessThanOrEqual(420);
    expect(right(100)).toBe(right(200));
  });

  test('the cell under a point is found, and nothing beside it', () => {
    const layout = layOut(fleet, 420, 13);
    for (const cell of layout.cells) expect(cellAt(layout, cell.x + 6, cell.y + 6)?.id).toBe(cell.id);
    expect(cellAt(layout, 2, layout.cells[0]?.y ?? 0)).toBeUndefined();
  });

  test('arrows go to the next cell, and stop at the edges', () => {
    const layout = layOut(fleet, 420, 13);
    expect(neighbour(layout, 'a:gpu0', 'right')).toBe('a:gpu1');
    expect(neighbour(layout, 'a:gpu0', 'left')).toBe('a:gpu0');
    expect(neighbour(layout, 'a:gpu0', 'down')).toBe('c:gpu0');
    expect(neighbour(layout, 'c:gpu1', 'up')).toBe('a:gpu1');
    expect(neighbour(layout, 'b:gpu0', 'down')).toBe('b:gpu8');
  });
});
