/** Protocol section 8: HTTP on the same port. */
import { once } from 'node:events';
import { type IncomingMessage, request } from 'node:http';
import { connect } from 'node:net';
import { json } from 'node:stream/consumers';
import { describe, expect, test } from 'vitest';
import type { Frame } from '../harness/peer.ts';
import { type Answer, event, get_job, hub_under_test, submit, unique } from './hub_under_test.ts';

const hub = hub_under_test({ LEASE_MS: '60000', REAP_INTERVAL_MS: '100', ALLOWED_ORIGINS: 'null' });

function expect_error(answer: Answer, status: number, code: string): void {
  expect([answer.status, answer.body?.error?.code], answer.text).toEqual([status, code]);
  expect(answer.body.error.message).toEqual(expect.any(String));
  expect(answer.text).not.toMatch(/\n\s+at /);
}

interface ServerSentEvent {
  event: string;
  id: string;
  data: Frame;
}

/** Reads a stream of Server-Sent Events until it ends by itself. */
async function server_sent_events(
  path: string,
  options: { headers?: Record<string, string>; on_open?: () => Promise<unknown>; timeout_ms?: number } = {},
): Promise<ServerSentEvent[]> {
  const response = await fetch(new URL(path, hub.url), {
    headers: { accept: 'text/event-stream', ...options.headers },
    signal: AbortSignal.timeout(options.timeout_ms ?? 8000),
  });
  expect(response.status).toBe(200);
  expect(response.headers.get('content-type')).toContain('text/event-stream');
  const [text] = await Promise.all([response.text(), options.on_open?.()]);
  return text
    .split(/\r?\n\r?\n/)
    .filter(block => /^data:/m.test(block))
    .map(block => {
      const field = (name: string) => new RegExp(`^${name}: ?(.*)$`, 'm').exec(block)?.[1] ?? '';
      return { event: field('event'), id: field('id'), data: JSON.parse(field('data')) as Frame };
    });
}

describe.skipIf(hub.skip).concurrent('POST and PUT /jobs', () => {
  test('202 with the body of job_accepted and Location', async () => {
    const job_id = unique('job');
    const answer = await hub.http('POST', '/jobs', {
      body: { job_id, job_type: unique('t'), params: { a: 1 } },
    });
    expect(answer.status).toBe(202);
    expect(answer.headers.get('location')).toBe(`/jobs/${job_id}`);
    expect(answer.headers.get('content-type')).toContain('application/json');
    expect(answer.body).toMatchObject({ job_id, status: 'queued', duplicate: false, position: 1 });
    for (const field of ['seq', 'created_at']) expect(answer.body, field).toHaveProperty(field);
    expect((await hub.http('GET', `/jobs/${job_id}`)).body).toMatchObject({ job_id, params: { a: 1 } });
  });

  test("without an id the hub's own comes in body and Location", async () => {
    const answer = await hub.http('POST', '/jobs', {
      body: { job_type: unique('t'), params: {}, watch: 'all' },
    });
    expect(answer.status).toBe(202);
    expect(answer.body.job_id).toMatch(/^j_[A-Za-z0-9_-]{22}$/);
    expect(answer.headers.get('location')).toBe(`/jobs/${answer.body.job_id}`);
  });

  test('200 for a duplicate, 409 for other content under the id', async () => {
    const body = { job_id: unique('job'), job_type: unique('t'), params: {} };
    await hub.http('POST', '/jobs', { body });
    const again = await hub.http('POST', '/jobs', { body });
    expect(again.status).toBe(200);
    expect(again.body).toMatchObject({ job_id: body.job_id, duplicate: true, status: 'queued' });
    expect_error(await hub.http('POST', '/jobs', { body: { ...body, priority: 1 } }), 409, 'conflict');
  });

  test('a job sent over both ways in is one job', async () => {
    await using client = await hub.client();
    const body = { job_id: unique('job'), job_type: unique('t'), params: { a: [1] } };
    await submit(client, body);
    const answer = await hub.http('PUT', `/jobs/${body.job_id}`, { body });
    expect([answer.status, answer.body.duplicate]).toEqual([200, true]);
  });

  test('PUT /jobs/{job_id} submits under the id of the path', async () => {
    const job_id = unique('job');
    const body = { job_type: unique('t'), params: {} };
    const answer = await hub.http('PUT', `/jobs/${job_id}`, { body });
    expect([answer.status, answer.body.job_id]).toEqual([202, job_id]);
    expect(answer.headers.get('location')).toBe(`/jobs/${job_id}`);
    expect((await hub.http('PUT', `/jobs/${job_id}`, { body })).status).toBe(200);
  });

  test('Idempotency-Key is taken as job_id', async () => {
    const job_id = unique('key');
    const request = { body: { job_type: unique('t'), params: {} }, headers: { 'idempotency-key': job_id } };
    const answer = await hub.http('POST', '/jobs', request);
    expect([answer.status, answer.body.job_id]).toEqual([202, job_id]);
    expect((await hub.http('POST', '/jobs', request)).status).toBe(200);
  });

  test('ids in path, header and body must agree', async () => {
    const [one, two] = [unique('job'), unique('job')];
    const body = { job_type: unique('t'), params: {} };
    const header = { 'idempotency-key': two };
    const mismatches = [
      await hub.http('POST', '/jobs', { body: { ...body, job_id: one }, headers: header }),
      await hub.http('PUT', `/jobs/${one}`, { body: { ...body, job_id: two } }),
      await hub.http('PUT', `/jobs/${one}`, { body, headers: header }),
    ];
    for (const answer of mismatches) expect_error(answer, 400, 'invalid_message');
    for (const job_id of [one, two]) expect((await hub.http('GET', `/jobs/${job_id}`)).status).toBe(404);
    const agreed = { body: { ...body, job_id: two }, headers: header };
    expect((await hub.http('PUT', `/jobs/${two}`, agreed)).status).toBe(202);
  });

  test('warnings name unknown fields', async () => {
    const answer = await hub.http('POST', '/jobs', {
      body: { job_type: unique('t'), params: {}, colour: 1 },
    });
    expect(JSON.stringify(answer.body.warnings)).toContain('colour');
  });

  test('wait_ms: 200 with the record when the job ends in time', async () => {
    const job_type = unique('t');
    await using machine = await hub.machine({ job_types: [job_type] });
    const waiting = hub.http('POST', '/jobs?wait_ms=5000', { body: { job_type, params: {} } });
    const lease = await machine.assigned();
    await machine.complete(lease, { url: 'x' });
    const answer = await waiting;
    expect(answer.status).toBe(200);
    expect(answer.body).toMatchObject({ job_id: lease.job_id, status: 'completed', result: { url: 'x' } });
  });

  test('wait_ms: 202 when it does not', async () => {
    const began = performance.now();
    const answer = await hub.http('POST', '/jobs?wait_ms=300', {
      body: { job_type: unique('t'), params: {} },
    });
    expect(answer.status).toBe(202);
    expect(answer.body.job_id).toEqual(expect.any(String));
    expect(performance.now() - began).toBeGreaterThan(250);
  });

  test('wait_ms: a duplicate is 202 while the job runs, 200 with the record once it has ended', async () => {
    const job_type = unique('t');
    const body = { job_id: unique('job'), job_type, params: {} };
    const first = await hub.http('POST', '/jobs', { body });
    for (const wait_ms of [0, 100]) {
      const again = await hub.http('POST', `/jobs?wait_ms=${wait_ms}`, { body });
      expect([again.status, again.body.duplicate, again.body.seq]).toEqual([202, true, first.body.seq]);
      expect(again.headers.get('location')).toBe(`/jobs/${body.job_id}`);
    }
    await using machine = await hub.machine({ job_types: [job_type] });
    await machine.complete(await machine.assigned(), { url: 'x' });
    for (const wait_ms of [0, 100]) {
      const ended = await hub.http('POST', `/jobs?wait_ms=${wait_ms}`, { body });
      expect([ended.status, ended.body.status, ended.body.result]).toEqual([200, 'completed', { url: 'x' }]);
    }
  });

  test('a bad body is 400 with the code of the wire', async () => {
    for (const body of ['{', '', '[]', 'null', '"x"'])
      expect_error(await hub.http('POST', '/jobs', { body }), 400, 'invalid_json');
    const bad = await hub.http('POST', '/jobs', { body: { job_type: 'x', params: {}, priority: 'high' } });
    expect_error(bad, 400, 'invalid_message');
    expect(JSON.stringify(bad.body.error.details)).toContain('priority');
    expect_error(
      await hub.http('PUT', '/jobs/-bad-', { body: { job_type: 'x', params: {} } }),
      400,
      'invalid_message',
    );
  });

  test('params above its limit is 413 payload_too_large', async () => {
    await using client = await hub.client();
    const filler = 'x'.repeat(client.welcome.limits.max_params_bytes + 1);
    const answer = await hub.http('POST', '/jobs', { body: { job_type: unique('t'), params: { filler } } });
    expect_error(answer, 413, 'payload_too_large');
  });
});

describe.skipIf(hub.skip)('a body far too large', () => {
  test('is answered 413 all the same', async () => {
    const sent = request(new URL('/jobs', hub.url), { method: 'POST', agent: false });
    sent.end(Buffer.alloc(30 * 1024 * 1024, 'x'));
    const [response] = (await once(sent, 'response')) as [IncomingMessage];
    expect(response.statusCode).toBe(413);
    expect(await json(response)).toMatchObject({ error: { code: 'payload_too_large' } });
  });

  test('is not read for ever', async () => {
    const socket = connect(hub.port, new URL(hub.url).hostname);
    const ended = new Promise(resolve => socket.on('close', resolve));
    socket.on('error', () => {
      // It is cut while it sends.
    });
    let answer = '';
    socket.on('data', data => (answer += String(data)));
    socket.write('POST /jobs HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n');
    const chunk = Buffer.from(`10000\r\n${'x'.repeat(0x10000)}\r\n`);
    const send = () => {
      while (!socket.destroyed && socket.write(chunk));
    };
    socket.on('drain', send);
    send();
    await ended;
    expect(answer).toMatch(/^HTTP\/1\.1 413 /);
  });
});

describe.skipIf(hub.skip).concurrent('reading, cancelling, retrying', () => {
  test('GET /jobs/{job_id} is the record, whole', async () => {
    await using client = await hub.client();
    const { job_id } = await submit(client, { job_type: unique('t'), params: { a: 1 } });
    const answer = await hub.http('GET', `/jobs/${job_id}`);
    expect(answer.status).toBe(200);
    expect(answer.body).toEqual(await get_job(client, job_id));
  });

  test('an unknown job is 404 not_found everywhere', async () => {
    const path = `/jobs/${unique('none')}`;
    expect_error(await hub.http('GET', path), 404, 'not_found');
    expect_error(await hub.http('POST', `${path}/cancel`), 404, 'not_found');
    expect_error(await hub.http('POST', `${path}/retry`), 404, 'not_found');
    expect_error(await hub.http('GET', `${path}/events`), 404, 'not_found');
  });

  test('GET /jobs filters and pages', async () => {
    await using client = await hub.client();
    const job_type = unique('t');
    const ids: string[] = [];
    for (let i = 0; i < 5; i++) ids.push((await submit(client, { job_type })).job_id);
    await client.request({ type: 'cancel_job', job_id: ids[0] });
    const seen: string[] = [];
    let cursor = '';
    for (let page = 0; page < 10; page++) {
      const more = cursor ? `&cursor=${encodeURIComponent(cursor)}` : '';
      const answer = await hub.http('GET', `/jobs?status=queued&job_type=${job_type}&limit=2${more}`);
      expect(answer.status).toBe(200);
      seen.push(...answer.body.jobs.map((job: Frame) => job.job_id));
      if (!answer.body.next_cursor) break;
      cursor = answer.body.next_cursor;
    }
    expect(seen).toEqual(ids.slice(1).reverse());
    const own = await hub.http('GET', `/jobs?client_id=${client.welcome.client_id}&job_type=${job_type}`);
    expect(own.body.jobs).toHaveLength(5);
    expect_error(await hub.http('GET', '/jobs?limit=501'), 400, 'invalid_message');
    expect_error(await hub.http('GET', '/jobs?status=sleeping'), 400, 'invalid_message');
  });

  test('POST /jobs/{job_id}/cancel is 202, and 409 when it has ended', async () => {
    await using client = await hub.client();
    const { job_id } = await submit(client, { job_type: unique('t') });
    expect((await hub.http('POST', `/jobs/${job_id}/cancel`)).status).toBe(202);
    await event(client, job_id, 'job_cancelled');
    expect_error(await hub.http('POST', `/jobs/${job_id}/cancel`), 409, 'conflict');
  });

  test('POST /jobs/{job_id}/retry is 202 with a new job', async () => {
    await using client = await hub.client();
    const { job_id } = await submit(client, { job_type: unique('t') });
    await client.request({ type: 'cancel_job', job_id });
    const answer = await hub.http('POST', `/jobs/${job_id}/retry`);
    expect(answer.status).toBe(202);
    expect(answer.body.job_id).not.toBe(job_id);
    expect((await get_job(client, answer.body.job_id)).retry_of).toBe(job_id);
  });
});

describe.skipIf(hub.skip).concurrent('GET /jobs/{job_id}/events', () => {
  test('tells an ended job from the beginning and ends after the terminal event', async () => {
    await using client = await hub.client();
    const job_type = unique('t');
    await using machine = await hub.machine({ job_types: [job_type] });
    const { job_id } = await submit(client, { job_type });
    await machine.run(job_id, { url: 'x' });
    await event(client, job_id, 'job_completed');
    const events = await server_sent_events(`/jobs/${job_id}/events`);
    const last = events.at(-1);
    expect(last?.event).toBe('job_completed');
    expect(last?.data).toMatchObject({ job_id, result: { url: 'x' } });
    for (const one of events) {
      expect(one.data.type ?? one.event).toBe(one.event);
      expect(one.id.split(':')[0]).toBe(String(one.data.seq));
    }
    const seqs = events.map(one => one.data.seq);
    expect(seqs).toEqual([...seqs].sort((a, b) => a - b));
  });

  test('follows a job live, with seq:index as the id of an output', async () => {
    await using client = await hub.client();
    const job_type = unique('t');
    await using machine = await hub.machine({ job_types: [job_type] });
    const { job_id } = await submit(client, { job_type });
    const events = await server_sent_events(`/jobs/${job_id}/events`, {
      on_open: async () => {
        const lease = await machine.assigned(job_id);
        machine.started(lease);
        machine.output(lease, 0, 'line one\nline two');
        machine.output(lease, 1, 'b');
        await machine.complete(lease);
      },
    });
    const names = events.map(one => one.event);
    expect(names.slice(-4)).toEqual(['job_started', 'job_output', 'job_output', 'job_completed']);
    const outputs = events.filter(one => one.event === 'job_output');
    expect(outputs.map(one => one.id)).toEqual(outputs.map((one, index) => `${one.data.seq}:${index}`));
    expect(outputs[0]?.data.data).toBe('line one\nline two');
  });

  test('goes on after Last-Event-ID', async () => {
    await using client = await hub.client();
    const { job_id, machine, lease } = await hub.assigned_job(client);
    await using _machine = machine;
    machine.started(lease);
    const started = await event(client, job_id, 'job_started');
    for (let index = 0; index < 4; index++) machine.output(lease, index, index);
    await client.next(frame => frame.type === 'job_output' && frame.index === 3);
    await machine.complete(lease);
    const path = `/jobs/${job_id}/events`;
    const after_seq = await server_sent_events(path, { headers: { 'last-event-id': String(started.seq) } });
    expect(after_seq.map(one => one.event)).not.toContain('job_started');
    expect(after_seq.at(-1)?.event).toBe('job_completed');
    const after_output = await server_sent_events(path, { headers: { 'last-event-id': `${started.seq}:1` } });
    expect(after_output.map(one => one.data.index ?? one.event)).toEqual([2, 3, 'job_completed']);
  });

  test('behind the end there is nothing, and 204 says so', async () => {
    await using client = await hub.client();
    const { job_id, machine, lease } = await hub.assigned_job(client);
    await using _machine = machine;
    machine.output(lease, 0, 'a');
    await machine.complete(lease);
    const { seq } = await event(client, job_id, 'job_completed');
    const path = `/jobs/${job_id}/events`;
    const answer = await fetch(new URL(path, hub.url), { headers: { 'last-event-id': String(seq) } });
    expect([answer.status, await answer.text()]).toEqual([204, '']);
    const end = await server_sent_events(path, { headers: { 'last-event-id': `${seq - 1}:0` } });
    expect(end.map(one => one.event)).toEqual(['job_completed']);
  });

  test('a reader that comes back and hears only progress does not get its output again', async () => {
    await using client = await hub.client();
    const { job_id, machine, lease } = await hub.assigned_job(client);
    await using _machine = machine;
    machine.output(lease, 0, 'a');
    const { seq } = await client.next(frame => frame.type === 'job_output');
    const later = await server_sent_events(`/jobs/${job_id}/events`, {
      headers: { 'last-event-id': `${seq}:0` },
      on_open: async () => {
        machine.progress(lease, 0.5);
        await client.next(frame => frame.type === 'job_progress');
        await machine.complete(lease);
      },
    });
    expect(later.map(one => one.event)).toEqual(['job_progress', 'job_completed']);
    expect(later[0]?.id).toBe(`${seq}:0`);
  });

  test('the id of a gap says that its outputs were passed', async () => {
    await using client = await hub.client();
    const { job_id, machine, lease } = await hub.assigned_job(client);
    await using _machine = machine;
    machine.output(lease, 0, 'a');
    machine.output(lease, 3, 'd');
    await machine.complete(lease);
    const path = `/jobs/${job_id}/events`;
    const all = await server_sent_events(path);
    const gap = all.find(one => one.event === 'job_output_gap');
    expect(gap).toMatchObject({ id: `${gap?.data.seq}:2`, data: { from: 1, to: 2 } });
    const rest = await server_sent_events(path, { headers: { 'last-event-id': String(gap?.id) } });
    expect(rest.map(one => one.data.index ?? one.event)).toEqual([3, 'job_completed']);
  });
});

describe.skipIf(hub.skip).concurrent('workers', () => {
  test('GET /workers and GET /workers/{worker_id} give records', async () => {
    await using machine = await hub.machine({ job_types: [unique('t')], gpu_count: 2 });
    const list = await hub.http('GET', '/workers');
    expect(list.status).toBe(200);
    const ids = list.body.workers.map((worker: Frame) => worker.worker_id);
    for (const worker_id of machine.registered.worker_ids) {
      expect(ids).toContain(worker_id);
      const one = await hub.http('GET', `/workers/${worker_id}`);
      expect(one.status).toBe(200);
      expect(one.body).toMatchObject({ worker_id, status: 'idle', machine_id: machine.fields.machine_id });
    }
    expect_error(await hub.http('GET', `/workers/${unique('none')}:gpu0`), 404, 'not_found');
  });

  test('drain is 202 and takes the worker out, resume is 202 and ends it', async () => {
    await using client = await hub.client();
    const job_type = unique('t');
    await using machine = await hub.machine({ job_types: [job_type] });
    const worker_id = machine.registered.worker_ids[0];
    expect((await hub.http('POST', `/workers/${worker_id}/drain`)).status).toBe(202);
    expect((await machine.peer.next('worker_draining')).worker_ids).toEqual([worker_id]);
    const { job_id } = await submit(client, { job_type });
    await machine.peer.none('job_assigned', 100);
    expect((await hub.http('GET', `/workers/${worker_id}`)).body.status).toBe('draining');
    expect((await hub.http('POST', `/workers/${worker_id}/resume`)).status).toBe(202);
    await machine.assigned(job_id);
    const unknown = `/workers/${unique('none')}:gpu0/drain`;
    expect_error(await hub.http('POST', unknown), 404, 'not_found');
  });
});

describe.skipIf(hub.skip).concurrent('the rest', () => {
  test('GET /stats has the fields of section 6', async () => {
    const { status, body } = await hub.http('GET', '/stats');
    expect(status).toBe(200);
    for (const field of [
      'at',
      'jobs',
      'workers',
      'clients',
      'hubs',
      'rates',
      'latency_ms',
      'oldest_queued_ms',
      'by_type',
    ])
      expect(body, field).toHaveProperty(field);
  });

  test.each(['/healthz', '/readyz'])('GET %s is 200 and may be read by any page', async path => {
    const answer = await hub.http('GET', path);
    expect(answer.status).toBe(200);
    expect(answer.headers.get('access-control-allow-origin')).toBe('*');
  });

  // Not built yet: what the hub does not have is not found, rather than half there.
  test('GET /scaling is not found until it is built', async () => {
    expect_error(await hub.http('GET', '/scaling'), 404, 'not_found');
  });

  test('GET /metrics is text for Prometheus', async () => {
    const answer = await hub.http('GET', '/metrics');
    expect(answer.status).toBe(200);
    expect(answer.headers.get('content-type')).toContain('text/plain');
    expect(answer.text).toMatch(/^# TYPE \S+ counter$/m);
    expect(answer.text.endsWith('\n')).toBe(true);
  });

  test('GET /debug is a page', async () => {
    const answer = await hub.http('GET', '/debug');
    expect(answer.status).toBe(200);
    expect(answer.headers.get('content-type')).toContain('text/html');
    expect(answer.text.toLowerCase()).toContain('<!doctype html');
  });

  test('GET /openapi.json describes the paths of this table', async () => {
    const { status, body } = await hub.http('GET', '/openapi.json');
    expect(status).toBe(200);
    expect(body.openapi).toMatch(/^3\./);
    const described = Object.keys(body.paths).map(path => path.replace(/\{[^}]*\}/g, '{}'));
    for (const path of [
      '/jobs',
      '/jobs/{}',
      '/jobs/{}/cancel',
      '/jobs/{}/events',
      '/workers',
      '/stats',
      '/healthz',
    ])
      expect(described).toContain(path);
  });

  test('GET /asyncapi.json is AsyncAPI 3', async () => {
    const { status, body } = await hub.http('GET', '/asyncapi.json');
    expect(status).toBe(200);
    expect(body.asyncapi).toMatch(/^3\./);
    expect(JSON.stringify(body)).toContain('register_worker');
  });

  test.each(['/', '/nothing', '/job', '/jobs/a/b/c', '/workers/a/b/c', '/ws'])(
    'GET %s is 404 not_found',
    async path => {
      const answer = await hub.http('GET', path);
      // The root may be a page of the hub's own: the protocol does not name it.
      if (path === '/' && answer.status < 400) return;
      expect_error(answer, 404, 'not_found');
    },
  );

  test.each([
    ['DELETE', '/jobs'],
    ['PATCH', '/jobs/some-job'],
    ['GET', '/jobs/some-job/cancel'],
    ['POST', '/healthz'],
    ['POST', '/stats'],
    ['PUT', '/workers'],
    ['DELETE', '/jobs/some-job/events'],
  ])('%s %s is 405 method_not_allowed', async (method, path) => {
    expect_error(await hub.http(method, path), 405, 'method_not_allowed');
  });

  test('the Origin null is welcome where ALLOWED_ORIGINS lists it, and no other', async () => {
    await using peer = await hub.client({ headers: { origin: 'null' } });
    expect((await peer.request({ type: 'ping' })).type).toBe('pong');
    await expect(hub.client({ headers: { origin: 'https://evil.example' } })).rejects.toMatchObject({
      status: 403,
    });
  });
});
