/** Protocol section 1: paths, subprotocols, names, origins, frames, errors, closing. */
import { once } from 'node:events';
import { get, type IncomingMessage } from 'node:http';
import { describe, expect, test } from 'vitest';
import { HandshakeRefused, type Path, Peer } from '../harness/peer.ts';
import { hub_under_test, submit, unique } from './hub_under_test.ts';

const MAX_BAD_FRAMES = 5;
const MAX_MESSAGE_BYTES = 65_536;
const PING_INTERVAL_MS = 300;
const FRIEND = 'https://app.example.com';
const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/;
const PATHS: Path[] = ['/ws/client', '/ws/worker', '/ws/monitor'];

const hub = hub_under_test({
  LEASE_MS: '60000',
  MAX_BAD_FRAMES: String(MAX_BAD_FRAMES),
  MAX_MESSAGE_BYTES: String(MAX_MESSAGE_BYTES),
  MAX_PARAMS_BYTES: '32768',
  MAX_RESULT_BYTES: '32768',
  REGISTER_TIMEOUT_MS: '1000',
  PING_INTERVAL_MS: String(PING_INTERVAL_MS),
  ALLOWED_ORIGINS: FRIEND,
});

/** The HTTP status that refuses this upgrade; 101 if it is accepted. */
async function status_of(
  path: string,
  options: { headers?: Record<string, string>; protocols?: string[] } = {},
) {
  try {
    const peer = await Peer.connect(hub.url, { path: path as Path, ...options });
    await peer.terminate();
    return 101;
  } catch (error) {
    if (error instanceof HandshakeRefused) return error.status;
    throw error;
  }
}

describe.skipIf(hub.skip).concurrent('paths', () => {
  test.each(PATHS)('%s says welcome first, with every field', async path => {
    await using peer = await hub.connect({ path });
    const { welcome } = peer;
    expect(welcome.protocol).toBe('gpuhub.v1');
    expect(welcome.role).toBe(path.slice('/ws/'.length));
    expect(welcome.hub_id).toEqual(expect.any(String));
    expect(welcome.connection_id).toEqual(expect.any(String));
    expect(welcome.ping_interval_ms).toBe(PING_INTERVAL_MS);
    expect(Number.isInteger(welcome.server_time)).toBe(true);
    expect(welcome.limits.max_message_bytes).toBe(MAX_MESSAGE_BYTES);
    expect(welcome.limits.max_params_bytes).toBe(32_768);
    expect(welcome.limits.max_result_bytes).toBe(32_768);
    for (const name of ['max_batch', 'max_watch', 'idempotency_ms'])
      expect(Number.isInteger(welcome.limits[name]), `limits.${name}`).toBe(true);
    expect(welcome.limits.max_batch).toBe(1000);
    expect(welcome.limits.max_watch).toBeGreaterThanOrEqual(1000);
  });

  test('each connection has a connection_id of its own, and one hub_id', async () => {
    await using one = await hub.client();
    await using two = await hub.client();
    expect(one.welcome.connection_id).not.toBe(two.welcome.connection_id);
    expect(one.welcome.hub_id).toBe(two.welcome.hub_id);
  });

  test.each(['/', '/ws', '/ws/', '/ws/admin', '/ws/client/more', '/ws/clients', '/jobs/ws'])(
    'an upgrade of %s is HTTP 404',
    async path => {
      expect(await status_of(path)).toBe(404);
    },
  );
});

describe.skipIf(hub.skip).concurrent('subprotocol', () => {
  test('none offered counts as v1, and none is answered', async () => {
    await using peer = await hub.client();
    expect(peer.protocol).toBe('');
    expect(peer.welcome.protocol).toBe('gpuhub.v1');
  });

  test.each(PATHS)('gpuhub.v1 is answered on %s', async path => {
    await using peer = await hub.connect({ path, protocols: ['gpuhub.v1'] });
    expect(peer.protocol).toBe('gpuhub.v1');
  });

  test('gpuhub.v1 is chosen among others, wherever it stands', async () => {
    await using first = await hub.client({ protocols: ['gpuhub.v1', 'gpuhub.v2'] });
    await using last = await hub.client({ protocols: ['chat', 'gpuhub.v2', 'gpuhub.v1'] });
    expect([first.protocol, last.protocol]).toEqual(['gpuhub.v1', 'gpuhub.v1']);
  });

  test.each([[['gpuhub.v2']], [['chat', 'superchat']], [['GPUHUB.V1']]])(
    'only others offered is HTTP 400: %j',
    async protocols => {
      expect(await status_of('/ws/client', { protocols })).toBe(400);
    },
  );
});

describe.skipIf(hub.skip).concurrent('client identity', () => {
  test.each(['a', 'A.b_c-9', 'x'.repeat(128)])('client_id %s comes back in welcome', async client_id => {
    await using peer = await hub.client({ query: { client_id } });
    expect(peer.welcome.client_id).toBe(client_id);
  });

  test('without client_id the hub makes up a valid one for each connection', async () => {
    await using one = await hub.client();
    await using two = await hub.client();
    expect(one.welcome.client_id).toMatch(NAME);
    expect(one.welcome.client_id).not.toBe(two.welcome.client_id);
  });

  test('any number of connections may share a client_id, and each job bears it', async () => {
    const client_id = unique('owner');
    await using one = await hub.client({ query: { client_id } });
    await using two = await hub.client({ query: { client_id } });
    const { job_id } = await submit(one, { job_type: unique('t') });
    const seen = await two.request({ type: 'get_job', job_id });
    expect(seen.job.client_id).toBe(client_id);
  });

  test.each(['-a', '.a', 'a b', 'a/b', 'a:b', 'é', 'x'.repeat(129), 'a\nb', '<script>'])(
    'a bad client_id is HTTP 400: %j',
    async client_id => {
      expect(await status_of(`/ws/client?client_id=${encodeURIComponent(client_id)}`)).toBe(400);
    },
  );
});

describe.skipIf(hub.skip).concurrent('origin and credentials', () => {
  test("no Origin, the hub's own and a listed one are welcome", async () => {
    expect(await status_of('/ws/client')).toBe(101);
    expect(await status_of('/ws/client', { headers: { origin: hub.url } })).toBe(101);
    expect(await status_of('/ws/client', { headers: { origin: FRIEND } })).toBe(101);
  });

  test.each([
    'https://evil.example',
    `${FRIEND}.evil.io`,
    `${FRIEND}:444`,
    'http://app.example.com',
    'https://evil.example, https://app.example.com',
    'http://127.0.0.1:1',
    'null',
  ])('the Origin %s is HTTP 403 on every path', async origin => {
    for (const path of PATHS) expect(await status_of(path, { headers: { origin } }), path).toBe(403);
  });

  test('a name that somebody pointed at this machine is no Origin of its own: 403', async () => {
    const host = `evil.example:${hub.port}`;
    const headers = { host, origin: `http://${host}` };
    for (const path of PATHS) expect(await status_of(path, { headers }), path).toBe(403);
    const [answer] = (await once(get(new URL('/jobs', hub.url), { headers }), 'response')) as [
      IncomingMessage,
    ];
    answer.resume();
    expect(answer.statusCode).toBe(403);
    const own = `app.localhost:${hub.port}`;
    expect(await status_of('/ws/client', { headers: { host: own, origin: `http://${own}` } })).toBe(101);
  });

  test('an HTTP request from a foreign Origin is 403 as well and does nothing', async () => {
    const job_id = unique('job');
    const answer = await hub.http('POST', '/jobs', {
      body: { job_id, job_type: unique('t'), params: {} },
      headers: { origin: 'https://evil.example' },
    });
    expect(answer.status).toBe(403);
    expect((await hub.http('GET', `/jobs/${job_id}`)).status).toBe(404);
  });

  test.each(PATHS)('a token in the URL of %s is refused', async path => {
    const status = await status_of(`${path}?token=c2VjcmV0`);
    expect(status).toBeGreaterThanOrEqual(400);
    expect(status).toBeLessThan(500);
  });
});

describe.skipIf(hub.skip).concurrent('frames', () => {
  test.each(PATHS)('ping on %s is answered pong with server_time and the request_id', async path => {
    await using peer = await hub.connect({ path });
    peer.send({ type: 'ping', request_id: 'p 1' });
    const pong = await peer.next('pong');
    expect(pong.request_id).toBe('p 1');
    expect(Number.isInteger(pong.server_time)).toBe(true);
    peer.send({ type: 'ping' });
    expect(await peer.next('pong')).not.toHaveProperty('request_id');
  });

  test('server_time is milliseconds since 1970', async () => {
    await using peer = await hub.client();
    const year = new Date(peer.welcome.server_time).getUTCFullYear();
    expect(Math.abs(year - new Date().getUTCFullYear())).toBeLessThanOrEqual(1);
  });

  test('unknown fields are ignored on the way in', async () => {
    await using peer = await hub.client();
    expect((await peer.request({ type: 'ping', colour: 'red', nested: { a: [1] } })).type).toBe('pong');
  });

  test.each<[Path]>([['/ws/client'], ['/ws/monitor']])('a binary frame on %s closes 1003', async path => {
    await using peer = await hub.connect({ path });
    peer.sendRaw(Buffer.from('{"type":"ping"}'));
    expect((await peer.closed()).code).toBe(1003);
  });

  test.each(PATHS)('a frame above max_message_bytes closes %s with 1009', async path => {
    await using peer = await hub.connect({ path });
    peer.send({ type: 'ping', filler: 'x'.repeat(MAX_MESSAGE_BYTES) });
    expect((await peer.closed()).code).toBe(1009);
  });

  test('a frame of exactly max_message_bytes is read', async () => {
    await using peer = await hub.client();
    const empty = JSON.stringify({ type: 'ping', request_id: 'big', filler: '' });
    peer.send({ type: 'ping', request_id: 'big', filler: 'x'.repeat(MAX_MESSAGE_BYTES - empty.length) });
    expect((await peer.next('pong')).request_id).toBe('big');
  });

  test('bad UTF-8 closes 1007', async () => {
    await using peer = await hub.client();
    peer.sendRaw(Buffer.from([0x7b, 0xc3, 0x28, 0x7d]), { binary: false });
    expect((await peer.closed()).code).toBe(1007);
  });

  test('a peer that answers no WebSocket ping is closed after two', async () => {
    await using peer = await hub.client({ answer_pings: false });
    await peer.closed({ timeout_ms: 20 * PING_INTERVAL_MS });
    expect(peer.pings).toBeGreaterThanOrEqual(2);
  });

  test('a silent peer that answers the pings stays', async () => {
    await using silent = await hub.client();
    await using deaf = await hub.client({ answer_pings: false });
    await deaf.closed({ timeout_ms: 20 * PING_INTERVAL_MS });
    expect(silent.pings).toBeGreaterThanOrEqual(1);
    expect((await silent.request({ type: 'ping' })).type).toBe('pong');
  });
});

describe.skipIf(hub.skip).concurrent('errors', () => {
  test('an error carries the request_id back, a code and a sentence', async () => {
    await using peer = await hub.client();
    const answer = await peer.request({ type: 'no_such_message' });
    expect(answer.type).toBe('error');
    expect(answer.code).toBe('unknown_type');
    expect(answer.message).toEqual(expect.any(String));
    expect(answer.message.length).toBeGreaterThan(5);
  });

  test('an error without request_id has none', async () => {
    await using peer = await hub.client();
    peer.send({ type: 'no_such_message' });
    expect(await peer.next('error')).not.toHaveProperty('request_id');
  });

  test.each([
    ['/ws/client', 'register_worker'],
    ['/ws/client', 'worker_heartbeat'],
    ['/ws/client', 'pause_queue'],
    ['/ws/client', 'purge_jobs'],
    ['/ws/client', 'welcome'],
    ['/ws/client', 'job_accepted'],
    ['/ws/monitor', 'register_worker'],
    ['/ws/monitor', 'snapshot'],
  ] satisfies [Path, string][])('on %s the type %s is unknown_type', async (path, type) => {
    await using peer = await hub.connect({ path });
    const answer = await peer.request({ type });
    expect([answer.type, answer.code]).toEqual(['error', 'unknown_type']);
  });

  test('a registered worker may not say what a client says', async () => {
    await using machine = await hub.machine({ job_types: [unique('t')] });
    const answer = await machine.peer.request({ type: 'submit_job', job_type: 'x', params: {} });
    expect([answer.type, answer.code]).toEqual(['error', 'unknown_type']);
  });

  test('what is not a JSON object is invalid_json, and the connection stays open', async () => {
    await using peer = await hub.client();
    for (const text of ['[]', 'null', '"ping"', '{"type":']) {
      peer.sendRaw(text);
      expect((await peer.next('error')).code, text).toBe('invalid_json');
      await peer.none('error');
    }
  });

  test('a bad message is invalid_message, names the field, and lists details of {path, message}', async () => {
    await using peer = await hub.client();
    const answer = await peer.request({ type: 'submit_job', job_type: 'x', params: {}, priority: 101 });
    expect([answer.type, answer.code]).toEqual(['error', 'invalid_message']);
    expect(answer.message).toContain('priority');
    expect(Array.isArray(answer.details)).toBe(true);
    expect(answer.details.length).toBeGreaterThan(0);
    for (const detail of answer.details) {
      expect(detail).toHaveProperty('path');
      expect(detail.message).toEqual(expect.any(String));
    }
    expect(JSON.stringify(answer.details.map((detail: { path: unknown }) => detail.path))).toContain(
      'priority',
    );
  });

  test('request_id is a string of at most 128', async () => {
    await using peer = await hub.client();
    expect((await peer.request({ type: 'ping', request_id: 'x'.repeat(128) })).type).toBe('pong');
    for (const request_id of ['x'.repeat(129), 7, {}]) {
      peer.send({ type: 'ping', request_id });
      expect((await peer.next('error')).code).toBe('invalid_message');
    }
  });

  test('more than MAX_BAD_FRAMES bad frames in a row close 4400, each one answered before', async () => {
    await using peer = await hub.client();
    const bad = ['{', '{"type":"nonsense"}', '{"type":"get_job"}'];
    for (let i = 0; i < MAX_BAD_FRAMES; i++) peer.sendRaw(bad[i % bad.length] as string);
    for (let i = 0; i < MAX_BAD_FRAMES; i++) await peer.next('error');
    expect(peer.is_open).toBe(true);
    peer.sendRaw('{');
    expect((await peer.closed()).code).toBe(4400);
  });

  test('a good frame resets the count of bad ones', async () => {
    await using peer = await hub.client();
    for (let round = 0; round < 4; round++) {
      for (let i = 0; i < MAX_BAD_FRAMES; i++) {
        peer.sendRaw('{');
        await peer.next('error');
      }
      expect((await peer.request({ type: 'ping' })).type).toBe('pong');
    }
  });

  test('a refusal that is no fault of the frame does not count as a bad one', async () => {
    await using peer = await hub.client();
    for (let i = 0; i < 3 * MAX_BAD_FRAMES; i++) {
      const answer = await peer.request({ type: 'get_job', job_id: unique('none') });
      expect(answer.code).toBe('not_found');
    }
    expect((await peer.request({ type: 'ping' })).type).toBe('pong');
  });
});

describe.skipIf(hub.skip).concurrent('what is owed', () => {
  test('a worker that does not register within REGISTER_TIMEOUT_MS is closed 4408, ping or not', async () => {
    await using peer = await hub.worker();
    await peer.request({ type: 'ping' });
    expect((await peer.closed()).code).toBe(4408);
  });

  test('a worker whose registration was refused is closed 4408 as well', async () => {
    await using peer = await hub.worker();
    expect((await peer.request({ type: 'register_worker', machine_id: '-' })).code).toBe('invalid_message');
    expect((await peer.closed()).code).toBe(4408);
  });

  test('a registered worker, a client and a monitor owe nothing', async () => {
    await using machine = await hub.machine({ job_types: [unique('t')] });
    await using client = await hub.client();
    await using monitor = await hub.monitor();
    await using late = await hub.worker();
    await late.closed();
    for (const peer of [machine.peer, client, monitor])
      expect((await peer.request({ type: 'ping' })).type).toBe('pong');
  });
});
