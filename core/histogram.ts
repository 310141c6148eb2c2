/** Durations in ms by upper bounds: what is counted between two turns costs a short search and three additions. */
export class Histogram {
  readonly bounds_ms: readonly number[];
  /** One for each bound, and one for what is above the last. */
  readonly counts: number[];
  sum_ms = 0;

  /** @param bounds_ms growing; a duration equal to a bound belongs to it */
  constructor(bounds_ms: readonly number[]) {
    this.bounds_ms = bounds_ms;
    this.counts = Array.from({ length: bounds_ms.length + 1 }, () => 0);
  }

  observe(ms: number): void {
    let i = 0;
    while (i < this.bounds_ms.length && ms > (this.bounds_ms[i] as number)) i += 1;
    this.counts[i] = (this.counts[i] as number) + 1;
    this.sum_ms += ms;
  }
}

/** Of what takes a turn or a network's round trip. */
export const FAST_MS = [0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1000, 5000];
