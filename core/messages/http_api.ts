/**
 * The HTTP side of the protocol (section 8), declared once: what routes read, what they answer, and what the
 * OpenAPI document is made from. Bodies of answers are the fields of the WebSocket answers without their envelope.
 */
import { z } from 'zod';
import { JobAccepted, JobCancelAccepted, JobsAnswer, LIST_LIMIT_MAX, listFields } from './client.ts';
import { JobId, Json, Reason, Time, WorkerId } from './fields.ts';
import { WorkersAnswer } from './monitor.ts';

/** The longest a submission may wait for the end of its job: proxies cut connections that are silent for longer. */
const WAIT_MS_MAX = 60_000;

const LIST_LIMIT_DEFAULT = listFields.limit.parse(undefined);

/** `/jobs/{job_id}` */
export const JobPath = z.object({ job_id: JobId });
/** `/workers/{worker_id}` */
export const WorkerPath = z.object({ worker_id: WorkerId });

/** `?wait_ms=` of a submission. */
export const SubmitQuery = z.object({
  wait_ms: z.coerce.number().int().min(0).max(WAIT_MS_MAX).optional().meta({
    description: 'wait this long for the end of the job: 200 with the record when it ends, else 202',
  }),
});
export type SubmitQuery = z.infer<typeof SubmitQuery>;

/** `GET /jobs?…`: the fields of `list_jobs`, read from text. */
export const ListQuery = z.object({
  status: listFields.status,
  job_type: listFields.job_type,
  client_id: listFields.client_id,
  worker_id: listFields.worker_id,
  limit: z.coerce.number().int().min(1).max(LIST_LIMIT_MAX).default(LIST_LIMIT_DEFAULT),
  cursor: listFields.cursor.meta({ description: '`next_cursor` of the page before' }),
  full: z.stringbool().default(false).meta({ description: 'with params, result and attempts' }),
});
export type ListQuery = z.infer<typeof ListQuery>;

/** The body of a cancel; may be absent. */
export const CancelBody = z.object({ reason: Reason.optional() });
export type CancelBody = z.infer<typeof CancelBody>;

/** The body of a drain; may be absent. */
export const DrainBody = z.object({ reason: Reason.optional(), resume_at: Time.optional() });
export type DrainBody = z.infer<typeof DrainBody>;

const withoutEnvelope = { type: true, request_id: true } as const;

export const JobAcceptedBody = JobAccepted.omit(withoutEnvelope).meta({ id: 'JobAccepted' });
export type JobAcceptedBody = z.infer<typeof JobAcceptedBody>;
export const CancelAcceptedBody = JobCancelAccepted.omit(withoutEnvelope).meta({ id: 'JobCancelAccepted' });
export type CancelAcceptedBody = z.infer<typeof CancelAcceptedBody>;
export const JobsBody = JobsAnswer.omit(withoutEnvelope).meta({ id: 'Jobs' });
export type JobsBody = z.infer<typeof JobsBody>;
export const WorkersBody = WorkersAnswer.omit({ ...withoutEnvelope, left_out: true }).meta({ id: 'Workers' });
export type WorkersBody = z.infer<typeof WorkersBody>;

/** The answer to a drain or a resume: whom it concerned. */
export const WorkerIdsBody = z.object({ worker_ids: z.array(WorkerId) }).meta({ id: 'WorkerIds' });
export type WorkerIdsBody = z.infer<typeof WorkerIdsBody>;

/** `GET /readyz` */
export const ReadyBody = z
  .object({ ready: z.boolean(), reason: z.string().nullish() })
  .meta({ id: 'Readiness' });
export type ReadyBody = z.infer<typeof ReadyBody>;

/** The body of every answer that is an error. */
export const ErrorBody = z
  .object({ error: z.object({ code: z.string(), message: z.string(), details: Json.optional() }) })
  .meta({ id: 'Error' });
export type ErrorBody = z.infer<typeof ErrorBody>;
