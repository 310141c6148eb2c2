/** The SDK's client and worker against a real hub: the whole path of a job, as a user of the SDK sees it. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type GpuhubClient, GpuhubError, JobFailedError, type JobHandle } from '../../core/sdk/client.ts';
import type { JobContext } from '../../core/sdk/worker.ts';
import { all, byHand, Fleet, inGoodOrder, types, until } from '../harness/fleet.ts';

let fleet: Fleet;
let client: GpuhubClient;
beforeAll(async () => {
  fleet = await Fleet.start();
  client = fleet.client({ client_id: 'shop' });
});
afterAll(() => fleet[Symbol.asyncDispose]());

describe('a job', () => {
  test('goes to a machine with its params and comes back with its result', async () => {
    const seen: unknown[] = [];
    await fleet.machine({
      machine_id: 'm-echo',
      handler: {
        echo: (job, context) => {
          seen.push(job.params, context.attempt, context.gpu);
          return { said: job.params['text'] };
        },
      },
    });
    const job = await client.submit({
      job_type: 'echo',
      params: { text: 'привет 🦊', list: [] },
      priority: 7,
    });
    expect(job.accepted).toMatchObject({ duplicate: false });
    expect(await job.result()).toEqual({ said: 'привет 🦊' });
    expect(seen).toEqual([{ text: 'привет 🦊', list: [] }, 1, 0]);
    const record = await client.getJob(job.id);
    expect(record).toMatchObject({
      status: 'completed',
      priority: 7,
      client_id: 'shop',
      worker_id: 'm-echo:gpu0',
      attempt: 1,
      result: { said: 'привет 🦊' },
    });
  });

  test('tells its life as an async iterable, in order, from first to last', async () => {
    await fleet.machine({
      machine_id: 'm-life',
      handler: {
        life: (_, context) => {
          context.progress(0.5, 'half way', { step: 1 });
          context.output('a');
          context.output('b');
          return 'done';
        },
      },
    });
    const events = await all(await client.submit({ job_type: 'life', params: {}, watch: 'all' }));
    expect(inGoodOrder(events)).toBe(true);
    expect(types(events).filter(type => type !== 'job_queued')).toEqual([
      'job_assigned',
      'job_started',
      'job_progress',
      'job_output',
      'job_output',
      'job_completed',
    ]);
    expect(events.find(event => event.type === 'job_progress')).toMatchObject({
      progress: 0.5,
      message: 'half way',
      data: { step: 1 },
    });
    expect(events.at(-1)).toMatchObject({ result: 'done', worker_id: 'm-life:gpu0', attempt: 1 });
  });

  test('streams thousands of outputs in a burst, each once and in order', async () => {
    const tokens = Array.from({ length: 4000 }, (_, token) => token);
    const handler = {
      stream: (_: unknown, context: JobContext) => tokens.map(token => context.output(token)).length,
    };
    await fleet.machine({ machine_id: 'm-stream', handler });
    const job = await client.submit({ job_type: 'stream', params: {}, job_id: 'b' });
    const events = await all(job);
    expect(types(events)).not.toContain('job_output_gap');
    const outputs = events.filter(event => event.type === 'job_output');
    expect(outputs.map(({ index }) => index)).toEqual(tokens);
    expect(outputs.map(({ data }) => data)).toEqual(tokens);
    expect(events.at(-1)).toMatchObject({ type: 'job_completed', result: tokens.length });
  });

  test('of a batch of 500 runs once, and higher priorities first, in order of submission within one', async () => {
    const priorities = [-10, 0, 10, 90, -100];
    const jobs = Array.from({ length: 500 }, (_, i) => ({
      job_id: `batch-${i}`,
      job_type: 'batch',
      params: { i },
      priority: priorities[i % priorities.length] as number,
    }));
    const handles = (await client.submitMany(jobs)) as JobHandle[];
    expect(handles.filter(handle => handle instanceof GpuhubError)).toEqual([]);
    const order: string[] = [];
    await fleet.machine({
      machine_id: 'm-batch',
      handler: { batch: job => (order.push(job.job_id), job.params['i']) },
    });
    const results = await Promise.all(handles.map(handle => handle.result()));
    expect(results).toEqual(jobs.map((_, i) => i));
    // A stable sort: equal priorities stay in order of submission.
    const expected = [...jobs].sort((a, b) => b.priority - a.priority).map(({ job_id }) => job_id);
    expect(order).toEqual(expected);
  });

  test('sent twice under one id runs once, and both handles get the result', async () => {
    let runs = 0;
    const work = { job_type: 'once', params: { a: 1 }, job_id: 'once-1' };
    const handles = await Promise.all([client.submit(work), fleet.client().submit(work)]);
    expect(handles.map(({ accepted }) => accepted?.duplicate).sort()).toEqual([false, true]);
    await fleet.machine({ machine_id: 'm-once', handler: { once: () => ++runs } });
    expect(await Promise.all(handles.map(handle => handle.result()))).toEqual([1, 1]);
    const again = await client.submit(work);
    expect(again.accepted).toMatchObject({ duplicate: true, status: 'completed' });
    expect(await again.result()).toBe(1);
    expect(runs).toBe(1);
  });
});

describe('a running job', () => {
  test('is cancelled: the handler’s signal is aborted with the reason, the client is told', async () => {
    const work = byHand();
    await fleet.machine({ machine_id: 'm-cancel', handler: { cancel: work.handler } });
    const job = await client.submit({ job_type: 'cancel', params: {} });
    const events = all(job);
    const run = await work.run(0);
    expect(run.context.signal.aborted).toBe(false);
    expect(await job.cancel('wrong prompt')).toEqual({ job_id: job.id, status: 'cancelling' });
    await expect(job.result()).rejects.toMatchObject({ code: 'cancelled', name: 'JobCancelledError' });
    expect(run.context.signal.reason).toMatchObject({ code: 'cancelled', message: 'wrong prompt' });
    expect(types(await events).slice(-2)).toEqual(['job_cancelling', 'job_cancelled']);
    expect(await client.getJob(job.id)).toMatchObject({ status: 'cancelled' });
    // Its GPU is free again.
    const next = await client.submit({ job_type: 'cancel', params: {} });
    (await work.run(0, next.id)).complete('next');
    expect(await next.result()).toBe('next');
  });

  test('whose handler throws is tried again, then its result counts', async () => {
    let tries = 0;
    await fleet.machine({
      machine_id: 'm-retry',
      handler: {
        retry: (_, { attempt }) => {
          tries += 1;
          if (attempt < 3) throw Object.assign(new Error(`attempt ${attempt} broke`), { code: 'cuda_oom' });
          return attempt;
        },
      },
    });
    const job = await client.submit({ job_type: 'retry', params: {}, backoff_ms: 50 });
    const events = await all(job);
    expect(await job.result()).toBe(3);
    expect(tries).toBe(3);
    const retrying = events.filter(event => event.type === 'job_retrying');
    expect(retrying.map(({ error }) => error)).toMatchObject([
      { code: 'cuda_oom', message: 'attempt 1 broke' },
      { code: 'cuda_oom', message: 'attempt 2 broke' },
    ]);
    const { attempts } = await client.getJob(job.id);
    expect(
      attempts?.map(({ attempt, error }) => [attempt, (error as { code: string } | null)?.code]),
    ).toEqual([
      [1, 'cuda_oom'],
      [2, 'cuda_oom'],
      [3, undefined],
    ]);
  });

  test('that must not be retried fails with the handler’s own code and details', async () => {
    await fleet.machine({
      machine_id: 'm-fail',
      handler: {
        fail: () => {
          throw Object.assign(new Error('not a picture'), {
            code: 'bad_input',
            retryable: false,
            details: { field: 'image' },
          });
        },
      },
    });
    const job = await client.submit({ job_type: 'fail', params: {} });
    const error = await job.result().catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(JobFailedError);
    expect(error).toMatchObject({ code: 'bad_input', message: 'not a picture', details: { field: 'image' } });
  });

  test('that a machine rejects runs on another one, without counting an attempt', async () => {
    const seen: string[] = [];
    const picky = await fleet.machine({
      machine_id: 'm-picky',
      handler: {
        picky: (_, context) => {
          seen.push('picky');
          context.reject('no such weights here', 60_000);
        },
      },
    });
    const first = await client.submit({ job_type: 'picky', params: {}, watch: 'all' });
    const events = all(first);
    await until('the rejection', async () => seen.length === 1 && picky.held === 0);
    await fleet.machine({ machine_id: 'm-able', handler: { picky: () => (seen.push('able'), 'made') } });
    expect(await first.result()).toBe('made');
    expect(seen).toEqual(['picky', 'able']);
    expect(await client.getJob(first.id)).toMatchObject({ attempt: 1, worker_id: 'm-able:gpu0' });
    expect((await events).flatMap(event => (event.type === 'job_queued' ? [event.reason] : [])).at(-1)).toBe(
      'rejected',
    );
  });

  test('that its machine hands back when it stops goes to another one, without counting an attempt', async () => {
    const work = byHand();
    const leaving = await fleet.machine({ machine_id: 'm-leaving', handler: { leave: work.handler } });
    const job = await client.submit({ job_type: 'leave', params: {}, max_attempts: 1 });
    const run = await work.run(0);
    await fleet.machine({ machine_id: 'm-staying', handler: { leave: () => 'stayed' } });
    await leaving.stop();
    expect(run.context.signal.reason).toMatchObject({ code: 'released' });
    expect(await job.result()).toBe('stayed');
    expect(await client.getJob(job.id)).toMatchObject({ attempt: 1, worker_id: 'm-staying:gpu0' });
  });
});

describe('several GPUs', () => {
  test('of one machine run a job each at the same time, never two', async () => {
    const work = byHand();
    await fleet.machine({ machine_id: 'm-four', gpu_count: 4, handler: { four: work.handler } });
    const jobs = Array.from({ length: 6 }, () => ({ job_type: 'four', params: {} }));
    const handles = (await client.submitMany(jobs)) as JobHandle[];
    await work.run(3);
    expect(new Set(work.runs.map(({ context }) => context.gpu)).size).toBe(4);
    expect((await client.listJobs({ job_type: 'four', status: 'queued' })).jobs).toHaveLength(2);
    work.runs[0]?.complete();
    const fifth = await work.run(4);
    expect(fifth.context.gpu).toBe(work.runs[0]?.context.gpu);
    for (const run of work.runs) run.complete();
    (await work.run(5)).complete();
    await Promise.all(handles.map(handle => handle.result()));
    expect(work.runs).toHaveLength(6);
  });
});

describe('requirements', () => {
  test('nobody meets delay nobody else, and are met when such a machine comes', async () => {
    const small = { job_type: 'sized', params: { size: 'small' }, priority: -100 };
    const large = {
      ...small,
      params: { size: 'large' },
      priority: 100,
      requirements: { min_vram_mb: 40_000 },
    };
    const done: unknown[] = [];
    const handler = {
      sized: (job: { params: Record<string, unknown> }) => void done.push(job.params['size']),
    };
    await fleet.machine({ machine_id: 'm-small', gpus: [{ index: 0, vram_mb: 24_000 }], handler });
    const waiting = await client.submit(large);
    await (await client.submit(small)).result();
    expect(done).toEqual(['small']);
    expect(await client.getJob(waiting.id)).toMatchObject({ status: 'queued' });
    await fleet.machine({ machine_id: 'm-large', gpus: [{ index: 0, vram_mb: 81_920 }], handler });
    await waiting.result();
    expect(await client.getJob(waiting.id)).toMatchObject({ worker_id: 'm-large:gpu0' });
  });
});
