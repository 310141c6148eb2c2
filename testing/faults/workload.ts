/** What the clients of a scenario submit: real prompts and real arrival times where their files lie beside the project. */
import { readFile } from 'node:fs/promises';
import { readPrompts } from '../../scripts/demo_prompts.ts';
import type { Random } from './random.ts';

const TRACE = new URL('../../../shared/data/azure_llm_2023_conv.csv', import.meta.url);
/** Tokens a second of the service that the trace is of, roughly: what a job of it takes. */
const TOKENS_PER_S = 50;

/** What the workers of a scenario read of a job. */
export interface JobParams {
  prompt: string;
  /** How long a worker works on it, ms. */
  work_ms: number;
  /** Attempts up to this one fail. */
  fail_until?: number;
  /** The worker's process dies by SIGKILL soon after it begins. */
  kills?: boolean;
}

export interface Job {
  job_id: string;
  job_type: string;
  params: JobParams & Record<string, unknown>;
  priority?: number;
  max_attempts?: number;
  delay_ms?: number;
  backoff_ms?: number;
}

/** What a client process does, and when: ms after its start. */
export type Step = { at_ms: number; submit: Job } | { at_ms: number; cancel: string };

export interface Arrivals {
  /** Where they come from, in words. */
  source: string;
  /** When, ms after the first, and how long the job takes, ms; both at the speed asked for. */
  arrivals: { at_ms: number; work_ms: number }[];
}

/** The prompts to draw with; `source` says which. */
export async function prompts(): Promise<{ source: string; texts: string[] }> {
  const { source, prompts: all } = await readPrompts();
  return { source, texts: all.map(({ prompt }) => prompt) };
}

/**
 * One hour of a production LLM service, so many times faster; the first `share` of it.
 * Where its file is missing: as many arrivals an hour, at random times, which `source` says.
 */
export async function arrivals(speed: number, share: number, random: Random): Promise<Arrivals> {
  const text = await readFile(TRACE, 'utf8').catch(() => undefined);
  if (text === undefined) return madeUp(speed, share, random);
  const rows = text.trim().split(/\r?\n/).slice(1);
  const all = rows.map(row => {
    const [time = '', , tokens = ''] = row.split(',');
    return {
      at_ms: Date.parse(`${time.replace(' ', 'T').slice(0, 23)}Z`),
      work_ms: Number(tokens) / TOKENS_PER_S,
    };
  });
  const first = all[0]?.at_ms ?? 0;
  const hour_ms = 3_600_000 * share;
  const timed = all
    .map(({ at_ms, work_ms }) => ({ at_ms: at_ms - first, work_ms: work_ms * 1000 }))
    .filter(({ at_ms }) => at_ms <= hour_ms);
  return { source: `${timed.length} arrivals of azure_llm_2023_conv.csv`, arrivals: faster(timed, speed) };
}

const ARRIVALS_AN_HOUR = 19_366;

function madeUp(speed: number, share: number, random: Random): Arrivals {
  const count = Math.round(ARRIVALS_AN_HOUR * share);
  const timed = Array.from({ length: count }, () => ({
    at_ms: random.next() * 3_600_000 * share,
    work_ms: -4200 * Math.log(1 - random.next()),
  })).sort((a, b) => a.at_ms - b.at_ms);
  const source = `${count} made-up arrivals: ../shared/data/azure_llm_2023_conv.csv is missing`;
  return { source, arrivals: faster(timed, speed) };
}

function faster(timed: Arrivals['arrivals'], speed: number): Arrivals['arrivals'] {
  return timed.map(({ at_ms, work_ms }) => ({ at_ms: at_ms / speed, work_ms: work_ms / speed }));
}
