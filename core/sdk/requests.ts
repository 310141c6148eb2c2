import type { ErrorCode } from '../errors.ts';
import { ShortLived } from './short_lived.ts';
import {
  GpuhubError,
  type HubLimits,
  type HubMessage,
  type HubSocket,
  isLarger,
  type LocalErrorCode,
} from './socket.ts';

/** How long a request may take. Until then it is sent again after each lost connection. */
export interface RequestOptions {
  /** ms; `Infinity` waits for ever. */
  timeout_ms?: number;
  signal?: AbortSignal;
}

/** The hub's `error` without its envelope. */
export interface HubError {
  code: string;
  message: string;
  details?: unknown;
}

export function hubError({ code, message, details }: HubError): GpuhubError {
  return new GpuhubError(code, message, details);
}

export type RequestLimits = Pick<HubLimits, 'max_message_bytes' | 'max_batch' | 'max_watch'>;

/** What hubs allow unless they say otherwise. */
const LIMITS: RequestLimits = {
  max_message_bytes: 1_048_576,
  max_batch: 1000,
  max_watch: 1000,
};
/** Between tries while Redis is away: full jitter, ms. */
const UNAVAILABLE = { base_ms: 250, cap_ms: 10_000 };

export function unavailableDelay(tries: number, hint: unknown): number {
  const most = Math.min(UNAVAILABLE.cap_ms, UNAVAILABLE.base_ms * 2 ** (tries - 1));
  return Math.random() * most + (typeof hint === 'number' ? hint : 0);
}

/** That the caller's patience is over, or what the signal says of it. */
export function gaveUp(signal: AbortSignal | undefined, details: object | undefined): GpuhubError {
  const reason: unknown = signal?.reason;
  return reason instanceof GpuhubError
    ? new GpuhubError(reason.code, reason.message, details)
    : new GpuhubError('aborted', 'the caller gave up', details);
}

/** The message of a request, or what makes its frame; `again` if it was sent before. */
type Make = object | ((request_id: string, again: boolean) => string);

/** A request without its answer. */
class Pending {
  readonly request_id: string;
  readonly #make: Make;
  readonly #read: (answer: HubMessage, again: boolean) => unknown;
  readonly #resolve: (value: never) => void;
  readonly #reject: (error: GpuhubError) => void;
  /** Not sent again on a new connection. */
  readonly once: boolean;
  sent = 0;
  unavailable = 0;
  retry: ReturnType<typeof setTimeout> | undefined;
  /** Ends the waiting for the caller's patience. */
  over: (() => void) | undefined;

  /** @param resolve takes what `read` returns */
  constructor(
    request_id: string,
    make: Make,
    read: (answer: HubMessage, again: boolean) => unknown,
    resolve: (value: never) => void,
    reject: (error: GpuhubError) => void,
    once: boolean,
  ) {
    this.request_id = request_id;
    this.#make = make;
    this.#read = read;
    this.#resolve = resolve;
    this.#reject = reject;
    this.once = once;
  }

  frame(): string {
    const { request_id } = this;
    if (typeof this.#make === 'function') return this.#make(request_id, this.sent > 0);
    return JSON.stringify({ ...this.#make, request_id });
  }

  answer(message: HubMessage): void {
    this.over?.();
    this.#resolve(this.#read(message, this.sent > 1) as never);
  }

  fail(error: GpuhubError): void {
    this.over?.();
    this.#reject(error);
  }
}

/** Nobody waits for what it would hand on. */
function ignore(): void {}

/**
 * The requests of a client that wait for their answers.
 *
 *     sent -> answered | refused | given up by the caller
 *     sent -> (connection lost: sent again on the next one; Redis away: sent again after a while) -> sent
 */
export class Requests {
  readonly #socket: HubSocket;
  readonly #timeout_ms: number;
  readonly #pending = new ShortLived<Pending>();
  #limits = LIMITS;
  #next_request = 1;
  #down: GpuhubError | undefined;
  #ended: GpuhubError | undefined;

  /** @param timeout_ms for requests that name no time of their own */
  constructor(socket: HubSocket, timeout_ms: number) {
    this.#socket = socket;
    this.#timeout_ms = timeout_ms;
  }

  /** What the hub allows, as far as it has said so. */
  get limits(): RequestLimits {
    return this.#limits;
  }

  /** Why nothing more will be answered; `undefined` while something may. */
  get ended(): GpuhubError | undefined {
    return this.#ended;
  }

  /**
   * Sends a request and pairs it with its answer.
   *
   * @param make the message, or a function that makes the frame for a request id
   * @param read runs as the answer is read, before any later frame
   * @param details told with `timeout` and `aborted`
   */
  send<T>(
    make: Make,
    read: (answer: HubMessage, again: boolean) => T,
    options: RequestOptions,
    details?: object,
  ): Promise<T> {
    if (this.#ended !== undefined) return Promise.reject(this.#ended);
    this.#socket.start();
    return new Promise<T>((resolve, reject) => {
      const pending = new Pending(this.#newId(), make, read, resolve, reject, false);
      // Most submissions wait as long as it takes: they need no clock.
      if (options.signal !== undefined || options.timeout_ms !== Infinity) {
        pending.over = this.deadline(options, details, error => {
          this.#forget(pending);
          reject(error);
        });
      }
      if (!options.signal?.aborted) this.#transmit(pending);
    });
  }

  /** Sends a request that belongs to the present connection: without it, it is forgotten and neither is called. */
  sendOnce(message: object, answer: (message: HubMessage) => void, fail: (error: GpuhubError) => void): void {
    this.#transmit(new Pending(this.#newId(), message, answer, ignore, fail, true));
  }

  /** Calls `expired` when the caller's patience is over; returns what ends the waiting. */
  deadline(
    options: RequestOptions,
    details: object | undefined,
    expired: (error: GpuhubError) => void,
  ): () => void {
    const { signal } = options;
    const timeout_ms = options.timeout_ms ?? this.#timeout_ms;
    const onAbort = () => expired(gaveUp(signal, details));
    if (signal?.aborted) {
      onAbort();
      return () => {};
    }
    signal?.addEventListener('abort', onAbort, { once: true });
    const onTime = () => {
      signal?.removeEventListener('abort', onAbort);
      const seconds = timeout_ms / 1000;
      const nobody = this.#socket.welcome === undefined;
      const why = nobody ? (this.#down?.message ?? 'no hub answered') : 'the hub did not answer';
      const code: LocalErrorCode = nobody ? 'unreachable' : 'timeout';
      expired(new GpuhubError(code, `${why} (waited ${seconds} s)`, details));
    };
    const timer = timeout_ms === Infinity ? undefined : setTimeout(onTime, timeout_ms);
    return () => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', onAbort);
    };
  }

  /** One deadline for what takes several requests, as a signal: those that it ends say what it was. */
  patience(options: RequestOptions): { signal: AbortSignal; over: () => void } {
    const end = new AbortController();
    const over = this.deadline(options, undefined, error => end.abort(error));
    return { signal: end.signal, over };
  }

  /** A connection is open. What was not answered is sent by {@link sendAgain}. */
  opened(limits: Partial<HubLimits> | undefined): void {
    this.#limits = { ...LIMITS, ...limits };
    this.#down = undefined;
  }

  sendAgain(): void {
    for (const pending of this.#pending.values()) {
      if (!pending.once && pending.retry === undefined) this.#transmit(pending);
    }
  }

  wentDown(error: GpuhubError): void {
    this.#down = error;
    for (const pending of this.#pending.values()) if (pending.once) this.#forget(pending);
  }

  /** Nothing will be answered any more. */
  end(error: GpuhubError): void {
    this.#ended = error;
    for (const pending of this.#pending.values()) {
      this.#forget(pending);
      pending.fail(error);
    }
  }

  /** Reads a message that carries a `request_id`. */
  answered(message: HubMessage): void {
    const pending = this.#pending.get(message.request_id ?? '');
    if (pending === undefined) return;
    if (message.type === 'error') {
      this.#refused(pending, hubError(message as unknown as HubError));
      return;
    }
    this.#forget(pending);
    pending.answer(message);
  }

  /** Only Redis being away is worth waiting for; all else is the caller's to judge. */
  #refused(pending: Pending, error: GpuhubError): void {
    if (error.code !== 'unavailable') {
      this.#forget(pending);
      pending.fail(error);
      return;
    }
    const hint = (error.details as { retry_after_ms?: unknown } | undefined)?.retry_after_ms;
    pending.unavailable += 1;
    pending.retry = setTimeout(
      () => {
        pending.retry = undefined;
        this.#transmit(pending);
      },
      unavailableDelay(pending.unavailable, hint),
    );
  }

  #newId(): string {
    return `r${this.#next_request++}`;
  }

  #transmit(pending: Pending): void {
    this.#pending.set(pending.request_id, pending);
    if (this.#socket.welcome === undefined) return;
    const frame = pending.frame();
    const { max_message_bytes } = this.#limits;
    if (isLarger(frame, max_message_bytes)) {
      this.#forget(pending);
      const code: ErrorCode = 'payload_too_large';
      pending.fail(new GpuhubError(code, `the message is larger than ${max_message_bytes} bytes`));
      return;
    }
    if (this.#socket.send(frame)) pending.sent += 1;
  }

  #forget(pending: Pending): void {
    if (pending.retry !== undefined) clearTimeout(pending.retry);
    this.#pending.delete(pending.request_id);
  }
}
