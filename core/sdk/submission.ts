import type { z } from 'zod';
import type { ErrorCode } from '../errors.ts';
import type { Submission, WatchLevel } from '../messages/job.ts';
import { JsonText, objectJson } from './json_text.ts';
import type { RequestLimits } from './requests.ts';
import { GpuhubError, isLarger } from './socket.ts';

/** What `submit_job` takes; see section 3 of the protocol. */
export type JobSubmission<Params = Record<string, unknown>> = Omit<z.input<typeof Submission>, 'params'> & {
  params: Params;
};
/** With params as values, or as the text that somebody wrote. */
export type AnySubmission = JobSubmission<Record<string, unknown> | JsonText>;
/** Room for `type`, `request_id` and brackets beside the jobs of a batch. */
const BATCH_ENVELOPE_BYTES = 256;

/** A submission in the form it is sent. */
export interface Prepared {
  job_id: string;
  watch: WatchLevel | false;
  /** All of it but `watch`. */
  json: string;
}

/** A submission of a batch, and where it stood in the caller's list. */
export interface Item {
  index: number;
  prepared: Prepared;
}

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** 132 bits: nobody guesses one, and none comes twice. */
const ID_CHARS = 22;
const BASE64URL = encoder.encode('ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_');
/** Drawn and written for 64 ids at once: one by one they were 12 % of a busy producer's time. */
const codes = new Uint8Array(ID_CHARS * 64);
let ids = '';

/** 22 characters of base64url. */
export function randomId(): string {
  if (ids === '') {
    crypto.getRandomValues(codes);
    for (let i = 0; i < codes.length; i++) codes[i] = BASE64URL[(codes[i] as number) & 63] as number;
    ids = decoder.decode(codes);
  }
  const id = ids.slice(0, ID_CHARS);
  ids = ids.slice(ID_CHARS);
  return id;
}

/** The client chooses the id, so that sending again makes nothing new. */
export function prepare(submission: AnySubmission): Prepared {
  const { watch = true, job_id = `j_${randomId()}` } = submission;
  // No spread: of what that makes with further members behind, JSON takes a fifth longer to write.
  const body = Object.assign({}, submission, { job_id, watch: undefined });
  const json = submission.params instanceof JsonText ? objectJson(body) : JSON.stringify(body);
  return { job_id, watch: watch === true ? 'default' : watch, json };
}

/** Sent again, a submission does not watch: `watch_jobs` follows, which also tells what was missed. */
function watchOf({ watch }: Prepared, again: boolean): string {
  return again || watch === false ? 'false' : watch === 'default' ? 'true' : `"${watch}"`;
}

/** As an element of `submit_jobs`. */
function withWatch(prepared: Prepared, again: boolean): string {
  return `${prepared.json.slice(0, -1)},"watch":${watchOf(prepared, again)}}`;
}

/** The frame of `submit_job`. */
export function submitFrame(prepared: Prepared, request_id: string, again: boolean): string {
  const watch = watchOf(prepared, again);
  return `${prepared.json.slice(0, -1)},"watch":${watch},"type":"submit_job","request_id":"${request_id}"}`;
}

/** The frame of `submit_jobs`. */
export function batchFrame(batch: Item[], request_id: string, again: boolean): string {
  const jobs = batch.map(({ prepared }) => withWatch(prepared, again)).join(',');
  return `{"type":"submit_jobs","request_id":"${request_id}","jobs":[${jobs}]}`;
}

/** Splits jobs into batches below the hub's limits; one that is too large by itself is refused here. */
export function inBatches(
  items: Item[],
  limits: RequestLimits,
  refuse: (index: number, error: GpuhubError) => void,
): Item[][] {
  const bytes_max = limits.max_message_bytes - BATCH_ENVELOPE_BYTES;
  const batches: Item[][] = [];
  let batch: Item[] = [];
  let bytes = 0;
  for (const item of items) {
    const text = withWatch(item.prepared, false);
    if (isLarger(text, bytes_max)) {
      const code: ErrorCode = 'payload_too_large';
      refuse(item.index, new GpuhubError(code, `the job is larger than ${bytes_max} bytes`));
      continue;
    }
    const size = byteLength(text) + 1;
    if (batch.length === limits.max_batch || bytes + size > bytes_max) {
      batches.push(batch);
      batch = [];
      bytes = 0;
    }
    batch.push(item);
    bytes += size;
  }
  if (batch.length > 0) batches.push(batch);
  return batches;
}

function byteLength(text: string): number {
  return encoder.encode(text).length;
}
