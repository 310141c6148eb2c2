import { monotonic } from '../clock.ts';

/** Who would wait longer than this is sent away: its handshake would time out. */
const WAIT_MAX_MS = 4000;
const TICK_MS = 20;

/**
 * Lets peers in at a bounded rate, in the order they came: when a thousand come back at once, after a restart, their
 * registrations must not keep the renewals of those who are here waiting.
 */
export class Admission {
  readonly #rate: number;
  /** Who may enter at once: a second's worth at most. */
  #tokens: number;
  #filled_at = monotonic();
  readonly #queue: (() => void)[] = [];
  #timer: NodeJS.Timeout | undefined;

  /** @param rate a second, and as many at once */
  constructor(rate: number) {
    this.#rate = rate;
    this.#tokens = rate;
  }

  get waiting(): number {
    return this.#queue.length;
  }

  /**
   * Calls `enter`, now or when its turn comes.
   *
   * @returns null, or how long to stay away (ms) when too many wait already
   */
  enter(enter: () => void): number | null {
    this.#fill();
    if (this.#queue.length === 0 && this.#tokens >= 1) {
      this.#tokens -= 1;
      enter();
      return null;
    }
    const wait_ms = ((this.#queue.length + 1) / this.#rate) * 1000;
    if (wait_ms > WAIT_MAX_MS) return wait_ms;
    this.#queue.push(enter);
    this.#timer ??= setInterval(() => this.#admit(), TICK_MS);
    return null;
  }

  /** Everybody who waits is let go on, to be refused. */
  close(): void {
    clearInterval(this.#timer);
    for (const enter of this.#queue.splice(0)) enter();
  }

  #admit(): void {
    this.#fill();
    const next = this.#queue.splice(0, Math.floor(this.#tokens));
    this.#tokens -= next.length;
    for (const enter of next) enter();
    if (this.#queue.length > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  #fill(): void {
    const now = monotonic();
    this.#tokens = Math.min(this.#rate, this.#tokens + ((now - this.#filled_at) * this.#rate) / 1000);
    this.#filled_at = now;
  }
}
