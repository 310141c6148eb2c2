/** Protocol section 6: monitors and admins. One test after the other: monitors see everything. */
import { describe, expect, test } from 'vitest';
import { type Frame, type Peer, types } from '../harness/peer.ts';
import { event, get_job, hub_under_test, submit, unique } from './hub_under_test.ts';

const hub = hub_under_test();

const WORKER = [
  'worker_id',
  'machine_id',
  'index',
  'status',
  'gpu_name',
  'vram_mb',
  'job_types',
  'models',
  'labels',
  'job_id',
  'hub_id',
  'version',
  'connected_at',
  'last_seen_at',
  'status_reason',
  'resume_at',
  'telemetry',
];

function expect_stats(stats: Frame): void {
  expect(Number.isInteger(stats.at)).toBe(true);
  const groups: Record<string, string[]> = {
    jobs: ['scheduled', 'queued', 'assigned', 'processing', 'completed', 'failed', 'cancelled', 'expired'],
    workers: ['idle', 'busy', 'stopping', 'draining', 'quarantined', 'offline'],
    rates: ['submitted_per_s', 'completed_per_s', 'failed_per_s'],
  };
  for (const [group, names] of Object.entries(groups))
    for (const name of names) expect(stats[group][name], `${group}.${name}`).toEqual(expect.any(Number));
  for (const name of ['queue_p50', 'queue_p99', 'run_p50', 'run_p99'])
    expect(stats.latency_ms).toHaveProperty(name);
  expect(stats.clients).toEqual(expect.any(Number));
  expect(stats.hubs).toEqual(expect.any(Number));
  expect(stats).toHaveProperty('oldest_queued_ms');
  expect(stats.paused).toEqual(expect.any(Array));
  expect(stats).toHaveProperty('events_left_out');
  expect(stats.by_type).toEqual(expect.any(Object));
}

/** The next worker message about this worker. */
const about = (
  monitor: Peer,
  type: string,
  worker_id: string,
  wanted: (worker: Frame) => boolean = () => true,
) =>
  monitor.next(
    frame =>
      frame.type === type &&
      frame.worker_id === worker_id &&
      (frame.worker === undefined || wanted(frame.worker)),
  );

/** The record of one worker, as an admin sees it. */
async function worker_record(monitor: Peer, worker_id: string): Promise<Frame | undefined> {
  const answer = await monitor.request({ type: 'list_workers' });
  expect(answer.type).not.toBe('error');
  return answer.workers.find((worker: Frame) => worker.worker_id === worker_id);
}

describe.skipIf(hub.skip)('a monitor', () => {
  test('gets a snapshot after welcome, with what is there', async () => {
    await using client = await hub.client();
    const job_type = unique('t');
    await using machine = await hub.machine({ job_types: [job_type] });
    const { job_id } = await submit(client, { job_type, params: { secret: 1 } });
    await machine.assigned(job_id);
    await using monitor = await hub.monitor();
    const snapshot = await monitor.next('snapshot');
    expect(types(monitor.frames.slice(0, 2))).toEqual(['welcome', 'snapshot']);
    expect_stats(snapshot.stats);
    for (const field of ['history', 'hubs', 'machines', 'workers', 'jobs', 'paused'])
      expect(snapshot, field).toHaveProperty(field);
    for (const field of ['history', 'workers', 'jobs'])
      expect(Array.isArray(snapshot[field]), field).toBe(true);
    const worker = snapshot.workers.find((one: Frame) => one.worker_id === machine.registered.worker_ids[0]);
    for (const field of WORKER) expect(worker, field).toHaveProperty(field);
    expect(worker).toMatchObject({ status: 'busy', job_id, index: 0, job_types: [job_type] });
    const job = snapshot.jobs.find((one: Frame) => one.job_id === job_id);
    expect(job).toMatchObject({ job_id, job_type, status: 'assigned' });
    expect(job).not.toHaveProperty('params');
  });

  test('is told of a worker that connects, works and goes', async () => {
    await using monitor = await hub.monitor();
    await monitor.next('snapshot');
    await using client = await hub.client();
    const job_type = unique('t');
    await using machine = await hub.machine({
      job_types: [job_type],
      gpus: [
        {
          index: 0,
          name: 'NVIDIA A100',
          vram_mb: 81920,
        },
      ],
      models: ['sdxl'],
      labels: { zone: 'eu' },
      version: '1.2.3',
    });
    const worker_id = machine.registered.worker_ids[0];
    const { worker } = await about(monitor, 'worker_connected', worker_id);
    for (const field of WORKER) expect(worker, field).toHaveProperty(field);
    expect(worker).toMatchObject({
      worker_id,
      machine_id: machine.fields.machine_id,
      index: 0,
      status: 'idle',
      job_id: null,
      gpu_name: 'NVIDIA A100',
      vram_mb: 81920,
      models: ['sdxl'],
      labels: { zone: 'eu' },
      job_types: [job_type],
      version: '1.2.3',
    });
    const { job_id } = await submit(client, { job_type });
    const lease = await machine.assigned(job_id);
    await about(monitor, 'worker_updated', worker_id, one => one.status === 'busy' && one.job_id === job_id);
    await machine.complete(lease);
    await about(monitor, 'worker_updated', worker_id, one => one.status === 'idle' && one.job_id === null);
    await machine.peer.terminate();
    const gone = await about(monitor, 'worker_disconnected', worker_id);
    expect(gone.reason).toEqual(expect.any(String));
  });

  test('a worker that is lost with a job is told of at once, and is offline while its lease runs', async () => {
    await using monitor = await hub.monitor();
    await using client = await hub.client();
    const job_type = unique('t');
    await using machine = await hub.machine({ job_types: [job_type] });
    const worker_id = machine.registered.worker_ids[0];
    const { job_id } = await submit(client, { job_type });
    machine.started(await machine.assigned(job_id));
    await event(client, job_id, 'job_started');
    await machine.peer.terminate();
    await about(monitor, 'worker_disconnected', worker_id);
    expect((await worker_record(monitor, worker_id))?.status).toBe('offline');
  });

  test('telemetry of heartbeats comes into the worker record', async () => {
    await using monitor = await hub.monitor();
    await using machine = await hub.machine({ job_types: [unique('t')] });
    const worker_id = machine.registered.worker_ids[0];
    const telemetry = {
      gpu_util: 97,
      vram_used_mb: 20_000,
      temperature_c: 71,
      power_w: 400,
      loaded_models: ['sdxl'],
    };
    await machine.heartbeat([], [{ worker_id, ...telemetry }]);
    const { worker } = await about(
      monitor,
      'worker_updated',
      worker_id,
      one => one.telemetry?.gpu_util === 97,
    );
    expect(worker.telemetry).toMatchObject(telemetry);
  });

  test('gets stats every second, with every field', async () => {
    await using monitor = await hub.monitor();
    await monitor.next('snapshot');
    const first = await monitor.next('stats', { timeout_ms: 2500 });
    const at_first = performance.now();
    const second = await monitor.next('stats', { timeout_ms: 2500 });
    const gap = performance.now() - at_first;
    expect_stats(first);
    expect_stats(second);
    expect(gap).toBeGreaterThan(500);
    expect(second.at).toBeGreaterThan(first.at);
  });

  test('stats count the present states now and the ended ones', async () => {
    await using client = await hub.client();
    const job_type = unique('t');
    const before = await client.request({ type: 'get_stats' });
    for (let i = 0; i < 3; i++) await submit(client, { job_type });
    await using machine = await hub.machine({ job_types: [job_type] });
    await machine.complete(await machine.assigned());
    const lease = await machine.assigned();
    machine.started(lease);
    await event(client, lease.job_id, 'job_started');
    await using monitor = await hub.monitor();
    await monitor.next('stats');
    const stats = await monitor.next(
      frame =>
        frame.type === 'stats' &&
        frame.by_type[job_type]?.completed === 1 &&
        frame.by_type[job_type].active === 1,
    );
    expect(stats.by_type[job_type]).toMatchObject({ queued: 1, active: 1, completed: 1, failed: 0 });
    expect(stats.by_type[job_type]).toHaveProperty('avg_run_ms');
    expect(stats.jobs.completed).toBeGreaterThanOrEqual(before.jobs.completed + 1);
  });

  test('gets the events of every job, with growing seq and worker_id', async () => {
    await using monitor = await hub.monitor();
    await monitor.next('snapshot');
    await using client = await hub.client();
    const job_type = unique('t');
    await using machine = await hub.machine({ job_types: [job_type] });
    const { job_id } = await submit(client, { job_type, watch: false });
    await machine.run(job_id);
    // Events may be coalesced to the newest of a job; the end always comes.
    const completed = await event(monitor, job_id, 'job_completed');
    expect(completed.worker_id).toBe(machine.registered.worker_ids[0]);
    const seqs = monitor.events(job_id).map(frame => frame.seq);
    expect(seqs).toEqual([...seqs].sort((a, b) => a - b));
    expect(monitor.events(job_id).at(-1)?.type).toBe('job_completed');
  });
});

describe.skipIf(hub.skip)('an admin', () => {
  test('may submit, get, list and cancel', async () => {
    await using monitor = await hub.monitor();
    const job_type = unique('t');
    const { job_id } = await submit(monitor, { job_type });
    expect((await get_job(monitor, job_id)).status).toBe('queued');
    const list = await monitor.request({ type: 'list_jobs', job_type });
    expect(list.jobs.map((job: Frame) => job.job_id)).toEqual([job_id]);
    const answer = await monitor.request({ type: 'cancel_job', job_id });
    expect(answer).toMatchObject({ type: 'job_cancel_accepted', job_id, status: 'cancelled' });
  });

  test('list_workers gives every record', async () => {
    await using monitor = await hub.monitor();
    await using machine = await hub.machine({ job_types: [unique('t')], gpu_count: 2 });
    for (const worker_id of machine.registered.worker_ids) {
      const worker = await worker_record(monitor, worker_id);
      for (const field of WORKER) expect(worker, field).toHaveProperty(field);
      expect(worker?.status).toBe('idle');
    }
  });

  test('pause_queue holds the jobs of a type, and no others, until resume_queue', async () => {
    await using monitor = await hub.monitor();
    await using client = await hub.client();
    const [held, free] = [unique('t'), unique('t')];
    const paused = await monitor.request({ type: 'pause_queue', job_type: held, reason: 'maintenance' });
    expect(paused.type).not.toBe('error');
    await using machine = await hub.machine({ job_types: [held, free] });
    const waiting = await submit(client, { job_type: held, priority: 100 });
    expect(waiting.status).toBe('queued');
    const other = await submit(client, { job_type: free });
    await machine.complete(await machine.assigned(other.job_id));
    await machine.peer.none('job_assigned', 100);
    await using late = await hub.monitor();
    expect(JSON.stringify((await late.next('snapshot')).paused)).toContain(held);
    expect((await monitor.request({ type: 'resume_queue', job_type: held })).type).not.toBe('error');
    await machine.assigned(waiting.job_id);
  });

  test('stats name what is paused, with at most 200 characters of the reason, and no longer when it is resumed', async () => {
    await using monitor = await hub.monitor();
    const job_type = unique('t');
    const pauseOf = (stats: Frame) => stats.paused.find((pause: Frame) => pause.job_type === job_type);
    await monitor.request({ type: 'pause_queue', job_type, reason: 'w'.repeat(1000) });
    const said = await monitor.next(frame => frame.type === 'stats' && pauseOf(frame) !== undefined);
    expect(pauseOf(said)).toEqual({ job_type, reason: 'w'.repeat(200), at: expect.any(Number) });
    await monitor.request({ type: 'resume_queue', job_type });
    await monitor.next(frame => frame.type === 'stats' && pauseOf(frame) === undefined);
  });

  test('drain_worker takes a worker out, across its reconnects, until resume_worker', async () => {
    await using monitor = await hub.monitor();
    await using client = await hub.client();
    const job_type = unique('t');
    await using machine = await hub.machine({ job_types: [job_type] });
    const worker_id = machine.registered.worker_ids[0];
    const drained = await monitor.request({ type: 'drain_worker', worker_id, reason: 'fan' });
    expect(drained.type).not.toBe('error');
    expect(await machine.peer.next('worker_draining')).toMatchObject({
      worker_ids: [worker_id],
      reason: 'fan',
    });
    const { job_id } = await submit(client, { job_type });
    await machine.peer.none('job_assigned', 100);
    expect((await worker_record(monitor, worker_id))?.status).toBe('draining');
    await machine.peer.terminate();
    await using back = await hub.machine(machine.fields);
    await back.peer.none('job_assigned', 100);
    expect((await monitor.request({ type: 'resume_worker', worker_id })).type).not.toBe('error');
    expect((await back.peer.next('worker_resumed')).worker_ids).toEqual([worker_id]);
    await back.assigned(job_id);
  });

  test('drain_worker by machine_id takes all its slots', async () => {
    await using monitor = await hub.monitor();
    await using client = await hub.client();
    const job_type = unique('t');
    await using machine = await hub.machine({ job_types: [job_type], gpu_count: 2 });
    const { machine_id } = machine.fields;
    expect((await monitor.request({ type: 'drain_worker', machine_id })).type).not.toBe('error');
    const told = await machine.peer.next('worker_draining');
    expect([...told.worker_ids].sort()).toEqual([...machine.registered.worker_ids].sort());
    await submit(client, { job_type });
    await machine.peer.none('job_assigned', 100);
  });

  test('an unknown worker is not_found', async () => {
    await using monitor = await hub.monitor();
    const worker_id = `${unique('none')}:gpu0`;
    expect((await monitor.request({ type: 'drain_worker', worker_id })).code).toBe('not_found');
  });

  test('retry_job makes a new job with retry_of', async () => {
    await using monitor = await hub.monitor();
    await using client = await hub.client();
    const job_type = unique('t');
    await using machine = await hub.machine({ job_types: [job_type] });
    const { job_id } = await submit(client, { job_type, params: { steps: 3 }, max_attempts: 1 });
    await machine.fail(await machine.assigned(job_id));
    await event(client, job_id, 'job_failed');
    const accepted = await monitor.request({ type: 'retry_job', job_id });
    expect(accepted).toMatchObject({ type: 'job_accepted', duplicate: false });
    expect(accepted.job_id).not.toBe(job_id);
    const again = await machine.assigned(accepted.job_id);
    expect(again).toMatchObject({ params: { steps: 3 }, attempt: 1 });
    expect((await get_job(client, accepted.job_id)).retry_of).toBe(job_id);
    expect((await get_job(client, job_id)).status).toBe('failed');
    await machine.complete(again);
    expect((await monitor.request({ type: 'retry_job', job_id: unique('none') })).code).toBe('not_found');
  });

  test('set_priority changes the order of what waits', async () => {
    await using monitor = await hub.monitor();
    await using client = await hub.client();
    const job_type = unique('t');
    const first = await submit(client, { job_type });
    const second = await submit(client, { job_type, watch: 'all' });
    const before = await get_job(client, second.job_id);
    const answer = await monitor.request({ type: 'set_priority', job_id: second.job_id, priority: 50 });
    expect(answer.type).not.toBe('error');
    const moved = await client.next(frame => frame.reason === 'operator');
    expect(moved).toMatchObject({ type: 'job_queued', job_id: second.job_id, position: 1 });
    expect(moved.seq).toBeGreaterThan(before.seq);
    // It waits since it came, not since it was moved.
    const { priority, queued_at, seq } = await get_job(client, second.job_id);
    expect({ priority, queued_at, seq }).toEqual({
      priority: 50,
      queued_at: before.queued_at,
      seq: moved.seq,
    });
    await using machine = await hub.machine({ job_types: [job_type] });
    const lease = await machine.assigned();
    expect(lease.job_id).toBe(second.job_id);
    await machine.complete(lease);
    await machine.complete(await machine.assigned(first.job_id));
    const ended = await monitor.request({ type: 'set_priority', job_id: first.job_id, priority: 1 });
    expect(ended.code).toBe('conflict');
    const unknown = await monitor.request({ type: 'set_priority', job_id: unique('none'), priority: 1 });
    expect(unknown.code).toBe('not_found');
  });

  test('purge_jobs takes away ended jobs of one state and no others', async () => {
    await using monitor = await hub.monitor();
    await using client = await hub.client();
    const job_type = unique('t');
    await using machine = await hub.machine({ job_types: [job_type] });
    const kept = await submit(client, { job_type });
    await machine.run(kept.job_id);
    const gone = await submit(client, { job_type });
    await machine.fail(await machine.assigned(gone.job_id), { code: 'x', message: 'X.', retryable: false });
    await event(client, gone.job_id, 'job_failed');
    expect((await monitor.request({ type: 'purge_jobs', status: 'failed' })).type).not.toBe('error');
    expect((await client.request({ type: 'get_job', job_id: gone.job_id })).code).toBe('not_found');
    expect((await get_job(client, kept.job_id)).status).toBe('completed');
  });
});
