import { toJson } from './handler_error.ts';
import { type Lease, type Leases, type Link, TEXT_MAX } from './lease.ts';
import { GpuhubError, isLarger } from './socket.ts';

/** Outputs wait while more than this has not left the socket. */
const SOCKET_BYTES_MAX = 4 * 1024 * 1024;
const PUMP_INTERVAL_MS = 100;
/** Ten a second, as the hub forwards no more. */
const PROGRESS_INTERVAL_MS = 100;

/** Progress and output of running jobs, on their way to the hub. */
export class JobReports {
  readonly #link: Link;
  readonly #leases: Leases;
  #pump_timer: ReturnType<typeof setTimeout> | undefined;

  constructor(link: Link, leases: Leases) {
    this.#link = link;
    this.#leases = leases;
  }

  /** The connection is gone: nothing leaves until the next one. */
  stop(): void {
    clearTimeout(this.#pump_timer);
    this.#pump_timer = undefined;
  }

  /** Tells that the job runs, if a hub is there; the next one is told when this machine registers. */
  sendStarted(lease: Lease): void {
    if (this.#link.ready) this.#link.socket.send(`{"type":"job_started",${lease.names_text}}`);
  }

  progress(lease: Lease, fraction: number, message?: string, data?: unknown): void {
    if (lease.status !== 'running') return;
    const progress = Number.isFinite(fraction) ? Math.min(1, Math.max(0, fraction)) : 0;
    lease.progress = this.#encoded({
      type: 'job_progress',
      ...lease.names,
      progress,
      message: message?.slice(0, TEXT_MAX),
      data,
    });
    lease.progress_unsent = true;
    if (lease.progress_timer !== undefined) return;
    const wait_ms = lease.progress_at + PROGRESS_INTERVAL_MS - performance.now();
    if (wait_ms <= 0) this.sendProgress(lease);
    else lease.progress_timer = setTimeout(() => this.sendProgress(lease), wait_ms);
  }

  /** Sends the latest progress, if it was not sent yet. */
  sendProgress(lease: Lease): void {
    clearTimeout(lease.progress_timer);
    lease.progress_timer = undefined;
    if (!this.#link.ready || !lease.progress_unsent || lease.progress === undefined) return;
    lease.progress_unsent = false;
    lease.progress_at = performance.now();
    this.#link.socket.send(lease.progress);
  }

  output(lease: Lease, data: unknown): void {
    if (lease.status !== 'running') return;
    lease.outputs.push(this.#encoded(data ?? null));
    this.pump(lease);
  }

  /** JSON that fits into a frame, with room for the rest of it. */
  #encoded(value: unknown): string {
    const text = toJson(value);
    const bytes_max = this.#link.message_bytes_max - 1024;
    if (isLarger(text, bytes_max)) {
      throw new GpuhubError('payload_too_large', `this is larger than the hub's ${bytes_max} bytes`);
    }
    return text;
  }

  /** Sends the outputs that were not sent yet, as far as the socket takes them; all of them before the end. */
  pump(lease: Lease, all = false): void {
    if (!this.#link.ready || lease.status === 'gone') return;
    while (all || this.#link.socket.buffered < SOCKET_BYTES_MAX) {
      const entry = lease.outputs.take();
      if (entry === undefined) return;
      this.#link.socket.send(
        `{"type":"job_output",${lease.names_text},"index":${entry.index},"data":${entry.text}}`,
      );
    }
    this.#pump_timer ??= setTimeout(() => {
      this.#pump_timer = undefined;
      for (const other of this.#leases.values()) this.pump(other);
    }, PUMP_INTERVAL_MS);
  }
}
