import { createHash } from 'node:crypto';
import type { Redis } from 'ioredis';

/** Loads a script once; the answer runs it, one EVALSHA a call, without ioredis's own caching around it. */
export async function evalshaOf(
  redis: Redis,
  script: string,
): Promise<(keys: readonly string[], args: readonly (string | number)[]) => Promise<unknown>> {
  await redis.script('LOAD', script);
  const sha = createHash('sha1').update(script).digest('hex');
  return (keys, args) => redis.evalsha(sha, keys.length, ...keys, ...args);
}
