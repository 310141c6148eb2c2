// The hub's clock as seen from here. Ages are never `Date.now()` minus a time of the wire: the two clocks may
// be minutes apart.

let offset: number | undefined;
let bestRoundTrip = Number.POSITIVE_INFINITY;

/** The hub said its time; the answer took `roundTrip` ms, and the shortest is the most exact. */
export function heardTime(serverTime: number, roundTrip: number): void {
  if (roundTrip >= bestRoundTrip) return;
  bestRoundTrip = roundTrip;
  offset = serverTime + roundTrip / 2 - performance.now();
}

/** Another hub, another clock. */
export function forgetTime(): void {
  bestRoundTrip = Number.POSITIVE_INFINITY;
  offset = undefined;
}

let frozenAt: number | undefined;

/** While the hub is away ages stand still: nobody knows what happens there. */
export function freezeTime(): void {
  frozenAt ??= hubNow();
}

export function thawTime(): void {
  frozenAt = undefined;
}

export function hubNow(): number {
  return frozenAt ?? performance.now() + (offset ?? Date.now() - performance.now());
}
