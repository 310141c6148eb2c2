import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Outcome } from './runner.ts';

/** The value below which that share of a sorted list lies; undefined for an empty one. */
export function quantile(sorted: readonly number[], share: number): number | undefined {
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))];
}

const seconds = (ms: number | undefined) => (ms === undefined ? '–' : (ms / 1000).toFixed(2));

/** One line: the verdict and the figures; then a line for each violation. */
export function lineOf({ name, seed, took_ms, verdict, figures }: Outcome): string {
  const { recoveries, violations } = verdict;
  const parts = [
    `${verdict.completed}/${verdict.jobs} done`,
    `lost ${verdict.lost}`,
    `accepted twice ${verdict.accepted_twice}`,
    `executed twice ${verdict.executed_twice}${verdict.wasted_gpu_s > 0 ? ` (${verdict.wasted_gpu_s} GPU-s wasted)` : ''}`,
    `lease taken ${verdict.lease_taken}`,
    `stuck ${verdict.stuck}`,
    `inversions ${verdict.inversions}`,
    `ends missed ${verdict.missed_ends}`,
  ];
  if (recoveries.length > 0) {
    const [p50, p99, max] = [0.5, 0.99, 1].map(share => seconds(quantile(recoveries, share)));
    parts.push(`recovery p50 ${p50} p99 ${p99} max ${max} s (${recoveries.length})`);
  }
  for (const [figure, value] of Object.entries(figures)) parts.push(`${figure} ${value}`);
  const head = `${violations.length === 0 ? 'ok  ' : 'FAIL'} ${name.padEnd(24)} seed ${seed}, ${seconds(took_ms)} s`;
  return [`${head}: ${parts.join(', ')}`, ...violations.map(violation => `       - ${violation}`)].join('\n');
}

/** All outcomes as JSON. @returns the file */
export async function writeReport(folder: string, outcomes: Outcome[]): Promise<string> {
  await mkdir(folder, { recursive: true });
  const file = join(folder, 'report.json');
  const told = outcomes.map(({ verdict, ...outcome }) => {
    const { recoveries, ...figures } = verdict;
    const [p50, p99, max] = [0.5, 0.99, 1].map(share => quantile(recoveries, share) ?? null);
    return { ...outcome, verdict: figures, recovery_ms: { count: recoveries.length, p50, p99, max } };
  });
  await writeFile(file, `${JSON.stringify({ node: process.version, outcomes: told }, null, 2)}\n`);
  return file;
}
