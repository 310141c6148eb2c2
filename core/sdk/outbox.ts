import { CODE_MAX, jobError, toJson } from './handler_error.ts';
import type { JobReports } from './job_reports.ts';
import { type Ending, type Lease, type Link, type Terminal, TEXT_MAX } from './lease.ts';
import { GpuhubError, isLarger } from './socket.ts';

const RESEND_MS = 10_000;

/** The ends of jobs that the hub has not acknowledged: each is told until it has. */
export class Outbox {
  resend_ms = RESEND_MS;
  readonly #link: Link;
  readonly #reports: JobReports;
  readonly #gave_up: (lease: Lease, code: string, reason: string) => void;
  /** By request id, to pair errors with them. */
  readonly #waiting = new Map<string, Lease>();
  #next_request = 1;

  /** @param gave_up told when the hub calls whatever is said of a job's end bad */
  constructor(
    link: Link,
    reports: JobReports,
    gave_up: (lease: Lease, code: string, reason: string) => void,
  ) {
    this.#link = link;
    this.#reports = reports;
    this.#gave_up = gave_up;
  }

  /** The job whose end was sent as this request. */
  leaseOf(request_id: string): Lease | undefined {
    return this.#waiting.get(request_id);
  }

  /** Puts the end of a job in. */
  add(lease: Lease, ending: Ending): void {
    this.#write(lease, ending, 0);
    this.send(lease);
  }

  forget(lease: Lease): void {
    if (lease.terminal !== undefined) this.#waiting.delete(lease.terminal.request_id);
  }

  #write(lease: Lease, message: Ending, refusals: number): void {
    const request_id = `t${this.#next_request++}`;
    if (lease.terminal !== undefined) this.#waiting.delete(lease.terminal.request_id);
    let type = message.type;
    let text: string;
    try {
      text = toJson({ ...message, ...lease.names, request_id });
    } catch (error) {
      type = 'job_failed';
      text = toJson({ type, ...lease.names, request_id, error: { ...jobError(error), retryable: false } });
    }
    lease.terminal = { type, request_id, text, refusals };
    this.#waiting.set(request_id, lease);
  }

  /** Sends the end of a job, now or when a hub is there, and again until it is acknowledged. */
  send(lease: Lease): void {
    const { terminal } = lease;
    if (!this.#link.ready || terminal === undefined) return;
    if (isLarger(terminal.text, this.#link.message_bytes_max)) {
      const message = `larger than a frame of ${this.#link.message_bytes_max} bytes`;
      this.refused(lease, new GpuhubError('payload_too_large', message), undefined);
      return;
    }
    // A hub of which this is the first connection may lack outputs that it never acknowledged.
    this.#reports.pump(lease, true);
    this.#link.socket.send(terminal.text);
    this.#resendAfter(lease, this.resend_ms);
  }

  #resendAfter(lease: Lease, after_ms: number): void {
    clearTimeout(lease.timer);
    lease.timer = setTimeout(() => this.send(lease), after_ms);
  }

  /** A message the hub calls bad is not repeated: `job_failed` goes in its place, at last one without anything of the handler's. */
  refused(lease: Lease, error: GpuhubError, retry_after_ms: number | undefined): void {
    const terminal = lease.terminal as Terminal;
    if (error.code !== 'invalid_message' && error.code !== 'payload_too_large') {
      this.#resendAfter(lease, jittered(retry_after_ms ?? this.resend_ms));
      return;
    }
    if (terminal.refusals >= 2) {
      this.#gave_up(lease, error.code, error.message);
      return;
    }
    const plain = { code: error.code.slice(0, CODE_MAX), message: 'the hub refused the message' };
    const message = `the hub refused ${terminal.type}: ${error.message}`.slice(0, TEXT_MAX);
    const reported = terminal.refusals === 0 ? { ...plain, message } : plain;
    this.#write(
      lease,
      { type: 'job_failed', error: { ...reported, retryable: false } },
      terminal.refusals + 1,
    );
    this.send(lease);
  }
}

/** A little later, so that the workers that were told the same do not all come at once. */
export function jittered(ms: number): number {
  return ms * (1 + Math.random() / 4);
}
