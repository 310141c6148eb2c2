import { TEXT_MAX } from './lease.ts';
import { GpuhubError } from './socket.ts';

export const CODE_MAX = 128;
const DETAILS_MAX = 16_384;

/** @throws GpuhubError `invalid_result` when there is no JSON for it */
export function toJson(value: unknown): string {
  try {
    const text = JSON.stringify(value);
    if (text !== undefined) return text;
  } catch (error) {
    throw new GpuhubError('invalid_result', `cannot be written as JSON: ${(error as Error).message}`);
  }
  throw new GpuhubError('invalid_result', `a ${typeof value} cannot be written as JSON`);
}

/** What `job_failed` says of whatever a handler threw. */
export function jobError(thrown: unknown) {
  const error = (typeof thrown === 'object' && thrown !== null ? thrown : {}) as Record<string, unknown>;
  const text = typeof error['message'] === 'string' ? error['message'] : String(thrown);
  const code = typeof error['code'] === 'string' && error['code'] !== '' ? error['code'] : 'handler_error';
  return {
    code: code.slice(0, CODE_MAX),
    message: text.slice(0, TEXT_MAX),
    retryable: error['retryable'] !== false,
    ...smallDetails(error['details']),
  };
}

function smallDetails(details: unknown): { details?: unknown } {
  if (details === undefined) return {};
  try {
    return toJson(details).length <= DETAILS_MAX ? { details } : {};
  } catch {
    return {};
  }
}
