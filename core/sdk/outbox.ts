import { CODE_MAX, jobError, toJson } from './handler_error.ts';
import type { JobReports } from './job_reports.ts';
import { type Ending, type Lease, type Leases, type Link, type Terminal, TEXT_MAX } from './lease.ts';
import { GpuhubError, isLarger } from './socket.ts';

const RESEND_MS = 10_000;

/** The ends of jobs that the hub has not acknowledged: each is told until it has. */
export class Outbox {
  resend_ms = RESEND_MS;
  readonly #link: Link;
  readonly #leases: Leases;
  readonly #reports: JobReports;
  readonly #gave_up: (lease: Lease, code: string, reason: string) => void;
  #next_request = 1;
  /** One for all: most ends are acknowledged long before they are due again. */
  #timer: ReturnType<typeof setTimeout> | undefined;
  #timer_at = Infinity;

  /** @param gave_up told when the hub calls whatever is said of a job's end bad */
  constructor(
    link: Link,
    leases: Leases,
    reports: JobReports,
    gave_up: (lease: Lease, code: string, reason: string) => void,
  ) {
    this.#link = link;
    this.#leases = leases;
    this.#reports = reports;
    this.#gave_up = gave_up;
  }

  /** The job whose end was sent as this request. */
  leaseOf(request_id: string): Lease | undefined {
    for (const lease of this.#leases.values()) if (lease.terminal?.request_id === request_id) return lease;
    return undefined;
  }

  /** Puts the end of a job in. */
  add(lease: Lease, ending: Ending): void {
    this.#write(lease, ending, 0);
    this.send(lease);
  }

  /** The connection is gone: nothing is sent until {@link send} on the next one. */
  stop(): void {
    clearTimeout(this.#timer);
    this.#timer_at = Infinity;
  }

  #write(lease: Lease, message: Ending, refusals: number): void {
    const request_id = `t${this.#next_request++}`;
    let { type } = message;
    let json: string;
    try {
      json = toJson(message);
    } catch (error) {
      type = 'job_failed';
      json = toJson({ type, error: { ...jobError(error), retryable: false } });
    }
    const text = `${json.slice(0, -1)},${lease.names_text},"request_id":"${request_id}"}`;
    lease.terminal = { type, request_id, text, refusals, due_at: Infinity };
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
    this.#sendAgain(terminal, this.resend_ms);
  }

  #sendAgain(terminal: Terminal, after_ms: number): void {
    terminal.due_at = performance.now() + after_ms;
    if (terminal.due_at >= this.#timer_at) return;
    clearTimeout(this.#timer);
    this.#timer_at = terminal.due_at;
    this.#timer = setTimeout(() => this.#sendDue(), after_ms);
  }

  #sendDue(): void {
    this.stop();
    const now = performance.now();
    for (const lease of this.#leases.values()) {
      const { terminal } = lease;
      if (terminal === undefined) continue;
      if (terminal.due_at <= now) this.send(lease);
      else this.#sendAgain(terminal, terminal.due_at - now);
    }
  }

  /** A message the hub calls bad is not repeated: `job_failed` goes in its place, at last one without anything of the handler's. */
  refused(lease: Lease, error: GpuhubError, retry_after_ms: number | undefined): void {
    const terminal = lease.terminal as Terminal;
    if (error.code !== 'invalid_message' && error.code !== 'payload_too_large') {
      this.#sendAgain(terminal, jittered(retry_after_ms ?? this.resend_ms));
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
