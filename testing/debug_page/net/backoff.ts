const FIRST_MS = 500;
const MOST_MS = 20_000;

/** How long to wait before try number `tries`: doubled, with a random part so that pages do not come back together. */
export function backoffMs(tries: number): number {
  const full = Math.min(MOST_MS, FIRST_MS * 2 ** Math.min(tries, 10));
  return full * (0.5 + Math.random() / 2);
}
