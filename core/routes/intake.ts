import type { Connection } from '../connections/connection.ts';
import type { Store } from '../store/store.ts';

/**
 * Holds up who brings new jobs faster than they go to Redis: its socket is read no further until there is room. So a flood
 * waits as bytes in the kernel and with its sender, not as parsed jobs in the hub.
 */
export class Intake {
  readonly #store: Store;
  readonly #held_up = new Set<Connection>();

  constructor(store: Store) {
    this.#store = store;
    store.onRoom(() => {
      for (const connection of this.#held_up) connection.resume();
      this.#held_up.clear();
    });
  }

  /** The peer has brought new jobs. */
  brought(connection: Connection): void {
    if (!this.#store.crowded) return;
    this.#held_up.add(connection);
    connection.pause();
  }
}
