import type { JobError } from '../messages/fields.ts';
import type { JobEvent } from './event_queue.ts';
import { GpuhubError } from './socket.ts';

/** The job ended as `failed`: code, message, retryable and details are those of its last error. */
export class JobFailedError extends GpuhubError {
  readonly job_id: string;
  readonly retryable: boolean;

  constructor(job_id: string, error: unknown) {
    const { code, message, retryable, details } = (error ?? {}) as Partial<JobError>;
    super(code ?? 'failed', message ?? 'the job failed', details);
    this.name = 'JobFailedError';
    this.job_id = job_id;
    this.retryable = retryable !== false;
  }
}

/** The job ended as `cancelled`. */
export class JobCancelledError extends GpuhubError {
  readonly job_id: string;

  constructor(job_id: string, reason: string | undefined) {
    super('cancelled', reason ? `the job was cancelled: ${reason}` : 'the job was cancelled');
    this.name = 'JobCancelledError';
    this.job_id = job_id;
  }
}

/** The job ended as `expired`: no worker took it within `start_timeout_ms`. */
export class JobExpiredError extends GpuhubError {
  readonly job_id: string;

  constructor(job_id: string) {
    super('expired', 'the job was not started in time');
    this.name = 'JobExpiredError';
    this.job_id = job_id;
  }
}

/** Why there is no result, from the terminal event of a job that did not complete. */
export function endError(event: JobEvent): GpuhubError {
  if (event.type === 'job_failed') return new JobFailedError(event.job_id, event.error);
  if (event.type === 'job_cancelled') return new JobCancelledError(event.job_id, event.reason);
  return new JobExpiredError(event.job_id);
}
