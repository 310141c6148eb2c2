// That the benchmark runs and tells the truth about its own counts. No speed is judged here.

import { execFile } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';

const JOBS = 100;
const TIMEOUT_MS = 120_000;

const node = (...args: string[]) => promisify(execFile)(process.execPath, args, { timeout: TIMEOUT_MS });
const bench = (...args: string[]) => node('--import', 'tsx', 'scripts/bench/main.ts', ...args);

let output: string;

beforeAll(async () => {
  output = await mkdtemp(join(tmpdir(), 'gpuhub-bench-test-'));
  await node('scripts/build.mjs', 'scripts/bench/tsconfig.json');
}, TIMEOUT_MS);
afterAll(() => rm(output, { recursive: true, force: true }));

interface Ratio {
  what: string;
  value: number;
}
interface Times {
  n: number;
  p50: number;
}
interface Results {
  scenarios: {
    throughput: {
      ratios: Ratio[];
      raw: { cell: string; jobs: number; jobs_per_s: number; cpu: { total: number } }[];
    };
    latency: {
      ratios: Ratio[];
      raw: {
        cell: string;
        gaps: Times;
        paced: Record<string, Record<'acked' | 'started' | 'noticed', Times>>;
      }[];
    };
  };
}

test('the benchmark completes every job of every cell, and writes tables, ratios, JSON and plots', {
  timeout: TIMEOUT_MS,
}, async () => {
  const { stdout } = await bench(
    ...['--scenario', 'throughput,latency', '--only', 'gpuhub,bullmq', '--quick'],
    ...['--reps', '1', '--jobs', String(JOBS), '--output', output],
  );
  const files = await readdir(output);
  const json = files.filter(file => file.endsWith('.json'));
  expect(json).toHaveLength(1);
  const { throughput, latency } = (
    JSON.parse(await readFile(join(output, json[0] as string), 'utf8')) as Results
  ).scenarios;

  expect(throughput.raw.map(({ cell, jobs }) => [cell, jobs])).toEqual([
    ['gpuhub', JOBS],
    ['bullmq', JOBS],
  ]);
  for (const { jobs_per_s, cpu } of throughput.raw) {
    expect(jobs_per_s).toBeGreaterThan(0);
    expect(cpu.total).toBeGreaterThan(0);
  }

  expect(latency.raw.map(({ cell }) => cell)).toEqual(['gpuhub', 'bullmq']);
  for (const { paced, gaps } of latency.raw) {
    expect(Object.keys(paced)).toEqual(['idle', '50 %', '80 %']);
    for (const { acked, started, noticed } of Object.values(paced)) {
      expect([acked.n, started.n]).toEqual([noticed.n, noticed.n]);
      expect(started.p50).toBeGreaterThan(0);
      expect(noticed.p50).toBeGreaterThan(started.p50);
    }
    expect(paced['idle']?.noticed.n).toBe(JOBS);
    expect(gaps.n).toBe(JOBS - 1);
  }

  const ratios = [...throughput.ratios, ...latency.ratios];
  expect(ratios.map(({ what }) => what)).toEqual([
    'jobs/s, gpuhub / bullmq',
    'CPU, gpuhub / bullmq',
    ...['start p50', 'start p99', 'notice p50', 'notice p99'].map(what => `idle ${what}, gpuhub / bullmq`),
  ]);
  for (const { what, value } of ratios) {
    expect(value, what).toBeGreaterThan(0);
    expect(stdout).toContain(what);
  }
  const told = stdout.slice(stdout.indexOf('ratios within this run'));
  expect(told.match(/missed by|reached/g)?.length).toBeGreaterThanOrEqual(ratios.length);

  const plots = files.filter(file => file.endsWith('.svg')).map(file => file.replace(/^.{20}/, ''));
  expect(plots.sort()).toEqual(['cpu.svg', 'latency_noticed.svg', 'latency_started.svg', 'throughput.svg']);
  for (const file of files.filter(file => file.endsWith('.svg'))) {
    const svg = await readFile(join(output, file), 'utf8');
    expect(svg).toMatch(/^<svg [\s\S]*<\/svg>\n$/);
    expect(svg).toContain('gpuhub');
    expect(svg).toContain('bullmq');
  }
});

test('an unknown scenario or system is refused with the known ones', { timeout: TIMEOUT_MS }, async () => {
  const refused = (...args: string[]) =>
    bench(...args).then(
      () => 'accepted',
      (error: Error & { code: number; stderr: string }) => `${error.code} ${error.stderr}`,
    );
  const [scenario, system, reps] = await Promise.all([
    refused('--scenario', 'nonsense'),
    refused('--only', 'gpuhub,nonsense'),
    refused('--reps', '0'),
  ]);
  expect(scenario).toMatch(/^2 --scenario: "nonsense" is none of throughput, latency/);
  expect(system).toMatch(/^2 --only: "nonsense" is none of gpuhub, /);
  expect(reps).toMatch(/^2 --reps must be a whole number from 1/);
});

test('--list names each scenario with what it measures', { timeout: TIMEOUT_MS }, async () => {
  const { stdout } = await bench('--list');
  expect(stdout).toMatch(/^throughput: .{20,}/m);
  expect(stdout).toMatch(/^latency: .{20,}/m);
});
