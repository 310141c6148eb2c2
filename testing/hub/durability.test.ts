/** What `DURABILITY` promises, on real servers: acknowledged only when it is as safe as was asked for. */
import { afterEach, expect, test } from 'vitest';
import { keyOf } from '../../core/store/keys.ts';
import { Peer } from '../harness/peer.ts';
import { startRedis } from '../../scripts/redis_server.ts';
import { startHub } from '../harness/processes.ts';
import { type TestRedis, testRedis } from '../harness/redis.ts';
import { Fleet, until } from '../harness/fleet.ts';

let fleet: Fleet | undefined;
const servers: TestRedis[] = [];
afterEach(async () => {
  await fleet?.[Symbol.asyncDispose]();
  fleet = undefined;
  for (const server of servers.splice(0)) await server.stop();
});

async function server(...args: string[]): Promise<TestRedis> {
  const redis = await testRedis({ args });
  servers.push(redis);
  return redis;
}

test('fsync does not start on a Redis that cannot promise it, and says what it needs', async () => {
  // Redis before 7.2 has no WAITAOF; tests run with appendfsync no.
  const redis = await server();
  const starting = startHub({ REDIS_URL: redis.url, DURABILITY: 'fsync' });
  await expect(starting).rejects.toThrow(
    /DURABILITY=fsync needs .*appendfsync always.* this Redis has appendonly yes and appendfsync no/,
  );
});

test('fsync starts and serves with "appendfsync always"', async () => {
  fleet = await Fleet.start({ DURABILITY: 'fsync' }, { args: ['--appendfsync', 'always'] });
  const client = await Peer.connect(fleet.hub.wsUrl, { path: '/ws/client' });
  expect(await client.request({ type: 'submit_job', job_type: 'x', params: {} })).toMatchObject({
    type: 'job_accepted',
  });
});

test('replica: what is acknowledged is on the replica; without one nothing is, with outcome unknown', async () => {
  fleet = await Fleet.start({ DURABILITY: 'replica', DURABILITY_TIMEOUT_MS: '300' });
  const client = await Peer.connect(fleet.hub.wsUrl, { path: '/ws/client' });
  const machine = await Peer.connect(fleet.hub.wsUrl, { path: '/ws/worker' });
  await machine.request({ type: 'register_worker', machine_id: 'm1', job_types: ['*'] });
  const job = (job_id: string) => ({ type: 'submit_job', job_type: 'x', params: {}, job_id });
  expect(await client.request(job('lonely'))).toMatchObject({
    code: 'unavailable',
    details: { outcome: 'unknown' },
    message: expect.stringMatching(/no replica has confirmed it within 300 ms/),
  });
  const { lease_id } = await machine.next('job_assigned');
  const ended = { type: 'job_completed', job_id: 'lonely', lease_id, result: 1 };
  expect(await machine.request(ended)).toMatchObject({
    code: 'unavailable',
    details: { outcome: 'unknown', job_id: 'lonely', lease_id },
  });

  const { port } = fleet.redis;
  const replica = await server('--replicaof', `127.0.0.1 ${port}`);
  const copy = replica.client();
  await until('the replica to follow', async () =>
    /master_link_status:up/.test(await copy.info('replication')),
  );
  // Sent again, as the hub asked: known, and safe now.
  expect(await client.request(job('lonely'))).toMatchObject({ type: 'job_accepted', duplicate: true });
  expect(await machine.request(ended)).toMatchObject({ type: 'job_ack', accepted: true });
  for (let i = 0; i < 20; i++) {
    expect(await client.request(job(`safe-${i}`))).toMatchObject({ type: 'job_accepted' });
    // At once, without waiting for it.
    expect(await copy.hexists(keyOf(0, 'jobs'), `/safe-${i}`)).toBe(1);
  }
  await replica.server.kill('SIGSTOP');
  expect(await client.request(job('doubtful'))).toMatchObject({ details: { outcome: 'unknown' } });
  await replica.server.kill('SIGCONT');
  await until(
    'it to be confirmed',
    async () => (await client.request(job('doubtful'))).type === 'job_accepted',
  );
});

test('memory waits for nothing', async () => {
  fleet = await Fleet.start();
  const client = await Peer.connect(fleet.hub.wsUrl, { path: '/ws/client' });
  await client.request({ type: 'submit_job', job_type: 'x', params: {} });
  const calls = await fleet.redis.client().info('commandstats');
  expect(calls).toContain('cmdstat_evalsha:');
  expect(calls).not.toMatch(/cmdstat_wait/);
});

test.each<[string, string[], RegExp]>([
  [
    'a policy that evicts',
    ['--maxmemory-policy', 'allkeys-lru'],
    /maxmemory-policy allkeys-lru: it will throw jobs away/,
  ],
  ['no persistence', ['--appendonly', 'no'], /keeps nothing on disk/],
  [
    'snapshots only',
    ['--appendonly', 'no', '--save', '3600 1'],
    /appendonly no: a crash loses what came since its last snapshot \(save 3600 1\)/,
  ],
  ['no fsync', [], /appendfsync no: a power cut may lose/],
])('at start the hub warns of %s in a line', async (_what, args, words) => {
  fleet = await Fleet.start({}, { args });
  await fleet.hub.process.waitFor(words);
  const lines = fleet.hub.process.output.split('\n').filter(line => words.test(line));
  expect(lines, fleet.hub.process.output).toHaveLength(1);
  expect(JSON.parse(lines[0] as string)).toMatchObject({ level: 40 });
});

test('where Redis does not show its settings the hub says so quietly', async () => {
  fleet = await Fleet.start({ LOG_LEVEL: 'info' }, { args: ['--rename-command', 'CONFIG', ''] });
  await fleet.hub.process.waitFor(/does not let hubs read its settings/);
  const line = fleet.hub.process.output
    .split('\n')
    .find(text => text.includes('does not let hubs read its settings'));
  expect(JSON.parse(line ?? '{}')).toMatchObject({ level: 30 });
});

test('fsync, and a Redis that comes back unable to promise it: nothing is acknowledged until it can again', async () => {
  fleet = await Fleet.start({ DURABILITY: 'fsync' }, { args: ['--appendfsync', 'always'] });
  const client = await Peer.connect(fleet.hub.wsUrl, { path: '/ws/client' });
  const job = { type: 'submit_job', job_type: 'x', job_id: 'j', params: {} };
  const { port } = fleet.redis;
  await fleet.redis.server.kill('SIGKILL');
  // Another server takes its place, with other settings.
  await using other = await startRedis({ port, args: ['--appendfsync', 'everysec'] });
  const redis = fleet.redis.client();
  const reason = async () =>
    ((await (await fetch(`${fleet?.hub.httpUrl}/readyz`)).json()) as { reason: string }).reason;
  await until('readyz to say so', async () => /needs .*appendfsync always/.test(await reason()));
  expect(await client.request(job)).toMatchObject({ code: 'unavailable', details: { outcome: 'unknown' } });
  await redis.config('SET', 'appendfsync', 'always');
  await until('readyz 200', async () => (await reason()) === null);
  expect(await client.request(job)).toMatchObject({ type: 'job_accepted', duplicate: true });
  expect(other.port).toBe(port);
});
