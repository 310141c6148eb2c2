/**
 * The time of Redis as the hub knows it: what the wire calls a time. Clocks of hubs and workers are never compared.
 */
export class RedisClock {
  #offset_ms = 0;

  /** @param now ms since 1970 as Redis just said */
  sync(now: number): void {
    this.#offset_ms = now - Date.now();
  }

  /** ms since 1970, about as Redis would say now */
  now(): number {
    return Date.now() + this.#offset_ms;
  }
}

/** ms of a clock that never jumps; only differences mean anything. */
export const monotonic = () => performance.now();
