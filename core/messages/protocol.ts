import type { z } from 'zod';
import * as client from './client.ts';
import type { MessageSchema } from './message.ts';
import * as monitor from './monitor.ts';
import * as shared from './shared.ts';
import * as worker from './worker.ts';

export const SUBPROTOCOL = 'gpuhub.v1';

/** What the hub reads from each role. A message that is not here is `unknown_type`; one without a handler does not compile. */
export const RECEIVE = {
  client: {
    ping: shared.Ping,
    submit_job: client.SubmitJob,
    submit_jobs: client.SubmitJobs,
    cancel_job: client.CancelJob,
    get_job: client.GetJob,
    list_jobs: client.ListJobs,
    watch_jobs: client.WatchJobs,
    unwatch_jobs: client.UnwatchJobs,
    explain_job: client.ExplainJob,
    get_stats: client.GetStats,
  },
  worker: {
    ping: shared.Ping,
    register_worker: worker.RegisterWorker,
    worker_heartbeat: worker.WorkerHeartbeat,
    job_started: worker.JobStarted,
    job_progress: worker.JobProgress,
    job_output: worker.JobOutput,
    job_completed: worker.JobCompleted,
    job_failed: worker.JobFailed,
    job_cancelled: worker.JobCancelled,
    job_released: worker.JobReleased,
    job_rejected: worker.JobRejected,
    worker_drain: worker.WorkerDrain,
    worker_resume: worker.WorkerResume,
  },
  monitor: {
    ping: shared.Ping,
    get_stats: client.GetStats,
    submit_job: client.SubmitJob,
    cancel_job: client.CancelJob,
    get_job: client.GetJob,
    list_jobs: client.ListJobs,
    explain_job: client.ExplainJob,
    list_workers: monitor.ListWorkers,
    pause_queue: monitor.PauseQueue,
    resume_queue: monitor.ResumeQueue,
    drain_worker: monitor.DrainWorker,
    resume_worker: monitor.ResumeWorker,
    retry_job: monitor.RetryJob,
    set_priority: monitor.SetPriority,
    purge_jobs: monitor.PurgeJobs,
  },
} as const satisfies Record<shared.Role, Record<string, MessageSchema>>;

const events = client.EventMessages;
const toAll = [shared.Welcome, shared.ErrorMessage, shared.Pong];

/** What the hub sends to each role; tests check every frame against it, and the references are made from it. */
export const SEND: Record<shared.Role, readonly MessageSchema[]> = {
  client: [
    ...toAll,
    client.JobAccepted,
    client.JobsAccepted,
    client.JobCancelAccepted,
    client.JobAnswer,
    client.JobsAnswer,
    client.JobsWatched,
    client.JobsUnwatched,
    client.JobExplained,
    client.StatsMessage,
    ...events,
  ],
  worker: [
    ...toAll,
    worker.WorkerRegistered,
    worker.HeartbeatAck,
    worker.JobAssignment,
    worker.CancelOrder,
    worker.WorkerDraining,
    worker.WorkerResumed,
    worker.JobAck,
  ],
  monitor: [
    ...toAll,
    monitor.Snapshot,
    monitor.Ok,
    client.JobAccepted,
    client.JobCancelAccepted,
    client.JobAnswer,
    client.JobsAnswer,
    client.JobExplained,
    client.StatsMessage,
    monitor.WorkersAnswer,
    monitor.WorkerConnected,
    monitor.WorkerUpdated,
    monitor.WorkerDisconnected,
    ...events,
  ],
};

type Receive = typeof RECEIVE;
/** The message types a role may send. */
export type TypeOf<R extends shared.Role> = keyof Receive[R] & string;
/** A message as its handler gets it: parsed, defaults filled in. */
export type MessageOf<R extends shared.Role, T extends TypeOf<R>> =
  Receive[R][T] extends z.ZodType<infer M> ? M : never;
