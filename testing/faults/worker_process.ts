/**
 * A process with machines, for fault scenarios: of the SDK, or raw ones that speak the protocol by themselves.
 * What to do comes as JSON in the first argument; what happens goes into its ledger.
 */
import { GpuhubWorker, type WorkerEvent } from '../../core/sdk/worker.ts';
import { type Execution, execute } from './execution.ts';
import { Ledger } from './ledger.ts';
import { BACKOFF } from './pace.ts';
import { RawMachine } from './raw_machine.ts';

export interface WorkerPlan {
  /** Names the process and its ledger. */
  name: string;
  folder: string;
  kind: 'sdk' | 'raw';
  machines: { machine_id: string; gpus: number; urls: string[] }[];
  /** SDK only: stop a job when its lease was not renewed in time. */
  stop_when_lost?: boolean;
  /** Raw only: every frame is sent twice, as by a network that repeats. */
  twice?: boolean;
}

function startSdkMachine(plan: WorkerPlan, { machine_id, gpus, urls }: WorkerPlan['machines'][number]): void {
  const ledger = new Ledger(plan.folder, `${plan.name}-${machine_id}`);
  const write = (op: string, fields: object) => ledger.write(machine_id, op, fields);
  const heard = (event: WorkerEvent) => {
    if (event.type === 'registered') write('up', { hub_id: event.welcome.hub_id });
    if (event.type === 'down') write('down', { why: event.error.message });
    if (event.type === 'ended') write('ended', { why: event.error?.code ?? null });
    if (event.type === 'job_acked' || event.type === 'job_dropped') {
      const { job_id, lease_id } = event.job;
      if (event.type === 'job_dropped') return write('dropped', { job_id, lease_id, why: event.reason });
      write('answer', { job_id, lease_id, accepted: event.accepted, code: event.code ?? null });
    }
    if (event.type === 'job_ended') {
      const { job_id, lease_id } = event.job;
      write('told', { job_id, lease_id, type: event.outcome });
    }
  };
  const worker = new GpuhubWorker({
    url: urls,
    machine_id,
    gpu_count: gpus,
    job_types: ['work'],
    backoff: BACKOFF,
    stop_when_lost: plan.stop_when_lost ?? false,
    on_event: heard,
    handler: (job, context) => {
      const { job_id, lease_id, attempt } = job;
      const params = job.params as unknown as Execution['params'];
      return execute(
        { machine_id, gpu: context.gpu, job_id, lease_id, attempt, params },
        context.signal,
        ledger,
        () => {
          context.progress(0.5, 'half way');
          context.output({ half: job_id });
        },
      );
    },
  });
  worker.start().catch((error: Error) => write('refused', { why: error.message }));
}

const plan = JSON.parse(process.argv[2] as string) as WorkerPlan;
for (const machine of plan.machines) {
  if (plan.kind === 'sdk') startSdkMachine(plan, machine);
  else new RawMachine(machine, new Ledger(plan.folder, `${plan.name}-${machine.machine_id}`), plan.twice);
}
