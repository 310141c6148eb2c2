/** All scenarios, and the faults of the list that none of them can bring about here. */
import { HUBS } from './scenarios/hubs.ts';
import { NETWORK } from './scenarios/network.ts';
import { PROTOCOL } from './scenarios/protocol.ts';
import { REDIS } from './scenarios/redis.ts';
import { WORKERS } from './scenarios/workers.ts';
import type { Scenario } from './scenario.ts';

export const SCENARIOS: readonly Scenario[] = [...HUBS, ...WORKERS, ...NETWORK, ...REDIS, ...PROTOCOL];

/** By the number of the fault: why no scenario has it. */
export const NOT_RUN: Readonly<Record<number, string>> = {
  4: 'a GPU process of its own is not built yet: a handler of the SDK runs in the process of the worker',
  19: 'Redis Sentinel is not supported yet: one Redis is one shard',
  20: 'Redis Cluster is not supported yet: one Redis is one shard',
  25: 'the clock of one process cannot be set here (libfaketime is not a dependency); all times come from Redis',
  26: 'the clock of Redis cannot be set here (libfaketime); testing/store moves the time of the scripts instead',
  34: 'there is one version so far; two versions share one Redis as each sends its own scripts by their hash',
  40: 'workers upload nothing through the hub yet: a result is one message',
};
