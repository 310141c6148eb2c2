import { z } from 'zod';
import {
  Count,
  Delay,
  Duration,
  GPUS_MAX,
  HeldLease,
  JobError,
  JobId,
  JobType,
  JobTypes,
  Json,
  JsonObject,
  Labels,
  LeaseId,
  listOf,
  Metadata,
  Model,
  Models,
  Name,
  Progress,
  Reason,
  RequiredJson,
  Running,
  Time,
  WorkerId,
} from './fields.ts';
import { answer, message, request } from './message.ts';
import { WorkerState } from './stats.ts';

export const Gpu = z
  .object({
    index: z
      .int()
      .min(0)
      .max(GPUS_MAX - 1),
    name: z.string().max(256).optional(),
    vram_mb: Count.optional(),
  })
  .meta({ id: 'Gpu' });
export type Gpu = z.infer<typeof Gpu>;

const lease = { job_id: JobId, lease_id: LeaseId };
const uniqueIndexes = (gpus: { index: number }[]) => new Set(gpus.map(gpu => gpu.index)).size === gpus.length;
const workerIds = listOf(z.array(WorkerId).min(1), GPUS_MAX)
  .optional()
  .meta({ description: 'all of the machine when absent' });

export const RegisterWorker = request(
  'register_worker',
  "Makes this connection the machine's only one. `running` is the whole truth.",
  {
    machine_id: Name,
    gpu_count: z.int().min(1).max(GPUS_MAX).optional(),
    gpus: listOf(z.array(Gpu).min(1), GPUS_MAX)
      .refine(uniqueIndexes, 'each index must be given once')
      .optional(),
    job_types: JobTypes,
    models: Models.optional(),
    labels: Labels.optional(),
    version: z.string().max(128).optional(),
    draining: z.boolean().optional(),
    running: Running.optional(),
  },
);

const Percent = z.number().min(0).max(100);
const Telemetry = {
  gpu_util: Percent.nullish(),
  vram_used_mb: z.number().min(0).nullish(),
  temperature_c: z.number().min(-100).max(1000).nullish(),
  power_w: z.number().min(0).nullish(),
  loaded_models: listOf(z.array(Model), 64).nullish(),
};
export const WorkerHeartbeat = request(
  'worker_heartbeat',
  'Renews every lease it names and leaves the others alone.',
  {
    workers: listOf(
      z.array(z.object({ worker_id: WorkerId, vram_total_mb: z.number().min(0).nullish(), ...Telemetry })),
      GPUS_MAX,
    ),
    running: Running,
  },
);
export const JobStarted = request(
  'job_started',
  'The first sign of work. Optional: progress and output imply it.',
  lease,
);
export const JobProgress = request('job_progress', 'How far the job is; the latest wins.', {
  ...lease,
  progress: Progress,
  message: z.string().max(4096).optional(),
  data: Json.optional(),
});
export const JobOutput = request(
  'job_output',
  'A piece of output. An index below the next is a repeat and is dropped.',
  {
    ...lease,
    index: z
      .int()
      .min(0)
      .max(2 ** 40),
    data: RequiredJson,
  },
);
export const JobCompleted = request('job_completed', 'The job ended with a result.', {
  ...lease,
  result: RequiredJson,
});
export const JobFailed = request('job_failed', 'The attempt failed; it is retried while attempts are left.', {
  ...lease,
  error: JobError,
});
export const JobCancelled = request('job_cancelled', 'The worker stopped the job.', lease);
export const JobReleased = request('job_released', 'Handed back unharmed; no attempt is counted.', {
  ...lease,
  reason: Reason.optional(),
});
export const JobRejected = request(
  'job_rejected',
  "Like released, and this worker is passed over for the job's signature for a while.",
  {
    ...lease,
    reason: Reason,
    retry_after_ms: Delay.optional(),
  },
);
export const WorkerDrain = request('worker_drain', 'No new job; running ones go on.', {
  worker_ids: workerIds,
  reason: Reason.optional(),
});
export const WorkerResume = request('worker_resume', 'Ends a drain.', { worker_ids: workerIds });

export const WorkerRegistered = answer(
  'worker_registered',
  'Registered; what to do with each lease that was named.',
  {
    machine_id: Name,
    worker_ids: z.array(WorkerId),
    lease_ms: Duration,
    heartbeat_interval_ms: Duration,
    resend_ms: Duration,
    jobs: z.array(
      z.object({ ...lease, action: z.enum(['continue', 'abandon', 'cancel']), next_output: Count }),
    ),
  },
);
export const HeartbeatAck = answer(
  'heartbeat_ack',
  'Renewed; `abandon` names leases that are not the present ones.',
  {
    server_time: Time,
    abandon: z.array(HeldLease),
    outputs: z.record(z.string(), Count),
  },
);
export const JobAssignment = message('job_assigned', 'Work on this job.', {
  ...lease,
  worker_id: WorkerId,
  gpus: z.array(Count),
  job_type: JobType,
  params: JsonObject,
  attempt: Count,
  max_attempts: Count,
  run_timeout_ms: Duration.nullable(),
  metadata: Metadata.nullable(),
  traceparent: z.string().optional(),
  checkpoint: Json.optional(),
});
export const CancelOrder = message('cancel_job', 'Stop the job within grace_ms, then send job_cancelled.', {
  ...lease,
  reason: z.string(),
  grace_ms: Count,
});
export const WorkerDraining = answer('worker_draining', 'These workers get no new job.', {
  worker_ids: z.array(WorkerId),
  reason: Reason.optional(),
});
export const WorkerResumed = answer('worker_resumed', 'These workers get jobs again.', {
  worker_ids: z.array(WorkerId),
});
export const JobAck = answer('job_ack', 'What Redis decided; final.', {
  ...lease,
  accepted: z.boolean(),
  code: z.string().optional(),
});

export const WorkerRecord = z
  .object({
    worker_id: WorkerId,
    machine_id: Name,
    index: Count,
    status: WorkerState,
    gpu_name: z.string().nullable(),
    vram_mb: Count.nullable(),
    job_types: z.array(z.string()),
    models: z.array(z.string()),
    labels: z.record(z.string(), z.string()),
    job_id: JobId.nullable(),
    hub_id: z.string().nullable(),
    version: z.string().nullable(),
    connected_at: Time,
    last_seen_at: Time,
    status_reason: z.string().nullable(),
    resume_at: Time.nullable(),
    telemetry: z.object({
      gpu_util: z.number().nullable(),
      vram_used_mb: z.number().nullable(),
      temperature_c: z.number().nullable(),
      power_w: z.number().nullable(),
      loaded_models: z.array(z.string()).nullable(),
    }),
  })
  .meta({ id: 'Worker' });
export type WorkerRecord = z.infer<typeof WorkerRecord>;
