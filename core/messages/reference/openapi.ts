import { z } from 'zod';
import { ERRORS, type ErrorCode } from '../../errors.ts';
import { EventMessages, Explanation } from '../client.ts';
import { JobId } from '../fields.ts';
import {
  CancelAcceptedBody,
  CancelBody,
  DrainBody,
  ErrorBody,
  JobAcceptedBody,
  JobPath,
  JobsBody,
  ListQuery,
  ReadyBody,
  SubmitQuery,
  WorkerIdsBody,
  WorkerPath,
  WorkersBody,
} from '../http_api.ts';
import { JobRecord, Submission } from '../job.ts';
import { Stats } from '../stats.ts';
import { WorkerRecord } from '../worker.ts';
import { type JsonSchema, SchemaSet, tagOf } from './json_schema.ts';

/** What is answered: a declaration (JSON), or a media type of something else, or nothing but the status. */
interface Answer {
  text: string;
  body?: z.ZodType;
  media?: string;
  headers?: Record<string, string>;
}

interface Operation {
  id: string;
  tag: 'jobs' | 'workers' | 'hub';
  summary: string;
  path?: z.ZodObject;
  query?: z.ZodObject;
  headers?: Record<string, { text: string; schema: z.ZodType }>;
  body?: { declaration: z.ZodType; required: boolean };
  answers: Record<number, Answer>;
  errors: ErrorCode[];
}

const FAULTS: ErrorCode[] = ['unauthorized', 'forbidden', 'rate_limited', 'internal', 'unavailable'];
const SUBMIT_FAULTS: ErrorCode[] = [
  'invalid_json',
  'invalid_message',
  'conflict',
  'payload_too_large',
  'queue_full',
  ...FAULTS,
];
const JOB_FAULTS: ErrorCode[] = ['invalid_message', 'not_found', ...FAULTS];
const BODY_FAULTS: ErrorCode[] = ['invalid_json', ...JOB_FAULTS];

const accepted: Record<number, Answer> = {
  200: { text: 'Without wait_ms a duplicate; with it the job has ended: its record.', body: JobAcceptedBody },
  202: {
    text: 'Redis holds the job; with wait_ms it has not ended yet.',
    body: JobAcceptedBody,
    headers: { Location: 'where the job is: /jobs/{job_id}' },
  },
};
const json = (text: string, body: z.ZodType): Answer => ({ text, body });

/** Every path of section 8 of the protocol. */
const PATHS: Record<string, Record<string, Operation>> = {
  '/jobs': {
    post: {
      id: 'submit_job',
      tag: 'jobs',
      summary: 'Submit one job. The same job_id with the same content makes nothing new; `watch` is ignored.',
      query: SubmitQuery,
      headers: {
        'Idempotency-Key': { text: 'taken as job_id; must agree with one in the body', schema: JobId },
      },
      body: { declaration: Submission, required: true },
      answers: accepted,
      errors: SUBMIT_FAULTS,
    },
    get: {
      id: 'list_jobs',
      tag: 'jobs',
      summary: 'Jobs, newest first.',
      query: ListQuery,
      answers: { 200: json('A page of jobs.', JobsBody) },
      errors: ['invalid_message', ...FAULTS],
    },
  },
  '/jobs/{job_id}': {
    get: {
      id: 'get_job',
      tag: 'jobs',
      summary: 'The whole record of a job.',
      path: JobPath,
      answers: { 200: json('The record.', JobRecord) },
      errors: JOB_FAULTS,
    },
    put: {
      id: 'put_job',
      tag: 'jobs',
      summary: 'Submit a job under this id; safe to repeat.',
      path: JobPath,
      query: SubmitQuery,
      body: { declaration: Submission, required: true },
      answers: accepted,
      errors: SUBMIT_FAULTS,
    },
  },
  '/jobs/{job_id}/cancel': {
    post: {
      id: 'cancel_job',
      tag: 'jobs',
      summary: 'Cancel a job: at once while it waits, by its worker while it runs.',
      path: JobPath,
      body: { declaration: CancelBody, required: false },
      answers: { 202: json('Cancelled, or cancelling while a worker stops.', CancelAcceptedBody) },
      errors: ['conflict', ...BODY_FAULTS],
    },
  },
  '/jobs/{job_id}/retry': {
    post: {
      id: 'retry_job',
      tag: 'jobs',
      summary: 'Submit an ended job as a new one, with retry_of.',
      path: JobPath,
      answers: {
        202: {
          text: 'The new job.',
          body: JobAcceptedBody,
          headers: { Location: 'where the new job is: /jobs/{job_id}' },
        },
      },
      errors: ['conflict', 'queue_full', ...JOB_FAULTS],
    },
  },
  '/jobs/{job_id}/explain': {
    get: {
      id: 'explain_job',
      tag: 'jobs',
      summary: 'Why a job waits: each connected slot under the first test it fails.',
      path: JobPath,
      answers: { 200: json('The reasons; none when it does not wait.', Explanation) },
      errors: JOB_FAULTS,
    },
  },
  '/jobs/{job_id}/events': {
    get: {
      id: 'job_events',
      tag: 'jobs',
      summary:
        'The events of a job from its beginning, as Server-Sent Events; ends after the terminal event.',
      path: JobPath,
      headers: {
        'Last-Event-ID': {
          text: 'go on after this event: a seq, with `:index` behind it for outputs',
          schema: z.string().regex(/^\d+(:\d+)?$/),
        },
      },
      answers: {
        200: {
          text: '`event:` the type, `id:` the seq (with `:index` for outputs), `data:` the event as JSON (schema JobEvent); `: ping` every 15 s.',
          media: 'text/event-stream',
        },
        204: { text: 'The job has ended, and its last event was told before: a browser stops coming back.' },
      },
      errors: JOB_FAULTS,
    },
  },
  '/workers': {
    get: {
      id: 'list_workers',
      tag: 'workers',
      summary: 'All workers: one is one GPU slot of a machine.',
      answers: { 200: json('The workers.', WorkersBody) },
      errors: FAULTS,
    },
  },
  '/workers/{worker_id}': {
    get: {
      id: 'get_worker',
      tag: 'workers',
      summary: 'One worker.',
      path: WorkerPath,
      answers: { 200: json('The record.', WorkerRecord) },
      errors: JOB_FAULTS,
    },
  },
  '/workers/{worker_id}/drain': {
    post: {
      id: 'drain_worker',
      tag: 'workers',
      summary: 'The worker gets no new job until resumed; a running one goes on.',
      path: WorkerPath,
      body: { declaration: DrainBody, required: false },
      answers: { 202: json('It drains.', WorkerIdsBody) },
      errors: BODY_FAULTS,
    },
  },
  '/workers/{worker_id}/resume': {
    post: {
      id: 'resume_worker',
      tag: 'workers',
      summary: 'Ends a drain.',
      path: WorkerPath,
      answers: { 202: json('It gets jobs again.', WorkerIdsBody) },
      errors: JOB_FAULTS,
    },
  },
  '/stats': {
    get: {
      id: 'get_stats',
      tag: 'hub',
      summary: 'Present statistics of all hubs, at most 1 s old.',
      answers: { 200: json('The statistics.', Stats) },
      errors: FAULTS,
    },
  },
  '/healthz': {
    get: {
      id: 'healthz',
      tag: 'hub',
      summary: '200 while the process lives.',
      answers: { 200: { text: 'It lives.', headers: { 'Access-Control-Allow-Origin': 'always `*`' } } },
      errors: [],
    },
  },
  '/readyz': {
    get: {
      id: 'readyz',
      tag: 'hub',
      summary: 'Whether this hub can take work.',
      answers: {
        200: {
          ...json('It can.', ReadyBody),
          headers: { 'Access-Control-Allow-Origin': 'always `*`' },
        },
        503: {
          ...json('It cannot; `reason` says why.', ReadyBody),
          headers: { 'Access-Control-Allow-Origin': 'always `*`' },
        },
      },
      errors: [],
    },
  },
  '/metrics': page('metrics', 'Metrics for Prometheus.', 'text/plain'),
  '/debug': page('debug', 'The debug page.', 'text/html'),
  '/openapi.json': page('openapi', 'This document.', 'application/json'),
  '/asyncapi.json': page('asyncapi', 'The WebSocket side, as AsyncAPI 3.0.', 'application/json'),
};

function page(id: string, summary: string, media: string): Record<string, Operation> {
  return { get: { id, tag: 'hub', summary, answers: { 200: { text: summary, media } }, errors: [] } };
}

let document: JsonSchema | undefined;

/**
 * The HTTP API as an OpenAPI 3.1 document. Made once, at the first call. The same object every time: do not
 * change it.
 */
export function openapi(): JsonSchema {
  document ??= build();
  return document;
}

function build(): JsonSchema {
  const set = new SchemaSet('#/components/schemas/', 'draft-2020-12');
  set.of(ErrorBody);
  addJobEvent(set);
  const paths: JsonSchema = {};
  for (const [path, methods] of Object.entries(PATHS)) {
    paths[path] = Object.fromEntries(
      Object.entries(methods).map(([method, operation]) => [method, describe(set, operation)]),
    );
  }
  return {
    openapi: '3.1.0',
    info: {
      title: 'gpuhub',
      version: '1.0.0',
      description:
        'The HTTP API of gpuhub. Times are milliseconds since 1970 UTC (`…_at`), durations are milliseconds ' +
        '(`…_ms`). Unknown fields are ignored. An unknown path is 404 `not_found`, a wrong method 405 ' +
        '`method_not_allowed`. The WebSocket side is in asyncapi.json.',
    },
    servers: [{ url: '/', description: 'the hub that serves this document' }],
    security: [{}, { token: [] }],
    tags: [{ name: 'jobs' }, { name: 'workers' }, { name: 'hub' }],
    paths,
    components: {
      securitySchemes: { token: { type: 'http', scheme: 'bearer' } },
      schemas: set.schemas,
    },
  };
}

/** Server-Sent Events carry these; no media type of OpenAPI can refer to them. */
function addJobEvent(set: SchemaSet): void {
  const events = EventMessages.map(schema => set.named(tagOf(schema), schema));
  set.schemas['JobEvent'] = { description: 'The `data:` of a Server-Sent Event.', oneOf: events };
}

function describe(set: SchemaSet, operation: Operation): JsonSchema {
  const parameters = [
    ...(operation.path ? fields(set, operation.path, 'path') : []),
    ...(operation.query ? fields(set, operation.query, 'query') : []),
    ...headerParameters(set, operation.headers ?? {}),
  ];
  return {
    operationId: operation.id,
    tags: [operation.tag],
    summary: operation.summary,
    ...(parameters.length > 0 && { parameters }),
    ...(operation.body && {
      requestBody: {
        required: operation.body.required,
        content: { 'application/json': { schema: set.of(operation.body.declaration) } },
      },
    }),
    responses: { ...answers(set, operation), ...errors(set, operation.errors) },
  };
}

function fields(set: SchemaSet, declaration: z.ZodObject, place: 'path' | 'query'): JsonSchema[] {
  // A query is text that is read as something else; what it is read as is what a caller wants to know.
  const schema = set.of(declaration, place === 'query' ? 'output' : 'input');
  return Object.entries(schema['properties'] as Record<string, JsonSchema>).map(([name, property]) => {
    const { description, ...rest } = property;
    return {
      name,
      in: place,
      required: place === 'path',
      ...(description !== undefined && { description }),
      schema: rest,
    };
  });
}

function headerParameters(set: SchemaSet, headers: NonNullable<Operation['headers']>): JsonSchema[] {
  return Object.entries(headers).map(([name, { text, schema }]) => ({
    name,
    in: 'header',
    required: false,
    description: text,
    schema: set.of(schema),
  }));
}

function answers(set: SchemaSet, operation: Operation): JsonSchema {
  const made: JsonSchema = {};
  for (const [status, answer] of Object.entries(operation.answers)) {
    made[status] = {
      description: answer.text,
      ...(answer.headers && { headers: textHeaders(answer.headers) }),
      ...content(set, answer, operation.query === SubmitQuery && status === '200'),
    };
  }
  return made;
}

function content(set: SchemaSet, answer: Answer, orRecord: boolean): JsonSchema {
  if (answer.media !== undefined) return { content: { [answer.media]: {} } };
  if (answer.body === undefined) return {};
  const schema = set.of(answer.body);
  const shown = orRecord ? { anyOf: [schema, set.of(JobRecord)] } : schema;
  return { content: { 'application/json': { schema: shown } } };
}

function textHeaders(headers: Record<string, string>): JsonSchema {
  return Object.fromEntries(
    Object.entries(headers).map(([name, description]) => [name, { description, schema: { type: 'string' } }]),
  );
}

/** One answer for each status, naming its codes. */
function errors(set: SchemaSet, codes: ErrorCode[]): JsonSchema {
  const byStatus = new Map<number, ErrorCode[]>();
  for (const code of codes) {
    const status = ERRORS[code].http;
    byStatus.set(status, [...(byStatus.get(status) ?? []), code]);
  }
  const body = { 'application/json': { schema: set.ref('Error') } };
  return Object.fromEntries(
    [...byStatus].map(([status, names]) => [
      status,
      {
        description: names.map(name => `\`${name}\``).join(', '),
        ...((status === 429 || status === 503) && {
          headers: { 'Retry-After': { description: 'seconds', schema: { type: 'integer' } } },
        }),
        content: body,
      },
    ]),
  );
}
