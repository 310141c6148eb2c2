import { monotonic } from '../clock.ts';
import { CLOSE } from '../errors.ts';
import type { Role } from '../messages/shared.ts';

/** What a connection needs of its socket; the adapter in server.ts owns `ws`. */
export interface Wire {
  /** Writes all texts as frames in one piece. */
  write(texts: string[]): void;
  /** Bytes that the kernel has not taken yet. */
  buffered(): number;
  ping(): void;
  /** Reads nothing more until `resume`; what was read already still comes. */
  pause(): void;
  resume(): void;
  close(code: number, reason: string): void;
  terminate(): void;
}

export interface Bounds {
  soft_bytes: number;
  hard_bytes: number;
}

/** How long a peer may take to answer our close before its socket is cut. */
const CLOSE_TIMEOUT_MS = 2000;

/**
 * One peer. Its outbox is bounded: frames of one event-loop turn leave in one write; above the soft bound what may be
 * coalesced waits, the newest by key; above the hard bound the peer is closed 4413 and resumes when it comes back.
 */
export class Connection {
  readonly id: string;
  readonly role: Role;
  readonly client_id: string | undefined;
  readonly #wire: Wire;
  readonly #bounds: Bounds;
  #outbox: string[] = [];
  #outbox_bytes = 0;
  readonly #latest = new Map<string, string>();
  #latest_bytes = 0;
  #scheduled = false;
  #closed = false;
  /** Why it is read no further for now. */
  readonly #pauses: string[] = [];
  #heard_at = monotonic();
  #pings = 0;
  /** What the upper layers keep of this peer, e.g. its machine. */
  machine: object | undefined;
  /** Requests that were read and are not answered yet. */
  under_way = 0;
  /** One of them must be over before the next frame is read. */
  alone = false;
  /** Frames that came, and are read when those allow it. */
  readonly waiting: string[] = [];
  /** Bad frames in a row. */
  bad_frames = 0;
  readonly #onClose: (() => void)[] = [];
  /** Those with frames of this turn. */
  static #waiting: Connection[] = [];

  constructor(id: string, role: Role, client_id: string | undefined, wire: Wire, bounds: Bounds) {
    this.id = id;
    this.role = role;
    this.client_id = client_id;
    this.#wire = wire;
    this.#bounds = bounds;
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** Is the peer so far behind that only the newest of each kind should be sent? */
  get behind(): boolean {
    return this.#wire.buffered() + this.#outbox_bytes > this.#bounds.soft_bytes;
  }

  /** Queues a frame; it leaves with all others of this turn. */
  send(text: string): void {
    if (this.#closed) return;
    this.#outbox.push(text);
    this.#outbox_bytes += text.length;
    if (!this.#cutIfTooSlow()) this.#schedule();
  }

  /** Closes a peer for which more waits than may. @returns whether it did */
  #cutIfTooSlow(): boolean {
    const waiting_bytes = this.#outbox_bytes + this.#latest_bytes + this.#wire.buffered();
    if (waiting_bytes <= this.#bounds.hard_bytes) return false;
    this.#outbox = [];
    this.#latest.clear();
    this.close(CLOSE.slow_reader, 'too slow a reader');
    return true;
  }

  sendMessage(message: object): void {
    this.send(JSON.stringify(message));
  }

  /** Queues a frame that a newer one of the same key may stand for while the peer is behind. */
  sendLatest(key: string, text: string): void {
    if (this.#closed) return;
    if (!this.behind && this.#latest.size === 0) return this.send(text);
    this.#latest_bytes += text.length - (this.#latest.get(key)?.length ?? 0);
    this.#latest.set(key, text);
    this.#cutIfTooSlow();
  }

  /** Drops what waits for this key: something final came. */
  forget(key: string): void {
    this.#latest_bytes -= this.#latest.get(key)?.length ?? 0;
    this.#latest.delete(key);
  }

  /** The kernel took what was written. */
  drained(): void {
    if (this.#latest.size === 0 || this.behind) return;
    const texts = [...this.#latest.values()];
    this.#latest.clear();
    this.#latest_bytes = 0;
    for (const text of texts) this.send(text);
  }

  /** Is it read no further for now? */
  get paused(): boolean {
    return this.#pauses.length > 0;
  }

  /**
   * Leaves what the peer sends where it is, so that it is held up and not the hub's memory. There may be several reasons:
   * it is read on when none is left.
   *
   * @returns false if it is held up for this reason already, or is over
   */
  pause(reason: string): boolean {
    if (this.#closed || this.#pauses.includes(reason)) return false;
    if (this.#pauses.push(reason) === 1) this.#wire.pause();
    return true;
  }

  /** The reason is gone. */
  resume(reason: string): void {
    const at = this.#pauses.indexOf(reason);
    if (at < 0) return;
    this.#pauses.splice(at, 1);
    if (!this.paused) this.#readOn();
  }

  #readOn(): void {
    this.heard();
    this.#wire.resume();
  }

  close(code: number, reason: string): void {
    if (this.#closed) return;
    this.#flush();
    // The peer's own goodbye must be read.
    if (this.#pauses.splice(0).length > 0) this.#readOn();
    this.ended();
    this.#wire.close(code, reason);
    setTimeout(() => this.#wire.terminate(), CLOSE_TIMEOUT_MS).unref();
  }

  onClose(listener: () => void): void {
    this.#onClose.push(listener);
  }

  /** The socket is gone, or as good as gone. */
  ended(): void {
    if (this.#closed) return;
    this.#closed = true;
    for (const listener of this.#onClose) listener();
  }

  /** Anything came from the peer. */
  heard(): void {
    this.#heard_at = monotonic();
    this.#pings = 0;
  }

  /** Pings a silent peer, and cuts one that left two pings unanswered. Called about twice an interval. */
  checkAlive(interval_ms: number): void {
    if (monotonic() - this.#heard_at < interval_ms * (1 + this.#pings)) return;
    // One that is not read cannot be heard, but should hear that the hub lives.
    if (this.paused) return this.#wire.ping();
    if (this.#pings >= 2) {
      this.ended();
      this.#wire.terminate();
      return;
    }
    this.#pings += 1;
    this.#wire.ping();
  }

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    Connection.#waiting.push(this);
    if (Connection.#waiting.length === 1) process.nextTick(() => Connection.#flushAll());
  }

  /**
   * Who was written to last is first: an answer of Redis acknowledges what was asked and then brings about an
   * assignment or an event elsewhere, and somebody waits for that. (A write to an idle peer takes about 0.1 ms.)
   */
  static #flushAll(): void {
    const waiting = Connection.#waiting;
    Connection.#waiting = [];
    for (let i = waiting.length - 1; i >= 0; i--) (waiting[i] as Connection).#flush();
  }

  #flush(): void {
    this.#scheduled = false;
    if (this.#outbox.length === 0) return;
    const texts = this.#outbox;
    this.#outbox = [];
    this.#outbox_bytes = 0;
    this.#wire.write(texts);
  }
}
