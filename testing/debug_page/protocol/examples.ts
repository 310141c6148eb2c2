// Examples for the forms. Most come from the names of the fields, so a new message has one at once; only
// what would be dull or wrong that way is written out.

import { choicesOf, type Field } from './fields.ts';

const JOB = 'demo-1';
const LEASE = '1-AAAAAAAAAAAAAAAAAAAAAA';

const BY_NAME: Record<string, unknown> = {
  job_type: 'image.generate',
  job_types: ['*'],
  job_id: JOB,
  job_ids: [JOB],
  lease_id: LEASE,
  machine_id: 'machine1',
  worker_id: 'machine1:gpu0',
  worker_ids: ['machine1:gpu0'],
  params: { prompt: 'a harbour at dawn', steps: 30 },
  result: { ok: true },
  data: { line: 'hello' },
  progress: 0.5,
  priority: 10,
  index: 0,
  reason: 'said so in the console',
  running: [],
  workers: [],
  jobs: [
    { job_type: 'image.generate', params: { prompt: 'one' } },
    { job_type: 'image.generate', params: { prompt: 'two' }, priority: 5 },
  ],
  error: { code: 'out_of_memory', message: 'CUDA out of memory', retryable: true },
  status: 'completed',
};

/** Optional fields worth showing, by message. */
const EXTRA: Record<string, Record<string, unknown>> = {
  submit_job: { priority: 0 },
  register_worker: { gpus: [{ index: 0, name: 'NVIDIA L40S', vram_mb: 49_152 }], running: [] },
  list_jobs: { status: 'active' },
  pause_queue: { reason: 'model swap' },
  drain_worker: { worker_id: 'machine1:gpu0', reason: 'maintenance' },
  resume_worker: { worker_id: 'machine1:gpu0' },
  watch_jobs: { after_seq: { [JOB]: 0 } },
  worker_heartbeat: { workers: [{ worker_id: 'machine1:gpu0', gpu_util: 97, temperature_c: 66 }] },
};

function byType(field: Field): unknown {
  const choices = choicesOf(field);
  if (choices !== undefined) return choices[0];
  if (field.type === 'integer' || field.type === 'number') return Math.max(field.minimum ?? 0, 0);
  if (field.type === 'array') return [];
  if (field.type === 'object') return {};
  return 'example';
}

/** A valid body for a message, without its `type`. */
export function exampleFor(type: string, schema: Field): Record<string, unknown> {
  const body: Record<string, unknown> = {};
  for (const name of schema.required ?? []) {
    const field = schema.properties?.[name] ?? {};
    const named = BY_NAME[name];
    const choices = choicesOf(field);
    const fits = named !== undefined && (choices === undefined || choices.includes(named));
    body[name] = fits ? named : byType(field);
  }
  return { ...body, ...EXTRA[type] };
}
