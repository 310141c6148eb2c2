import type { Config } from '../config.ts';
import { type KeyName, LAYOUT_VERSION } from './keys.ts';
import type { RedisLink } from './redis_link.ts';

/** What all hubs on one Redis must agree on. */
const SHARED = ['LEASE_MS', 'PRIORITY_AGING_MS'] as const;

/** What the hubs on this Redis share, as settings; empty if there was none yet. */
export async function sharedSettings(
  link: RedisLink,
  key: (name: KeyName) => string,
): Promise<Record<string, string>> {
  const kept = (await link.call('HMGET', key('layout'), ...SHARED)) as (string | null)[];
  return Object.fromEntries(SHARED.flatMap((name, i) => (kept[i] ? [[name, kept[i]]] : [])));
}

/**
 * The first hub writes what all hubs must share; a later one that differs does not start. An empty Redis without other
 * hubs takes new values.
 *
 * @throws Error with a sentence that names the setting
 */
export async function checkLayout(
  link: RedisLink,
  key: (name: KeyName) => string,
  config: Config,
): Promise<void> {
  const mine: Record<string, string> = { version: String(LAYOUT_VERSION) };
  for (const name of SHARED) mine[name] = String(config[name]);
  const jobs = (await link.call('ZCARD', key('all'))) as number;
  const hubs = (await link.call('ZCARD', key('hubs'))) as number;
  const names = Object.keys(mine);
  const read = async () => (await link.call('HMGET', key('layout'), ...names)) as (string | null)[];
  let kept = await read();
  const differs = kept.some((value, i) => value !== null && value !== mine[names[i] as string]);
  if (differs && jobs === 0 && hubs === 0) await link.call('DEL', key('layout'));
  // Hubs that start at the same time may take each other's values away: until all are there they are written.
  do {
    for (const [name, value] of Object.entries(mine)) await link.call('HSETNX', key('layout'), name, value);
    kept = await read();
  } while (kept.includes(null));
  names.forEach((name, i) => {
    if (kept[i] === mine[name]) return;
    if (name === 'version') {
      throw new Error(
        `Redis holds jobs in layout ${kept[i]}, this hub knows layout ${LAYOUT_VERSION}: use a hub of the version that wrote them`,
      );
    }
    throw new Error(
      `${name} is ${kept[i]} for the hubs on this Redis, but ${mine[name]} here: all hubs must share it`,
    );
  });
}
