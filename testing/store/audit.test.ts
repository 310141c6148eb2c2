/** `gpuhub audit` finds what is wrong, and only that, also while jobs run. */
import type { Redis } from 'ioredis';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { readConfig } from '../../core/config.ts';
import { auditStore } from '../../core/store/audit.ts';
import { keyOf, refOf } from '../../core/store/keys.ts';
import { RedisLink } from '../../core/store/redis_link.ts';
import { RedisStore } from '../../core/store/redis_store.ts';
import { loadScripts } from '../../core/store/scripts.ts';
import type { Claimed, Held, Submitted } from '../../core/store/store.ts';
import { startProcess } from '../harness/processes.ts';
import { type TestRedis, testRedis } from '../harness/redis.ts';
import { claim as claimOf, CONNECTION, content, finish, promised, slot } from './operations.ts';

const SLOTS = 4;
/** Of a load that runs beside audits. */
const BATCHES = 60;

let server: TestRedis;
let redis: Redis;
let store: RedisStore;
let link: RedisLink;
beforeAll(async () => {
  server = await testRedis();
  redis = server.client();
  const config = readConfig({ REDIS_URL: server.url });
  store = new RedisStore(config);
  link = new RedisLink(config, loadScripts(config));
  await Promise.all([store.open(), link.open([])]);
});
afterAll(async () => {
  store.close();
  link.close();
  await server.stop();
});

const ready = content();
const later = content({ delay_ms: 3_600_000, start_timeout_ms: 60_000 });
const submit = (id: string, what = ready) => promised<Submitted>(done => store.submit(id, what, null, done));
const claim = (index: number) => claimOf(store, slot(index));
const complete = (job: Held) => finish(store, job, 'completed');

/** One job in each kind of index. */
beforeEach(async () => {
  await redis.flushall('SYNC');
  await store.register(
    'm',
    CONNECTION,
    Array.from({ length: SLOTS }, (_, i) => i),
    [],
  );
  await store.fit('all', [ready.signature]);
  await submit('ended');
  await complete((await claim(0)) as Extract<Claimed, { outcome: 'job' }>);
  await submit('leased');
  await claim(0);
  await submit('queued');
  await submit('scheduled', later);
});

const ref = (id: string) => refOf(id);
const queue = keyOf(0, 'queue', ready.signature);

test('it finds nothing wrong where all is well, and says what it looked at', async () => {
  expect(await auditStore(link)).toEqual({
    problems: [],
    jobs: 4,
    // Each in all and in its own index, and one among the deadlines.
    entries: 9,
    machines: 1,
  });
});

describe('it finds', () => {
  test.each<[string, RegExp, () => Promise<unknown>]>([
    [
      'a job that is in no index',
      /job \/queued should lie in q:\S+, but lies in no index/,
      () => redis.zrem(queue, ref('queued')),
    ],
    [
      'a job in two indexes',
      /job \/queued .* lies in q:\S+, leases/,
      () => redis.zadd(keyOf(0, 'leases'), 1, ref('queued')),
    ],
    [
      'a job in the queue of another signature',
      /q:other has \/queued/,
      () => redis.zadd(keyOf(0, 'queue', 'other'), 1, ref('queued')),
    ],
    [
      'an entry without a job',
      /done:c has \/ghost, which is no job/,
      () => redis.zadd(keyOf(0, 'done', 'c'), 1, ref('ghost')),
    ],
    [
      'a job that lists do not show',
      /job \/ended is not in all/,
      () => redis.zrem(keyOf(0, 'all'), ref('ended')),
    ],
    [
      'a wrong place in the queue',
      /job \/queued has the score 7 in q:/,
      () => redis.zadd(queue, 7, ref('queued')),
    ],
    [
      'a lost deadline',
      /job \/scheduled has its next deadline at \d+, but deadlines says none/,
      () => redis.zrem(keyOf(0, 'deadlines'), ref('scheduled')),
    ],
    [
      'a leased job without a slot',
      /job \/leased is leased to m:gpu0, whose slot does not hold it/,
      () => redis.hdel(keyOf(0, 'machine', 'm'), 's0'),
    ],
    [
      "a slot with a lease that is nobody's",
      /m:gpu3 holds the lease 1-x of \/ended, which does not/,
      () => redis.hset(keyOf(0, 'machine', 'm'), 's3', `1-x ${ref('ended')}`),
    ],
    [
      'wrong counts',
      /counts says 5 jobs are scheduled, but there are 1/,
      () => redis.hincrby(keyOf(0, 'counts'), 'image s', 4),
    ],
    [
      'a body without a job',
      /bodies has 5 jobs, all has 4/,
      () => redis.hset(keyOf(0, 'bodies'), ref('half'), '"x":1'),
    ],
    ['a job without a body', /job \/queued has no body/, () => redis.hdel(keyOf(0, 'bodies'), ref('queued'))],
  ])('%s', async (_what, words, spoil) => {
    await spoil();
    const { problems } = await auditStore(link);
    expect(
      problems.some(problem => words.test(problem)),
      problems.join('\n'),
    ).toBe(true);
  });
});

test('it finds nothing wrong while jobs come, run and end', async () => {
  let working = true;
  let ended = 0;
  const slot = async (index: number) => {
    while (working) {
      const claimed = await claim(index);
      if (claimed.outcome !== 'job' && claimed.outcome !== 'held') continue;
      ended += (await complete(claimed)).accepted ? 1 : 0;
    }
  };
  const client = async () => {
    for (let i = 0; i < BATCHES; i++)
      await Promise.all(Array.from({ length: 20 }, (_, n) => submit(`j${i}-${n}`)));
    working = false;
  };
  const all = [client(), ...Array.from({ length: SLOTS }, (_, i) => slot(i))];
  const reports = [];
  while (working) reports.push(await auditStore(link));
  await Promise.all(all);
  expect(reports.flatMap(({ problems }) => problems)).toEqual([]);
  expect(ended).toBeGreaterThan(0);
  expect(reports.at(-1)?.jobs).toBeGreaterThan(BATCHES);
});

describe('gpuhub audit', () => {
  const run = async (url: string, ...args: string[]) => {
    const env = { REDIS_URL: url, NO_COLOR: '1' };
    const command = startProcess(process.execPath, ['core/cli/gpuhub.mjs', 'audit', ...args], { env });
    const { code } = await command.exited;
    return { code, text: command.output };
  };

  test('exits 0 when all is well, and writes nothing', async () => {
    const writes = async () => /rdb_changes_since_last_save:\d+/.exec(await redis.info('persistence'))?.[0];
    const before = await writes();
    expect(await run(server.url)).toEqual({
      code: 0,
      text: 'all is well: 4 jobs, 9 entries of indexes, 1 machine\n',
    });
    expect(await writes()).toBe(before);
  });

  test('exits 1 when something is wrong, and names it, in words or as JSON', async () => {
    await redis.zrem(queue, ref('queued'));
    const said = await run(server.url);
    expect(said.code).toBe(1);
    expect(said.text).toMatch(/✕ job \/queued should lie in q:/);
    const { code, text } = await run(server.url, '--format', 'json');
    expect({ code, body: JSON.parse(text) }).toMatchObject({ code: 1, body: { jobs: 4, entries: 8 } });
    expect(JSON.parse(text).problems).toContainEqual(expect.stringContaining('/queued'));
  });

  test('without a Redis it says so in a sentence', async () => {
    const { code, text } = await run('redis://127.0.0.1:1');
    expect(code).toBe(1);
    expect(text).toMatch(/^gpuhub: cannot read Redis: .+\n$/);
  });

  test('a bad setting is bad usage', async () => {
    expect(await run('http://x')).toMatchObject({ code: 2, text: expect.stringContaining('REDIS_URL') });
  });
});
