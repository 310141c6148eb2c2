/**
 * A process that is one client, for fault scenarios: it submits and cancels by a plan, watches every job to its end, and
 * exits with 0 when all have ended. The plan's file is the first argument.
 */
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { GpuhubClient, GpuhubError } from '../../core/sdk/client.ts';
import { Ledger } from './ledger.ts';
import { RawClient } from './raw_client.ts';
import { BACKOFF } from './pace.ts';
import type { Job, Step } from './workload.ts';

export interface ClientPlan {
  name: string;
  folder: string;
  kind: 'sdk' | 'raw';
  urls: string[];
  steps: Step[];
  /** Raw only: reads nothing for so long, from then on. */
  stop_reading?: { at_ms: number; for_ms: number };
}

/** Submits and watches through the SDK. */
class SdkClient {
  readonly #client: GpuhubClient;
  readonly #write: (op: string, fields: object) => void;

  constructor(plan: ClientPlan, ledger: Ledger) {
    this.#write = (op, fields) => ledger.write(plan.name, op, fields);
    this.#client = new GpuhubClient({
      url: plan.urls,
      client_id: plan.name,
      backoff: BACKOFF,
      on_status: status => {
        if (status.state === 'open') this.#write('up', { hub_id: status.welcome.hub_id });
        if (status.state === 'down') this.#write('down', { why: status.error.message });
      },
    });
  }

  /** Until the job has ended. */
  async submit(job: Job): Promise<void> {
    const { job_id } = job;
    this.#write('submit', { job_id });
    try {
      const handle = await this.#client.submit(job);
      this.#write('submitted', { job_id, outcome: 'ok', duplicate: handle.accepted?.duplicate ?? null });
      for await (const event of handle) {
        const { type, seq, attempt } = event;
        const result = type === 'job_completed' ? (event['result'] as { lease_id?: string } | null) : null;
        this.#write('event', { job_id, type, seq, attempt, ...(result && { lease_id: result.lease_id }) });
      }
    } catch (error) {
      this.#write('submitted', { job_id, outcome: 'fail', code: (error as GpuhubError).code });
    }
  }

  async cancel(job_id: string): Promise<void> {
    this.#write('cancel', { job_id });
    try {
      const { status } = await this.#client.cancel(job_id);
      this.#write('cancelled', { job_id, outcome: 'ok', status });
    } catch (error) {
      if (!(error instanceof GpuhubError)) throw error;
      this.#write('cancelled', {
        job_id,
        outcome: error.code === 'timeout' ? 'unknown' : 'fail',
        code: error.code,
      });
    }
  }

  close(): Promise<void> {
    return this.#client.close();
  }
}

async function main(): Promise<void> {
  const plan = JSON.parse(readFileSync(process.argv[2] as string, 'utf8')) as ClientPlan;
  const ledger = new Ledger(plan.folder, plan.name);
  const client = plan.kind === 'sdk' ? new SdkClient(plan, ledger) : new RawClient(plan, ledger);
  const began = performance.now();
  const ends: Promise<void>[] = [];
  for (const step of plan.steps) {
    const wait_ms = step.at_ms - (performance.now() - began);
    if (wait_ms > 1) await sleep(wait_ms);
    ends.push('submit' in step ? client.submit(step.submit) : client.cancel(step.cancel));
  }
  await Promise.all(ends);
  ledger.write(plan.name, 'finished', {});
  await client.close();
}

void main();
