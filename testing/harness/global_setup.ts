import { findRedisServer } from '../../scripts/redis_server.ts';
import { build } from './processes.ts';

/** Fetches Redis and compiles once, before test files that run side by side would each do so within their own time limits. */
export async function setup(): Promise<void> {
  await Promise.all([findRedisServer(), build()]);
}
