// Loaded before core/main.js (`node --expose-gc --import`): what the hub uses, and what it holds without its garbage.

import { serve } from '../served.ts';

export interface Held {
  rss_bytes: number;
  heap_bytes: number;
}

function held(): Held {
  // The second collects what the first one's finalizers let go.
  globalThis.gc?.();
  globalThis.gc?.();
  const { rss, heapUsed, external } = process.memoryUsage();
  return { rss_bytes: rss, heap_bytes: heapUsed + external };
}

serve({ held });
