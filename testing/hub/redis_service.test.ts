/** The queue service for programs beside the hub, and the monitors of the testing tools, as document A shows them. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { RedisService } from '../../core/store/redis_service.ts';
import { ApiError, JobMonitor, RedisMonitor, WorkerMonitor } from '../testing_utils.ts';
import { byHand, Fleet, until } from '../harness/fleet.ts';

let fleet: Fleet;
let queue: RedisService;
beforeAll(async () => {
  fleet = await Fleet.start();
  queue = new RedisService({ host: fleet.redis.host, port: fleet.redis.port, db: 0 });
});
afterAll(async () => {
  await queue.close();
  await fleet[Symbol.asyncDispose]();
});

const IMAGE = { job_type: 'image_generation', priority: 5, params: { prompt: 'a sunset' } };

describe('RedisService', () => {
  test('adds a job that a running hub gives to an idle machine at once', async () => {
    const work = byHand();
    await fleet.machine({ machine_id: 'painter', handler: { image_generation: work.handler } });
    const asked_at = performance.now();
    const added = await queue.addJob({ ...IMAGE, job_id: 'test-job-123', client_id: 'gallery' });
    expect(added).toMatchObject({ job_id: 'test-job-123', duplicate: false });
    const run = await work.run(0);
    expect(performance.now() - asked_at).toBeLessThan(1000);
    expect(run.job).toMatchObject({ job_id: 'test-job-123', params: { prompt: 'a sunset' } });
    await until('the state', async () => (await queue.getJobStatus('test-job-123')) === 'processing');
    run.complete({ url: 'sunset.png' });
    await until('the end', async () => (await queue.getJobStatus('test-job-123')) === 'completed');
    expect(await queue.getJob('test-job-123')).toMatchObject({
      priority: 5,
      client_id: 'gallery',
      worker_id: 'painter:gpu0',
      result: { url: 'sunset.png' },
    });
  });

  test('takes the same job once, also beside a client of the hub, and refuses another under its id', async () => {
    const job = { job_type: 'nobody', params: { a: 1 }, job_id: 'twice' };
    expect(await queue.addJob(job)).toMatchObject({ status: 'queued', duplicate: false });
    expect(await queue.addJob(job)).toMatchObject({ status: 'queued', duplicate: true });
    expect((await fleet.client().submit(job)).accepted).toMatchObject({ duplicate: true });
    await expect(queue.addJob({ ...job, params: { a: 2 } })).rejects.toMatchObject({ code: 'conflict' });
    await expect(queue.addJob({ ...job, priority: 1 })).rejects.toMatchObject({ code: 'conflict' });
  });

  test('says what is wrong with a job, and knows none that was not added', async () => {
    await expect(queue.addJob({ job_type: 'two words', params: {} })).rejects.toMatchObject({
      code: 'invalid_message',
      message: expect.stringContaining('job_type'),
    });
    await expect(queue.addJob({ job_type: 'image', params: {}, client_id: 'a\0b' })).rejects.toMatchObject({
      code: 'invalid_message',
      message: expect.stringContaining('client_id'),
    });
    expect(await queue.getJobStatus('no-such-job')).toBeNull();
    expect(await queue.getJob('no-such-job')).toBeNull();
  });

  test('keeps the order of the queue: higher priorities first, whoever submitted them', async () => {
    const client = fleet.client();
    await queue.addJob({ job_type: 'ordered', params: { n: 2 } });
    await client.submit({ job_type: 'ordered', params: { n: 3 } });
    await queue.addJob({ job_type: 'ordered', params: { n: 1 }, priority: 50 });
    const order: unknown[] = [];
    await fleet.machine({ machine_id: 'orderly', handler: { ordered: job => order.push(job.params['n']) } });
    await until('all three', () => order.length === 3);
    expect(order).toEqual([1, 2, 3]);
  });

  test('tells within a bounded time that Redis is not there', async () => {
    const lost = new RedisService({ host: '127.0.0.1', port: 1 });
    await expect(lost.addJob(IMAGE)).rejects.toThrow();
    await lost.close();
  });
});

describe('the monitors', () => {
  const options = () => ({ hub_url: fleet.hub.httpUrl });

  test('JobMonitor shows a job, the active ones, and the completed ones with a limit', async () => {
    const work = byHand();
    await fleet.machine({ machine_id: 'watched', handler: { watched: work.handler } });
    const client = fleet.client();
    for (let i = 0; i < 3; i++) {
      const job = await client.submit({ job_type: 'watched', params: { i } });
      (await work.run(i)).complete(i);
      await job.result();
    }
    const active = await client.submit({ job_type: 'watched', params: {}, job_id: 'active-now' });
    const run = await work.run(3);
    run.context.progress(0.25);

    const monitor = new JobMonitor(options());
    const shown = await until('the progress', async () => {
      const job = await monitor.getJobDetails('active-now');
      return job?.status === 'processing' && job;
    });
    expect(shown).toMatchObject({ job_id: active.id, worker_id: 'watched:gpu0', params: {} });
    expect(await monitor.getJobDetails('nothing')).toBeNull();
    expect((await monitor.getActiveJobs()).map(({ job_id }) => job_id)).toEqual(['active-now']);
    const completed = await monitor.getCompletedJobs(2);
    expect(completed.map(({ status, job_type }) => [status, job_type])).toEqual([
      ['completed', 'watched'],
      ['completed', 'watched'],
    ]);
    run.complete();
    await active.result();
  });

  test('WorkerMonitor shows all workers, one of them, and counts', async () => {
    const monitor = new WorkerMonitor(options());
    const ids = (await monitor.getAllWorkers()).map(({ worker_id }) => worker_id);
    expect(ids).toEqual(['orderly:gpu0', 'painter:gpu0', 'watched:gpu0']);
    expect(await monitor.getWorkerById('painter:gpu0')).toMatchObject({
      machine_id: 'painter',
      status: 'idle',
    });
    expect(await monitor.getWorkerById('painter:gpu7')).toBeNull();
    expect(await monitor.getWorkerStats()).toMatchObject({
      total: 3,
      connected: 3,
      machines: 3,
      by_status: { idle: 3, busy: 0, offline: 0 },
      utilization: 0,
    });
  });

  test('RedisMonitor shows the queues', async () => {
    const monitor = new RedisMonitor(options());
    const stats = await until('the count', async () => {
      const now = await monitor.getQueueStats();
      return now.by_type['watched']?.completed === 4 && now;
    });
    expect(stats.by_type['nobody']).toMatchObject({ queued: 1, active: 0 });
    expect(stats).toMatchObject({ hubs: 1, jobs: { queued: 1, processing: 0 } });
    const nowhere = new RedisMonitor({ hub_url: 'http://127.0.0.1:1' });
    await expect(nowhere.getQueueStats()).rejects.toBeInstanceOf(ApiError);
  });
});
