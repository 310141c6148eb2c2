/** Protocol sections 3 and 4: watching, events, replay, progress and output. */
import { describe, expect, test } from 'vitest';
import { type Frame, types } from '../harness/peer.ts';
import { event, get_job, hub_under_test, submit, unique } from './hub_under_test.ts';

const hub = hub_under_test();

const PROGRESS_RATE = 10;
const SAME_SEQ = new Set(['job_progress', 'job_output', 'job_output_gap']);

/** `seq` grows strictly with each event; progress and output carry the one reached. */
function expect_growing(events: Frame[]): void {
  let last = 0;
  for (const frame of events) {
    for (const field of ['job_id', 'seq', 'at', 'attempt']) expect(frame, frame.type).toHaveProperty(field);
    if (SAME_SEQ.has(frame.type)) expect(frame.seq, JSON.stringify(events)).toBeGreaterThanOrEqual(last);
    else expect(frame.seq, JSON.stringify(events)).toBeGreaterThan(last);
    last = frame.seq;
  }
}

/** The index of each output, `from-to` of each gap. */
const outputs_and_gaps = (events: Frame[]) =>
  events.flatMap(frame => {
    if (frame.type === 'job_output_gap') return [`${frame.from}-${frame.to}`];
    return frame.type === 'job_output' ? [frame.index] : [];
  });

describe.skipIf(hub.skip).concurrent('the watch of a submission', () => {
  /** One whole life: queued, assigned, started, output, failed attempt, second attempt, completed. */
  async function life(watch: unknown): Promise<string[]> {
    await using client = await hub.client();
    await using witness = await hub.client();
    const job_type = unique('t');
    const fields = { job_type, backoff_ms: 20, ...(watch === undefined ? {} : { watch }) };
    const { job_id } = await submit(client, fields);
    await witness.request({ type: 'watch_jobs', job_ids: [job_id] });
    await using machine = await hub.machine({ job_types: [job_type] });
    const first = await machine.assigned(job_id);
    machine.started(first);
    machine.output(first, 0, 'hello');
    await machine.fail(first);
    const second = await machine.assigned(job_id);
    machine.started(second);
    await machine.complete(second);
    await event(witness, job_id, 'job_completed');
    await client.request({ type: 'ping' });
    // A hub may serve one watcher before the other: the terminal event is waited for where one is due.
    if (watch !== false) await event(client, job_id, 'job_completed');
    const events = client.events(job_id);
    expect_growing(events);
    return types(events);
  }

  const plain = ['job_started', 'job_output', 'job_retrying', 'job_started', 'job_completed'];

  test('true tells of start, output, retrying and the end', async () => {
    expect(await life(true)).toEqual(plain);
  });

  test('the default is true', async () => {
    expect(await life(undefined)).toEqual(plain);
  });

  test('"end" tells of the end alone', async () => {
    expect(await life('end')).toEqual(['job_completed']);
  });

  test('false tells nothing', async () => {
    expect(await life(false)).toEqual([]);
  });

  test('"all" tells of queueing and assignment too', async () => {
    expect(await life('all')).toEqual([
      'job_queued',
      'job_assigned',
      'job_started',
      'job_output',
      'job_retrying',
      'job_queued',
      'job_assigned',
      'job_started',
      'job_completed',
    ]);
  });

  test('any other watch is invalid_message', async () => {
    await using client = await hub.client();
    for (const watch of ['some', 1, null, {}])
      expect((await client.request({ type: 'submit_job', job_type: 'x', params: {}, watch })).code).toBe(
        'invalid_message',
      );
  });
});

describe.skipIf(hub.skip).concurrent('events', () => {
  test('carry the fields of section 4', async () => {
    await using client = await hub.client();
    const { job_id, machine, lease } = await hub.assigned_job(client, {
      watch: 'all',
      max_attempts: 2,
      backoff_ms: 20,
    });
    await using _machine = machine;
    const worker_id = `${machine.fields.machine_id}:gpu0`;
    const queued = await event(client, job_id, 'job_queued');
    expect(queued).toMatchObject({ reason: 'submitted', attempt: 0 });
    expect(queued).toHaveProperty('position');
    expect(await event(client, job_id, 'job_assigned')).toMatchObject({ worker_id, attempt: 1 });
    machine.started(lease);
    expect(await event(client, job_id, 'job_started')).toMatchObject({ worker_id, attempt: 1 });
    const error = { code: 'oom', message: 'Out of memory.', details: { need: 5 } };
    await machine.fail(lease, error);
    const retrying = await event(client, job_id, 'job_retrying');
    expect(retrying).toMatchObject({ error: { ...error, retryable: true }, max_attempts: 2, attempt: 1 });
    expect(Number.isInteger(retrying.run_at)).toBe(true);
    expect((await event(client, job_id, 'job_queued')).reason).toBe('retry');
    await machine.fail(await machine.assigned(job_id), error);
    expect(await event(client, job_id, 'job_failed')).toMatchObject({ error, worker_id, attempt: 2 });
    expect_growing(client.events(job_id));
  });

  test('job_completed tells queued_ms and run_ms as the record does', async () => {
    await using client = await hub.client();
    const { job_id, machine, lease } = await hub.assigned_job(client);
    await using _machine = machine;
    await machine.complete(lease, { ok: 1 });
    const completed = await event(client, job_id, 'job_completed');
    const job = await get_job(client, job_id);
    expect(completed).toMatchObject({
      result: { ok: 1 },
      worker_id: job.worker_id,
      seq: job.seq,
      queued_ms: job.assigned_at - Math.max(job.created_at, job.run_at ?? 0),
      run_ms: job.finished_at - job.assigned_at,
    });
  });

  test('job_accepted comes before every event of the job on that connection', async () => {
    await using client = await hub.client();
    const job_type = unique('t');
    await using machine = await hub.machine({ job_types: [job_type], gpu_count: 4 });
    const ids = Array.from({ length: 40 }, () => unique('job'));
    for (const job_id of ids) client.send({ type: 'submit_job', job_id, job_type, params: {}, watch: 'all' });
    const working = ids.map(async () => machine.complete(await machine.assigned()));
    await Promise.all(working);
    for (const job_id of ids) await event(client, job_id, 'job_completed');
    for (const job_id of ids) {
      const of_job = client.frames.filter(frame => frame.job_id === job_id);
      expect(of_job[0]?.type).toBe('job_accepted');
      expect_growing(client.events(job_id));
      for (const frame of client.events(job_id))
        if (frame.type !== 'job_queued') expect(frame.seq).toBeGreaterThan(of_job[0]?.seq);
    }
  });

  test('jobs_accepted comes before every event of its jobs', async () => {
    await using client = await hub.client();
    const job_type = unique('t');
    await using machine = await hub.machine({ job_types: [job_type], gpu_count: 4 });
    const ids = Array.from({ length: 20 }, () => unique('job'));
    client.send({
      type: 'submit_jobs',
      jobs: ids.map(job_id => ({ job_id, job_type, params: {}, watch: 'all' })),
    });
    await Promise.all(ids.map(async () => machine.complete(await machine.assigned())));
    for (const job_id of ids) await event(client, job_id, 'job_completed');
    const accepted = client.frames.findIndex(frame => frame.type === 'jobs_accepted');
    const first = client.frames.findIndex(frame => ids.includes(frame.job_id));
    expect(accepted).toBeGreaterThan(0);
    expect(first).toBeGreaterThan(accepted);
  });

  test('progress and output imply started', async () => {
    await using client = await hub.client();
    const one = await hub.assigned_job(client);
    await using _one = one.machine;
    one.machine.progress(one.lease, 0.5);
    await event(client, one.job_id, 'job_progress');
    expect(types(client.events(one.job_id)).slice(0, 2)).toEqual(['job_started', 'job_progress']);
    const two = await hub.assigned_job(client);
    await using _two = two.machine;
    two.machine.output(two.lease, 0, 'x');
    await event(client, two.job_id, 'job_output');
    expect(types(client.events(two.job_id)).slice(0, 2)).toEqual(['job_started', 'job_output']);
    const job = await get_job(client, two.job_id);
    expect(job.status).toBe('processing');
    expect(job.started_at).toEqual(expect.any(Number));
  });

  test('a job may end straight from assigned', async () => {
    await using client = await hub.client();
    const { job_id, machine, lease } = await hub.assigned_job(client);
    await using _machine = machine;
    expect(await machine.complete(lease, 1)).toMatchObject({ accepted: true });
    expect((await event(client, job_id, 'job_completed')).result).toBe(1);
  });

  test('every watching connection is told, and nobody else', async () => {
    await using client = await hub.client({ query: { client_id: unique('c') } });
    await using watcher = await hub.client();
    await using stranger = await hub.client({ query: { client_id: client.welcome.client_id } });
    const { job_id, machine, lease } = await hub.assigned_job(client);
    await using _machine = machine;
    await watcher.request({ type: 'watch_jobs', job_ids: [job_id] });
    await machine.complete(lease);
    await event(client, job_id, 'job_completed');
    await event(watcher, job_id, 'job_completed');
    await stranger.none(frame => frame.job_id === job_id, 50);
  });
});

describe.skipIf(hub.skip).concurrent('duplicates and watches', () => {
  test('a duplicate watches as well', async () => {
    await using client = await hub.client();
    await using other = await hub.client();
    const job = { job_id: unique('job'), job_type: unique('t'), params: {} };
    await submit(client, { ...job, watch: false });
    await submit(other, job);
    await using machine = await hub.machine({ job_types: [job.job_type] });
    await machine.run(job.job_id);
    await event(other, job.job_id, 'job_completed');
    expect(types(other.events(job.job_id))).toEqual(['job_started', 'job_completed']);
    await client.none(frame => client.events(job.job_id).includes(frame), 50);
  });

  test('a duplicate of an ended job is told so by its status, and no event follows', async () => {
    await using client = await hub.client();
    await using other = await hub.client();
    const job = { job_id: unique('job'), job_type: unique('t'), params: {} };
    await submit(client, job);
    await client.request({ type: 'cancel_job', job_id: job.job_id });
    expect(await submit(other, { ...job, watch: 'all' })).toMatchObject({
      duplicate: true,
      status: 'cancelled',
    });
    await other.none(frame => other.events(job.job_id).includes(frame), 100);
  });

  test('a new watch of a connection on a job replaces its former one', async () => {
    await using client = await hub.client();
    const job = { job_id: unique('job'), job_type: unique('t'), params: {} };
    await submit(client, { ...job, watch: 'all' });
    await submit(client, { ...job, watch: 'end' });
    await using machine = await hub.machine({ job_types: [job.job_type] });
    await machine.run(job.job_id);
    await event(client, job.job_id, 'job_completed');
    const later = types(client.events(job.job_id)).filter(type => type !== 'job_queued');
    expect(later).toEqual(['job_completed']);
  });

  test('two watches of one connection give each event once', async () => {
    await using client = await hub.client();
    const { job_id, machine, lease } = await hub.assigned_job(client);
    await using _machine = machine;
    await client.request({ type: 'watch_jobs', job_ids: [job_id] });
    await client.request({ type: 'watch_jobs', job_ids: [job_id, job_id] });
    machine.started(lease);
    await machine.complete(lease);
    await event(client, job_id, 'job_completed');
    await client.none('no such', 50);
    expect(types(client.events(job_id))).toEqual(['job_started', 'job_completed']);
  });
});

describe.skipIf(hub.skip).concurrent('watch_jobs', () => {
  test('is answered with the records, brief, and the unknown ids, then live events as "all"', async () => {
    await using client = await hub.client();
    await using watcher = await hub.client();
    const job_type = unique('t');
    const { job_id } = await submit(client, { job_type, params: { a: 1 } });
    const unknown = unique('none');
    const answer = await watcher.request({ type: 'watch_jobs', job_ids: [unknown, job_id] });
    expect(answer.type).toBe('jobs_watched');
    expect(answer.not_found).toEqual([unknown]);
    expect(answer.jobs).toHaveLength(1);
    expect(answer.jobs[0]).toMatchObject({ job_id, job_type, status: 'queued' });
    for (const field of ['params', 'result', 'attempts']) expect(answer.jobs[0]).not.toHaveProperty(field);
    await using machine = await hub.machine({ job_types: [job_type] });
    await machine.run(job_id);
    await event(watcher, job_id, 'job_completed');
    expect(types(watcher.events(job_id))).toEqual(['job_assigned', 'job_started', 'job_completed']);
  });

  test('without after_seq an ended job gives its record and no event', async () => {
    await using client = await hub.client();
    await using watcher = await hub.client();
    const { job_id, machine, lease } = await hub.assigned_job(client);
    await using _machine = machine;
    await machine.complete(lease);
    const answer = await watcher.request({ type: 'watch_jobs', job_ids: [job_id] });
    expect(answer.jobs[0].status).toBe('completed');
    await watcher.none(frame => watcher.events(job_id).includes(frame), 100);
  });

  test('after_seq 0 replays what led to the present state, then goes on live, in order', async () => {
    await using client = await hub.client();
    const { job_id, machine, lease } = await hub.assigned_job(client);
    await using _machine = machine;
    machine.started(lease);
    await event(client, job_id, 'job_started');
    await using watcher = await hub.client();
    const answer = await watcher.request({
      type: 'watch_jobs',
      job_ids: [job_id],
      after_seq: { [job_id]: 0 },
    });
    expect(answer.jobs[0].status).toBe('processing');
    await event(watcher, job_id, 'job_started');
    await machine.complete(lease, 'done');
    expect((await event(watcher, job_id, 'job_completed')).result).toBe('done');
    const events = watcher.events(job_id);
    expect_growing(events);
    expect(types(events).slice(-2)).toEqual(['job_started', 'job_completed']);
    const answered = watcher.frames.findIndex(frame => frame.type === 'jobs_watched');
    expect(watcher.frames.indexOf(events[0] as Frame)).toBeGreaterThan(answered);
  });

  test('after_seq 0 of an ended job always brings its terminal event, as it was', async () => {
    await using client = await hub.client();
    const { job_id, machine, lease } = await hub.assigned_job(client);
    await using _machine = machine;
    machine.started(lease);
    await machine.complete(lease, { big: [1, 2, 3] });
    const live = await event(client, job_id, 'job_completed');
    await using watcher = await hub.client();
    await watcher.request({ type: 'watch_jobs', job_ids: [job_id], after_seq: { [job_id]: 0 } });
    expect(await event(watcher, job_id, 'job_completed')).toEqual(live);
    expect_growing(watcher.events(job_id));
    expect(watcher.events(job_id).at(-1)?.type).toBe('job_completed');
  });

  test.each(['cancelled', 'failed', 'expired'])('after_seq 0 brings the end of a job that %s', async end => {
    await using client = await hub.client();
    const job_type = unique('t');
    const fields = end === 'expired' ? { start_timeout_ms: 50 } : { max_attempts: 1 };
    const { job_id } = await submit(client, { job_type, ...fields });
    if (end === 'cancelled') await client.request({ type: 'cancel_job', job_id });
    if (end === 'failed') {
      await using machine = await hub.machine({ job_types: [job_type] });
      await machine.fail(await machine.assigned(job_id));
    }
    const live = await event(client, job_id, `job_${end}`);
    await using watcher = await hub.client();
    await watcher.request({ type: 'watch_jobs', job_ids: [job_id], after_seq: { [job_id]: 0 } });
    expect(await event(watcher, job_id, `job_${end}`)).toEqual(live);
  });

  test('a higher after_seq replays nothing up to it', async () => {
    await using client = await hub.client();
    const { job_id, machine, lease } = await hub.assigned_job(client);
    await using _machine = machine;
    machine.started(lease);
    const started = await event(client, job_id, 'job_started');
    await using watcher = await hub.client();
    const after_seq = { [job_id]: started.seq };
    await watcher.request({ type: 'watch_jobs', job_ids: [job_id], after_seq });
    await watcher.none(frame => watcher.events(job_id).includes(frame), 50);
    await machine.complete(lease);
    await event(watcher, job_id, 'job_completed');
    expect(types(watcher.events(job_id))).toEqual(['job_completed']);
    await using late = await hub.client();
    await late.request({ type: 'watch_jobs', job_ids: [job_id], after_seq });
    await event(late, job_id, 'job_completed');
    expect(types(late.events(job_id))).toEqual(['job_completed']);
  });

  test('after_output replays each output kept with a higher index', async () => {
    await using client = await hub.client();
    const { job_id, machine, lease } = await hub.assigned_job(client);
    await using _machine = machine;
    for (let index = 0; index < 5; index++) machine.output(lease, index, { token: index });
    await client.next(frame => frame.type === 'job_output' && frame.index === 4);
    const { seq } = await get_job(client, job_id);
    await using watcher = await hub.client();
    const watch = {
      type: 'watch_jobs',
      job_ids: [job_id],
      after_seq: { [job_id]: seq },
      after_output: { [job_id]: 1 },
    };
    await watcher.request(watch);
    await watcher.next(frame => frame.type === 'job_output' && frame.index === 4);
    machine.output(lease, 5, { token: 5 });
    await watcher.next(frame => frame.type === 'job_output' && frame.index === 5);
    const outputs = watcher.events(job_id);
    expect(types(outputs)).toEqual(Array(4).fill('job_output'));
    expect(outputs.map(frame => frame.index)).toEqual([2, 3, 4, 5]);
    expect(outputs.map(frame => frame.data)).toEqual([2, 3, 4, 5].map(token => ({ token })));
  });

  test('a replay keeps the order in which things happened', async () => {
    await using client = await hub.client();
    const { job_id, machine, lease } = await hub.assigned_job(client);
    await using _machine = machine;
    machine.started(lease);
    const started = await event(client, job_id, 'job_started');
    for (let index = 0; index < 3; index++) machine.output(lease, index, index);
    await machine.complete(lease);
    await event(client, job_id, 'job_completed');
    await using watcher = await hub.client();
    await watcher.request({
      type: 'watch_jobs',
      job_ids: [job_id],
      after_seq: { [job_id]: started.seq },
      after_output: { [job_id]: 0 },
    });
    await event(watcher, job_id, 'job_completed');
    expect(watcher.events(job_id).map(frame => frame.index ?? frame.type)).toEqual([1, 2, 'job_completed']);
  });

  test('a replay tells events as they were told: a delayed job, and one whose attempt failed', async () => {
    await using client = await hub.client();
    const job_type = unique('t');
    const { job_id } = await submit(client, { job_type, delay_ms: 30, backoff_ms: 20, watch: 'all' });
    await using machine = await hub.machine({ job_types: [job_type] });
    /** What a replay has of the job, and what was told live with the same seqs; places in the queue are not kept. */
    async function replayed(until: string) {
      await using watcher = await hub.client();
      await watcher.request({ type: 'watch_jobs', job_ids: [job_id], after_seq: { [job_id]: 0 } });
      await event(watcher, job_id, until);
      const events = watcher.events(job_id);
      const live = client.events(job_id).filter(({ seq }) => events.some(frame => frame.seq === seq));
      const without_place = (frames: Frame[]) => frames.map(frame => ({ ...frame, position: null }));
      expect(without_place(events)).toEqual(without_place(live));
      return types(events);
    }
    const first = await machine.assigned(job_id);
    await event(client, job_id, 'job_assigned');
    expect(await replayed('job_assigned')).toEqual(['job_scheduled', 'job_queued', 'job_assigned']);
    await machine.fail(first);
    await event(client, job_id, 'job_retrying');
    const second = await machine.assigned(job_id);
    machine.started(second);
    await machine.complete(second);
    await event(client, job_id, 'job_completed');
    const told = ['job_retrying', 'job_queued', 'job_assigned', 'job_started', 'job_completed'];
    expect(await replayed('job_completed')).toEqual(told);
  });

  test('if the job was assigned anew since, all output of the present assignment is sent and none older', async () => {
    await using client = await hub.client();
    const { job_id, machine, lease } = await hub.assigned_job(client);
    await using _machine = machine;
    machine.started(lease);
    const started = await event(client, job_id, 'job_started');
    for (let index = 0; index < 3; index++) machine.output(lease, index, `old ${index}`);
    await machine.release(lease);
    const again = await machine.assigned(job_id);
    for (let index = 0; index < 2; index++) machine.output(again, index, `new ${index}`);
    await client.next(frame => frame.type === 'job_output' && frame.data === 'new 1');
    await using watcher = await hub.client();
    await watcher.request({
      type: 'watch_jobs',
      job_ids: [job_id],
      after_seq: { [job_id]: started.seq },
      after_output: { [job_id]: 1 },
    });
    await machine.complete(again);
    await event(watcher, job_id, 'job_completed');
    const outputs = watcher.events(job_id).filter(frame => frame.type === 'job_output');
    expect(outputs.map(frame => frame.data)).toEqual(['new 0', 'new 1']);
  });

  test('unwatch_jobs ends the watch', async () => {
    await using client = await hub.client();
    await using witness = await hub.client();
    const { job_id, machine, lease } = await hub.assigned_job(client);
    await using _machine = machine;
    await witness.request({ type: 'watch_jobs', job_ids: [job_id] });
    const answer = await client.request({ type: 'unwatch_jobs', job_ids: [job_id] });
    expect(answer).toMatchObject({ type: 'jobs_unwatched', job_ids: [job_id] });
    machine.started(lease);
    await machine.complete(lease);
    await event(witness, job_id, 'job_completed');
    await client.none(frame => client.events(job_id).includes(frame), 50);
  });

  test('1,000 jobs can be watched at once, 1,001 are invalid_message', async () => {
    await using client = await hub.client();
    const ids = Array.from({ length: 1001 }, () => unique('none'));
    const answer = await client.request({ type: 'watch_jobs', job_ids: ids.slice(0, 1000) });
    expect(answer.not_found).toHaveLength(1000);
    expect((await client.request({ type: 'watch_jobs', job_ids: ids })).code).toBe('invalid_message');
  });
});

describe.skipIf(hub.skip).concurrent('job_progress', () => {
  test('is coalesced, the latest wins, and it is told with message and data', async () => {
    await using client = await hub.client();
    const { job_id, machine, lease } = await hub.assigned_job(client);
    await using _machine = machine;
    const began = performance.now();
    const last = 200;
    for (let i = 1; i <= last; i++) machine.progress(lease, i / last, { message: `step ${i}`, data: { i } });
    const final = await client.next(frame => frame.type === 'job_progress' && frame.progress === 1);
    expect(final).toMatchObject({ job_id, message: `step ${last}`, data: { i: last }, attempt: 1 });
    const seconds = (performance.now() - began) / 1000;
    const told = client.events(job_id).filter(frame => frame.type === 'job_progress');
    expect(told.length).toBeLessThanOrEqual(PROGRESS_RATE * (seconds + 1) + 1);
    const values = told.map(frame => frame.progress);
    expect(values).toEqual([...values].sort((a, b) => a - b));
    expect_growing(client.events(job_id));
  });

  test('never comes after the terminal event', async () => {
    await using client = await hub.client();
    const { job_id, machine, lease } = await hub.assigned_job(client);
    await using _machine = machine;
    for (let i = 1; i <= 50; i++) machine.progress(lease, i / 100);
    machine.output(lease, 0, 'x');
    await machine.complete(lease);
    machine.progress(lease, 0.9);
    machine.output(lease, 1, 'y');
    await event(client, job_id, 'job_completed');
    await client.none('no such', 300);
    expect(client.events(job_id).at(-1)?.type).toBe('job_completed');
  });

  test('the record has the last one also when nothing comes after it', async () => {
    await using client = await hub.client();
    const { job_id, machine, lease } = await hub.assigned_job(client);
    await using _machine = machine;
    machine.progress(lease, 0.1, { message: 'one' });
    await event(client, job_id, 'job_progress');
    machine.progress(lease, 0.5, { message: 'two' });
    await expect
      .poll(async () => get_job(client, job_id))
      .toMatchObject({ progress: 0.5, progress_message: 'two' });
  });

  test('the record has the latest, and it starts again with each assignment', async () => {
    await using client = await hub.client();
    const { job_id, machine, lease } = await hub.assigned_job(client, { watch: 'all' });
    await using _machine = machine;
    machine.progress(lease, 0.25, { message: 'warming up' });
    await event(client, job_id, 'job_progress');
    await machine.release(lease);
    await machine.assigned(job_id);
    expect(await get_job(client, job_id)).toMatchObject({ progress: 0, progress_message: null });
    const two = await hub.assigned_job(client);
    await using _two = two.machine;
    two.machine.progress(two.lease, 0.75, { message: 'nearly' });
    await event(client, two.job_id, 'job_progress');
    // Written at most once a second: asked for until it is there, with a bound.
    const deadline = performance.now() + 4000;
    let job = await get_job(client, two.job_id);
    while (job.progress !== 0.75 && performance.now() < deadline) {
      await client.none('no such', 50);
      job = await get_job(client, two.job_id);
    }
    expect(job).toMatchObject({ progress: 0.75, progress_message: 'nearly' });
  });

  test('is not answered, and is not replayed', async () => {
    await using client = await hub.client();
    const { job_id, machine, lease } = await hub.assigned_job(client);
    await using _machine = machine;
    machine.progress(lease, 0.5);
    await event(client, job_id, 'job_progress');
    await machine.peer.none(frame => frame.type === 'error' || frame.type === 'job_ack');
    await machine.complete(lease);
    await using watcher = await hub.client();
    await watcher.request({ type: 'watch_jobs', job_ids: [job_id], after_seq: { [job_id]: 0 } });
    await event(watcher, job_id, 'job_completed');
    expect(types(watcher.events(job_id))).not.toContain('job_progress');
  });
});

describe.skipIf(hub.skip).concurrent('job_output', () => {
  test('comes in order and not coalesced, with data of any kind', async () => {
    await using client = await hub.client();
    const { job_id, machine, lease } = await hub.assigned_job(client);
    await using _machine = machine;
    const data = [...Array(100).keys(), 'text', null, [], {}, { a: [1] }, true];
    for (const [index, item] of data.entries()) machine.output(lease, index, item);
    await machine.complete(lease);
    await event(client, job_id, 'job_completed');
    const outputs = client.events(job_id).filter(frame => frame.type === 'job_output');
    expect(outputs.map(frame => frame.index)).toEqual([...data.keys()]);
    expect(outputs.map(frame => frame.data)).toEqual(data);
    expect_growing(client.events(job_id));
  });

  test('a repeat is dropped, and heartbeat_ack tells the next index', async () => {
    await using client = await hub.client();
    const { job_id, machine, lease } = await hub.assigned_job(client);
    await using _machine = machine;
    for (const index of [0, 1, 0, 1, 2, 2, 1]) machine.output(lease, index, `token ${index}`);
    const ack = await machine.heartbeat([lease]);
    expect(ack.type).toBe('heartbeat_ack');
    expect(ack.outputs[lease.lease_id]).toBe(3);
    await machine.complete(lease);
    await event(client, job_id, 'job_completed');
    const outputs = client.events(job_id).filter(frame => frame.type === 'job_output');
    expect(outputs.map(frame => frame.index)).toEqual([0, 1, 2]);
  });

  test('an index above the next one is taken, and watchers get job_output_gap before it', async () => {
    await using client = await hub.client();
    const { job_id, machine, lease } = await hub.assigned_job(client);
    await using _machine = machine;
    machine.output(lease, 0, 'a');
    machine.output(lease, 3, 'd');
    machine.output(lease, 4, 'e');
    await client.next(frame => frame.type === 'job_output' && frame.index === 4);
    const events = client.events(job_id).filter(frame => frame.type.startsWith('job_output'));
    expect(types(events)).toEqual(['job_output', 'job_output_gap', 'job_output', 'job_output']);
    const gap = events[1];
    expect(gap?.from).toBe(1);
    expect([2, 3]).toContain(gap?.to);
    expect((await machine.heartbeat([lease])).outputs[lease.lease_id]).toBe(5);
  });

  test('a replay tells what never came as a gap, and again nothing that was told', async () => {
    await using client = await hub.client();
    const { job_id, machine, lease } = await hub.assigned_job(client);
    await using _machine = machine;
    for (const index of [0, 3, 4]) machine.output(lease, index, index);
    const { seq } = await client.next(frame => frame.type === 'job_output' && frame.index === 4);
    const replay = async (after_output: number) => {
      await using watcher = await hub.client();
      const after = { after_seq: { [job_id]: seq }, after_output: { [job_id]: after_output } };
      await watcher.request({ type: 'watch_jobs', job_ids: [job_id], ...after });
      await watcher.request({ type: 'ping' });
      const events = watcher.events(job_id);
      expect_growing(events);
      return outputs_and_gaps(events);
    };
    expect(await replay(-1)).toEqual([0, '1-2', 3, 4]);
    expect(await replay(0)).toEqual(['1-2', 3, 4]);
    expect(await replay(1)).toEqual(['2-2', 3, 4]);
    expect(await replay(2)).toEqual([3, 4]);
    expect(await replay(4)).toEqual([]);
  });

  test('a watcher that names more output than there is hears what comes', async () => {
    await using client = await hub.client();
    const { job_id, machine, lease } = await hub.assigned_job(client);
    await using _machine = machine;
    machine.output(lease, 0, 'a');
    await client.next(frame => frame.type === 'job_output');
    await using watcher = await hub.client();
    await watcher.request({ type: 'watch_jobs', job_ids: [job_id], after_output: { [job_id]: 9 } });
    machine.output(lease, 1, 'b');
    await machine.complete(lease);
    await event(watcher, job_id, 'job_completed');
    expect(outputs_and_gaps(watcher.events(job_id))).toEqual([1]);
  });

  test('a replay has the output of an attempt before what came of it', async () => {
    await using client = await hub.client();
    const { job_id, machine, lease } = await hub.assigned_job(client, { backoff_ms: 60_000 });
    await using _machine = machine;
    machine.started(lease);
    machine.output(lease, 0, 'a');
    await machine.fail(lease);
    await event(client, job_id, 'job_retrying');
    await using watcher = await hub.client();
    await watcher.request({ type: 'watch_jobs', job_ids: [job_id], after_seq: { [job_id]: 0 } });
    await watcher.request({ type: 'ping' });
    const told = watcher.events(job_id);
    expect_growing(told);
    expect(types(told).slice(-4)).toEqual(['job_assigned', 'job_started', 'job_output', 'job_retrying']);
  });

  test('a replay tells what was trimmed as a gap', async () => {
    await using client = await hub.client();
    const { job_id, machine, lease } = await hub.assigned_job(client);
    await using _machine = machine;
    // More than OUTPUT_KEEP_BYTES.
    for (const index of [0, 1, 2]) machine.output(lease, index, String(index).repeat(400_000));
    await machine.complete(lease);
    await event(client, job_id, 'job_completed');
    expect(outputs_and_gaps(client.events(job_id))).toEqual([0, 1, 2]);
    await using watcher = await hub.client();
    await watcher.request({ type: 'watch_jobs', job_ids: [job_id], after_seq: { [job_id]: 0 } });
    await event(watcher, job_id, 'job_completed');
    const told = watcher.events(job_id);
    expect_growing(told);
    expect(outputs_and_gaps(told)).toEqual(['0-0', 1, 2]);
    expect(types(told).indexOf('job_output_gap')).toBeGreaterThan(types(told).indexOf('job_assigned'));
  });

  test('starts at 0 with each assignment', async () => {
    await using client = await hub.client();
    const { job_id, machine, lease } = await hub.assigned_job(client, { watch: 'all' });
    await using _machine = machine;
    for (let index = 0; index < 3; index++) machine.output(lease, index, 'old');
    await machine.release(lease);
    const again = await machine.assigned(job_id);
    machine.output(again, 0, 'new');
    expect((await client.next(frame => frame.data === 'new')).index).toBe(0);
    const gaps = client.events(job_id).filter(frame => frame.type === 'job_output_gap');
    expect(gaps).toEqual([]);
  });
});
