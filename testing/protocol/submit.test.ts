/** Protocol sections 2 and 3: submitting, idempotency, order, records and lists. */
import { describe, expect, test } from 'vitest';
import type { Frame } from '../harness/peer.ts';
import { event, get_job, hub_under_test, submit, unique } from './hub_under_test.ts';

const hub = hub_under_test();

const RECORD = [
  'job_id',
  'job_type',
  'status',
  'priority',
  'params',
  'requirements',
  'client_id',
  'worker_id',
  'attempt',
  'max_attempts',
  'progress',
  'progress_message',
  'result',
  'error',
  'metadata',
  'retry_of',
  'cancel_requested_at',
  'created_at',
  'run_at',
  'queued_at',
  'assigned_at',
  'started_at',
  'finished_at',
  'updated_at',
  'seq',
  'attempts',
];

describe.skipIf(hub.skip).concurrent('submit_job', () => {
  test('is answered job_accepted with every field', async () => {
    await using client = await hub.client();
    const job_id = unique('job');
    const accepted = await submit(client, { job_id, job_type: unique('t') });
    expect(accepted).toMatchObject({ job_id, status: 'queued', duplicate: false, position: 1 });
    expect(Number.isInteger(accepted.seq)).toBe(true);
    expect(Number.isInteger(accepted.created_at)).toBe(true);
    expect(accepted.warnings ?? []).toEqual([]);
  });

  test("without job_id the hub's own is j_ and 22 characters of base64url", async () => {
    await using client = await hub.client();
    const one = await submit(client, { job_type: unique('t') });
    const two = await submit(client, { job_type: unique('t') });
    expect(one.job_id).toMatch(/^j_[A-Za-z0-9_-]{22}$/);
    expect(one.job_id).not.toBe(two.job_id);
  });

  test('a job_id may have colons inside', async () => {
    await using client = await hub.client();
    const job_id = `${unique('shop')}:order:7`;
    expect((await submit(client, { job_id, job_type: unique('t') })).job_id).toBe(job_id);
    expect((await get_job(client, job_id)).job_id).toBe(job_id);
  });

  test('the record of a waiting job has every field of section 2, with null for what is absent', async () => {
    await using client = await hub.client();
    const job_type = unique('t');
    const { job_id, seq, created_at } = await submit(client, { job_type, params: { steps: 20 } });
    const job = await get_job(client, job_id);
    for (const field of RECORD) expect(job, field).toHaveProperty(field);
    expect(job).toMatchObject({
      job_id,
      job_type,
      seq,
      created_at,
      status: 'queued',
      priority: 0,
      params: { steps: 20 },
      client_id: client.welcome.client_id,
      attempt: 0,
      max_attempts: 3,
      progress: 0,
      attempts: [],
      worker_id: null,
      progress_message: null,
      result: null,
      error: null,
      retry_of: null,
      ...{
        cancel_requested_at: null,
        assigned_at: null,
        started_at: null,
        finished_at: null,
      },
    });
    expect(Number.isInteger(job.queued_at)).toBe(true);
    expect(Number.isInteger(job.updated_at)).toBe(true);
  });

  test('the record of a completed job tells its whole life', async () => {
    await using client = await hub.client();
    const job_type = unique('t');
    await using machine = await hub.machine({ job_types: [job_type] });
    const { job_id } = await submit(client, { job_type, params: {}, metadata: { user: 'u1' } });
    await machine.run(job_id, { url: 'x' });
    const job = await get_job(client, job_id);
    for (const field of RECORD) expect(job, field).toHaveProperty(field);
    expect(job).toMatchObject({
      status: 'completed',
      attempt: 1,
      result: { url: 'x' },
      error: null,
      metadata: { user: 'u1' },
      worker_id: `${machine.fields.machine_id}:gpu0`,
    });
    const times = [job.created_at, job.assigned_at, job.started_at, job.finished_at];
    expect(times).toEqual([...times].sort((a, b) => a - b));
    expect(job.attempts).toHaveLength(1);
    expect(job.attempts[0]).toMatchObject({ attempt: 1, worker_id: job.worker_id, error: null });
    for (const field of ['assigned_at', 'started_at', 'ended_at', 'outcome'])
      expect(job.attempts[0], field).toHaveProperty(field);
  });

  test.each([
    ['empty containers', { a: [], b: {}, c: [[], {}] }],
    ['numbers', { a: 0, b: -1.5, c: 1e21, d: 9007199254740991, e: 5e-324, f: 0.1 }],
    ['strings', { a: '', b: 'žluťoučký 🐎', c: 'nul \u0000 inside', d: '\u202e<img src=x>', e: '"\\/\n' }],
    ['the rest', { a: null, b: true, c: false, d: '123456789012345678901234567890' }],
    ['an empty object', {}],
  ])('params and result come out as they went in: %s', async (_name, value) => {
    await using client = await hub.client();
    const job_type = unique('t');
    await using machine = await hub.machine({ job_types: [job_type] });
    const { job_id } = await submit(client, { job_type, params: value });
    const assigned = await machine.assigned(job_id);
    expect(assigned.params).toEqual(value);
    await machine.complete(assigned, value);
    expect((await event(client, job_id, 'job_completed')).result).toEqual(value);
    const job = await get_job(client, job_id);
    expect(job.params).toEqual(value);
    expect(job.result).toEqual(value);
  });

  test.each([[null], [0], [''], [false], [[]], ['text'], [[1, { a: [] }]]])(
    'result may be any JSON: %j',
    async result => {
      await using client = await hub.client();
      const job_type = unique('t');
      await using machine = await hub.machine({ job_types: [job_type] });
      const { job_id } = await submit(client, { job_type });
      expect(await machine.run(job_id, result)).toMatchObject({ type: 'job_ack', accepted: true });
      expect((await event(client, job_id, 'job_completed')).result).toEqual(result);
      expect((await get_job(client, job_id)).result).toEqual(result);
    },
  );

  test('warnings name unknown fields, nested ones too, and what is inside params is not looked at', async () => {
    await using client = await hub.client();
    const accepted = await submit(client, {
      job_type: unique('t'),
      params: { inside_params: 1 },
      colour: 'red',
      requirements: { min_vram: 8000 },
    });
    const warnings = JSON.stringify(accepted.warnings);
    expect(warnings).toContain('colour');
    expect(warnings).toContain('min_vram');
    expect(warnings).not.toContain('inside_params');
    expect(warnings).not.toContain('job_type');
  });

  test('params above max_params_bytes is payload_too_large, and nothing is stored', async () => {
    await using client = await hub.client();
    const job_id = unique('job');
    const filler = 'x'.repeat(client.welcome.limits.max_params_bytes + 1);
    const answer = await client.request({
      type: 'submit_job',
      job_id,
      job_type: unique('t'),
      params: { filler },
    });
    expect([answer.type, answer.code]).toEqual(['error', 'payload_too_large']);
    expect((await client.request({ type: 'get_job', job_id })).code).toBe('not_found');
  });

  test('position counts from 1 among the waiting jobs of the same signature', async () => {
    await using client = await hub.client();
    const job_type = unique('t');
    const positions = [];
    for (let i = 0; i < 3; i++) positions.push((await submit(client, { job_type })).position);
    expect(positions).toEqual([1, 2, 3]);
    const other = await submit(client, { job_type, requirements: { min_vram_mb: 8000 } });
    expect(other.position).toBe(1);
  });
});

describe.skipIf(hub.skip).concurrent('delayed jobs', () => {
  test('delay_ms makes a scheduled job without position, which is queued and runs when due', async () => {
    await using client = await hub.client();
    const job_type = unique('t');
    await using machine = await hub.machine({ job_types: [job_type] });
    const accepted = await submit(client, { job_type, delay_ms: 400, watch: 'all' });
    expect(accepted).toMatchObject({ status: 'scheduled', position: null });
    const { run_at, created_at } = await get_job(client, accepted.job_id);
    expect(run_at - created_at).toBe(400);
    const queued = await event(client, accepted.job_id, 'job_queued');
    expect(queued.reason).toBe('due');
    expect(queued.at).toBeGreaterThanOrEqual(run_at);
    expect((await machine.assigned(accepted.job_id)).attempt).toBe(1);
  });

  test('run_at does the same', async () => {
    await using client = await hub.client();
    const job_type = unique('t');
    await using machine = await hub.machine({ job_types: [job_type] });
    const { server_time } = await client.request({ type: 'ping' });
    const run_at = server_time + 1500;
    const accepted = await submit(client, { job_type, run_at, watch: 'all' });
    expect(accepted.status).toBe('scheduled');
    expect((await get_job(client, accepted.job_id)).run_at).toBe(run_at);
    const scheduled = client.events(accepted.job_id).filter(frame => frame.type === 'job_scheduled');
    for (const frame of scheduled) expect(frame.run_at).toBe(run_at);
    expect((await event(client, accepted.job_id, 'job_queued')).reason).toBe('due');
    await machine.assigned(accepted.job_id);
  });

  test('run_at in the past is now', async () => {
    await using client = await hub.client();
    const accepted = await submit(client, { job_type: unique('t'), run_at: 1 });
    expect(accepted).toMatchObject({ status: 'queued', position: 1 });
  });

  test('delay_ms and run_at together are invalid_message', async () => {
    await using client = await hub.client();
    const answer = await client.request({
      type: 'submit_job',
      job_type: unique('t'),
      params: {},
      delay_ms: 10,
      run_at: Date.now() + 1e3,
    });
    expect([answer.type, answer.code]).toEqual(['error', 'invalid_message']);
  });
});

describe.skipIf(hub.skip).concurrent('submit_jobs', () => {
  test('is answered with the results in order', async () => {
    await using client = await hub.client();
    const job_type = unique('t');
    const ids = [unique('b'), unique('a'), unique('c')];
    const answer = await client.request({
      type: 'submit_jobs',
      jobs: ids.map(job_id => ({ job_id, job_type, params: {} })),
    });
    expect(answer.type).toBe('jobs_accepted');
    expect(answer.results.map((result: Frame) => result.job_id)).toEqual(ids);
    for (const result of answer.results) {
      expect(result).toMatchObject({ status: 'queued', duplicate: false });
      expect(Number.isInteger(result.seq)).toBe(true);
    }
  });

  test('a bad job among good ones is an error in its place and harms nobody', async () => {
    await using client = await hub.client();
    const job_type = unique('t');
    const taken = unique('job');
    await submit(client, { job_id: taken, job_type, params: { a: 1 } });
    const answer = await client.request({
      type: 'submit_jobs',
      jobs: [
        { job_type, params: {} },
        { job_type, params: {}, priority: 101 },
        { job_type },
        { job_type, params: {}, job_id: taken },
        { job_type, params: { a: 1 }, job_id: taken },
        { job_type, params: { filler: 'x'.repeat(client.welcome.limits.max_params_bytes + 1) } },
        { job_type, params: {}, delay_ms: 60_000 },
      ],
    });
    expect(answer.type).toBe('jobs_accepted');
    expect(answer.results.map((result: Frame) => result.error?.code ?? result.status)).toEqual([
      'queued',
      'invalid_message',
      'invalid_message',
      'conflict',
      'queued',
      'payload_too_large',
      'scheduled',
    ]);
    expect(answer.results[4]).toMatchObject({ job_id: taken, duplicate: true });
    expect(answer.results[1].error.message).toEqual(expect.any(String));
  });

  test('the same job twice in one batch is made once', async () => {
    await using client = await hub.client();
    const job = { job_id: unique('job'), job_type: unique('t'), params: { a: 1 } };
    const answer = await client.request({ type: 'submit_jobs', jobs: [job, job] });
    expect(answer.results.map((result: Frame) => result.duplicate)).toEqual([false, true]);
  });

  test('1,000 jobs are accepted, 1,001 and none are invalid_message', async () => {
    await using client = await hub.client();
    const job = { job_type: unique('t'), params: {} };
    const full = await client.request({ type: 'submit_jobs', jobs: Array(1000).fill(job) });
    expect(full.type).toBe('jobs_accepted');
    expect(full.results).toHaveLength(1000);
    expect(new Set(full.results.map((result: Frame) => result.job_id)).size).toBe(1000);
    for (const jobs of [Array(1001).fill(job), []])
      expect((await client.request({ type: 'submit_jobs', jobs })).code).toBe('invalid_message');
  });
});

describe.skipIf(hub.skip).concurrent('order', () => {
  test('higher priority runs first, equal priorities in order of acceptance', async () => {
    await using client = await hub.client();
    const job_type = unique('t');
    const priorities = [0, 5, -100, 100, 5, 0, 99, -1];
    const ids: string[] = [];
    for (const priority of priorities) ids.push((await submit(client, { job_type, priority })).job_id);
    const wanted = priorities
      .map((priority, at) => ({ priority, at }))
      .sort((a, b) => b.priority - a.priority || a.at - b.at)
      .map(({ at }) => ids[at]);
    await using machine = await hub.machine({ job_types: [job_type] });
    const order: string[] = [];
    for (const _ of ids) {
      const lease = await machine.assigned();
      order.push(lease.job_id);
      await machine.complete(lease);
    }
    expect(order).toEqual(wanted);
  });

  test('jobs of one batch keep its order, and priority goes across job types and requirements', async () => {
    await using client = await hub.client();
    const [one, two] = [unique('t'), unique('t')];
    const jobs = [
      { job_type: one, priority: 1 },
      { job_type: two, priority: 2 },
      { job_type: one, priority: 2, requirements: { min_vram_mb: 1000 } },
      { job_type: two, priority: 1 },
      { job_type: one, priority: 2 },
    ].map(job => ({ ...job, params: {} }));
    const { results } = await client.request({ type: 'submit_jobs', jobs });
    await using machine = await hub.machine({ job_types: [one, two], gpus: [{ index: 0, vram_mb: 8000 }] });
    const order: string[] = [];
    for (const _ of jobs) {
      const lease = await machine.assigned();
      order.push(lease.job_id);
      await machine.complete(lease);
    }
    expect(order).toEqual([1, 2, 4, 0, 3].map(at => results[at].job_id));
  });

  test('a released job keeps its place', async () => {
    await using client = await hub.client();
    const job_type = unique('t');
    const ids: string[] = [];
    for (let i = 0; i < 3; i++) ids.push((await submit(client, { job_type })).job_id);
    await using machine = await hub.machine({ job_types: [job_type] });
    const first = await machine.assigned(ids[0]);
    await machine.release(first);
    const order: string[] = [];
    for (const _ of ids) {
      const lease = await machine.assigned();
      order.push(lease.job_id);
      await machine.complete(lease);
    }
    expect(order).toEqual(ids);
  });

  test('a job that is retried keeps its place', async () => {
    await using client = await hub.client();
    const job_type = unique('t');
    const first = (await submit(client, { job_type, backoff_ms: 50, watch: 'all' })).job_id;
    await using machine = await hub.machine({ job_types: [job_type] });
    const lease = await machine.assigned(first);
    const second = (await submit(client, { job_type })).job_id;
    const third = (await submit(client, { job_type })).job_id;
    await machine.fail(lease);
    const held = await machine.assigned(second);
    await client.next(frame => frame.type === 'job_queued' && frame.reason === 'retry');
    await machine.complete(held);
    const order = [];
    for (let i = 0; i < 2; i++) {
      const next = await machine.assigned();
      order.push(next.job_id);
      await machine.complete(next);
    }
    expect(order).toEqual([first, third]);
  });
});

describe.skipIf(hub.skip).concurrent('idempotency', () => {
  const content = () => ({
    type: 'submit_job',
    job_id: unique('job'),
    job_type: unique('t'),
    params: {
      prompt: 'a horse',
      size: {
        w: 512,
        h: 512,
      },
      seeds: [1, 2],
    },
  });

  test('the same id with the same content is a duplicate with the present status, at each stage', async () => {
    await using client = await hub.client();
    const job = content();
    const first = await client.request(job);
    const again = await client.request(job);
    expect(again).toMatchObject({
      type: 'job_accepted',
      job_id: job.job_id,
      duplicate: true,
      status: 'queued',
    });
    expect(again.created_at).toBe(first.created_at);
    await using machine = await hub.machine({ job_types: [job.job_type] });
    const lease = await machine.assigned(job.job_id);
    expect(await client.request(job)).toMatchObject({ duplicate: true, status: 'assigned', position: null });
    machine.started(lease);
    await event(client, job.job_id, 'job_started');
    expect(await client.request(job)).toMatchObject({ duplicate: true, status: 'processing' });
    await machine.complete(lease);
    expect(await client.request(job)).toMatchObject({ duplicate: true, status: 'completed' });
    await machine.peer.none('job_assigned');
  });

  test.each([
    ['params', { params: { prompt: 'a cow' } }],
    ['job_type', { job_type: 'other' }],
    ['priority', { priority: 1 }],
    ['requirements', { requirements: { min_vram_mb: 1 } }],
    ['max_attempts', { max_attempts: 4 }],
    ['backoff_ms', { backoff_ms: 1001 }],
    ['delay_ms', { delay_ms: 1 }],
    ['run_timeout_ms', { run_timeout_ms: 60_000 }],
    ['start_timeout_ms', { start_timeout_ms: 600_000 }],
    ['progress_timeout_ms', { progress_timeout_ms: 60_000 }],
    ['metadata', { metadata: { user: 'u' } }],
    ['the order of a list', { params: { prompt: 'a horse', size: { w: 512, h: 512 }, seeds: [2, 1] } }],
  ])('the same id with other content is conflict: %s', async (_name, change) => {
    await using client = await hub.client();
    const job = content();
    await client.request(job);
    const answer = await client.request({ ...job, ...change });
    expect([answer.type, answer.code]).toEqual(['error', 'conflict']);
    expect((await get_job(client, job.job_id)).params).toEqual(job.params);
  });

  test('request_id, watch, unknown fields and the order of keys are not content', async () => {
    await using client = await hub.client();
    const job = content();
    await client.request(job);
    const { params, ...rest } = job;
    const reordered = { seeds: params.seeds, size: { h: 512, w: 512 }, prompt: params.prompt };
    for (const same of [
      { ...job, watch: 'end' },
      { ...job, watch: false },
      { ...job, colour: 'red' },
      { params: reordered, ...rest },
    ])
      expect(await client.request(same)).toMatchObject({ type: 'job_accepted', duplicate: true });
  });

  test('a default spelt out is the same content', async () => {
    await using client = await hub.client();
    const job = content();
    await client.request(job);
    const spelt = { ...job, priority: 0, max_attempts: 3, backoff_ms: 1000, watch: true };
    expect(await client.request(spelt)).toMatchObject({ type: 'job_accepted', duplicate: true });
  });

  test('params are compared as JSON values, not as text', async () => {
    await using client = await hub.client();
    const [job_id, job_type] = [unique('job'), unique('t')];
    const text = (id: string, params: string) =>
      `{"type":"submit_job","request_id":"${id}","job_id":"${job_id}","job_type":"${job_type}","params":${params}}`;
    client.sendRaw(text('v1', '{"a":1,"b":"é"}'));
    await client.next(frame => frame.request_id === 'v1' && frame.duplicate === false);
    client.sendRaw(text('v2', '{ "b": "\\u00e9", "a": 1.0 }'));
    expect(await client.next(frame => frame.request_id === 'v2')).toMatchObject({ duplicate: true });
  });

  test('it holds after the end as well: duplicate, and conflict for other content', async () => {
    await using client = await hub.client();
    const job = content();
    await client.request(job);
    await client.request({ type: 'cancel_job', job_id: job.job_id });
    expect(await client.request(job)).toMatchObject({ duplicate: true, status: 'cancelled' });
    expect((await client.request({ ...job, priority: 7 })).code).toBe('conflict');
  });

  test('ids are unique across the connections and owners of a tenant', async () => {
    await using one = await hub.client({ query: { client_id: unique('c') } });
    await using two = await hub.client({ query: { client_id: unique('c') } });
    const job = content();
    await one.request(job);
    expect(await two.request(job)).toMatchObject({ type: 'job_accepted', duplicate: true });
    expect((await two.request({ ...job, priority: 1 })).code).toBe('conflict');
  });

  test('the same job sent 50 times at once runs once', async () => {
    await using one = await hub.client();
    await using two = await hub.client();
    const job = content();
    const answers = await Promise.all(Array.from({ length: 50 }, (_, i) => (i % 2 ? one : two).request(job)));
    expect(answers.filter(answer => answer.duplicate === false)).toHaveLength(1);
    expect(answers.filter(answer => answer.duplicate === true)).toHaveLength(49);
    await using machine = await hub.machine({ job_types: [job.job_type], gpu_count: 2 });
    await machine.run(job.job_id);
    await machine.peer.none('job_assigned', 100);
  });
});

describe.skipIf(hub.skip).concurrent('get_job and list_jobs', () => {
  /** All pages of a list, in order. */
  async function all_pages(list: (cursor: unknown) => Promise<Frame>): Promise<Frame[]> {
    const jobs: Frame[] = [];
    let cursor: unknown;
    for (let page = 0; page < 100; page++) {
      const answer = await list(cursor);
      expect(answer.type).toBe('jobs');
      jobs.push(...answer.jobs);
      cursor = answer.next_cursor;
      if (cursor === null || cursor === undefined) return jobs;
    }
    throw new Error('the pages do not end');
  }

  test('an unknown job is not_found', async () => {
    await using client = await hub.client();
    const answer = await client.request({ type: 'get_job', job_id: unique('none') });
    expect([answer.type, answer.code]).toEqual(['error', 'not_found']);
  });

  test('list_jobs filters by each state and each group of states', async () => {
    await using client = await hub.client();
    const job_type = unique('t');
    const make = async (fields: object = {}) =>
      (await submit(client, { job_type, priority: 9, ...fields })).job_id;
    await using machine = await hub.machine({ job_types: [job_type], gpu_count: 4 });
    const completed = await make();
    await machine.run(completed);
    const failed = await make({ max_attempts: 1 });
    await machine.fail(await machine.assigned(failed));
    const processing = await make();
    const lease = await machine.assigned(processing);
    machine.started(lease);
    await event(client, processing, 'job_started');
    const assigned = await make();
    await machine.assigned(assigned);
    await machine.peer.request({ type: 'worker_drain' });
    const queued = await make();
    const scheduled = await make({ delay_ms: 600_000 });
    const cancelled = await make();
    await client.request({ type: 'cancel_job', job_id: cancelled });
    const expected: Record<string, string[]> = {
      completed: [completed],
      failed: [failed],
      processing: [processing],
      assigned: [assigned],
      queued: [queued],
      scheduled: [scheduled],
      cancelled: [cancelled],
      expired: [],
      waiting: [queued, scheduled],
      active: [processing, assigned],
      finished: [completed, failed, cancelled],
    };
    for (const [status, ids] of Object.entries(expected)) {
      const answer = await client.request({ type: 'list_jobs', job_type, status });
      expect(answer.type, status).toBe('jobs');
      expect(answer.jobs.map((job: Frame) => job.job_id).sort(), status).toEqual([...ids].sort());
    }
    const all = await client.request({ type: 'list_jobs', job_type });
    expect(all.jobs).toHaveLength(7);
    const of_worker = await client.request({
      type: 'list_jobs',
      job_type,
      status: 'active',
      worker_id: lease.worker_id,
    });
    expect(of_worker.jobs.map((job: Frame) => job.job_id)).toEqual([processing]);
  });

  test('list_jobs filters by client_id', async () => {
    const client_id = unique('owner');
    await using client = await hub.client({ query: { client_id } });
    await using other = await hub.client();
    const job_type = unique('t');
    const { job_id } = await submit(client, { job_type });
    await submit(other, { job_type });
    const answer = await other.request({ type: 'list_jobs', client_id });
    expect(answer.jobs.map((job: Frame) => job.job_id)).toEqual([job_id]);
  });

  test('a page has at most 50 jobs unless asked, at most 500, newest first', async () => {
    await using client = await hub.client();
    const job_type = unique('t');
    const { results } = await client.request({
      type: 'submit_jobs',
      jobs: Array(60).fill({ job_type, params: {} }),
    });
    const page = await client.request({ type: 'list_jobs', job_type });
    expect(page.jobs).toHaveLength(50);
    expect(page.next_cursor).toEqual(expect.any(String));
    const newest_first = results.map((result: Frame) => result.job_id).reverse();
    const whole = await client.request({ type: 'list_jobs', job_type, limit: 500 });
    expect(whole.jobs.map((job: Frame) => job.job_id)).toEqual(newest_first);
    expect((await client.request({ type: 'list_jobs', job_type, limit: 501 })).code).toBe('invalid_message');
  });

  test('paging gives each job that stays in the filter exactly once, also while others come and go', async () => {
    await using client = await hub.client();
    const job_type = unique('t');
    const { results } = await client.request({
      type: 'submit_jobs',
      jobs: Array(25).fill({ job_type, params: {} }),
    });
    const ids: string[] = results.map((result: Frame) => result.job_id);
    const gone = new Set([ids[3], ids[12], ids[20]]);
    let page = 0;
    const seen = await all_pages(async cursor => {
      if (page++ === 1) {
        await submit(client, { job_type });
        for (const job_id of gone) await client.request({ type: 'cancel_job', job_id });
      }
      return client.request({
        type: 'list_jobs',
        job_type,
        status: 'queued',
        limit: 4,
        ...(cursor ? { cursor } : {}),
      });
    });
    const seen_ids = seen.map(job => job.job_id);
    expect(new Set(seen_ids).size).toBe(seen_ids.length);
    for (const id of ids) if (!gone.has(id)) expect(seen_ids).toContain(id);
  });

  test('a list leaves out params, result and attempts unless full', async () => {
    await using client = await hub.client();
    const job_type = unique('t');
    await submit(client, { job_type, params: { steps: 20 } });
    const brief = (await client.request({ type: 'list_jobs', job_type })).jobs[0];
    for (const field of ['params', 'result', 'attempts']) expect(brief).not.toHaveProperty(field);
    for (const field of RECORD)
      if (!['params', 'result', 'attempts'].includes(field)) expect(brief, field).toHaveProperty(field);
    const full = (await client.request({ type: 'list_jobs', job_type, full: true })).jobs[0];
    expect(full.params).toEqual({ steps: 20 });
    for (const field of RECORD) expect(full, field).toHaveProperty(field);
  });

  test('a page ends early at max_message_bytes, and the next goes on', async () => {
    await using client = await hub.client();
    const job_type = unique('t');
    const { max_message_bytes, max_params_bytes } = client.welcome.limits;
    const params = { filler: 'x'.repeat(max_params_bytes - 100) };
    const ids: string[] = [];
    for (let i = 0; i < 3; i++) ids.push((await submit(client, { job_type, params })).job_id);
    const jobs = await all_pages(async cursor => {
      const page = await client.request({
        type: 'list_jobs',
        job_type,
        full: true,
        ...(cursor ? { cursor } : {}),
      });
      expect(Buffer.byteLength(JSON.stringify(page))).toBeLessThanOrEqual(max_message_bytes);
      return page;
    });
    expect(jobs.map(job => job.job_id)).toEqual(ids.reverse());
  });

  test('get_stats is answered stats, and explain_job says why a job waits', async () => {
    await using client = await hub.client();
    const stats = await client.request({ type: 'get_stats' });
    expect(stats.type).toBe('stats');
    expect(stats.jobs.queued).toEqual(expect.any(Number));
    const { job_id } = await submit(client, { job_type: unique('t') });
    const answer = await client.request({ type: 'explain_job', job_id });
    expect(answer).toMatchObject({ type: 'job_explained', job_id, position: 1 });
    expect(Number.isInteger(answer.as_of)).toBe(true);
    expect(Array.isArray(answer.reasons)).toBe(true);
    expect((await client.request({ type: 'explain_job', job_id: unique('none') })).code).toBe('not_found');
  });
});
