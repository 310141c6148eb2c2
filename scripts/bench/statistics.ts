function sorted(values: readonly number[]): number[] {
  return [...values].sort((a, b) => a - b);
}

/** NaN of no values. */
export function median(values: readonly number[]): number {
  const order = sorted(values);
  const middle = Math.floor(order.length / 2);
  const upper = order[middle] ?? Number.NaN;
  return order.length % 2 === 1 ? upper : (upper + (order[middle - 1] as number)) / 2;
}

/** The smallest value that `share` of all values do not exceed (nearest rank); NaN of no values. */
export function percentile(values: readonly number[], share: number): number {
  const order = sorted(values);
  // Without the subtraction 0.999 of 1,000 is a hair above 999 in binary, and its rank 1,000.
  const rank = Math.ceil(share * order.length - 1e-9);
  return order[Math.max(rank, 1) - 1] ?? Number.NaN;
}

/** What a plot shows of several runs. */
export function spread(values: readonly number[]): { median: number; min: number; max: number } {
  return { median: median(values), min: Math.min(...values), max: Math.max(...values) };
}

/** `5,685 (4,828–7,378)`: median and range. */
export function range(values: readonly number[]): string {
  const whole = (value: number) => Math.round(value).toLocaleString('en-US');
  const { median, min, max } = spread(values);
  return values.length === 0 ? '-' : `${whole(median)} (${whole(min)}–${whole(max)})`;
}

/** `0.62 / 1.80 / 4.43`: p50, p99 and p99.9 in ms. A percentile that fewer samples than its share cannot tell is left out. */
export function percentiles(times: readonly number[]): string {
  const text = (share: number) =>
    times.length * (1 - share) < 1 - 1e-9 ? '-' : percentile(times, share).toFixed(2);
  return [0.5, 0.99, 0.999].map(text).join(' / ');
}
