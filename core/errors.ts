/**
 * Every error a peer can be told, in one table. What is not a `HubError` is a bug: it is logged with its
 * stack and the peer is told `internal`, nothing more.
 */
export const ERRORS = {
  /** The frame or body is not a JSON object. */
  invalid_json: { http: 400 },
  /** No such message for this role. */
  unknown_type: { http: 400 },
  /** A field is missing, mistyped or out of range. */
  invalid_message: { http: 400 },
  unauthorized: { http: 401 },
  forbidden: { http: 403 },
  /** No such job, worker or watch that this peer may see. */
  not_found: { http: 404 },
  method_not_allowed: { http: 405 },
  /** The state does not allow it, or the job_id has other content. */
  conflict: { http: 409 },
  payload_too_large: { http: 413 },
  unworkable: { http: 422 },
  stale_lease: { http: 409 },
  not_registered: { http: 409 },
  queue_full: { http: 429 },
  rate_limited: { http: 429 },
  internal: { http: 500 },
  /** Redis cannot be reached or refuses writes. */
  unavailable: { http: 503 },
} as const;

export type ErrorCode = keyof typeof ERRORS;

/** An error meant for the peer: a code from the table and a sentence that names the field. */
export class HubError extends Error {
  readonly code: ErrorCode;
  readonly details: unknown;

  constructor(code: ErrorCode, message: string, details?: unknown) {
    super(message);
    this.name = 'HubError';
    this.code = code;
    this.details = details;
  }

  get http(): number {
    return ERRORS[this.code].http;
  }
}

/** One fault of a bad message: where, and what is wrong there. */
export interface FieldFault {
  path: string;
  message: string;
}

/** `invalid_message` for faults found in fields; the sentence names the first. */
export function invalidMessage(faults: FieldFault[]): HubError {
  const first = faults[0] ?? { path: '', message: 'is not valid' };
  const where = first.path === '' ? 'the message' : `field "${first.path}"`;
  return new HubError('invalid_message', `${where}: ${first.message}`, faults);
}

/** WebSocket close codes of section 1 of the protocol; 44xx echo HTTP's. */
export const CLOSE = {
  /** Binary where none belongs. */
  unsupported_data: 1003,
  /** The hub stops or restarts: come back after a random delay. */
  restart: 1012,
  /** Overloaded: come back with exponential back-off. */
  overloaded: 1013,
  bad_frames: 4400,
  unauthorized: 4401,
  forbidden: 4403,
  /** Registration was owed and did not come in time. */
  timeout: 4408,
  /** The same machine registered again: the newest wins. */
  replaced: 4409,
  /** Too slow a reader. */
  slow_reader: 4413,
  too_many: 4429,
} as const;
