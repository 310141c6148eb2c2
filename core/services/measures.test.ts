import { describe, expect, it } from 'vitest';
import { Measures, mergeWindows, quantile } from './measures.ts';

describe('measures', () => {
  it('tells quantiles within the width of a bucket', () => {
    const measures = new Measures();
    for (let ms = 1; ms <= 1000; ms++) measures.completed('image', ms, 2 * ms);
    const { queue, run, completed, run_by_type } = measures.window();
    expect(completed).toBe(1000);
    for (const [histogram, scale] of [
      [queue, 1],
      [run, 2],
    ] as const) {
      expect(Math.abs((quantile(histogram, 0.5) as number) - 500 * scale)).toBeLessThan(50 * scale);
      expect(Math.abs((quantile(histogram, 0.99) as number) - 990 * scale)).toBeLessThan(99 * scale);
    }
    expect(run_by_type['image']).toEqual([1_001_000, 1000]);
  });

  it('knows no quantile of nothing', () => {
    expect(quantile(new Measures().window().queue, 0.5)).toBeNull();
  });

  it('adds up several hubs, also for a job type called constructor', () => {
    const [a, b] = [new Measures(), new Measures()];
    a.completed('constructor', 10, 20);
    b.completed('constructor', 10, 40);
    b.submitted(3);
    const both = mergeWindows([a.window(), b.window()]);
    expect(both.completed).toBe(2);
    expect(both.submitted).toBe(3);
    expect(both.run_by_type['constructor']).toEqual([60, 2]);
  });
});
