import { z } from 'zod';
import { Tallies } from './tallies.ts';

/** How far back rates and latencies look. */
export const WINDOW_S = 60;
/** Each bucket of a histogram is this much wider than the one before: quantiles are right within 5 %. */
const GROWTH = 1.1;
const LOG_GROWTH = Math.log(GROWTH);

const Histogram = z.record(z.string(), z.number());
/** What one hub measured over the last minute, as it tells the others. */
export const Window = z.object({
  submitted: z.number(),
  completed: z.number(),
  failed: z.number(),
  queue: Histogram,
  run: Histogram,
  run_by_type: z.record(z.string(), z.tuple([z.number(), z.number()])),
});
export type Window = z.infer<typeof Window>;

const bucketOf = (ms: number) => (ms <= 1 ? 0 : Math.ceil(Math.log(ms) / LOG_GROWTH));
/** No prototype: a job type may be called `constructor`. */
const noNames = (): Window['run_by_type'] => Object.create(null);
const emptyWindow = (): Window => ({
  submitted: 0,
  completed: 0,
  failed: 0,
  queue: {},
  run: {},
  run_by_type: noNames(),
});

/** What this hub saw: by second for the last minute, and counted since its start. */
export class Measures {
  readonly tallies = new Tallies();
  #seconds: { at: number; window: Window }[] = [];

  submitted(number = 1): void {
    this.#now().submitted += number;
  }

  failed(): void {
    this.tallies.failed += 1;
    this.#now().failed += 1;
  }

  completed(job_type: string | null, queued_ms: number, run_ms: number): void {
    const now = this.#now();
    now.completed += 1;
    count(now.queue, bucketOf(queued_ms), 1);
    count(now.run, bucketOf(run_ms), 1);
    const tally = this.tallies.of(job_type);
    tally.queue.observe(queued_ms);
    tally.run.observe(run_ms);
    if (job_type === null) return;
    const [sum, number] = now.run_by_type[job_type] ?? [0, 0];
    now.run_by_type[job_type] = [sum + run_ms, number + 1];
  }

  /** The last minute. */
  window(): Window {
    this.#now();
    return mergeWindows(this.#seconds.map(second => second.window));
  }

  #now(): Window {
    const at = Math.floor(performance.now() / 1000);
    const last = this.#seconds.at(-1);
    if (last?.at === at) return last.window;
    const window = emptyWindow();
    this.#seconds.push({ at, window });
    this.#seconds = this.#seconds.filter(second => second.at > at - WINDOW_S);
    return window;
  }
}

function count(histogram: Record<string, number>, bucket: number | string, by: number): void {
  histogram[bucket] = (histogram[bucket] ?? 0) + by;
}

/** Several hubs' windows, or seconds, as one. */
export function mergeWindows(windows: Window[]): Window {
  const merged = emptyWindow();
  for (const window of windows) {
    merged.submitted += window.submitted;
    merged.completed += window.completed;
    merged.failed += window.failed;
    for (const [bucket, number] of Object.entries(window.queue)) count(merged.queue, bucket, number);
    for (const [bucket, number] of Object.entries(window.run)) count(merged.run, bucket, number);
    for (const [type, [sum, number]] of Object.entries(window.run_by_type)) {
      const [before, had] = merged.run_by_type[type] ?? [0, 0];
      merged.run_by_type[type] = [before + sum, had + number];
    }
  }
  return merged;
}

/** A quantile in ms, or null of nothing. */
export function quantile(histogram: Record<string, number>, q: number): number | null {
  const buckets = Object.entries(histogram).map(([bucket, number]) => [Number(bucket), number] as const);
  const total = buckets.reduce((sum, [, number]) => sum + number, 0);
  if (total === 0) return null;
  let left = Math.ceil(total * q);
  for (const [bucket, number] of buckets.sort((a, b) => a[0] - b[0])) {
    left -= number;
    if (left <= 0) return Math.round(GROWTH ** bucket);
  }
  return null;
}

export const perSecond = (number: number) => Math.round((number / WINDOW_S) * 100) / 100;
