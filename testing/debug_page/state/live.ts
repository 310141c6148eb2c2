// From frames to pixels: whoever changes state touches its topic, and one animation frame redraws what
// depends on it. The first change after a quiet moment is drawn in the next frame; a stream of changes at
// most ten times a second, which is faster than anybody reads.

import { useEffect, useState } from 'preact/hooks';

const MIN_GAP_MS = 100;

export type Topic =
  | 'jobs'
  | 'workers'
  | 'stats'
  | 'events'
  | 'link'
  | 'connections'
  | 'frames'
  | 'mock'
  | 'output'
  | 'undo'
  | 'second';

const listeners = new Map<Topic, Set<() => void>>();
const dirty = new Set<Topic>();
let scheduled = false;
let lastFlush = 0;

export function touch(...topics: Topic[]): void {
  for (const topic of topics) dirty.add(topic);
  if (scheduled) return;
  scheduled = true;
  const wait = lastFlush + MIN_GAP_MS - performance.now();
  // A hidden tab gets no animation frames: state goes on, and one flush on return draws all of it.
  if (wait <= 0) requestAnimationFrame(flush);
  else setTimeout(() => requestAnimationFrame(flush), wait);
}

function flush(): void {
  scheduled = false;
  lastFlush = performance.now();
  const called = new Set<() => void>();
  for (const topic of dirty) for (const listener of listeners.get(topic) ?? []) called.add(listener);
  dirty.clear();
  for (const listener of called) listener();
}

/** Calls back once a redraw in which one of these topics changed; for what draws without components. */
export function listen(topics: readonly Topic[], listener: () => void): () => void {
  for (const topic of topics) {
    const set = listeners.get(topic) ?? new Set();
    listeners.set(topic, set.add(listener));
  }
  return () => {
    for (const topic of topics) listeners.get(topic)?.delete(listener);
  };
}

/** Draws the component again when one of these topics changes. */
export function useLive(...topics: Topic[]): number {
  const [version, setVersion] = useState(0);
  const key = topics.join();
  useEffect(() => listen(key.split(',') as Topic[], () => setVersion(n => n + 1)), [key]);
  return version;
}

/** Every age on the page moves from this one timer. */
export function startSeconds(): void {
  setInterval(() => touch('second'), 1000);
}
