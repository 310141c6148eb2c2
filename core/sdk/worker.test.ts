import { once } from 'node:events';
import { afterEach, describe, expect, it } from 'vitest';
import { FakeSocketHub, WELCOME } from '../../testing/harness/fake_socket_hub.ts';
import { leftBehind } from '../../testing/harness/left_behind.ts';
import {
  GpuhubWorker,
  type JobContext,
  type JobHandler,
  type WorkerEvent,
  type WorkerOptions,
} from './worker.ts';

const cleanups: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

/** @param times of leases and heartbeats, where they matter */
async function startHub(times: object): Promise<FakeSocketHub> {
  const limits = { ...WELCOME.limits, max_message_bytes: 100_000 };
  const hub = await FakeSocketHub.start({ limits }, times);
  cleanups.push(() => hub.stop());
  return hub;
}

/** A handler whose runs the test ends by hand. */
function byHand() {
  const runs: { context: JobContext; end: (result?: unknown) => void; fail: (error: unknown) => void }[] = [];
  const wake: (() => void)[] = [];
  const handler: JobHandler = (_, context) =>
    new Promise((end, fail) => {
      runs.push({ context, end, fail });
      for (const each of wake.splice(0)) each();
    });
  const run = async (index: number) => {
    while (runs.length <= index) await new Promise<void>(resolve => wake.push(resolve));
    return runs[index] as (typeof runs)[number];
  };
  return { handler, runs, run };
}

/** A registered machine with one GPU, and its events. */
async function machine(options: Partial<WorkerOptions> = {}, times: object = {}) {
  const hub = await startHub(times);
  const events: WorkerEvent[] = [];
  const heard = new Map<string, ((event: WorkerEvent) => void)[]>();
  const work = byHand();
  const worker = new GpuhubWorker({
    url: hub.url,
    machine_id: 'm1',
    handler: work.handler,
    backoff: { base_ms: 5, cap_ms: 20 },
    on_event: event => {
      events.push(event);
      for (const resolve of heard.get(event.type)?.splice(0) ?? []) resolve(event);
    },
    ...options,
  });
  cleanups.push(() => worker.stop({ grace_ms: 0, timeout_ms: 0 }));
  /** The next event of a type that has not come yet. */
  const event = (type: WorkerEvent['type']) =>
    new Promise<WorkerEvent>(resolve => heard.set(type, [...(heard.get(type) ?? []), resolve]));
  const starting = worker.start();
  const peer = await hub.peer();
  const registration = await peer.register();
  await starting;
  return { hub, peer, worker, events, event, registration, ...work };
}

describe('registration', () => {
  it('tells what the machine has and can do', async () => {
    const gpus = [{ index: 0, name: 'RTX', vram_mb: 24_576 }];
    const { registration } = await machine({
      gpus,
      models: ['sdxl'],
      labels: { region: 'eu' },
      version: '1',
    });
    expect(registration).toMatchObject({
      machine_id: 'm1',
      gpus,
      job_types: ['*'],
      models: ['sdxl'],
      labels: { region: 'eu' },
      version: '1',
      draining: false,
      running: [],
    });
  });

  it('takes the job types from the handlers, and rejects a job without one', async () => {
    const { registration, peer } = await machine({ handler: { chat: () => 'hello' } });
    expect(registration['job_types']).toEqual(['chat']);
    peer.assign('a');
    expect(await peer.next('job_rejected')).toMatchObject({
      job_id: 'a',
      reason: expect.stringMatching('image'),
    });
    peer.assign('b', { job_type: 'chat' });
    expect(await peer.next('job_completed')).toMatchObject({ job_id: 'b', result: 'hello' });
  });

  it('is tried again while Redis is unavailable', async () => {
    const hub = await startHub({});
    const worker = new GpuhubWorker({ url: hub.url, machine_id: 'm1', handler: () => 1 });
    cleanups.push(() => worker.stop());
    const starting = worker.start();
    const peer = await hub.peer();
    peer.refuse(await peer.next('register_worker'), 'unavailable', { retry_after_ms: 10 });
    await peer.register();
    await starting;
  });

  it('ends the worker when the hub calls it invalid', async () => {
    const hub = await startHub({});
    const worker = new GpuhubWorker({ url: hub.url, machine_id: 'm 1', handler: () => 1 });
    const starting = worker.start();
    starting.catch(() => {});
    const peer = await hub.peer();
    peer.refuse(await peer.next('register_worker'), 'invalid_message');
    await expect(starting).rejects.toMatchObject({ code: 'invalid_message' });
    expect(await worker.closed).toMatchObject({ code: 'invalid_message' });
  });

  it('is for good over after 4409, and jobs stop', async () => {
    const { peer, worker, run } = await machine();
    peer.assign('a');
    const { context } = await run(0);
    peer.close(4409);
    expect(await worker.closed).toMatchObject({ code: 'replaced' });
    expect(context.signal.reason).toMatchObject({ code: 'replaced' });
  });
});

describe('a job', () => {
  it('is started at once, told with its progress, and completed until acknowledged', async () => {
    const { peer, worker, run, event } = await machine();
    const lease_id = peer.assign('a');
    expect(await peer.next('job_started')).toEqual({ type: 'job_started', job_id: 'a', lease_id });
    const { context, end } = await run(0);
    expect(context).toMatchObject({ gpu: 0, gpus: [0], attempt: 1, lease_id });
    context.progress(0.5, 'half', { step: 1 });
    const progress = await peer.next('job_progress');
    expect(progress).toMatchObject({
      job_id: 'a',
      lease_id,
      progress: 0.5,
      message: 'half',
      data: { step: 1 },
    });
    end({ url: 'x' });
    const done = await peer.next('job_completed');
    expect(done).toMatchObject({ job_id: 'a', lease_id, result: { url: 'x' } });
    expect(worker.held).toBe(1);
    const acked = event('job_acked');
    peer.ack(done);
    await acked;
    expect(worker.held).toBe(0);
  });

  it('gives its handler a context that may be taken apart or spread', async () => {
    const { peer, run } = await machine();
    peer.assign('j1');
    const { context } = await run(0);
    const { signal, ...rest } = { ...context };
    expect(signal).toBe(context.signal);
    expect(Object.keys(rest).toSorted()).toEqual(
      ['attempt', 'gpu', 'gpus', 'lease_id', 'output', 'progress', 'reject', 'release'].toSorted(),
    );
    rest.output('a token');
    expect(await peer.next('job_output')).toMatchObject({ data: 'a token' });
  });

  it('with a lease that is known already is not run twice', async () => {
    const { peer, runs, run } = await machine();
    peer.assign('a');
    peer.assign('a');
    (await run(0)).end(1);
    peer.ack(await peer.next('job_completed'));
    peer.assign('a');
    peer.assign('b');
    (await run(1)).end(2);
    expect(await peer.next('job_completed')).toMatchObject({ job_id: 'b' });
    expect(runs).toHaveLength(2);
  });

  it('whose handler throws has failed with its code, message, retryable and details', async () => {
    const { peer, run } = await machine();
    peer.assign('a');
    const error = Object.assign(new Error('x'.repeat(9000)), {
      code: 'oom',
      retryable: false,
      details: { mb: 1 },
    });
    (await run(0)).fail(error);
    const { error: told } = await peer.next('job_failed');
    expect(told).toMatchObject({ code: 'oom', retryable: false, details: { mb: 1 } });
    expect(told.message).toHaveLength(4000);
    peer.assign('b');
    (await run(1)).fail('plain');
    const plain = { code: 'handler_error', message: 'plain', retryable: true };
    expect((await peer.next('job_failed'))['error']).toEqual(plain);
  });

  it('whose result is not JSON has failed', async () => {
    const { peer } = await machine({ handler: () => ({ n: 1n }) });
    peer.assign('a');
    expect((await peer.next('job_failed'))['error']).toMatchObject({
      code: 'invalid_result',
      retryable: false,
    });
  });

  it('sends at most ten times a second how far it is, the latest last', async () => {
    const { peer, run } = await machine();
    peer.assign('a');
    const { context } = await run(0);
    for (let i = 1; i <= 50; i++) context.progress(i / 50);
    expect(await peer.next('job_progress')).toMatchObject({ progress: 0.02 });
    expect(await peer.next('job_progress')).toMatchObject({ progress: 1 });
    expect(peer.waiting).not.toContain('job_progress');
  });

  it('can be released or rejected by its handler', async () => {
    const { peer } = await machine({
      handler: ({ job_id }, context) =>
        job_id === 'a' ? context.release('busy') : context.reject('no such model', 5000),
    });
    peer.assign('a');
    expect(await peer.next('job_released')).toMatchObject({ job_id: 'a', reason: 'busy' });
    peer.assign('b');
    const rejected = await peer.next('job_rejected');
    expect(rejected).toMatchObject({ job_id: 'b', reason: 'no such model', retry_after_ms: 5000 });
  });

  it('waits for a GPU whose former job was taken away and has not ended', async () => {
    const { peer, run, runs, event } = await machine();
    const dropped = event('job_dropped');
    const lease_id = peer.assign('a');
    const former = await run(0);
    peer.send({ type: 'job_ack', job_id: 'a', lease_id, accepted: false, code: 'stale_lease' });
    await dropped;
    expect(former.context.signal.reason).toMatchObject({ code: 'abandoned' });
    peer.assign('b');
    peer.send({ type: 'cancel_job', job_id: 'x', lease_id: 'never heard of', reason: '', grace_ms: 1 });
    await peer.next('job_cancelled');
    expect(runs).toHaveLength(1);
    former.end('too late');
    await run(1);
    expect(peer.waiting).not.toContain('job_completed');
  });
});

describe('the outbox', () => {
  it('repeats a terminal message every resend_ms until it is acknowledged', async () => {
    const { peer } = await machine({ handler: () => 1 }, { resend_ms: 20 });
    peer.assign('a');
    const first = await peer.next('job_completed');
    const second = await peer.next('job_completed');
    expect(second).toEqual(first);
    peer.ack(second);
  });

  it('survives a lost connection: named in running, sent again', async () => {
    const { hub, peer, run } = await machine();
    const lease_id = peer.assign('a');
    const { end } = await run(0);
    peer.cut();
    end('result of hours');
    const next = await hub.peer();
    const registration = await next.register();
    expect(registration['running']).toEqual([{ job_id: 'a', lease_id }]);
    expect(await next.next('job_completed')).toMatchObject({ lease_id, result: 'result of hours' });
  });

  it('keeps the message while Redis is unavailable', async () => {
    const { peer, worker } = await machine({ handler: () => 1 });
    const lease_id = peer.assign('a');
    const first = await peer.next('job_completed');
    peer.refuse(first, 'unavailable', { job_id: 'a', lease_id, retry_after_ms: 10 });
    const second = await peer.next('job_completed');
    expect(second).toEqual(first);
    expect(worker.held).toBe(1);
  });

  it('sends job_failed in place of a result the hub calls bad, and a bare one in place of that', async () => {
    const { peer, event } = await machine({ handler: () => 1 });
    const lease_id = peer.assign('a');
    peer.refuse(await peer.next('job_completed'), 'payload_too_large');
    const failed = await peer.next('job_failed');
    expect(failed).toMatchObject({ lease_id, error: { code: 'payload_too_large', retryable: false } });
    peer.refuse(failed, 'invalid_message');
    const dropped = event('job_dropped');
    peer.refuse(await peer.next('job_failed'), 'invalid_message');
    await dropped;
  });

  it('does not send a result that no frame can hold', async () => {
    const { peer } = await machine({ handler: () => 'x'.repeat(200_000) });
    peer.assign('a');
    expect((await peer.next('job_failed'))['error']).toMatchObject({ code: 'payload_too_large' });
  });

  it('forgets a message that was refused for good', async () => {
    const { peer, worker, event } = await machine({ handler: () => 1 });
    peer.assign('a');
    const acked = event('job_acked');
    peer.ack(await peer.next('job_completed'), false, 'stale_lease');
    expect(await acked).toMatchObject({ accepted: false, code: 'stale_lease' });
    expect(worker.held).toBe(0);
  });

  it('does not take what the hub says of a late output for its word on the end of the job', async () => {
    const { peer, event } = await machine({ handler: () => 1 });
    const lease_id = peer.assign('a');
    const completed = await peer.next('job_completed');
    const acked = event('job_acked');
    // A hub died that had stored the end, and another is sent the outputs of the job once more.
    peer.send({ type: 'job_ack', job_id: 'a', lease_id, accepted: false, code: 'stale_lease' });
    peer.ack(completed);
    expect(await acked).toMatchObject({ accepted: true });
  });
});

describe('a lost connection', () => {
  it('does not stop a job; started and progress are told again', async () => {
    const { hub, peer, run } = await machine();
    peer.assign('a');
    const { context, end } = await run(0);
    await peer.next('job_started');
    peer.cut();
    context.progress(0.25);
    context.progress(0.75);
    const next = await hub.peer();
    await next.register();
    expect(await next.next('job_started')).toMatchObject({ job_id: 'a' });
    expect(await next.next('job_progress')).toMatchObject({ progress: 0.75 });
    expect(context.signal.aborted).toBe(false);
    end(1);
    await next.next('job_completed');
  });

  it('loses no output: it goes on from the next index that the hub lacks', async () => {
    const { hub, peer, run } = await machine();
    peer.assign('a');
    const { context, end } = await run(0);
    for (let i = 0; i < 3; i++) context.output(`word ${i}`);
    for (let i = 0; i < 3; i++) expect(await peer.next('job_output')).toMatchObject({ index: i });
    peer.cut();
    context.output('word 3');
    end(1);
    const next = await hub.peer();
    await next.register('continue', 2);
    for (let i = 2; i < 4; i++) {
      expect(await next.next('job_output')).toMatchObject({ index: i, data: `word ${i}` });
    }
    await next.next('job_completed');
    expect(next.waiting).toEqual([]);
  });

  it('stops the jobs that the hub has given to others', async () => {
    const { hub, peer, run, worker } = await machine();
    peer.assign('a');
    const { context } = await run(0);
    peer.cut();
    const next = await hub.peer();
    await next.register('abandon');
    await once(context.signal, 'abort');
    expect(context.signal.reason).toMatchObject({ code: 'abandoned' });
    expect(worker.held).toBe(0);
  });

  it('learns of a cancel that came meanwhile', async () => {
    const { hub, peer, run } = await machine();
    peer.assign('a');
    const { context, fail } = await run(0);
    context.signal.addEventListener('abort', () => fail(context.signal.reason));
    peer.cut();
    const next = await hub.peer();
    await next.register('cancel');
    expect(await next.next('job_cancelled')).toMatchObject({ job_id: 'a' });
  });

  it('stops a job after lease_ms if its owner chose so', async () => {
    const { peer, run } = await machine({ stop_when_lost: true }, { lease_ms: 50 });
    peer.assign('a');
    const { context } = await run(0);
    await once(context.signal, 'abort');
    expect(context.signal.reason).toMatchObject({ code: 'lost' });
  });
});

describe('heartbeats', () => {
  it('carry telemetry and name every lease', async () => {
    const telemetry = () => [{ index: 0, gpu_util: 97, temperature_c: 70, loaded_models: ['sdxl'] }];
    const { peer } = await machine({ telemetry }, { heartbeat_interval_ms: 10 });
    const lease_id = peer.assign('a');
    await peer.next('job_started');
    let beat = await peer.next('worker_heartbeat');
    while (beat['running'].length === 0) beat = await peer.next('worker_heartbeat');
    expect(beat['running']).toEqual([{ job_id: 'a', lease_id }]);
    expect(beat['workers']).toEqual([
      { worker_id: 'm1:gpu0', gpu_util: 97, temperature_c: 70, loaded_models: ['sdxl'] },
    ]);
  });

  it('go on without telemetry that hangs, throws or is called bad', async () => {
    const hanging = await machine({ telemetry: () => new Promise(() => {}) }, { heartbeat_interval_ms: 10 });
    expect((await hanging.peer.next('worker_heartbeat'))['workers']).toEqual([]);
    const throwing = () => {
      throw new Error('no driver');
    };
    const broken = await machine({ telemetry: throwing }, { heartbeat_interval_ms: 10 });
    expect((await broken.peer.next('worker_heartbeat'))['workers']).toEqual([]);
    const bad = await machine(
      { telemetry: () => [{ index: 0, gpu_util: 400 }] },
      { heartbeat_interval_ms: 10 },
    );
    bad.peer.refuse(await bad.peer.next('worker_heartbeat'), 'invalid_message');
    let beat = await bad.peer.next('worker_heartbeat');
    while (beat['workers'].length > 0) beat = await bad.peer.next('worker_heartbeat');
  });

  it.each<[string, () => unknown]>([
    ['nothing', () => undefined],
    ['a promise of nothing', async () => undefined],
    ['no list of GPUs', async () => [null]],
  ])('go on when telemetry comes to %s, and say so', async (_, telemetry) => {
    const faults: unknown[] = [];
    const { peer } = await machine(
      {
        telemetry: telemetry as () => [],
        on_event: event => {
          if (event.type === 'error') faults.push(event.error);
        },
      },
      { heartbeat_interval_ms: 10 },
    );
    for (let i = 0; i < 3; i++) expect((await peer.next('worker_heartbeat'))['workers']).toEqual([]);
    expect(faults.length, 'asked again each time').toBeGreaterThan(1);
    expect(faults[0]).toMatchObject({ code: 'telemetry' });
  });

  it('tell which jobs to abandon', async () => {
    const { peer, run } = await machine({}, { heartbeat_interval_ms: 10 });
    const lease_id = peer.assign('a');
    const { context } = await run(0);
    const { request_id } = await peer.next('worker_heartbeat');
    const abandon = [{ job_id: 'a', lease_id }];
    peer.send({ type: 'heartbeat_ack', request_id, server_time: 1, abandon, outputs: {} });
    await once(context.signal, 'abort');
    expect(context.signal.reason).toMatchObject({ code: 'abandoned' });
  });

  it('have outputs sent again that the hub could not store', async () => {
    const { peer, run } = await machine({}, { heartbeat_interval_ms: 10 });
    const lease_id = peer.assign('a');
    const { context } = await run(0);
    for (let i = 0; i < 3; i++) context.output(i);
    for (let i = 0; i < 3; i++) await peer.next('job_output');
    let beat = await peer.next('worker_heartbeat');
    while (beat['running'].length === 0) beat = await peer.next('worker_heartbeat');
    // One more beat was sent for certain after the outputs.
    const { request_id } = await peer.next('worker_heartbeat');
    peer.send({ type: 'heartbeat_ack', request_id, server_time: 1, abandon: [], outputs: { [lease_id]: 1 } });
    expect(await peer.next('job_output')).toMatchObject({ index: 1, data: 1 });
    expect(await peer.next('job_output')).toMatchObject({ index: 2, data: 2 });
  });
});

describe('a cancel', () => {
  const cancel = (job_id: string, grace_ms: number) => ({
    type: 'cancel_job',
    job_id,
    lease_id: `1-${job_id}`,
    reason: 'the user left',
    grace_ms,
  });

  it('reaches the handler and is told when that has ended', async () => {
    const { peer, run } = await machine();
    peer.assign('a');
    const { context, fail } = await run(0);
    peer.send(cancel('a', 10_000));
    await once(context.signal, 'abort');
    expect(context.signal.reason).toMatchObject({ code: 'cancelled', message: 'the user left' });
    expect(peer.waiting).not.toContain('job_cancelled');
    fail(context.signal.reason);
    expect(await peer.next('job_cancelled')).toMatchObject({ job_id: 'a', lease_id: '1-a' });
  });

  it('lets a handler complete that returns a value within the grace', async () => {
    const { peer, run } = await machine();
    peer.assign('a');
    const { end } = await run(0);
    peer.send(cancel('a', 10_000));
    end('just in time');
    expect(await peer.next('job_completed')).toMatchObject({ result: 'just in time' });
  });

  it('is told after the grace even if the handler goes on', async () => {
    const { peer, run } = await machine();
    peer.assign('a');
    const { end } = await run(0);
    peer.send(cancel('a', 10));
    peer.ack(await peer.next('job_cancelled'));
    end('much too late');
    peer.assign('b');
    (await run(1)).end(1);
    expect(await peer.next('job_completed')).toMatchObject({ job_id: 'b' });
  });
});

describe('the end', () => {
  it('drain takes no new job, also after a reconnect, and waits for the running ones', async () => {
    const { hub, peer, worker, run } = await machine();
    peer.assign('a');
    const { end } = await run(0);
    const drained = worker.drain({ reason: 'maintenance' });
    expect(await peer.drain()).toMatchObject({ reason: 'maintenance' });
    peer.assign('b');
    peer.ack(await peer.next('job_released'));
    expect(await worker.drain({ timeout_ms: 5 })).toBe(false);
    peer.cut();
    const next = await hub.peer();
    expect((await next.register())['draining']).toBe(true);
    end(1);
    next.ack(await next.next('job_completed'));
    expect(await drained).toBe(true);
  });

  it('stop hands running jobs back, waits for the acknowledgement, and leaves nothing behind', async () => {
    const hub = await startHub({});
    const left = await leftBehind(async () => {
      const { handler, run } = byHand();
      const worker = new GpuhubWorker({ url: hub.url, machine_id: 'm1', handler });
      const starting = worker.start();
      const peer = await hub.peer();
      await peer.register();
      await starting;
      peer.assign('a');
      const { context, fail } = await run(0);
      context.signal.addEventListener('abort', () => fail(context.signal.reason));
      const stopped = worker.stop();
      const released = await peer.next('job_released');
      // It came first: a hub that does not know yet would give the job to this machine again.
      expect(peer.waiting).toContain('worker_drain');
      await peer.drain();
      expect(context.signal.reason).toMatchObject({ code: 'released' });
      peer.ack(released);
      await stopped;
      expect(await worker.closed).toBeUndefined();
      expect(await peer.closed).toBe(1000);
      expect(hub.open).toBe(0);
    });
    expect(left).toEqual([]);
  });

  it('stop hands back what was on its way when it was called', async () => {
    const { peer, worker } = await machine();
    const stopped = worker.stop();
    const drain = await peer.next('worker_drain');
    peer.assign('late');
    const released = await peer.next('job_released');
    peer.ack(released);
    peer.answer(drain, { type: 'worker_draining', worker_ids: ['m1:gpu0'] });
    await stopped;
    expect(released).toMatchObject({ job_id: 'late' });
    expect(await peer.closed).toBe(1000);
  });

  it.each(['not_registered', 'rate_limited'])(
    'stop waits no longer for a hub that answers %s',
    async code => {
      const { peer, worker } = await machine();
      const stopped = worker.stop();
      peer.refuse(await peer.next('worker_drain'), code);
      await stopped;
      expect(await peer.closed).toBe(1000);
    },
  );

  it('comes with SIGTERM when asked so: drain, wait, release, close', async () => {
    const { peer, worker, run } = await machine();
    peer.assign('a');
    await run(0);
    worker.drainOnSignals({ wait_ms: 10, signals: ['SIGUSR2'], exit: false });
    process.emit('SIGUSR2', 'SIGUSR2');
    expect(await peer.drain()).toMatchObject({ reason: 'SIGUSR2' });
    await peer.drain();
    peer.ack(await peer.next('job_released'));
    expect(await worker.closed).toBeUndefined();
  });

  it('of a worker that never reached a hub comes at once', async () => {
    const worker = new GpuhubWorker({ url: 'ws://127.0.0.1:1', machine_id: 'm1', handler: () => 1 });
    const starting = worker.start();
    starting.catch(() => {});
    await worker.stop();
    await expect(starting).rejects.toMatchObject({ code: 'closed' });
  });
});
