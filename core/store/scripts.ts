import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import type { Config } from '../config.ts';
import { BODY_KEEP_MS } from './bodies.ts';
import { KEYS, type KeyName, shardTag } from './keys.ts';

/** What the scripts need of the settings: it is part of their text, so hubs that differ in it use scripts of their own. */
export type ScriptConfig = Pick<
  Config,
  | 'LEASE_MS'
  | 'REAP_INTERVAL_MS'
  | 'CANCEL_GRACE_MS'
  | 'POISON_AFTER'
  | 'PRIORITY_AGING_MS'
  | 'IDEMPOTENCY_MS'
  | 'IDEMPOTENCY_MAX'
  | 'OUTPUT_KEEP'
  | 'OUTPUT_KEEP_BYTES'
  | 'MAX_SIGNATURES'
>;

/** One level of priority in µs of arrival: 203 days, so that no waiting makes up for it. */
const STRICT_LEVEL_US = 2 ** 44;

export const agingUs = (config: Pick<Config, 'PRIORITY_AGING_MS'>) =>
  config.PRIORITY_AGING_MS > 0 ? config.PRIORITY_AGING_MS * 1000 : STRICT_LEVEL_US;

export interface Script {
  name: string;
  text: string;
  sha: string;
}

const folder = new URL('./lua/', import.meta.url);
const read = (path: string) => readFileSync(new URL(`${path}.lua`, folder), 'utf8');

/** Replaces `--- @include "x"` by the text of lua/lib/x.lua, each once, what it includes first. */
function include(text: string, done: Set<string>, replace: Record<string, string>): string {
  return text.replace(/^--- @include "(?:lib\/)?(\w+)"\n/gm, (_, name: string) => {
    if (done.has(name)) return '';
    done.add(name);
    return include(read(`lib/${replace[name] ?? name}`), done, replace);
  });
}

/** A line that is a comment. */
const COMMENT = /^ *--.*\n/gm;
/** A function at the outermost level. */
const FUNCTION = /^local function (\w+)\([\s\S]*?^end\n/gm;

/**
 * Leaves out the functions of libraries that a script does not use: Lua makes all anew at every call, which is half of what
 * a call for a single job costs.
 */
function shake(text: string): string {
  const uses = (name: string) => text.match(new RegExp(`\\b${name}\\b`, 'g'))?.length ?? 0;
  // Its own name and calls of itself are in its text as well.
  const shaken = text.replace(FUNCTION, (whole, name: string) => {
    const own = whole.match(new RegExp(`\\b${name}\\b`, 'g'))?.length ?? 0;
    return uses(name) > own ? whole : '';
  });
  return shaken === text ? text : shake(shaken);
}

/** Writes keys and constants into the text: literals cost nothing, while building each name would at every call. */
function fill(text: string, constants: Record<string, number>, tag: string): string {
  return text
    .replace(/\bK\.(\w+)/g, (_, name: string) => {
      const key = KEYS[name as KeyName];
      if (key === undefined) throw new Error(`a script names the unknown key "${name}"`);
      return `'${tag}:${key}'`;
    })
    .replace(/\b[A-Z]+_[A-Z_]+\b/g, name => (name in constants ? String(constants[name]) : name));
}

/**
 * The scripts by name, ready for EVALSHA: `lua/*.lua` with their includes, keys and constants written in.
 *
 * @param options.test_clock adds the key `test_offset_ms` to the time, so that tests can let time pass
 */
export function loadScripts(
  config: ScriptConfig,
  shard = 0,
  options: { test_clock?: boolean } = {},
): Map<string, Script> {
  const constants = { ...config, AGING_US: agingUs(config), BODY_KEEP_MS };
  const replace: Record<string, string> = options.test_clock ? { time: 'time_test' } : {};
  const names = readdirSync(folder)
    .filter(file => file.endsWith('.lua'))
    .map(file => file.slice(0, -'.lua'.length));
  return new Map(
    names.map(name => {
      const whole = include(read(name), new Set(), replace).replace(COMMENT, '');
      const text = fill(shake(whole), constants, shardTag(shard));
      return [name, { name, text, sha: createHash('sha1').update(text).digest('hex') }];
    }),
  );
}
