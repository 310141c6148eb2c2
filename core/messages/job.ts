import { z } from 'zod';
import {
  Count,
  Delay,
  Duration,
  JobId,
  JobType,
  Json,
  JsonObject,
  Metadata,
  Name,
  Priority,
  Progress,
  Reason,
  Requirements,
  Time,
  WorkerId,
} from './fields.ts';

/**
 * The life of a job:
 *
 *     submit -> [scheduled] --due--> [queued] --claim--> [assigned] --first sign--> [processing]
 *                   ^                  ^ ^                   |                          |
 *                   |                  | +--- lease ran out, released, rejected --------+
 *                   +--- failed, attempts left (back-off) ------------------------------+
 *     any of these -> one of [completed] [failed] [cancelled] [expired], and that is final
 *
 * Only the Lua scripts of the store move a job; each move raises `seq`.
 */
export const JOB_STATES = [
  'scheduled',
  'queued',
  'assigned',
  'processing',
  'completed',
  'failed',
  'cancelled',
  'expired',
] as const;
export const JobState = z.enum(JOB_STATES).meta({ id: 'JobState' });
export type JobState = z.infer<typeof JobState>;

export const FINISHED_STATES = [
  'completed',
  'failed',
  'cancelled',
  'expired',
] as const satisfies readonly JobState[];
export type FinishedState = (typeof FINISHED_STATES)[number];

/** The groups that lists understand beside the single states. */
export const STATE_GROUPS = {
  waiting: ['scheduled', 'queued'],
  active: ['assigned', 'processing'],
  finished: FINISHED_STATES,
} as const satisfies Record<string, readonly JobState[]>;
export const StateFilter = z.enum([...JOB_STATES, 'waiting', 'active', 'finished']);
export type StateFilter = z.infer<typeof StateFilter>;

export const MAX_ATTEMPTS_DEFAULT = 3;
export const BACKOFF_MS_DEFAULT = 1000;

export const Watch = z.union([z.boolean(), z.enum(['end', 'all'])]).meta({
  description:
    'true: started, progress, output, retrying, cancelling, terminal; "end": terminal only; "all": queued, scheduled, assigned too',
});
/** Not part of what makes two submissions the same; one that cannot be read is left out. */
export const Traceparent = z.string().max(256).meta({
  description: 'W3C Trace Context, handed on to the worker; not part of the content',
});
/** How much a watcher is told; `false` of the wire is no watch at all. */
export type WatchLevel = 'default' | 'end' | 'all';

/** The fields of a submission, shared by `submit_job`, `submit_jobs` and HTTP. */
export const submissionFields = {
  job_type: JobType,
  params: JsonObject,
  job_id: JobId.optional().meta({ description: 'the idempotency key; the hub makes one up when absent' }),
  priority: Priority.default(0).meta({ description: 'higher runs first; equal ones in order of acceptance' }),
  requirements: Requirements.optional(),
  max_attempts: z.int().min(1).max(100).default(MAX_ATTEMPTS_DEFAULT),
  backoff_ms: z.int().min(0).max(600_000).default(BACKOFF_MS_DEFAULT).meta({
    description: 'doubled each attempt, ±20 %, to 10 min',
  }),
  delay_ms: Delay.optional().meta({ description: 'ms; not together with run_at' }),
  run_at: Time.optional(),
  start_timeout_ms: Duration.optional(),
  run_timeout_ms: Duration.optional(),
  progress_timeout_ms: Duration.optional(),
  metadata: Metadata.optional(),
  traceparent: Traceparent.optional(),
  watch: Watch.default(true),
};

const oneStart = {
  check: (job: { delay_ms?: number | undefined; run_at?: number | undefined }) =>
    job.delay_ms === undefined || job.run_at === undefined,
  message: { message: 'delay_ms and run_at cannot both be given', path: ['run_at'] },
};

export const Submission = z
  .object(submissionFields)
  .refine(oneStart.check, oneStart.message)
  .meta({ id: 'Submission' });
export type Submission = z.infer<typeof Submission>;

export const AttemptRecord = z
  .object({
    attempt: Count,
    worker_id: WorkerId.nullable(),
    assigned_at: Time.nullable(),
    started_at: Time.nullable(),
    ended_at: Time.nullable(),
    outcome: z.string().nullable(),
    error: Json,
  })
  .meta({ id: 'Attempt' });
export type AttemptRecord = z.infer<typeof AttemptRecord>;

export const JobRecord = z
  .object({
    job_id: JobId,
    job_type: JobType,
    status: JobState,
    priority: Priority,
    params: JsonObject.optional(),
    requirements: Requirements.nullable(),
    client_id: Name.nullable(),
    worker_id: WorkerId.nullable(),
    attempt: Count,
    max_attempts: Count,
    progress: Progress.nullable(),
    progress_message: z.string().nullable(),
    result: Json.optional(),
    error: Json,
    metadata: Metadata.nullable(),
    retry_of: JobId.nullable(),
    cancel_requested_at: Time.nullable(),
    created_at: Time,
    run_at: Time.nullable(),
    queued_at: Time.nullable(),
    assigned_at: Time.nullable(),
    started_at: Time.nullable(),
    finished_at: Time.nullable(),
    updated_at: Time,
    seq: Count,
    attempts: z.array(AttemptRecord).optional(),
  })
  .meta({
    id: 'Job',
    description: 'absent values are null; lists leave out params, result and attempts unless full',
  });
export type JobRecord = z.infer<typeof JobRecord>;

export const QUEUED_REASONS = [
  'submitted',
  'due',
  'retry',
  'lease_expired',
  'undelivered',
  'released',
  'rejected',
  'operator',
] as const;

/** What every event of a job carries. */
const eventFields = { job_id: JobId, seq: Count, at: Time, attempt: Count };

/** The further fields of each event, by type. `job_progress` and `job_output` carry the seq reached so far. */
export const EVENTS = {
  job_queued: { position: Count.nullable(), reason: z.enum(QUEUED_REASONS) },
  job_scheduled: { run_at: Time },
  job_assigned: { worker_id: WorkerId },
  job_started: { worker_id: WorkerId },
  job_progress: { progress: Progress, message: z.string().optional(), data: Json.optional() },
  job_output: { index: Count, data: Json },
  job_output_gap: { from: Count, to: Count },
  job_retrying: { error: Json, run_at: Time, max_attempts: Count },
  job_cancelling: { reason: Reason.optional() },
  job_completed: { result: Json, worker_id: WorkerId, queued_ms: Count, run_ms: Count },
  job_failed: { error: Json, worker_id: WorkerId.nullable() },
  job_cancelled: { reason: Reason.optional() },
  job_expired: {},
} as const;
export type EventType = keyof typeof EVENTS;

export const TERMINAL_EVENTS: ReadonlySet<string> = new Set<EventType>([
  'job_completed',
  'job_failed',
  'job_cancelled',
  'job_expired',
]);

export { eventFields };
