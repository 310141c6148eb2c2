import { z } from 'zod';
import { Count, counted, JobId, JobType, Json, listOf, Name, Reason, Time, WorkerId } from './fields.ts';
import {
  EVENTS,
  eventFields,
  type EventType,
  JobRecord,
  JobState,
  StateFilter,
  submissionFields,
} from './job.ts';
import { answer, message, type MessageSchema, request } from './message.ts';
import { Stats } from './stats.ts';

/** The most jobs of one submit_jobs, and the most ids of one watch_jobs. */
export const BATCH_MAX = 1000;
export const WATCH_MAX = 1000;
export const LIST_LIMIT_MAX = 500;
const LIST_LIMIT_DEFAULT = 50;

const jobIds = listOf(z.array(JobId).min(1), WATCH_MAX);
/** Of jobs that are watched: more keys than those would say nothing. */
const byJobId = <V extends z.ZodType>(values: V) =>
  counted(z.record(z.string(), values), WATCH_MAX, 'entries');

export const listFields = {
  status: StateFilter.optional(),
  job_type: JobType.optional(),
  client_id: Name.optional(),
  worker_id: WorkerId.optional(),
  limit: z.int().min(1).max(LIST_LIMIT_MAX).default(LIST_LIMIT_DEFAULT),
  cursor: z
    .string()
    .regex(/^\d{1,16}$/, 'must be a next_cursor')
    .optional(),
  full: z.boolean().default(false),
};

export const SubmitJob = request(
  'submit_job',
  'Submit one job. The same job_id with the same content makes nothing new.',
  submissionFields,
);
export const SubmitJobs = request('submit_jobs', 'Submit up to 1,000 jobs; each is checked by itself.', {
  // Checked one by one in the handler: one bad job does not spoil the batch.
  jobs: listOf(z.array(z.unknown()).min(1), BATCH_MAX).meta({
    items: { $ref: '#/components/schemas/Submission' },
  }),
});
export const CancelJob = request(
  'cancel_job',
  'Cancel a job: at once while it waits, by its worker while it runs.',
  {
    job_id: JobId,
    reason: Reason.optional(),
  },
);
export const GetJob = request('get_job', 'The whole record of a job.', { job_id: JobId });
export const ListJobs = request('list_jobs', 'Jobs, newest first.', listFields);
export const WatchJobs = request(
  'watch_jobs',
  'Watch jobs, replaying what happened after a seq or an output index.',
  {
    job_ids: jobIds,
    after_seq: byJobId(Count).optional(),
    after_output: byJobId(z.int().min(-1)).optional(),
    previews: z.boolean().optional(),
  },
);
export const UnwatchJobs = request('unwatch_jobs', 'Stop watching jobs.', { job_ids: jobIds });
export const ExplainJob = request('explain_job', 'Why a job waits.', { job_id: JobId });
export const GetStats = request('get_stats', 'The present statistics, at most 1 s old.', {});

export const JobAccepted = answer('job_accepted', 'Redis holds the job.', {
  job_id: JobId,
  status: JobState,
  duplicate: z.boolean(),
  seq: Count,
  position: Count.nullable(),
  created_at: Time,
  warnings: z.array(z.string()).optional(),
});
const BatchResult = z.union([
  z.object({
    job_id: JobId,
    status: JobState,
    duplicate: z.boolean(),
    seq: Count,
    warnings: z.array(z.string()).optional(),
  }),
  z.object({
    job_id: z.string().optional(),
    error: z.object({ code: z.string(), message: z.string(), details: Json.optional() }),
  }),
]);
export const JobsAccepted = answer('jobs_accepted', 'One result for each job of the batch, in order.', {
  results: z.array(BatchResult),
});
export const JobCancelAccepted = answer(
  'job_cancel_accepted',
  'Cancelled at once, or cancelling while a worker stops.',
  {
    job_id: JobId,
    status: z.enum(['cancelled', 'cancelling']),
  },
);
export const JobAnswer = answer('job', 'The whole record.', { job: JobRecord });
export const JobsAnswer = answer('jobs', 'A page of jobs.', {
  jobs: z.array(JobRecord),
  next_cursor: z.string().nullable(),
});
export const JobsWatched = answer(
  'jobs_watched',
  'The watched jobs as they are now; the replay follows, then live events.',
  {
    jobs: z.array(JobRecord).meta({
      description:
        'in the order of job_ids, as many as a frame has room for: those left out are watched all the same',
    }),
    not_found: z.array(JobId),
  },
);
export const JobsUnwatched = answer('jobs_unwatched', 'No longer watched.', { job_ids: z.array(JobId) });
/**
 * The causes of the job's own, then the tests of a slot in the order in which they are made; `no_worker` stands alone, with
 * count 0.
 */
export const EXPLAIN_CODES = [
  'scheduled',
  'queue_paused',
  'tenant_limit',
  'no_worker',
  'job_type',
  'gpu_model',
  'vram_too_small',
  'models',
  'labels',
  'gpus',
  'quarantined',
  'draining',
  'rejected',
  'busy',
] as const;
export type ExplainCode = (typeof EXPLAIN_CODES)[number];
const explanation = {
  job_id: JobId,
  position: Count.nullable().meta({ description: 'from 1 in its line; null unless queued' }),
  eta_ms: z
    .object({ low: Count, high: Count })
    .nullable()
    .meta({ description: 'until it starts, from what was measured; null when it cannot be told' }),
  slots_total: Count.meta({ description: 'connected slots of all hubs' }),
  as_of: Time,
  reasons: z.array(z.object({ code: z.enum(EXPLAIN_CODES), count: Count, message: z.string() })).meta({
    description: 'each slot is counted once, under the first test it fails; the nearest miss first',
  }),
};
export const JobExplained = answer(
  'job_explained',
  'Why the job waits: no reasons when it does not, or is assigned in a moment.',
  explanation,
);
/** The same without the envelope. */
export const Explanation = z.object(explanation).meta({ id: 'Explanation' });
export type Explanation = z.infer<typeof Explanation>;
export const StatsMessage = answer('stats', 'Statistics of all hubs.', Stats.shape);

const EVENT_TEXTS: Record<EventType, string> = {
  job_queued: 'The job waits in its queue.',
  job_scheduled: 'The job waits for its time.',
  job_assigned: 'A worker was chosen.',
  job_started: 'The worker showed the first sign of work.',
  job_progress: 'How far it is; the latest wins.',
  job_output: 'A piece of streamed output; not coalesced.',
  job_output_gap: 'Outputs that were trimmed or lost.',
  job_retrying: 'The attempt failed; another follows at run_at.',
  job_cancelling: 'A cancel was asked; the worker is stopping.',
  job_completed: 'The job ended with a result.',
  job_failed: 'The job ended with an error.',
  job_cancelled: 'The job was cancelled.',
  job_expired: 'The job was not started in time.',
};

/** The events of a job, for clients and monitors alike. */
export const EventMessages: readonly MessageSchema[] = (Object.keys(EVENTS) as EventType[]).map(type =>
  message(type, EVENT_TEXTS[type], { ...eventFields, ...EVENTS[type] }),
);
