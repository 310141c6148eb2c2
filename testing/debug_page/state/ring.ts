/** The newest `capacity` items; counts what fell out, so that the page can say so. */
export class Ring<T> {
  readonly capacity: number;
  dropped = 0;
  #items: T[] = [];

  constructor(capacity: number) {
    this.capacity = capacity;
  }

  push(item: T): T | undefined {
    this.#items.push(item);
    // Cut in batches: shifting one by one would move the whole array for each.
    if (this.#items.length >= this.capacity * 2) this.#items = this.#items.slice(-this.capacity);
    if (this.#items.length <= this.capacity) return undefined;
    this.dropped++;
    return this.#items[this.#items.length - this.capacity - 1];
  }

  clear(): void {
    this.#items = [];
    this.dropped = 0;
  }

  /** Oldest first. */
  all(): T[] {
    return this.#items.slice(-this.capacity);
  }

  newest(most: number): T[] {
    return this.#items.slice(-Math.min(most, this.capacity)).reverse();
  }
}
