import { median, spread } from '../statistics.ts';
import type { Plot, Ratio, Table } from '../scenario.ts';
import type { Cost, Operation } from './store_bench.ts';

const OPERATIONS: readonly Operation[] = ['submit', 'claim', 'finish'];

/** The costs of one cell: the median of each group of cycles. Groups of all cells take turns. */
export interface CostCell {
  name: string;
  /** Where it lies on the axis of a plot. */
  x: number | string;
  groups: Cost[];
}

/** One thing to measure again and again. */
export interface Probe {
  cell: CostCell;
  cycle(): Promise<Cost>;
}

export interface Turns {
  groups: number;
  /** Of each probe within a group. */
  turns: number;
}

/** Measured in one turn, after one that is not: the caches of the processor are filled with what the last probe used. */
const CYCLES = 3;

/** The middle of many cycles: one that another process interrupted does not count. */
export function medianCost(cycles: readonly Cost[]): Cost {
  const of = (operation: Operation) => median(cycles.map(cycle => cycle[operation]));
  return { submit: of('submit'), claim: of('claim'), finish: of('finish') };
}

function shuffled<T>(items: readonly T[]): T[] {
  return items
    .map(item => ({ item, at: Math.random() }))
    .sort((a, b) => a.at - b.at)
    .map(({ item }) => item);
}

/**
 * The probes take turns, each time in another order: whatever else the machine does, it does to all of them.
 *
 * @param tidy between groups, when nothing is measured
 */
export async function measureInTurns(
  probes: readonly Probe[],
  { groups, turns }: Turns,
  tidy: () => Promise<void>,
): Promise<void> {
  for (let group = 0; group < groups; group++) {
    const costs = new Map<Probe, Cost[]>(probes.map(probe => [probe, []]));
    for (let turn = 0; turn < turns; turn++) {
      for (const probe of shuffled(probes)) {
        await probe.cycle();
        for (let i = 0; i < CYCLES; i++) costs.get(probe)?.push(await probe.cycle());
      }
    }
    for (const [{ cell }, cycles] of costs) cell.groups.push(medianCost(cycles));
    await tidy();
  }
}

/** How many times the cost of `base` that of `cell` is: the median over the groups, each against that of its own time. */
export function costRatio(cell: CostCell, base: CostCell, operation: Operation): number {
  return median(cell.groups.map((cost, i) => cost[operation] / (base.groups[i]?.[operation] ?? Number.NaN)));
}

function us(values: readonly number[]): string {
  const { median, min, max } = spread(values);
  return `${median.toFixed(1)} (${min.toFixed(1)}–${max.toFixed(1)})`;
}

/** What a note says of how the costs of a table were measured. */
export const howMeasured = ({ groups, turns }: Turns) =>
  `median (min–max) of ${groups} groups of ${turns * CYCLES} cycles, the rows in turn`;

/** One row a cell: each operation's µs with their range, and how many times the base it is. */
export function costTable(title: string, note: string, cells: readonly CostCell[], base: CostCell): Table {
  const columns = OPERATIONS.flatMap(operation => [`${operation}, µs`, '×']);
  const rows = cells.map(cell => [
    cell.name,
    ...OPERATIONS.flatMap(operation => [
      us(cell.groups.map(cost => cost[operation])),
      costRatio(cell, base, operation).toFixed(2),
    ]),
  ]);
  return { title, note, head: ['', ...columns], rows };
}

export function costPlot(file: string, title: string, x: string, cells: readonly CostCell[]): Plot {
  return {
    file,
    title,
    x,
    y: 'µs of Redis for one operation',
    series: OPERATIONS.map(name => ({
      name,
      points: cells.map(cell => ({ x: cell.x, ...spread(cell.groups.map(cost => cost[name])) })),
    })),
  };
}

/** One line for each operation. */
export function costRatios(
  what: string,
  cell: CostCell,
  base: CostCell,
  target: NonNullable<Ratio['target']> | undefined,
  operations: readonly Operation[] = OPERATIONS,
): Ratio[] {
  return operations.map(operation => ({
    what: `${operation} in Redis, ${what}`,
    value: costRatio(cell, base, operation),
    ...(target && { target }),
  }));
}
