import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { FakeHub, jobRecord, refusal, statsRecord, workerRecord } from './harness/fake_hub.ts';
import { JobMonitor, RedisMonitor, WorkerMonitor } from './testing_utils.ts';

let hub: FakeHub;
beforeEach(async () => {
  hub = await FakeHub.start();
});
afterEach(() => hub[Symbol.asyncDispose]());

describe('JobMonitor', () => {
  it('gives the details of a job, and null for one that is not there', async () => {
    hub.on('GET /jobs/job-123456', 200, jobRecord({ job_id: 'job-123456' }));
    const monitor = new JobMonitor({ hub_url: hub.url });
    expect(await monitor.getJobDetails('job-123456')).toMatchObject({ job_id: 'job-123456', progress: 0.62 });
    expect(await monitor.getJobDetails('job-404')).toBeNull();
  });

  it('lists all active jobs, over as many pages as there are', async () => {
    hub.raw(
      'GET /jobs',
      { status: 200, body: { jobs: [jobRecord({ job_id: 'a' })], next_cursor: 'two' } },
      { status: 200, body: { jobs: [jobRecord({ job_id: 'b' })], next_cursor: null } },
    );
    const jobs = await new JobMonitor({ hub_url: hub.url }).getActiveJobs();
    expect(jobs.map(job => job.job_id)).toEqual(['a', 'b']);
    expect(hub.asked.map(({ path }) => path)).toEqual([
      '/jobs?status=active&limit=500',
      '/jobs?status=active&limit=500&cursor=two',
    ]);
  });

  it('lists completed jobs to the limit', async () => {
    hub.on('GET /jobs', 200, {
      jobs: [jobRecord({ job_id: 'a' }), jobRecord({ job_id: 'b' })],
      next_cursor: 'more',
    });
    expect(await new JobMonitor({ hub_url: hub.url }).getCompletedJobs(2)).toHaveLength(2);
    expect(hub.asked.map(({ path }) => path)).toEqual(['/jobs?status=completed&limit=2']);
  });
});

describe('WorkerMonitor', () => {
  it('lists workers, finds one, and counts', async () => {
    const workers = [
      workerRecord(),
      workerRecord({ worker_id: 'machine1:gpu1', index: 1, status: 'idle' }),
      workerRecord({ worker_id: 'machine2:gpu0', machine_id: 'machine2', status: 'offline' }),
    ];
    hub.on('GET /workers', 200, { workers }).on('GET /workers/machine1:gpu0', 200, workers[0]);
    const monitor = new WorkerMonitor({ hub_url: hub.url });
    expect(await monitor.getAllWorkers()).toEqual(workers);
    expect(await monitor.getWorkerById('machine1:gpu0')).toEqual(workers[0]);
    expect(await monitor.getWorkerById('machine9:gpu0')).toBeNull();
    expect(await monitor.getWorkerStats()).toEqual({
      total: 3,
      connected: 2,
      machines: 2,
      by_status: { idle: 1, busy: 1, stopping: 0, draining: 0, quarantined: 0, offline: 1 },
      utilization: 0.5,
    });
  });

  it('has no utilization when nothing is connected', async () => {
    hub.on('GET /workers', 200, { workers: [] });
    expect(await new WorkerMonitor({ hub_url: hub.url }).getWorkerStats()).toMatchObject({ utilization: 0 });
  });
});

describe('RedisMonitor', () => {
  it('gives the statistics of the queues', async () => {
    expect(await new RedisMonitor({ hub_url: hub.url }).getQueueStats()).toEqual(statsRecord());
  });

  it('rejects with the code of the hub', async () => {
    hub.on('GET /stats', 503, refusal('unavailable', 'Redis does not answer'));
    await expect(new RedisMonitor({ hub_url: hub.url }).getQueueStats()).rejects.toMatchObject({
      code: 'unavailable',
      status: 503,
    });
  });
});
