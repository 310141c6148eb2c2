import type { z } from 'zod';
import type { ErrorCode } from '../errors.ts';
import type { Submission, WatchLevel } from '../messages/job.ts';
import type { RequestLimits } from './requests.ts';
import { base64url, GpuhubError, isLarger } from './socket.ts';

/** What `submit_job` takes; see section 3 of the protocol. */
export type JobSubmission = Omit<z.input<typeof Submission>, 'params'> & { params: Record<string, unknown> };
/** Room for `type`, `request_id` and brackets beside the jobs of a batch. */
const BATCH_ENVELOPE_BYTES = 256;

/** A submission in the form it is sent. */
export interface Prepared {
  job_id: string;
  watch: WatchLevel | false;
  json: string;
}

/** A submission of a batch, and where it stood in the caller's list. */
export interface Item {
  index: number;
  prepared: Prepared;
}

/** 128 bits: nobody guesses one, and none comes twice. */
const ID_BYTES = 16;
/** Drawn for many ids at once: one call for each was 9 % of a busy producer's time. */
const pool = new Uint8Array(ID_BYTES * 64);
let used = pool.length;

/** 22 characters of base64url: 128 random bits. */
export function randomId(): string {
  if (used === pool.length) {
    crypto.getRandomValues(pool);
    used = 0;
  }
  used += ID_BYTES;
  return base64url(pool.subarray(used - ID_BYTES, used));
}

/** The client chooses the id, so that sending again makes nothing new. */
export function prepare({ watch = true, ...job }: JobSubmission): Prepared {
  const job_id = job.job_id ?? `j_${randomId()}`;
  return {
    job_id,
    watch: watch === true ? 'default' : watch,
    json: JSON.stringify({ ...job, job_id }),
  };
}

/** Sent again, a submission does not watch: `watch_jobs` follows, which also tells what was missed. */
function withWatch({ json, watch }: Prepared, again: boolean): string {
  const value = again ? false : watch === 'default' ? true : watch;
  return `${json.slice(0, -1)},"watch":${JSON.stringify(value)}}`;
}

/** The frame of `submit_job`. */
export function submitFrame(prepared: Prepared, request_id: string, again: boolean): string {
  return `${withWatch(prepared, again).slice(0, -1)},"type":"submit_job","request_id":"${request_id}"}`;
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

const encoder = new TextEncoder();

function byteLength(text: string): number {
  return encoder.encode(text).length;
}
