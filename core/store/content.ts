import { createHash, hash } from 'node:crypto';
import { canonicalJson, jsonText } from '../messages/json.ts';
import type { Requirements } from '../messages/fields.ts';
import { BACKOFF_MS_DEFAULT, type Submission } from '../messages/job.ts';
import type { ObjectText } from '../messages/object_text.ts';
import { BREAK, submissionText, USUAL_SETTINGS } from './bodies.ts';
import { type Constants, constantsOf } from './records.ts';

/** What Redis is given of a submission. Equal bodies are equal content; others may be so too, with keys in another order. */
export interface Content {
  /** Members that a worker is sent, then those that it is not: see lua/lib/job.lua. */
  body: string;
  params_bytes: number;
  signature: string;
  definition: string;
  constants: Constants;
  /** ms, or `+` ms of delay, or empty. */
  run_at: string;
}

/** Any-of lists in one order, empty wishes left out: equal needs have equal texts. */
export function canonicalRequirements(requirements: Requirements | undefined): string {
  if (requirements === undefined) return '{}';
  const { min_vram_mb, gpu_model, models, labels, prefer_model } = requirements;
  const set = (list: string[]) => [...new Set(list)].sort();
  const canonical: Record<string, unknown> = {};
  if (min_vram_mb) canonical['min_vram_mb'] = min_vram_mb;
  if (gpu_model) canonical['gpu_model'] = set(gpu_model);
  if (models?.length) canonical['models'] = set(models);
  if (labels && Object.keys(labels).length > 0) {
    canonical['labels'] = Object.fromEntries(
      Object.entries(labels).map(([key, value]) => [
        key,
        Array.isArray(value) ? (value.length === 1 ? value[0] : set(value)) : value,
      ]),
    );
  }
  if (prefer_model !== undefined) canonical['prefer_model'] = prefer_model;
  return canonicalJson(canonical, 'requirements');
}

/** 96 bits. */
const FINGERPRINT_CHARS = 16;

/**
 * What a tombstone keeps of the content: enough to tell a repeat from another job under the same id. Of equal JSON values
 * it is the same, however they are written.
 */
function fingerprint(job: Submission, settings: string): string {
  const { job_type, params, metadata, requirements } = job;
  const said = `${job_type} ${settings} ${signText(params)} ${signText(metadata)} ${signText(requirements)}`;
  return hash('sha1', said, 'base64url').slice(0, FINGERPRINT_CHARS);
}

/**
 * A text that is the same for equal JSON values only. Not JSON, which would have to escape what is in it: each job has one,
 * and this takes a third of the time of sorting and writing.
 */
function signText(value: unknown): string {
  if (typeof value === 'string') return `${value.length}'${value}`;
  if (typeof value !== 'object' || value === null) return `${value as number} `;
  let text: string;
  if (Array.isArray(value)) {
    text = '[';
    for (const item of value) text += signText(item);
    return `${text}]`;
  }
  text = '{';
  for (const key of Object.keys(value).sort())
    text += `${key.length}'${key}${signText((value as Record<string, unknown>)[key])}`;
  return `${text}}`;
}

/** 96 bits name a waiting line: a clash would need 2^48 of them. */
const SIGNATURE_BYTES = 12;
const signatures = new Map<string, string>();
/** Definitions of which the hash is remembered: most jobs have one of few. */
const REMEMBERED_MAX = 5000;

function signatureOf(definition: string): string {
  const known = signatures.get(definition);
  if (known !== undefined) return known;
  if (signatures.size >= REMEMBERED_MAX) signatures.clear();
  const hash = createHash('sha256')
    .update(definition)
    .digest()
    .subarray(0, SIGNATURE_BYTES)
    .toString('base64url');
  signatures.set(definition, hash);
  return hash;
}

/**
 * The stored form of a submission.
 *
 * @param text what it was read from: params and metadata are handed on as they were written
 * @throws HubError `invalid_message` when params or metadata are nested too deeply
 */
export function contentOf(
  job: Submission,
  more: { client_id?: string; retry_of?: string } = {},
  text?: ObjectText,
): Content {
  const written = (name: 'params' | 'metadata') => text?.member(name) ?? jsonText(job[name], name);
  const params = written('params');
  const requirements = canonicalRequirements(job.requirements);
  const metadata = job.metadata === undefined ? 'null' : written('metadata');
  const definition = `["${job.job_type}",${requirements}]`;
  const limits = `"max_attempts":${job.max_attempts},"run_timeout_ms":${job.run_timeout_ms ?? null}`;
  const settings = `${limits},"metadata":${metadata}`;
  const own = settings === USUAL_SETTINGS ? '' : `${settings},`;
  const rarer = rarerOf(job);
  const wishes = job.requirements && `"requirements":${jsonText(job.requirements, 'requirements')}`;
  const rest = [wishes, rarer].filter(Boolean).join(',');
  const body = `${own}"job_type":"${job.job_type}","params":${params}${rest === '' ? '' : BREAK + rest}`;
  return {
    body,
    params_bytes: Buffer.byteLength(params),
    signature: signatureOf(definition),
    definition,
    constants: constantsOf(job, { ...more, fp: fingerprint(job, `${limits} ${rarer}`) }),
    run_at:
      job.delay_ms !== undefined ? `+${job.delay_ms}` : job.run_at !== undefined ? String(job.run_at) : '',
  };
}

const member = (name: string, json: string | number | undefined) =>
  json === undefined ? '' : `,"${name}":${json}`;

/** The settings that are not their defaults, as members. */
function rarerOf(job: Submission): string {
  const { priority, backoff_ms } = job;
  const members =
    member('priority', priority === 0 ? undefined : priority) +
    member('backoff_ms', backoff_ms === BACKOFF_MS_DEFAULT ? undefined : backoff_ms) +
    member('delay_ms', job.delay_ms) +
    member('run_at', job.run_at) +
    member('start_timeout_ms', job.start_timeout_ms) +
    member('progress_timeout_ms', job.progress_timeout_ms);
  return members.slice(1);
}

/** Do two bodies say the same, as JSON values? Asked only when their texts differ, which is rare. */
export function sameContent(one: string, other: string): boolean {
  const text = (body: string) => {
    // The same job may be sent again in another trace.
    const { traceparent: _trace, ...content } = JSON.parse(submissionText(body));
    return canonicalJson(content, 'content');
  };
  try {
    return text(one) === text(other);
  } catch {
    // Too deep to be put in order: then only equal texts count as equal.
    return false;
  }
}
