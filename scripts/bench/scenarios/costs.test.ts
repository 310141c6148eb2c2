import { describe, expect, test } from 'vitest';
import { type CostCell, costRatio, costTable, measureInTurns, medianCost, type Probe } from './costs.ts';
import { dispatchRatio } from './crowd_report.ts';
import { speedUp } from './hubs.ts';
import type { Cost } from './store_bench.ts';

const cost = (submit: number, claim = submit, finish = submit): Cost => ({ submit, claim, finish });
const cell = (name: string, groups: Cost[]): CostCell => ({ name, x: name, groups });

describe('costs of operations', () => {
  test('one interrupted cycle does not change the cost of a group', () => {
    expect(medianCost([cost(20), cost(22), cost(5000), cost(21), cost(22)])).toEqual(cost(22));
  });

  test('each operation has its own median', () => {
    expect(medianCost([cost(1, 30, 5), cost(2, 10, 5), cost(3, 20, 6)])).toEqual(cost(2, 20, 5));
  });

  test('a ratio compares groups of the same time, so that a slow minute counts for both', () => {
    const base = cell('empty', [cost(10), cost(30), cost(12)]);
    const deep = cell('deep', [cost(11), cost(33), cost(13.2)]);
    expect(costRatio(deep, base, 'claim')).toBeCloseTo(1.1);
  });

  test('a table has a row for each cell, with the ratio to the base beside each cost', () => {
    const base = cell('empty', [cost(10, 20, 40)]);
    const deep = cell('deep', [cost(15, 20, 20)]);
    expect(costTable('t', 'n', [base, deep], base).rows).toEqual([
      ['empty', '10.0 (10.0–10.0)', '1.00', '20.0 (20.0–20.0)', '1.00', '40.0 (40.0–40.0)', '1.00'],
      ['deep', '15.0 (15.0–15.0)', '1.50', '20.0 (20.0–20.0)', '1.00', '20.0 (20.0–20.0)', '0.50'],
    ]);
  });

  test('probes take turns, the first cycle of each turn is not measured, and each group is tidied up', async () => {
    const log: string[] = [];
    const probe = (name: string): Probe => {
      let cycles = 0;
      return {
        cell: cell(name, []),
        // Four cycles a turn: the first of each costs a hundred times as much.
        cycle: async () => {
          log.push(name);
          return cost(cycles++ % 4 === 0 ? 1000 : 10);
        },
      };
    };
    const probes = [probe('a'), probe('b')];
    await measureInTurns(probes, { groups: 2, turns: 3 }, async () => void log.push('tidy'));
    for (const { cell } of probes) expect(cell.groups).toEqual([cost(10), cost(10)]);
    const runs = log.join(' ').match(/(a a a a|b b b b|tidy)/g);
    // Six whole turns a group, and the tidying.
    expect(runs).toHaveLength(2 * (6 + 1));
    expect(log.filter(entry => entry === 'tidy')).toHaveLength(2);
    expect(log.at(-1)).toBe('tidy');
  });
});

describe('ratios of scenarios', () => {
  test('the p99 of dispatch is compared round by round', () => {
    const round = (worst: number) => [...Array.from({ length: 98 }, () => 1), worst, worst];
    expect(
      dispatchRatio({ many: [round(2), round(30), round(6)], few: [round(1), round(10), round(4)] }),
    ).toBe(2);
  });

  test('the rate of several hubs is compared with that of one of the same repetition', () => {
    const run = (hubs: number, jobs_per_s: number) => ({
      hubs,
      jobs_per_s,
      cpu: { hub: 0, redis: 0, producer: 0, worker: 0 },
      published: 0,
      busy: 1,
      ours: 1,
    });
    const runs = [run(1, 100), run(2, 150), run(2, 80), run(1, 40), run(1, 100), run(2, 120)];
    expect(speedUp(runs, 2, each => each.jobs_per_s)).toBe(1.5);
  });
});
