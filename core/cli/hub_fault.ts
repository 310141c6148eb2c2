import { ERRORS } from '../errors.ts';
import { GpuhubError, type LocalErrorCode } from '../sdk/socket.ts';
import { ApiError } from './http.ts';

const AWAY: ReadonlySet<string> = new Set<LocalErrorCode>(['unreachable', 'timeout', 'closed']);

/** Nobody answered, in contrast to a refusal. */
export function isAway(error: GpuhubError): boolean {
  return AWAY.has(error.code);
}

/**
 * What a connection said, as the HTTP API would have said it: `no_hub` when nobody answered.
 *
 * @param more a sentence for the user, after the reason
 */
export function fromGpuhubError(error: GpuhubError, url: string, more = 'Is the hub running?'): ApiError {
  if (isAway(error)) {
    const outcome = error.code === 'unreachable' ? 'none' : 'unknown';
    return new ApiError('no_hub', `cannot reach ${url} (${reasonOf(error)}). ${more}`, null, { outcome });
  }
  const status = Object.hasOwn(ERRORS, error.code) ? ERRORS[error.code as keyof typeof ERRORS].http : null;
  return new ApiError(error.code, error.message, status, error.details);
}

/** Without the address, which is said beside it, and in the words of the HTTP API. */
export function reasonOf({ message }: { message: string }): string {
  return message.replace(/^no hub at \S+: /, '').replace(/^connect ECONNREFUSED .*/, 'connection refused');
}
