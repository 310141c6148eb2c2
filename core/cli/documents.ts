/** What `--format json` writes, declared: the page of the command is made from it, and tests hold the output against it. */
import { z } from 'zod';
import { Explanation } from '../messages/client.ts';
import { Count, JobId, JobType, Json } from '../messages/fields.ts';
import {
  CancelAcceptedBody,
  ErrorBody,
  JobAcceptedBody,
  JobsBody,
  WorkerIdsBody,
  WorkersBody,
} from '../messages/http_api.ts';
import { EVENTS, eventFields, JobRecord, JobState } from '../messages/job.ts';
import { Pause, Stats } from '../messages/stats.ts';
import { WorkerRecord } from '../messages/worker.ts';

/** A document, and which verbs write it. */
export interface Document {
  name: string;
  /** As they are typed. */
  written_by: string[];
  /** One document for each line of the output, else one in all. */
  a_line: boolean;
  schema: z.ZodObject;
}

const Fault = z.object({ code: z.string(), message: z.string(), details: Json.optional() });
const line = {
  line: Count.optional().meta({ description: 'of NDJSON, from 1' }),
  item: Count.optional().meta({ description: 'of a JSON array, from 1' }),
};

const JobEvent = z.object({
  type: z
    .enum(Object.keys(EVENTS) as [string, ...string[]])
    .meta({ description: 'further fields by type: see the protocol' }),
  ...eventFields,
});

const document = (name: string, written_by: string[], schema: z.ZodObject, a_line = false): Document => ({
  name,
  written_by,
  a_line,
  schema,
});

export const DOCUMENTS: readonly Document[] = [
  document('Stats', ['summary', 'stats'], Stats, true),
  document(
    'Top',
    ['top'],
    z.object({ stats: Stats, workers: z.array(WorkerRecord), jobs: z.array(JobRecord) }),
  ),
  document('Jobs', ['jobs'], JobsBody),
  document('Job', ['job', 'submit --wait'], JobRecord),
  document('Explanation', ['explain'], Explanation),
  document('Workers', ['workers'], WorkersBody),
  document('Worker', ['worker'], WorkerRecord),
  document('JobAccepted', ['submit', 'retry'], JobAcceptedBody),
  document(
    'Submitted',
    ['submit --file'],
    z.object({
      ...line,
      job_id: z.string().optional(),
      status: JobState.optional(),
      duplicate: z.boolean().optional(),
      seq: Count.optional(),
      warnings: z.array(z.string()).optional(),
      result: Json.optional().meta({ description: 'with --wait or --watch, of one that completed' }),
      error: Fault.optional().meta({ description: 'of one that was refused, or did not complete' }),
    }),
    true,
  ),
  document('Event', ['watch', 'events'], JobEvent.loose(), true),
  document('Unknown', ['watch'], z.object({ job_id: JobId, error: Fault }), true),
  document('JobCancelAccepted', ['cancel'], CancelAcceptedBody),
  document('WorkerIds', ['drain', 'resume'], WorkerIdsBody),
  document(
    'Paused',
    ['pause', 'resume-queue'],
    z.object({ ok: z.literal(true), job_type: JobType.nullable().meta({ description: 'null: all' }) }),
  ),
  document('Pauses', ['pause --list'], z.object({ paused: z.array(Pause) })),
  document('DeadLetters', ['dead list'], z.object({ jobs: z.array(JobRecord) })),
  document(
    'Retried',
    ['dead retry'],
    z.object({ job_id: JobId, new_job_id: JobId.optional(), error: Fault.optional() }),
    true,
  ),
  document('Purged', ['dead purge'], z.object({ purged: Count })),
  document(
    'Audit',
    ['audit'],
    z.object({ problems: z.array(z.string()), jobs: Count, entries: Count, machines: Count }),
  ),
  document('Error', ['any verb, on stderr'], ErrorBody),
];
