/** Operations of the store as promises, for tests that call it directly. */
import type { Redis } from 'ioredis';
import type { Submission } from '../../core/messages/job.ts';
import { contentOf } from '../../core/store/content.ts';
import type { RedisStore } from '../../core/store/redis_store.ts';
import type {
  Claimed,
  Finish,
  Finished,
  FinishKind,
  Held,
  Reported,
  Sign,
  SlotAddress,
  Submitted,
} from '../../core/store/store.ts';

export const content = (more: Partial<Submission> = {}) =>
  contentOf({
    job_type: 'image',
    params: {},
    priority: 0,
    max_attempts: 3,
    backoff_ms: 1000,
    watch: false,
    ...more,
  });
export const SIGNATURE = content().signature;

type Callback<T> = (error: Error | null, reply: T) => void;
export const promised = <T>(act: (done: Callback<T>) => void) =>
  new Promise<T>((resolve, reject) => act((error, reply) => (error ? reject(error) : resolve(reply))));

export const submit = (store: RedisStore, id: string, more: Partial<Submission> = {}) =>
  promised<Submitted>(done => store.submit(id, content(more), null, done));
export const claim = (store: RedisStore, slot: SlotAddress) =>
  promised<Claimed>(done => store.claim(slot, done));
export const finish = (store: RedisStore, job: Held, kind: FinishKind, more: Partial<Finish> = {}) =>
  promised<Finished>(done => {
    const { ref, lease_id } = job;
    const payload = kind === 'completed' ? '{}' : '{"code":"boom"}';
    store.finish({ ref, lease_id, machine_id: 'm', kind, payload, retryable: true, ...more }, done);
  });
export const report = (store: RedisStore, { ref, lease_id }: Held, sign: Sign) =>
  promised<Reported>(done => store.report({ ref, lease_id, machine_id: 'm', ...sign }, done));

export const CONNECTION = 'h_test:c1.0';
export const slot = (index = 0, more: Partial<SlotAddress> = {}): SlotAddress => ({
  machine_id: 'm',
  connection: CONNECTION,
  index,
  class_id: 'all',
  ...more,
});

/** A machine of some slots, and a class that fits these lines. */
export async function machine(store: RedisStore, slots = 1, signatures = [SIGNATURE]): Promise<void> {
  await store.register(
    'm',
    CONNECTION,
    Array.from({ length: slots }, (_, i) => i),
    [],
  );
  await store.fit('all', signatures);
}

/** Calls of commands that one operation makes, inside scripts as well. */
export async function callsOf(redis: Redis, act: () => Promise<unknown>): Promise<Record<string, number>> {
  await redis.config('RESETSTAT');
  await act();
  const stats = await redis.info('commandstats');
  const calls = [...stats.matchAll(/^cmdstat_([^:]+):calls=(\d+)/gm)].map(([, name, count]) => [
    name,
    Number(count),
  ]);
  return Object.fromEntries(calls.filter(([name]) => !/^(config|info)/.test(name as string)));
}

/** Bytes that Redis reads and writes for an act, without those of asking. */
export async function bytesOf(
  redis: Redis,
  act: () => Promise<unknown>,
): Promise<{ read: number; written: number }> {
  const count = async (what: () => Promise<unknown>) => {
    await redis.config('RESETSTAT');
    await what();
    const stats = await redis.info('stats');
    const total = (name: string) =>
      Number(new RegExp(`^total_net_${name}_bytes:(\\d+)`, 'm').exec(stats)?.[1]);
    return { read: total('input'), written: total('output') };
  };
  const nothing = await count(async () => {});
  const all = await count(act);
  return { read: all.read - nothing.read, written: all.written - nothing.written };
}
