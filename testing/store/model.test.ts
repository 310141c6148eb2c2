/**
 * Random operations, given to the real scripts on a real Redis and to the model: both must say the same, the records
 * must be as the model says after each, and the audit must find nothing at the end.
 *
 * `FC_SEED` and `FC_RUNS` vary what is tried; a failure prints the seed and the shortest run that shows it.
 */
import fc from 'fast-check';
import type { Redis } from 'ioredis';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { readConfig } from '../../core/config.ts';
import { RedisStore } from '../../core/store/redis_store.ts';
import type { Effect } from '../../core/store/store.ts';
import { testRedis, type TestRedis } from '../harness/redis.ts';
import { audit } from './audit.ts';
import { hasEnded, Model } from './model.ts';
import { COMMANDS } from './model_steps.ts';
import {
  AGING,
  CLASSES,
  CONNECTIONS,
  IDS,
  MACHINES,
  type Real,
  SLOTS,
  STRICT,
  UNIT_MS,
} from './model_world.ts';

const SEED = Number(process.env['FC_SEED'] ?? 20260101);
const RUNS = Number(process.env['FC_RUNS'] ?? 300);
const COMMANDS_MAX = 60;
const TIMEOUT_MS = 300_000;

describe.each([
  { name: 'strict priorities', rules: STRICT, runs: Math.ceil(RUNS * 0.75) },
  { name: 'priorities that age', rules: AGING, runs: Math.ceil(RUNS * 0.25) },
])('with $name', ({ rules, runs }) => {
  let server: TestRedis;
  let redis: Redis;
  let store: RedisStore;
  const effects: Effect[] = [];

  beforeAll(async () => {
    server = await testRedis();
    redis = server.client();
    const config = readConfig({
      REDIS_URL: server.url,
      LEASE_MS: String(rules.lease * UNIT_MS),
      // So that deadlines hold still when leases do.
      REAP_INTERVAL_MS: String((rules.lease * UNIT_MS) / 2),
      CANCEL_GRACE_MS: String(rules.grace * UNIT_MS),
      POISON_AFTER: String(rules.poison_after),
      IDEMPOTENCY_MS: String(rules.idempotency * UNIT_MS),
      PRIORITY_AGING_MS: String(Math.round((rules.aging ?? 0) * UNIT_MS)),
    });
    store = new RedisStore(config, { hub_id: 'h_one', test_clock: true });
    store.onEffect(effect => effects.push(effect));
    await store.open();
  });

  afterAll(async () => {
    store?.close();
    await server?.stop();
  });

  beforeEach(() => {
    effects.length = 0;
  });

  /** Empty, but for the machines and the classes that hubs have told. */
  async function begin(): Promise<{ model: Model; real: Real }> {
    await redis.flushall('SYNC');
    effects.length = 0;
    const model = new Model(rules);
    const real = { store, redis, effects, heard: new Map() };
    for (const machine of MACHINES) {
      await store.register(machine, CONNECTIONS[0] as string, SLOTS, []);
      model.register(machine, CONNECTIONS[0] as string, SLOTS, []);
    }
    for (const [id, signatures] of Object.entries(CLASSES)) {
      await store.fit(id, signatures);
      model.fit(id, signatures);
    }
    return { model, real };
  }

  test('the scripts do what the protocol says', { timeout: TIMEOUT_MS }, async () => {
    const property = fc.asyncProperty(
      fc.commands(COMMANDS, { maxCommands: COMMANDS_MAX, size: 'max' }),
      async commands => {
        const start = await begin();
        await fc.asyncModelRun(() => start, commands);
        expect(await audit(redis), 'what the audit finds').toEqual([]);
        expect([...start.model.jobs.values()].filter(hasEnded).length).toBeLessThanOrEqual(IDS.length);
      },
    );
    await fc.assert(property, { seed: SEED, numRuns: runs });
  });
});
