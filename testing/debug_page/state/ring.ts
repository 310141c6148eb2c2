/** The newest `capacity` items; counts what fell out, so that the page can say so. Holds no item longer than that. */
export class Ring<T> {
  readonly capacity: number;
  dropped = 0;
  #items: T[] = [];
  /** Where the oldest is, once all places are taken. */
  #oldest = 0;

  constructor(capacity: number) {
    this.capacity = capacity;
  }

  /** @returns what fell out */
  push(item: T): T | undefined {
    if (this.#items.length < this.capacity) {
      this.#items.push(item);
      return undefined;
    }
    const fallen = this.#items[this.#oldest];
    this.#items[this.#oldest] = item;
    this.#oldest = (this.#oldest + 1) % this.capacity;
    this.dropped++;
    return fallen;
  }

  clear(): void {
    this.#items = [];
    this.#oldest = 0;
    this.dropped = 0;
  }

  /** Oldest first. */
  all(): T[] {
    return [...this.#items.slice(this.#oldest), ...this.#items.slice(0, this.#oldest)];
  }

  newest(most: number): T[] {
    return this.all().slice(-most).reverse();
  }
}
