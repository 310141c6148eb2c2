/** What both kinds of workers do with a job: pretend to work, and write down when it began and how it ended. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Ledger } from './ledger.ts';
import type { JobParams } from './workload.ts';

export interface Execution {
  machine_id: string;
  gpu: number;
  job_id: string;
  lease_id: string;
  attempt: number;
  params: JobParams;
}

/** Jobs shorter than this tell no progress and stream no output. */
const TALKATIVE_MS = 100;
const DEADLY_MS = 50;

/** Not at once: a crash counts when the worker had shown a sign of the job. */
async function dieSoon(): Promise<void> {
  await sleep(DEADLY_MS);
  process.kill(process.pid, 'SIGKILL');
}

/**
 * @param tell is told at half of the work
 * @returns the result, which names the lease that made it
 * @throws Error `planned failure`, or the reason of `signal` when the job was taken away
 */
export async function execute(
  { machine_id, gpu, job_id, lease_id, attempt, params }: Execution,
  signal: AbortSignal,
  ledger: Ledger,
  tell: () => void,
): Promise<{ job_id: string; lease_id: string; prompt: string }> {
  ledger.write(machine_id, 'begin', { job_id, lease_id, attempt, gpu });
  let how = 'stopped';
  try {
    if (params.kills) await dieSoon();
    if (params.work_ms >= TALKATIVE_MS) {
      await sleep(params.work_ms / 2, undefined, { signal });
      tell();
      await sleep(params.work_ms / 2, undefined, { signal });
    } else await sleep(params.work_ms, undefined, { signal });
    how = attempt <= (params.fail_until ?? 0) ? 'failed' : 'done';
  } finally {
    ledger.write(machine_id, 'end', { job_id, lease_id, how });
  }
  if (how === 'failed') throw new Error('planned failure');
  return { job_id, lease_id, prompt: params.prompt };
}
