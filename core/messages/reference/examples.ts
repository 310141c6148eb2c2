import type { MessageSchema } from '../message.ts';
import { type JsonSchema, messageNames, SchemaSet, tagOf } from './json_schema.ts';

const TIME = 1_795_352_400_000;
const STATS = {
  at: TIME,
  jobs: {
    scheduled: 3,
    queued: 1092,
    assigned: 3,
    processing: 1500,
    completed: 402_117,
    failed: 31,
    cancelled: 12,
    expired: 0,
  },
  workers: { idle: 412, busy: 1503, stopping: 0, draining: 48, quarantined: 8, offline: 29 },
  clients: 17,
  hubs: 2,
  rates: { submitted_per_s: 60.1, completed_per_s: 59.2, failed_per_s: 0.4 },
  latency_ms: { queue_p50: 400, queue_p99: 2100, run_p50: 6200, run_p99: 14_000 },
  oldest_queued_ms: 3000,
  by_type: { 'video.render': { queued: 540, active: 371, completed: 220, failed: 9, avg_run_ms: 840_000 } },
  paused: [{ job_type: 'transcribe', reason: 'model swap', at: TIME }],
  events_left_out: 0,
};

/**
 * A value to show for a field, by `tag.field` or by its name alone; other fields get one by their schema.
 * So a new message has an example without a word here.
 */
const SAMPLES: Record<string, unknown> = {
  job_id: 'render-2291:shot-7',
  job_ids: ['render-2291:shot-7'],
  lease_id: '1-Vb3m0uQkT9yWc2xLzP7d4A',
  job_type: 'video.render',
  job_types: ['video.render', 'image.generate'],
  params: { prompt: 'a lighthouse at dusk', frames: 120 },
  result: { url: 's3://renders/shot-7.mp4' },
  data: { frame: 74 },
  priority: 10,
  requirements: { min_vram_mb: 24_000, gpu_model: ['H100', 'A100'], models: ['wan-2.2-14b'] },
  metadata: null,
  'worker_job_assigned.metadata': { project: '2291' },
  models: ['wan-2.2-14b'],
  labels: { region: 'eu-west' },
  machine_id: 'machine1',
  worker_id: 'machine1:gpu0',
  worker_ids: ['machine1:gpu0'],
  gpus: [{ index: 0, name: 'NVIDIA H100 80GB HBM3', vram_mb: 81_559 }],
  'worker_job_assigned.gpus': [0],
  gpu_name: 'NVIDIA H100 80GB HBM3',
  vram_mb: 81_559,
  running: [{ job_id: 'render-2291:shot-7', lease_id: '1-Vb3m0uQkT9yWc2xLzP7d4A' }],
  jobs: [],
  'submit_jobs.jobs': [{ job_id: 'render-2291:shot-8', job_type: 'video.render', params: { frames: 96 } }],
  results: [{ job_id: 'render-2291:shot-8', status: 'queued', duplicate: false, seq: 1_795_352_400_000_042 }],
  'error.code': 'not_found',
  'error.message': 'there is no job "render-2291:shot-9"',
  error: { code: 'out_of_memory', message: 'CUDA out of memory', retryable: true },
  message: 'frame 74 of 120',
  progress: 0.62,
  status: 'queued',
  'worker_connected.status': 'idle',
  'worker_updated.status': 'busy',
  'job_cancel_accepted.status': 'cancelling',
  'list_jobs.status': 'active',
  'purge_jobs.status': 'failed',
  limit: 50,
  reason: 'the user closed the page',
  'job_queued.reason': 'submitted',
  'job_rejected.reason': 'the model does not fit beside another program',
  'worker_disconnected.reason': 'the socket was lost',
  seq: 1_795_352_400_000_042,
  position: 1,
  attempt: 1,
  max_attempts: 3,
  duplicate: false,
  accepted: true,
  hub_id: 'hub-a1',
  connection_id: 'c_5Jr0',
  next_cursor: null,
  eta_ms: { low: 42_000, high: 95_000 },
  slots_total: 1971,
  as_of: TIME,
  reasons: [{ code: 'busy', count: 40, message: '40 of 1971 slots are busy with other jobs' }],
  lease_ms: 60_000,
  heartbeat_interval_ms: 15_000,
  resend_ms: 10_000,
  ping_interval_ms: 15_000,
  grace_ms: 10_000,
  retry_after_ms: 5000,
  run_timeout_ms: null,
  queued_ms: 400,
  run_ms: 842_000,
  abandon: [],
  outputs: {},
  limits: {
    max_message_bytes: 1_048_576,
    max_params_bytes: 786_432,
    max_result_bytes: 786_432,
    max_batch: 1000,
    max_watch: 1000,
    idempotency_ms: 600_000,
  },
  history: [],
  hubs: [],
  machines: [],
  workers: [],
  'worker_heartbeat.workers': [{ worker_id: 'machine1:gpu0', gpu_util: 97, vram_used_mb: 61_000 }],
  paused: STATS.paused,
  stats: STATS,
  ...Object.fromEntries(Object.entries(STATS).map(([field, value]) => [`stats.${field}`, value])),
};

/** Optional fields that an example shows all the same. */
const SHOWN = new Set([
  'job_id',
  'priority',
  'requirements',
  'worker_id',
  'gpus',
  'models',
  'status',
  'limit',
]);

/** An example of each message, by its name in {@link messageNames}. */
export function examples(): Map<MessageSchema, Record<string, unknown>> {
  const set = new SchemaSet('#/', 'draft-2020-12');
  const made = new Map<MessageSchema, Record<string, unknown>>();
  for (const [schema, name] of messageNames()) made.set(schema, messageExample(set, schema, name));
  return made;
}

function messageExample(set: SchemaSet, schema: MessageSchema, name: string): Record<string, unknown> {
  const example = objectExample(set, set.of(schema), name);
  return { type: tagOf(schema), ...example };
}

function objectExample(set: SchemaSet, schema: JsonSchema, name: string): Record<string, unknown> {
  const required = new Set((schema['required'] ?? []) as string[]);
  const fields = Object.entries((schema['properties'] ?? {}) as Record<string, JsonSchema>);
  return Object.fromEntries(
    fields
      .filter(([field]) => required.has(field) || SHOWN.has(field))
      .map(([field, part]) => [field, sample(set, part, name, field)]),
  );
}

function sample(set: SchemaSet, schema: JsonSchema, name: string, field: string): unknown {
  if ('const' in schema) return schema['const'];
  for (const key of [`${name}.${field}`, field]) if (Object.hasOwn(SAMPLES, key)) return SAMPLES[key];
  if (typeof schema['$ref'] === 'string') {
    const part = set.schemas[schema['$ref'].slice('#/'.length)] as JsonSchema;
    return sample(set, part, name, field);
  }
  if (Array.isArray(schema['enum'])) return schema['enum'][0];
  if (Array.isArray(schema['anyOf'])) return sample(set, schema['anyOf'].at(-1), name, field);
  if (field.endsWith('_at') || field === 'at' || field === 'server_time') return TIME;
  return byType(set, schema, name);
}

function byType(set: SchemaSet, schema: JsonSchema, name: string): unknown {
  switch ([schema['type']].flat().at(-1)) {
    case 'string':
      return 'text';
    case 'integer':
    case 'number':
      return schema['minimum'] ?? 0;
    case 'boolean':
      return false;
    case 'array':
      return [];
    case 'object':
      return objectExample(set, schema, name);
    default:
      return null;
  }
}
