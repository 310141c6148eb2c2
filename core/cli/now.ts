import type { HubApi } from './http.ts';

/**
 * The present time by the clock of Redis, which all `…_at` are told by, to a second or so. This machine's clock may
 * be wrong by hours; it is asked only when the hub cannot say.
 */
export async function hubNow(hub: HubApi): Promise<number> {
  try {
    const { at } = await hub.stats();
    return at;
  } catch {
    return Date.now();
  }
}
