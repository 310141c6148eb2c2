import { useRef } from 'preact/hooks';

interface Held {
  ids: string[];
  /** How many match and are not in the list, as it holds still. */
  fresh: number;
}

/** While `hold` is true the order stays as it was, so that nothing moves under the pointer. */
export function useHeldOrder(ids: string[], hold: boolean, key: string): Held {
  const kept = useRef({ key, ids });
  if (!hold || kept.current.key !== key) kept.current = { key, ids };
  if (kept.current.ids === ids) return { ids, fresh: 0 };
  const shown = new Set(kept.current.ids);
  return { ids: kept.current.ids, fresh: ids.filter(id => !shown.has(id)).length };
}
