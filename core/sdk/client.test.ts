import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { type FakePeer as Peer, FakeSocketHub, WELCOME } from '../../testing/harness/fake_socket_hub.ts';
import { leftBehind } from '../../testing/harness/left_behind.ts';
import {
  type ClientOptions,
  GpuhubClient,
  GpuhubError,
  JobCancelledError,
  JobExpiredError,
  JobFailedError,
  type JobEvent,
  type JobHandle,
} from './client.ts';
import { Backoff } from './socket.ts';

const cleanups: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function startHub(welcome: object = {}): Promise<FakeSocketHub> {
  const hub = await FakeSocketHub.start(welcome);
  cleanups.push(() => hub.stop());
  return hub;
}

const FAST = { base_ms: 5, cap_ms: 20 };
const JOB = { job_type: 'image', params: { prompt: 'a red fox' } };

function connect(url: ClientOptions['url'] & {}, options: ClientOptions = {}): GpuhubClient {
  const client = new GpuhubClient({ url, backoff: FAST, ...options });
  cleanups.push(() => client.close());
  return client;
}

/** A client with one connection that the test plays the hub of. */
async function pair(welcome: object = {}, options: ClientOptions = {}) {
  const hub = await startHub(welcome);
  const client = connect(hub.url, options);
  await client.connect();
  return { hub, client, peer: await hub.peer() };
}

const accepted = (job_id: string, more: object = {}) => ({
  type: 'job_accepted',
  job_id,
  status: 'queued',
  duplicate: false,
  seq: 1,
  position: 1,
  created_at: 1,
  ...more,
});
const event = (type: string, job_id: string, seq: number, more: object = {}) => ({
  type,
  job_id,
  seq,
  at: seq,
  attempt: 1,
  ...more,
});
const completed = (job_id: string, seq: number, result: unknown = 'done') =>
  event('job_completed', job_id, seq, { result, worker_id: 'm1:gpu0', queued_ms: 1, run_ms: 1 });

/** Submits a job and takes it as the hub. */
async function submitted(client: GpuhubClient, peer: Peer, job: object = {}): Promise<JobHandle> {
  const handle = client.submit({ ...JOB, ...job });
  const frame = await peer.next('submit_job');
  peer.answer(frame, accepted(frame['job_id']));
  return handle;
}

async function all(handle: AsyncIterable<JobEvent>): Promise<JobEvent[]> {
  const events: JobEvent[] = [];
  for await (const each of handle) events.push(each);
  return events;
}

const fault = (promise: Promise<unknown>) =>
  promise.then(
    () => expect.fail('should have been rejected'),
    (error: GpuhubError) => error,
  );

describe('the handshake', () => {
  it('offers gpuhub.v1, names the client and sends the token as a header, never in the URL', async () => {
    const { peer } = await pair({}, { client_id: 'shop', token: 's3cret' });
    const { url, headers } = peer.request;
    expect(url).toBe('/ws/client?client_id=shop');
    expect(headers['sec-websocket-protocol']).toBe('gpuhub.v1');
    expect(headers.authorization).toBe('Bearer s3cret');
  });

  it('does not come back after 4401, 4403 and 4409', async () => {
    for (const [code, name] of [
      [4401, 'unauthorized'],
      [4403, 'forbidden'],
      [4409, 'replaced'],
    ] as const) {
      const { hub, client, peer } = await pair();
      const stats = client.stats();
      peer.close(code);
      expect((await fault(stats)).code).toBe(name);
      expect((await fault(client.submit(JOB))).code).toBe(name);
      expect(hub.connections).toBe(1);
    }
  });

  it('says what the hub said when it refuses the credentials', async () => {
    const server = createServer((_, response) => {
      response.writeHead(401).end('{"error":{"code":"unauthorized","message":"the token is not known"}}');
    }).listen(0, '127.0.0.1');
    server.on('upgrade', (_, socket) => {
      const body = '{"error":{"code":"unauthorized","message":"the token is not known"}}';
      socket.end(
        `HTTP/1.1 401 Unauthorized\r\nContent-Length: ${body.length}\r\nConnection: close\r\n\r\n${body}`,
      );
    });
    await once(server, 'listening');
    cleanups.push(() => new Promise(resolve => server.close(() => resolve())));
    const client = connect(`ws://127.0.0.1:${(server.address() as AddressInfo).port}`);
    expect(await fault(client.connect())).toMatchObject({
      code: 'unauthorized',
      message: 'the token is not known',
    });
  });

  it('says that no hub answers', async () => {
    const client = connect('ws://127.0.0.1:1');
    const error = await fault(client.connect({ timeout_ms: 50 }));
    expect(error.code).toBe('unreachable');
    expect(error.message).toMatch(/no hub at 127\.0\.0\.1:1: .*ECONNREFUSED/);
  });
});

describe('submit', () => {
  it('chooses an id and resolves with what the hub said', async () => {
    const { client, peer } = await pair();
    const handle = await submitted(client, peer, { priority: 5 });
    expect(handle.id).toMatch(/^j_[A-Za-z0-9_-]{22}$/);
    expect(handle.accepted).toEqual({
      status: 'queued',
      duplicate: false,
      seq: 1,
      position: 1,
      created_at: 1,
    });
    peer.send(completed(handle.id, 5, { url: 'x' }));
    expect(await handle.result()).toEqual({ url: 'x' });
  });

  it('is sent again under the same id when its answer was lost, and learns what it missed', async () => {
    const { hub, client, peer } = await pair();
    const promise = client.submit(JOB);
    const first = await peer.next('submit_job');
    expect(first['watch']).toBe(true);
    peer.cut();
    const next = await hub.peer();
    const second = await next.next('submit_job');
    expect(second).toMatchObject({ job_id: first['job_id'], params: JOB.params, watch: false });
    next.answer(second, accepted(second['job_id'], { duplicate: true, status: 'completed', seq: 9 }));
    const handle = await promise;
    const watch = await next.next('watch_jobs');
    expect(watch).toMatchObject({ job_ids: [handle.id], after_seq: { [handle.id]: 0 } });
    next.answer(watch, { type: 'jobs_watched', jobs: [], not_found: [] });
    next.send(event('job_started', handle.id, 3, { worker_id: 'm1:gpu0' }), completed(handle.id, 9));
    expect((await all(handle)).map(({ type }) => type)).toEqual(['job_started', 'job_completed']);
    expect(await handle.result()).toBe('done');
  });

  it('takes no live event of a duplicate before the replay', async () => {
    const { client, peer } = await pair();
    const promise = client.submit({ ...JOB, job_id: 'same' });
    const frame = await peer.next('submit_job');
    peer.answer(frame, accepted('same', { duplicate: true, status: 'processing', seq: 4 }));
    peer.send(event('job_progress', 'same', 4, { progress: 0.9 }));
    const watch = await peer.next('watch_jobs');
    peer.answer(watch, { type: 'jobs_watched', jobs: [], not_found: [] });
    peer.send(event('job_started', 'same', 4, { worker_id: 'm1:gpu0' }), completed('same', 5));
    expect((await all(await promise)).map(({ seq }) => seq)).toEqual([4, 5]);
  });

  it('waits while Redis is unavailable', async () => {
    const { client, peer } = await pair();
    const promise = client.submit(JOB);
    const first = await peer.next('submit_job');
    peer.answer(first, {
      type: 'error',
      code: 'unavailable',
      message: 'away',
      details: { outcome: 'unknown' },
    });
    const second = await peer.next('submit_job');
    expect(second['job_id']).toBe(first['job_id']);
    peer.answer(second, accepted(second['job_id']));
    expect((await promise).id).toBe(first['job_id']);
  });

  it('rejects with the error of the hub', async () => {
    const { client, peer } = await pair();
    const promise = client.submit(JOB);
    const details = [{ path: 'priority', message: 'too big' }];
    const error = { type: 'error', code: 'invalid_message', message: 'field "priority": too big', details };
    peer.answer(await peer.next('submit_job'), error);
    const { code, message, details: told } = await fault(promise);
    expect({ code, message, told }).toEqual({ code: error.code, message: error.message, told: details });
  });

  it('ends when the caller gives up, and names the job whose fate is unknown', async () => {
    const { client } = await pair();
    const giveUp = new AbortController();
    const first = fault(client.submit({ ...JOB, job_id: 'a' }, { signal: giveUp.signal }));
    giveUp.abort();
    expect(await first).toMatchObject({ code: 'aborted', details: { job_id: 'a', outcome: 'unknown' } });
    const second = fault(client.submit({ ...JOB, job_id: 'b' }, { timeout_ms: 20 }));
    expect(await second).toMatchObject({ code: 'timeout', details: { job_id: 'b' } });
    expect((await fault(client.submit(JOB, { signal: giveUp.signal }))).code).toBe('aborted');
  });

  it('refuses what no frame can hold without sending it', async () => {
    const { client, peer } = await pair({ limits: { ...WELCOME.limits, max_message_bytes: 1000 } });
    const error = await fault(client.submit({ ...JOB, params: { text: 'ä'.repeat(600) } }));
    expect(error.code).toBe('payload_too_large');
    expect(peer.waiting).toEqual([]);
  });

  it('leaves in one write with all frames of its turn', async () => {
    const { client, peer } = await pair();
    let writes = 0;
    peer.request.socket.on('data', () => (writes += 1));
    const promises = Array.from({ length: 50 }, () => client.submit(JOB));
    for (const _ of promises) {
      const frame = await peer.next('submit_job');
      peer.answer(frame, accepted(frame['job_id']));
    }
    await Promise.all(promises);
    expect(writes).toBe(1);
  });
});

describe('a job that ended otherwise', () => {
  it('rejects with its error, as cancelled, or as expired', async () => {
    const { client, peer } = await pair();
    const error = { code: 'oom', message: 'out of memory', retryable: false, details: { mb: 3 } };
    const failed = await submitted(client, peer);
    const cancelled = await submitted(client, peer);
    const expired = await submitted(client, peer);
    peer.send(event('job_failed', failed.id, 2, { error, worker_id: null }));
    peer.send(event('job_cancelled', cancelled.id, 2, { reason: 'changed my mind' }));
    peer.send(event('job_expired', expired.id, 2));
    const failure = await fault(failed.result());
    expect(failure).toBeInstanceOf(JobFailedError);
    expect(failure).toMatchObject({ ...error, job_id: failed.id });
    expect(await fault(cancelled.result())).toBeInstanceOf(JobCancelledError);
    expect(await fault(expired.result())).toBeInstanceOf(JobExpiredError);
    expect((await all(expired)).map(({ type }) => type)).toEqual(['job_expired']);
  });
});

describe('after a reconnect', () => {
  it('goes on where it was: growing seq, no event twice, no output twice', async () => {
    const { hub, client, peer } = await pair();
    const handle = await submitted(client, peer);
    const output = (seq: number, index: number) =>
      event('job_output', handle.id, seq, { index, data: index });
    peer.send(event('job_started', handle.id, 3, { worker_id: 'm1:gpu0' }), output(3, 0), output(3, 1));
    const seen: JobEvent[] = [];
    const reading = (async () => {
      for await (const each of handle) {
        seen.push(each);
        if (seen.length === 3) peer.cut();
      }
    })();
    const next = await hub.peer();
    const watch = await next.next('watch_jobs');
    expect(watch).toMatchObject({
      job_ids: [handle.id],
      after_seq: { [handle.id]: 3 },
      after_output: { [handle.id]: 1 },
    });
    next.answer(watch, { type: 'jobs_watched', jobs: [], not_found: [] });
    next.send(event('job_started', handle.id, 3, { worker_id: 'm1:gpu0' }), output(3, 1), output(3, 2));
    next.send(completed(handle.id, 4), completed(handle.id, 4));
    await reading;
    expect(seen.map(each => (each.type === 'job_output' ? each.index : each.type))).toEqual([
      'job_started',
      0,
      1,
      2,
      'job_completed',
    ]);
  });

  it('submits a job again that Redis has lost, and gives up when it is lost twice', async () => {
    const { hub, client, peer } = await pair();
    const handle = await submitted(client, peer);
    peer.cut();
    const next = await hub.peer();
    const lost = async () => {
      const watch = await next.next('watch_jobs');
      next.answer(watch, { type: 'jobs_watched', jobs: [], not_found: [handle.id] });
    };
    await lost();
    const again = await next.next('submit_job');
    expect(again).toMatchObject({ job_id: handle.id, params: JOB.params });
    next.answer(again, accepted(handle.id));
    await lost();
    expect((await fault(handle.result())).code).toBe('not_found');
  });

  it('watches in batches that the hub takes', async () => {
    const { hub, client, peer } = await pair({ limits: { ...WELCOME.limits, max_watch: 2 } });
    for (let i = 0; i < 5; i++) await submitted(client, peer);
    peer.close(1012);
    const next = await hub.peer();
    const sizes = [];
    for (let i = 0; i < 3; i++) sizes.push((await next.next('watch_jobs'))['job_ids'].length);
    expect(sizes).toEqual([2, 2, 1]);
  });

  it('sends other unanswered requests again', async () => {
    const { hub, client, peer } = await pair();
    const promise = client.getJob('a');
    await peer.next('get_job');
    peer.cut();
    const next = await hub.peer();
    next.answer(await next.next('get_job'), { type: 'job', job: { job_id: 'a', status: 'queued' } });
    expect((await promise).status).toBe('queued');
  });

  it('takes the conflict of a repeated cancel for the success of the first', async () => {
    const { hub, client, peer } = await pair();
    const promise = client.cancel('a', 'enough');
    expect(await peer.next('cancel_job')).toMatchObject({ job_id: 'a', reason: 'enough' });
    peer.cut();
    const next = await hub.peer();
    next.answer(await next.next('cancel_job'), { type: 'error', code: 'conflict', message: 'has ended' });
    next.answer(await next.next('get_job'), { type: 'job', job: { job_id: 'a', status: 'cancelled' } });
    expect(await promise).toEqual({ job_id: 'a', status: 'cancelled' });
  });

  it('tries the next hub when one is gone', async () => {
    const [one, two] = [await startHub(), await startHub()];
    const client = connect([one.url, two.url]);
    await client.connect();
    const handle = await submitted(client, await one.peer());
    await one.stop();
    const peer = await two.peer();
    const watch = await peer.next('watch_jobs');
    peer.answer(watch, { type: 'jobs_watched', jobs: [], not_found: [] });
    peer.send(completed(handle.id, 2));
    expect(await handle.result()).toBe('done');
  });

  it('leaves a hub that has said nothing for two ping intervals', async () => {
    const ping_interval_ms = 100;
    const hub = await startHub({ ping_interval_ms });
    const client = connect(hub.url);
    await client.connect();
    const peer = await hub.peer();
    const silent_at = performance.now();
    peer.request.socket.pause();
    await hub.peer();
    expect(hub.connections).toBe(2);
    // Two intervals, one more for what is on its way, and room for a machine that is busy with other things.
    expect(performance.now() - silent_at).toBeLessThan(15 * ping_interval_ms);
  });
});

describe('events', () => {
  it('of progress only the latest waits for a slow reader', async () => {
    const { client, peer } = await pair();
    const handle = await submitted(client, peer);
    for (let i = 1; i <= 100; i++) peer.send(event('job_progress', handle.id, 2, { progress: i / 100 }));
    peer.send(completed(handle.id, 3));
    await handle.result();
    const events = await all(handle);
    expect(events).toHaveLength(2);
    expect(events[0]).toMatchObject({ progress: 1 });
  });

  it('beyond the buffer the oldest outputs become a gap', async () => {
    const { client, peer } = await pair();
    const handle = await submitted(client, peer);
    const total = 10_000;
    for (let index = 0; index < total; index++)
      peer.send(event('job_output', handle.id, 2, { index, data: 1 }));
    peer.send(completed(handle.id, 3));
    await handle.result();
    const events = await all(handle);
    expect(events.length).toBeLessThanOrEqual(4097);
    const gap = events[0] as JobEvent & { from: number; to: number };
    const outputs = events.filter(each => each.type === 'job_output');
    expect(gap).toMatchObject({ type: 'job_output_gap', from: 0, to: (outputs[0]?.index ?? 0) - 1 });
    expect(outputs.at(-1)?.index).toBe(total - 1);
  });

  it('start their outputs again with each assignment', async () => {
    const { client, peer } = await pair();
    const handle = await submitted(client, peer);
    const output = (seq: number, index: number) => event('job_output', handle.id, seq, { index, data: seq });
    peer.send(event('job_started', handle.id, 2, { worker_id: 'm1:gpu0' }), output(2, 0), output(2, 1));
    peer.send(event('job_started', handle.id, 5, { worker_id: 'm2:gpu0' }), output(2, 2), output(5, 0));
    peer.send(completed(handle.id, 6));
    const outputs = (await all(handle)).filter(each => each.type === 'job_output');
    expect(outputs.map(({ seq, index }) => [seq, index])).toEqual([
      [2, 0],
      [2, 1],
      [5, 0],
    ]);
  });
});

describe('watch', () => {
  it('follows a job of somebody else from the beginning', async () => {
    const { client, peer } = await pair();
    const promise = client.watch('theirs');
    const watch = await peer.next('watch_jobs');
    expect(watch).toMatchObject({ after_seq: { theirs: 0 }, after_output: { theirs: -1 } });
    peer.answer(watch, { type: 'jobs_watched', jobs: [], not_found: [] });
    peer.send(event('job_queued', 'theirs', 1, { position: 1, reason: 'submitted' }), completed('theirs', 2));
    expect((await all(await promise)).map(({ type }) => type)).toEqual(['job_queued', 'job_completed']);
  });

  it('rejects for a job the hub does not know, and spares the others of the batch', async () => {
    const { client, peer } = await pair();
    const [bad, good] = [fault(client.watch('bad id')), client.watch('good')];
    peer.answer(await peer.next('watch_jobs'), {
      type: 'error',
      code: 'invalid_message',
      message: 'job_ids.0',
    });
    const error = { type: 'error', code: 'invalid_message', message: 'job_ids.0' };
    peer.answer(await peer.next('watch_jobs'), error);
    peer.answer(await peer.next('watch_jobs'), { type: 'jobs_watched', jobs: [], not_found: [] });
    expect((await bad).code).toBe('invalid_message');
    expect((await good).id).toBe('good');
    const missing = fault(client.watch('missing'));
    const watch = await peer.next('watch_jobs');
    peer.answer(watch, { type: 'jobs_watched', jobs: [], not_found: ['missing'] });
    expect((await missing).code).toBe('not_found');
  });

  it('begins when the result of an unwatched submission is asked for', async () => {
    const { client, peer } = await pair();
    const handle = await submitted(client, peer, { watch: false });
    expect(peer.waiting).toEqual([]);
    const result = handle.result();
    const watch = await peer.next('watch_jobs');
    peer.answer(watch, { type: 'jobs_watched', jobs: [], not_found: [] });
    peer.send(completed(handle.id, 2));
    expect(await result).toBe('done');
  });

  it('ends for all who wait when it is taken back, and begins again for who asks again', async () => {
    const { client, peer } = await pair();
    const handle = await submitted(client, peer);
    const reading = all(handle);
    const result = fault(handle.result());
    handle.unwatch();
    expect(await reading).toEqual([]);
    expect((await result).code).toBe('unwatched');
    await peer.next('unwatch_jobs');
    const again = handle.result();
    peer.answer(await peer.next('watch_jobs'), { type: 'jobs_watched', jobs: [], not_found: [] });
    peer.send(completed(handle.id, 2));
    expect(await again).toBe('done');
  });
});

describe('submitMany', () => {
  const takeAll = async (peer: Peer, batches: number) => {
    const sizes: number[] = [];
    for (let i = 0; i < batches; i++) {
      const frame = await peer.next('submit_jobs');
      sizes.push(frame['jobs'].length);
      const results = frame['jobs'].map(({ job_id, params }: Record<string, any>) =>
        params.bad
          ? { job_id, error: { code: 'invalid_message', message: 'bad' } }
          : { job_id, status: 'queued', duplicate: false, seq: 1 },
      );
      peer.answer(frame, { type: 'jobs_accepted', results });
    }
    return sizes;
  };

  it('splits by count and gives each job its handle or its error, in order', async () => {
    const { client, peer } = await pair({ limits: { ...WELCOME.limits, max_batch: 10 } });
    const jobs = Array.from({ length: 25 }, (_, i) => ({
      ...JOB,
      job_id: `n${i}`,
      params: { bad: i === 12 },
    }));
    const promise = client.submitMany(jobs);
    expect(await takeAll(peer, 3)).toEqual([10, 10, 5]);
    const results = await promise;
    expect(results.map(result => (result instanceof GpuhubError ? result.code : result.id))).toEqual(
      jobs.map(({ job_id }, i) => (i === 12 ? 'invalid_message' : job_id)),
    );
  });

  it('splits by bytes, and refuses a job that is too large by itself', async () => {
    const { client, peer } = await pair({ limits: { ...WELCOME.limits, max_message_bytes: 2000 } });
    const sizes = [500, 500, 500, 5000, 500];
    const promise = client.submitMany(sizes.map(size => ({ ...JOB, params: { text: 'x'.repeat(size) } })));
    expect(await takeAll(peer, 2)).toEqual([2, 2]);
    const results = await promise;
    expect(results.map(result => result instanceof GpuhubError)).toEqual([false, false, false, true, false]);
  });

  it('sends those again that Redis could not take', async () => {
    const { client, peer } = await pair();
    const promise = client.submitMany([
      { ...JOB, job_id: 'a' },
      { ...JOB, job_id: 'b' },
    ]);
    const frame = await peer.next('submit_jobs');
    const error = { code: 'unavailable', message: 'away' };
    const results = [{ job_id: 'a', status: 'queued', duplicate: false, seq: 1 }, { error }];
    peer.answer(frame, { type: 'jobs_accepted', results });
    expect(await takeAll(peer, 1)).toEqual([1]);
    expect((await promise).map(result => (result as JobHandle).id)).toEqual(['a', 'b']);
  });

  it.each([
    ['time', 'timeout'],
    ['signal', 'aborted'],
  ])("ends with the caller's %s while Redis refuses", async (what, code) => {
    const { client, peer } = await pair();
    const giveUp = new AbortController();
    const patience = what === 'time' ? { timeout_ms: 400 } : { signal: giveUp.signal };
    const promise = client.submitMany([{ ...JOB, job_id: 'a' }], patience);
    const frame = await peer.next('submit_jobs');
    const results = [{ error: { code: 'unavailable', message: 'away' } }];
    peer.answer(frame, { type: 'jobs_accepted', results });
    if (what === 'signal') setTimeout(() => giveUp.abort(), 20);
    expect(await promise).toMatchObject([{ code, details: { job_id: 'a', outcome: 'unknown' } }]);
  });
});

describe('lists and statistics', () => {
  it('goes through all pages', async () => {
    const { client, peer } = await pair();
    const ids: string[] = [];
    const reading = (async () => {
      for await (const job of client.iterateJobs({ status: 'active', limit: 2 })) ids.push(job.job_id);
    })();
    const first = await peer.next('list_jobs');
    expect(first).toMatchObject({ status: 'active', limit: 2 });
    peer.answer(first, { type: 'jobs', jobs: [{ job_id: 'c' }, { job_id: 'b' }], next_cursor: 'n' });
    const second = await peer.next('list_jobs');
    expect(second).toMatchObject({ status: 'active', cursor: 'n' });
    peer.answer(second, { type: 'jobs', jobs: [{ job_id: 'a' }], next_cursor: null });
    await reading;
    expect(ids).toEqual(['c', 'b', 'a']);
  });

  it('gives the statistics without the envelope', async () => {
    const { client, peer } = await pair();
    const promise = client.stats();
    peer.answer(await peer.next('get_stats'), { type: 'stats', at: 1, clients: 2 });
    expect(await promise).toEqual({ at: 1, clients: 2 });
  });
});

describe('close', () => {
  it('rejects what is open and leaves nothing behind', async () => {
    const hub = await startHub();
    const left = await leftBehind(async () => {
      const client = new GpuhubClient({ url: hub.url, backoff: FAST });
      await client.connect();
      const peer = await hub.peer();
      const handle = await submitted(client, peer);
      const result = fault(handle.result());
      const reader = fault(all(handle));
      const stats = fault(client.stats());
      await client.close();
      for (const each of [result, reader, stats]) expect((await each).code).toBe('closed');
      expect((await fault(client.submit(JOB))).code).toBe('closed');
      expect(await peer.closed).toBe(1000);
      expect(hub.open).toBe(0);
    });
    expect(left).toEqual([]);
  });

  it('ends the attempts to connect', async () => {
    const client = connect('ws://127.0.0.1:1');
    const promise = fault(client.submit(JOB));
    await client.close();
    expect((await promise).code).toBe('closed');
  });
});

describe('the back-off', () => {
  const delays = (random: () => number, code: number, count: number, lasted_ms = 0) => {
    const backoff = new Backoff({ random });
    return Array.from({ length: count }, () => backoff.next(code, lasted_ms));
  };

  it('is random between nothing and a bound that doubles to 30 s', () => {
    expect(delays(() => 0, 1006, 3)).toEqual([0, 0, 0]);
    expect(delays(() => 1, 1006, 9)).toEqual([500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000, 30_000]);
  });

  it('starts again only after a stable minute', () => {
    expect(delays(() => 1, 1006, 3, 59_000)).toEqual([500, 1000, 2000]);
    expect(delays(() => 1, 1006, 3, 61_000)).toEqual([500, 500, 500]);
  });

  it('is short but random after a restart, and at least half of the bound after an overload', () => {
    expect([delays(() => 0, 1012, 1), delays(() => 1, 1012, 1)]).toEqual([[200], [1200]]);
    expect(delays(() => 0, 1013, 3)).toEqual([1000, 8000, 15_000]);
    expect(delays(() => 1, 1013, 3)).toEqual([2000, 16_000, 30_000]);
  });
});
