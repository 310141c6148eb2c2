import { z } from 'zod';
import { Count, Delay, JobId, JobType, Labels, Name, Priority, Reason, Time, WorkerId } from './fields.ts';
import { FINISHED_STATES, JobRecord } from './job.ts';
import { answer, message, request } from './message.ts';
import { Pause, Stats, WorkerState } from './stats.ts';
import { WorkerRecord } from './worker.ts';

const oneTarget = {
  check: (m: { worker_id?: unknown; machine_id?: unknown; labels?: unknown }) =>
    [m.worker_id, m.machine_id, m.labels].filter(value => value !== undefined).length === 1,
  message: { message: 'give exactly one of worker_id, machine_id, labels', path: ['worker_id'] },
};
const target = { worker_id: WorkerId.optional(), machine_id: Name.optional(), labels: Labels.optional() };

export const ListWorkers = request('list_workers', 'All workers, or those that match.', {
  filter: z
    .object({
      status: WorkerState.optional(),
      machine_id: Name.optional(),
      job_type: JobType.optional(),
      labels: Labels.optional(),
    })
    .optional(),
});
export const PauseQueue = request(
  'pause_queue',
  'No job of the type (of any type when absent) is assigned until resumed.',
  {
    job_type: JobType.optional(),
    reason: Reason.optional(),
  },
);
export const ResumeQueue = request('resume_queue', 'Ends a pause.', { job_type: JobType.optional() });
export const DrainWorker = request(
  'drain_worker',
  'The workers get no new job until resumed; running ones go on.',
  {
    ...target,
    reason: Reason.optional(),
    resume_at: Time.optional(),
  },
).refine(oneTarget.check, oneTarget.message);
export const ResumeWorker = request('resume_worker', 'Ends a drain.', target).refine(
  oneTarget.check,
  oneTarget.message,
);
export const RetryJob = request('retry_job', 'Submit an ended job as a new one, with retry_of.', {
  job_id: JobId,
});
export const SetPriority = request('set_priority', 'Change the priority of a job that has not ended.', {
  job_id: JobId,
  priority: Priority,
});
export const PurgeJobs = request('purge_jobs', 'Forget ended jobs.', {
  status: z.enum(FINISHED_STATES),
  older_than_ms: Delay.optional(),
});

export const Ok = answer('ok', 'Done.', { count: Count.optional() });
export const Snapshot = message('snapshot', 'Everything a monitor needs to begin with.', {
  stats: Stats,
  history: z.array(Stats),
  hubs: z.array(z.object({ hub_id: z.string(), clients: Count, machines: Count, monitors: Count })),
  machines: z.array(
    z.object({ machine_id: Name, hub_id: z.string().nullable(), worker_ids: z.array(WorkerId) }),
  ),
  workers: z.array(WorkerRecord),
  jobs: z.array(JobRecord),
  paused: z.array(Pause),
});
export const WorkersAnswer = answer('workers', 'The workers that match, by id.', {
  workers: z.array(WorkerRecord),
  left_out: Count.optional().meta({
    description: 'how many more match than a frame has room for: a filter, or GET /workers, shows them',
  }),
});

const aboutWorker = { worker_id: WorkerId, worker: WorkerRecord };
export const WorkerConnected = message('worker_connected', 'A machine registered this GPU.', aboutWorker);
export const WorkerUpdated = message('worker_updated', 'Its state or telemetry changed.', aboutWorker);
export const WorkerDisconnected = message(
  'worker_disconnected',
  'Its socket was lost; it is offline while its leases run.',
  {
    worker_id: WorkerId,
    reason: z.string(),
    worker: WorkerRecord.optional(),
  },
);
