import { z } from 'zod';
import { Count, JobType, Time } from './fields.ts';
import { JOB_STATES } from './job.ts';

export const WORKER_STATES = ['idle', 'busy', 'stopping', 'draining', 'quarantined', 'offline'] as const;
export const WorkerState = z.enum(WORKER_STATES).meta({ id: 'WorkerState' });
export type WorkerState = z.infer<typeof WorkerState>;

const countBy = <K extends string>(keys: readonly K[]) =>
  z.object(Object.fromEntries(keys.map(key => [key, Count])) as Record<K, typeof Count>);

const Ms = z.number().nullable();

/** The most job types that statistics name: a second of them must fit into a frame, whatever types there ever were. */
export const TYPES_MAX = 1000;
/** The most pauses that statistics name, and of each reason so many characters; a snapshot has them whole. */
export const PAUSES_MAX = 50;
export const PAUSE_REASON_MAX = 200;

/** `job_type` null: jobs of all types. */
export const Pause = z
  .object({ job_type: JobType.nullable(), reason: z.string().nullable(), at: Time })
  .meta({ id: 'Pause' });
export type Pause = z.infer<typeof Pause>;

/** Present states are counted now, ended ones since Redis was first used; rates and latencies over the last 60 s, all hubs. */
export const Stats = z
  .object({
    at: Time,
    jobs: countBy(JOB_STATES),
    workers: countBy(WORKER_STATES),
    clients: Count,
    hubs: Count,
    rates: z.object({ submitted_per_s: z.number(), completed_per_s: z.number(), failed_per_s: z.number() }),
    latency_ms: z.object({ queue_p50: Ms, queue_p99: Ms, run_p50: Ms, run_p99: Ms }),
    oldest_queued_ms: Ms,
    by_type: z
      .record(
        z.string(),
        z.object({ queued: Count, active: Count, completed: Count, failed: Count, avg_run_ms: Ms }),
      )
      .meta({
        description:
          'at most 1,000 types: those with waiting or running jobs first, then those with most ended ones',
      }),
    paused: z.array(Pause).max(PAUSES_MAX),
    events_left_out: Count,
  })
  .meta({ id: 'Stats' });
export type Stats = z.infer<typeof Stats>;
