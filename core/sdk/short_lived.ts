/** What a table holds in place of a value. A class: cells made by an object literal V8 may put among the old ones. */
class Cell<V> {
  value: V | undefined;

  constructor(value: V) {
    this.value = value;
  }
}

/**
 * A map of values that come and go by the thousand.
 *
 * V8 links each table that a Map has outgrown to the next one. Once such a table has grown old, every later one outlives
 * all small collections, with whatever it held: no job of a busy worker was freed before a full collection, and copying
 * them was a fifth of its time. So the tables of this one hold cells, which are emptied.
 */
export class ShortLived<V> {
  readonly #cells = new Map<string, Cell<V>>();

  get size(): number {
    return this.#cells.size;
  }

  get(key: string): V | undefined {
    return this.#cells.get(key)?.value;
  }

  set(key: string, value: V): void {
    this.#cells.set(key, new Cell(value));
  }

  delete(key: string): void {
    const cell = this.#cells.get(key);
    if (cell === undefined) return;
    cell.value = undefined;
    this.#cells.delete(key);
  }

  clear(): void {
    for (const cell of this.#cells.values()) cell.value = undefined;
    this.#cells.clear();
  }

  /** In the order in which they came. Others may come and go meanwhile. */
  *values(): Generator<V, void, void> {
    for (const cell of this.#cells.values()) yield cell.value as V;
  }
}
