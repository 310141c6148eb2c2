/** Protocol section 5: registration, heartbeats, assignment, terminal messages, retries, timeouts, draining. */
import { describe, expect, test, vi } from 'vitest';
import { type Frame, type Lease, MachinePeer, type Peer, types } from '../harness/peer.ts';
import { event, get_job, hub_under_test, submit, unique } from './hub_under_test.ts';

const LEASE_MS = 60_000;
const HEARTBEAT_INTERVAL_MS = 5000;
const RESEND_MS = 3000;
const CANCEL_GRACE_MS = 500;

const hub = hub_under_test({
  LEASE_MS: String(LEASE_MS),
  HEARTBEAT_INTERVAL_MS: String(HEARTBEAT_INTERVAL_MS),
  RESEND_MS: String(RESEND_MS),
  REAP_INTERVAL_MS: '100',
  CANCEL_GRACE_MS: String(CANCEL_GRACE_MS),
});

/** A lease in good form that no hub ever granted. */
const STRANGE_LEASE = `1-${'A'.repeat(22)}`;

/** Submits one job to a machine of its own and takes it. */
async function taken_job(
  client: Peer,
  fields: Record<string, unknown> = {},
): Promise<{ job_id: string; job_type: string; machine: MachinePeer; lease: Frame & Lease }> {
  const job_type = unique('t');
  const machine = await hub.machine({ job_types: [job_type] });
  const { job_id } = await submit(client, { job_type, backoff_ms: 20, watch: 'all', ...fields });
  return { job_id, job_type, machine, lease: await machine.assigned(job_id) };
}

describe.skipIf(hub.skip).concurrent('register_worker', () => {
  test('is answered with the worker ids and the durations of this hub', async () => {
    const machine_id = unique('machine');
    await using machine = await hub.machine({ machine_id, job_types: [unique('t')] });
    expect(machine.registered).toMatchObject({
      type: 'worker_registered',
      machine_id,
      worker_ids: [`${machine_id}:gpu0`],
      jobs: [],
      lease_ms: LEASE_MS,
      heartbeat_interval_ms: HEARTBEAT_INTERVAL_MS,
      resend_ms: RESEND_MS,
    });
  });

  test('gpu_count makes as many workers, numbered from 0', async () => {
    const machine_id = unique('machine');
    await using machine = await hub.machine({ machine_id, gpu_count: 3, job_types: [unique('t')] });
    expect(machine.registered.worker_ids).toEqual([0, 1, 2].map(index => `${machine_id}:gpu${index}`));
    await using largest = await hub.machine({ gpu_count: 64, job_types: [unique('t')] });
    expect(largest.registered.worker_ids).toHaveLength(64);
  });

  test('a list of gpus names its workers by index', async () => {
    const machine_id = unique('machine');
    const gpus = [{ index: 0, name: 'NVIDIA A100', vram_mb: 81_920 }, { index: 5 }];
    await using machine = await hub.machine({ machine_id, gpus, job_types: [unique('t')] });
    expect([...machine.registered.worker_ids].sort()).toEqual([`${machine_id}:gpu0`, `${machine_id}:gpu5`]);
  });

  test.each([
    [{ machine_id: '-bad' }],
    [{ machine_id: 'a:b' }],
    [{ machine_id: '' }],
    [{ machine_id: 'x'.repeat(129) }],
    [{ gpu_count: 0 }],
    [{ gpu_count: 65 }],
    [{ gpu_count: 1.5 }],
    [{ job_types: 'all' }],
    [{ job_types: [''] }],
    [{ labels: { 'bad key': 'x' } }],
    [{ running: [{ job_id: 'x' }] }],
  ])('refuses %j with invalid_message, and the worker may register better', async bad => {
    await using peer = await hub.worker();
    const good = { type: 'register_worker', machine_id: unique('machine'), job_types: [unique('t')] };
    const answer = await peer.request({ ...good, ...bad });
    expect([answer.type, answer.code]).toEqual(['error', 'invalid_message']);
    expect((await peer.request(good)).type).toBe('worker_registered');
  });

  test('before it every message but ping is answered not_registered', async () => {
    await using peer = await hub.worker();
    const lease = { job_id: 'x', lease_id: STRANGE_LEASE };
    for (const message of [
      { type: 'worker_heartbeat', workers: [], running: [] },
      { type: 'job_started', ...lease },
      { type: 'job_progress', ...lease, progress: 0.5 },
      { type: 'job_output', ...lease, index: 0, data: 1 },
      { type: 'job_completed', ...lease, result: 1 },
      { type: 'job_failed', ...lease, error: { code: 'a', message: 'b' } },
      { type: 'job_cancelled', ...lease },
      { type: 'job_released', ...lease },
      { type: 'job_rejected', ...lease, reason: 'x' },
      { type: 'worker_drain' },
      { type: 'worker_resume' },
    ]) {
      const answer = await peer.request(message);
      expect([answer.type, answer.code], message.type).toEqual(['error', 'not_registered']);
    }
    expect((await peer.request({ type: 'ping' })).type).toBe('pong');
  });

  test('no job_assigned comes before worker_registered, and a waiting job comes right after', async () => {
    await using client = await hub.client();
    const job_type = unique('t');
    const { job_id } = await submit(client, { job_type });
    await using machine = await hub.machine({ job_types: [job_type] });
    await machine.assigned(job_id);
    const order = types(machine.peer.frames).filter(type => type !== 'pong');
    expect(order).toEqual(['welcome', 'worker_registered', 'job_assigned']);
  });

  test('the same machine again: the newest wins, the older connection is closed 4409', async () => {
    await using client = await hub.client();
    const job_type = unique('t');
    await using old = await hub.machine({ job_types: [job_type] });
    await using young = await MachinePeer.register(hub.url, old.fields);
    expect((await old.peer.closed()).code).toBe(4409);
    const { job_id } = await submit(client, { job_type });
    await young.run(job_id);
    await event(client, job_id, 'job_completed');
  });

  test('sent again on the same socket it replaces what was said before', async () => {
    await using client = await hub.client();
    const [before, after] = [unique('t'), unique('t')];
    await using machine = await hub.machine({ job_types: [before] });
    const answer = await machine.register_again({ job_types: [after], gpu_count: 2, running: [] });
    expect(answer.type).toBe('worker_registered');
    expect(answer.worker_ids).toHaveLength(2);
    const stale = await submit(client, { job_type: before, priority: 100 });
    const fresh = [await submit(client, { job_type: after }), await submit(client, { job_type: after })];
    const taken = [await machine.assigned(), await machine.assigned()].map(lease => lease.job_id);
    expect(taken.sort()).toEqual(fresh.map(job => job.job_id).sort());
    expect((await get_job(client, stale.job_id)).status).toBe('queued');
    expect(machine.peer.is_open).toBe(true);
  });

  test('a job on a slot that is gone goes back to the queue at once, and the worker is told to abandon it', async () => {
    await using client = await hub.client();
    const job_type = unique('t');
    await using machine = await hub.machine({ job_types: [job_type], gpu_count: 2 });
    const leases: (Frame & Lease)[] = [];
    for (let i = 0; i < 2; i++) {
      const { job_id } = await submit(client, { job_type, watch: 'all' });
      leases.push(await machine.assigned(job_id));
    }
    for (const lease of leases) machine.started(lease);
    for (const { job_id } of leases) await event(client, job_id, 'job_started');
    const gone = leases.find(lease => lease.worker_id.endsWith(':gpu1')) as Frame & Lease;
    const running = leases.map(({ job_id, lease_id }) => ({ job_id, lease_id }));
    const answer = await machine.register_again({ gpu_count: 1, running });
    expect(answer.worker_ids).toHaveLength(1);
    await client.next(
      frame => frame.type === 'job_queued' && frame.job_id === gone.job_id && frame.reason !== 'submitted',
    );
    const told = answer.jobs.some((job: Frame) => job.lease_id === gone.lease_id && job.action === 'abandon');
    if (!told) {
      const ack = await machine.heartbeat(leases);
      expect(ack.abandon.map((lease: Lease) => lease.lease_id)).toContain(gone.lease_id);
    }
    const kept = answer.jobs.find((job: Frame) => job.lease_id !== gone.lease_id);
    expect(kept?.action).toBe('continue');
  });

  test.each([
    ['named in running', true],
    ['not named', false],
  ])('sent again for another machine all slots of the former are gone: a job %s', async (_, named) => {
    await using client = await hub.client();
    await using monitor = await hub.monitor();
    const { job_id, machine, lease } = await taken_job(client);
    await using _machine = machine;
    const [former] = machine.registered.worker_ids;
    machine.started(lease);
    await event(client, job_id, 'job_started');
    const running = [{ job_id, lease_id: lease.lease_id }];
    const answer = await machine.register_again({
      machine_id: unique('machine'),
      running: named ? running : [],
    });
    const again = await machine.assigned(job_id);
    expect(again.worker_id).toBe(answer.worker_ids[0]);
    expect(again.lease_id).not.toBe(lease.lease_id);
    if (named) expect(answer.jobs).toMatchObject([{ ...running[0], action: 'abandon' }]);
    else expect((await machine.heartbeat([lease, again])).abandon).toEqual(running);
    expect(await machine.complete(lease)).toMatchObject({ accepted: false, code: 'stale_lease' });

    const gone = await monitor.next(
      frame => frame.type === 'worker_disconnected' && frame.worker_id === former,
    );
    expect(gone.worker).toMatchObject({ status: 'offline', job_id: null, hub_id: null });
    await vi.waitFor(async () => {
      const { body } = await hub.http('GET', '/workers');
      const ids = body.workers.map((worker: Frame) => worker.worker_id);
      expect(ids).toContain(again.worker_id);
      expect(ids).not.toContain(former);
    });
    expect(await machine.complete(again)).toMatchObject({ accepted: true });
    await event(client, job_id, 'job_completed');
  });

  test('claims that are under way meanwhile do not bring the former machine back', async () => {
    await using client = await hub.client();
    const former = unique('former');
    for (let round = 0; round < 20; round++) {
      const job_type = unique('t');
      await using machine = await hub.machine({ machine_id: `${former}.${round}`, job_types: [job_type] });
      const before = submit(client, { job_type });
      const again = machine.register_again({ machine_id: unique('machine') });
      await Promise.all([before, submit(client, { job_type }), again]);
      await machine.assigned();
    }
    await vi.waitFor(async () => {
      const { body } = await hub.http('GET', '/workers');
      const ids = body.workers.map((worker: Frame) => worker.machine_id);
      expect(ids.filter((id: string) => id.startsWith(former))).toEqual([]);
    });
  });

  test('frames are read in order, each after the registration before it', async () => {
    await using client = await hub.client();
    const job_type = unique('t');
    await using peer = await hub.worker();
    const register = { type: 'register_worker', machine_id: unique('machine'), job_types: [job_type] };
    for (const message of [
      register,
      { ...register, gpu_count: 2 },
      { type: 'worker_drain' },
      { ...register, gpu_count: 3 },
      { type: 'worker_drain' },
    ])
      peer.send(message);
    const answers: [string, number][] = [];
    for (let i = 0; i < 5; i++) {
      const { type, worker_ids } = await peer.next(frame => frame.type.startsWith('worker_'));
      answers.push([type, worker_ids.length]);
    }
    expect(answers).toEqual([
      ['worker_registered', 1],
      ['worker_registered', 2],
      ['worker_draining', 2],
      ['worker_registered', 3],
      ['worker_draining', 3],
    ]);
    await submit(client, { job_type });
    await peer.none('job_assigned', 150);
  });
});

describe.skipIf(hub.skip).concurrent('coming back', () => {
  test('a closed socket is not a failed job: named in running it continues and completes', async () => {
    await using client = await hub.client();
    const { job_id, machine, lease } = await taken_job(client);
    await using _machine = machine;
    machine.output(lease, 0, 'a');
    machine.output(lease, 1, 'b');
    await client.next(frame => frame.type === 'job_output' && frame.index === 1);
    await machine.peer.terminate();
    await using back = await hub.machine({
      ...machine.fields,
      running: [{ job_id, lease_id: lease.lease_id }],
    });
    expect(back.registered.jobs).toEqual([
      expect.objectContaining({ job_id, lease_id: lease.lease_id, action: 'continue', next_output: 2 }),
    ]);
    expect(await back.complete(lease, 'kept')).toMatchObject({ type: 'job_ack', accepted: true });
    expect((await event(client, job_id, 'job_completed')).attempt).toBe(1);
    expect(types(client.events(job_id)).filter(type => type === 'job_assigned')).toHaveLength(1);
    await back.peer.none('job_assigned');
  });

  test('the hub never sends a lease twice: a job that continues is not assigned again', async () => {
    await using client = await hub.client();
    const { job_id, machine, lease } = await taken_job(client);
    await using _machine = machine;
    const running = [{ job_id, lease_id: lease.lease_id }];
    const answer = await machine.register_again({ running });
    expect(answer.jobs[0].action).toBe('continue');
    await machine.peer.none('job_assigned', 100);
    expect(await machine.complete(lease)).toMatchObject({ accepted: true });
  });

  test('a job not named at registration goes back at once; with a sign of life it is a crash and counts', async () => {
    await using client = await hub.client();
    const { job_id, machine, lease } = await taken_job(client);
    await using _machine = machine;
    machine.started(lease);
    await event(client, job_id, 'job_started');
    await machine.peer.terminate();
    await using back = await hub.machine({ ...machine.fields, running: [] });
    const again = await back.assigned(job_id);
    expect(again.attempt).toBe(2);
    expect(again.lease_id).not.toBe(lease.lease_id);
    expect(await back.complete(again)).toMatchObject({ accepted: true });
    const job = await get_job(client, job_id);
    expect(job.attempts).toHaveLength(2);
    expect(job.attempts[0].error.code).toBe('lease_expired');
  });

  test('a job not named at registration and without any sign of life was undelivered: nothing counts', async () => {
    await using client = await hub.client();
    const { job_id, machine } = await taken_job(client);
    await using _machine = machine;
    await machine.peer.terminate();
    await using back = await hub.machine({ ...machine.fields, running: [] });
    expect((await back.assigned(job_id)).attempt).toBe(1);
    await client.next(frame => frame.type === 'job_queued' && frame.reason === 'undelivered');
  });

  test('running is answered in its order: continue, abandon, and continue for an accepted end', async () => {
    await using client = await hub.client();
    const job_type = unique('t');
    await using machine = await hub.machine({ job_types: [job_type], gpu_count: 2 });
    const ended = await submit(client, { job_type });
    const ended_lease = await machine.assigned(ended.job_id);
    const { job_id } = await submit(client, { job_type });
    const lease = await machine.assigned(job_id);
    expect(await machine.complete(ended_lease, 'first')).toMatchObject({ accepted: true });
    await machine.peer.terminate();
    const running = [
      { job_id: unique('none'), lease_id: STRANGE_LEASE },
      { job_id, lease_id: lease.lease_id },
      { job_id, lease_id: STRANGE_LEASE },
      { job_id: ended.job_id, lease_id: ended_lease.lease_id },
    ];
    await using back = await hub.machine({ ...machine.fields, running });
    expect(back.registered.jobs.map(({ job_id, lease_id }: Lease) => ({ job_id, lease_id }))).toEqual(
      running,
    );
    const actions = back.registered.jobs.map((job: Frame) => job.action);
    expect(actions).toEqual(['abandon', 'continue', 'abandon', 'continue']);
    expect(await back.complete(ended_lease, 'first')).toMatchObject({ accepted: true });
    expect(await back.complete(lease)).toMatchObject({ accepted: true });
  });
});

describe.skipIf(hub.skip).concurrent('job_assigned', () => {
  test('carries every field of section 5', async () => {
    await using client = await hub.client();
    const params = { prompt: 'a horse', list: [] };
    const metadata = { user: 'u1' };
    const { machine, lease, job_id, job_type } = await taken_job(client, {
      params,
      metadata,
      max_attempts: 7,
      run_timeout_ms: 6e4,
    });
    await using _machine = machine;
    expect(lease).toMatchObject({
      job_id,
      job_type,
      params,
      metadata,
      attempt: 1,
      max_attempts: 7,
      run_timeout_ms: 6e4,
      worker_id: `${machine.fields.machine_id}:gpu0`,
      gpus: [0],
    });
    expect(lease.lease_id).toMatch(/^1-[A-Za-z0-9_-]{22}$/);
  });

  test('one slot has one job, a machine as many as slots', async () => {
    await using client = await hub.client();
    const job_type = unique('t');
    await using machine = await hub.machine({ job_types: [job_type], gpus: [{ index: 1 }, { index: 3 }] });
    for (let i = 0; i < 3; i++) await submit(client, { job_type });
    const one = await machine.assigned();
    const two = await machine.assigned();
    expect([one.gpus[0], two.gpus[0]].sort()).toEqual([1, 3]);
    expect(one.worker_id).toBe(`${machine.fields.machine_id}:gpu${one.gpus[0]}`);
    await machine.peer.none('job_assigned', 150);
    await machine.complete(two);
    const three = await machine.assigned();
    expect(three.worker_id).toBe(two.worker_id);
  });

  test('leases differ, and jobs go to distinct slots of several machines', async () => {
    await using client = await hub.client();
    const job_type = unique('t');
    await using a = await hub.machine({ job_types: [job_type], gpu_count: 2 });
    await using b = await hub.machine({ job_types: [job_type], gpu_count: 2 });
    for (let i = 0; i < 4; i++) await submit(client, { job_type });
    const leases = [await a.assigned(), await a.assigned(), await b.assigned(), await b.assigned()];
    for (const field of ['job_id', 'lease_id', 'worker_id'])
      expect(new Set(leases.map(lease => lease[field])).size, field).toBe(4);
  });
});

describe.skipIf(hub.skip).concurrent('worker_heartbeat', () => {
  test('is answered heartbeat_ack with server_time, abandon and outputs', async () => {
    await using client = await hub.client();
    const { machine, lease } = await taken_job(client);
    await using _machine = machine;
    const ack = await machine.heartbeat([lease]);
    expect(ack).toMatchObject({ type: 'heartbeat_ack', abandon: [] });
    expect(Number.isInteger(ack.server_time)).toBe(true);
    expect(ack.outputs[lease.lease_id] ?? 0).toBe(0);
  });

  test('abandon names leases that are not present, and never one that is or one that ended well', async () => {
    await using client = await hub.client();
    const { job_id, machine, lease, job_type } = await taken_job(client);
    await using _machine = machine;
    await machine.complete(lease);
    const next = await submit(client, { job_type });
    const present = await machine.assigned(next.job_id);
    const strange = { job_id: unique('none'), lease_id: STRANGE_LEASE };
    const ack = await machine.heartbeat([lease, present, strange, { job_id, lease_id: 'any string' }]);
    const abandon = ack.abandon.map((one: Lease) => `${one.job_id} ${one.lease_id}`);
    expect(abandon.sort()).toEqual([`${strange.job_id} ${STRANGE_LEASE}`, `${job_id} any string`].sort());
  });

  test('a heartbeat that does not name a lease leaves it alone', async () => {
    await using client = await hub.client();
    const { job_id, machine, lease } = await taken_job(client);
    await using _machine = machine;
    expect((await machine.heartbeat([])).abandon).toEqual([]);
    expect(['assigned', 'processing']).toContain((await get_job(client, job_id)).status);
    expect(await machine.complete(lease)).toMatchObject({ accepted: true });
  });

  test('telemetry is taken, and running may not be left out', async () => {
    await using machine = await hub.machine({ job_types: [unique('t')] });
    const worker_id = `${machine.fields.machine_id}:gpu0`;
    const telemetry = {
      worker_id,
      gpu_util: 97,
      vram_used_mb: 2e4,
      vram_total_mb: 24e3,
      temperature_c: 71,
      power_w: 400,
      loaded_models: ['sdxl'],
    };
    expect((await machine.heartbeat([], [telemetry])).type).toBe('heartbeat_ack');
    const answer = await machine.peer.request({ type: 'worker_heartbeat', workers: [] });
    expect([answer.type, answer.code]).toEqual(['error', 'invalid_message']);
  });
});

describe.skipIf(hub.skip).concurrent('terminal messages', () => {
  test('job_completed is acknowledged, its repeats too, and the first result stands', async () => {
    await using client = await hub.client();
    const { job_id, machine, lease } = await taken_job(client);
    await using _machine = machine;
    const ack = { type: 'job_ack', job_id, lease_id: lease.lease_id, accepted: true };
    expect(await machine.complete(lease, 'first')).toMatchObject(ack);
    expect(await machine.complete(lease, 'first')).toMatchObject(ack);
    expect(await machine.complete(lease, 'second')).toMatchObject(ack);
    expect((await get_job(client, job_id)).result).toBe('first');
    await client.none('no such', 50);
    expect(types(client.events(job_id)).filter(type => type === 'job_completed')).toHaveLength(1);
  });

  test('another terminal type with an accepted lease is conflict', async () => {
    await using client = await hub.client();
    const { job_id, machine, lease } = await taken_job(client);
    await using _machine = machine;
    await machine.complete(lease);
    for (const answer of [
      await machine.fail(lease),
      await machine.cancelled(lease),
      await machine.release(lease),
      await machine.reject(lease),
    ])
      expect(answer).toMatchObject({ type: 'job_ack', accepted: false, code: 'conflict', job_id });
    expect((await get_job(client, job_id)).status).toBe('completed');
  });

  test.each(['fail', 'release', 'reject'] as const)(
    'a repeated %s is accepted again, also when others hold the job',
    async how => {
      await using client = await hub.client();
      const { job_id, machine, lease } = await taken_job(client);
      await using _machine = machine;
      expect(await machine[how](lease)).toMatchObject({ accepted: true });
      expect(await machine[how](lease)).toMatchObject({ accepted: true });
      const again = await machine.assigned(job_id);
      expect(again.lease_id).not.toBe(lease.lease_id);
      expect(await machine.complete(again)).toMatchObject({ accepted: true });
    },
  );

  test('an unknown lease of a known job is stale_lease, whatever string it is', async () => {
    await using client = await hub.client();
    const { job_id, machine, lease } = await taken_job(client);
    await using _machine = machine;
    for (const lease_id of [STRANGE_LEASE, '0', 'x', 'y'.repeat(128), 'žluť 🐎', `${lease.lease_id}x`]) {
      const bogus = { job_id, lease_id };
      for (const answer of [
        await machine.complete(bogus),
        await machine.fail(bogus),
        await machine.release(bogus),
      ])
        expect(answer, lease_id).toMatchObject({
          type: 'job_ack',
          accepted: false,
          code: 'stale_lease',
          job_id,
        });
    }
    expect((await get_job(client, job_id)).status).toBe('assigned');
    expect(await machine.complete(lease)).toMatchObject({ accepted: true });
  });

  test('an unknown job is not_found', async () => {
    await using machine = await hub.machine({ job_types: [unique('t')] });
    const bogus = { job_id: unique('none'), lease_id: STRANGE_LEASE };
    for (const answer of [
      await machine.complete(bogus),
      await machine.fail(bogus),
      await machine.cancelled(bogus),
      await machine.release(bogus),
      await machine.reject(bogus),
    ])
      expect(answer).toMatchObject({ type: 'job_ack', accepted: false, code: 'not_found', ...bogus });
  });

  test('the others under a strange lease change nothing and are told so at most once a second', async () => {
    await using client = await hub.client();
    const { job_id, machine } = await taken_job(client);
    await using _machine = machine;
    const bogus = { job_id, lease_id: STRANGE_LEASE };
    for (let i = 0; i < 10; i++) {
      machine.started(bogus);
      machine.progress(bogus, 0.5);
      machine.output(bogus, i, 'ghost');
    }
    const ack = await machine.peer.next('job_ack');
    expect(ack).toMatchObject({ ...bogus, accepted: false, code: 'stale_lease' });
    await machine.peer.none('job_ack', 100);
    expect(await get_job(client, job_id)).toMatchObject({ status: 'assigned', progress: 0 });
    await client.none(frame => frame.data === 'ghost');
  });

  test('a result above max_result_bytes is payload_too_large and leaves the lease as it was', async () => {
    await using client = await hub.client();
    const { job_id, machine, lease } = await taken_job(client);
    await using _machine = machine;
    const filler = 'x'.repeat(machine.peer.welcome.limits.max_result_bytes + 1);
    const answer = await machine.complete(lease, filler);
    expect([answer.type, answer.code]).toEqual(['error', 'payload_too_large']);
    expect((await get_job(client, job_id)).status).toBe('assigned');
    const error = { code: 'too_large', message: 'The picture is too large.', retryable: false };
    expect(await machine.fail(lease, error)).toMatchObject({ type: 'job_ack', accepted: true });
    expect((await event(client, job_id, 'job_failed')).error).toMatchObject(error);
  });

  test('an invalid terminal message leaves the lease as it was', async () => {
    await using client = await hub.client();
    const { machine, lease } = await taken_job(client);
    await using _machine = machine;
    const { job_id, lease_id } = lease;
    for (const bad of [
      { type: 'job_completed', job_id, lease_id },
      { type: 'job_failed', job_id, lease_id },
      { type: 'job_failed', job_id, lease_id, error: 'boom' },
      { type: 'job_failed', job_id, lease_id, error: { code: 'x' } },
      { type: 'job_rejected', job_id, lease_id },
    ])
      expect((await machine.peer.request(bad)).code, JSON.stringify(bad)).toBe('invalid_message');
    expect(await machine.complete(lease)).toMatchObject({ accepted: true });
  });
});

describe.skipIf(hub.skip).concurrent('failing and retrying', () => {
  test('a failed attempt with attempts left waits for its back-off and is attempt 2', async () => {
    await using client = await hub.client();
    const { job_id, machine, lease } = await taken_job(client, { backoff_ms: 300 });
    await using _machine = machine;
    const error = { code: 'cuda', message: 'Out of memory.' };
    expect(await machine.fail(lease, error)).toMatchObject({ type: 'job_ack', accepted: true });
    const retrying = await event(client, job_id, 'job_retrying');
    expect(retrying.run_at - retrying.at).toBeGreaterThanOrEqual(0.8 * 300 - 20);
    expect(retrying.run_at - retrying.at).toBeLessThanOrEqual(1.2 * 300 + 20);
    expect(await get_job(client, job_id)).toMatchObject({
      status: 'scheduled',
      attempt: 1,
      run_at: retrying.run_at,
    });
    const queued = await client.next(frame => frame.type === 'job_queued' && frame.reason === 'retry');
    expect(queued.at).toBeGreaterThanOrEqual(retrying.run_at);
    const again = await machine.assigned(job_id);
    expect(again.attempt).toBe(2);
    expect(again.lease_id).toMatch(/^2-/);
    await machine.complete(again);
    const job = await get_job(client, job_id);
    expect(job).toMatchObject({ status: 'completed', attempt: 2, error: null });
    expect(job.attempts.map((one: Frame) => one.attempt)).toEqual([1, 2]);
    expect(job.attempts[0].error).toMatchObject(error);
  });

  test('the back-off doubles with each attempt', async () => {
    await using client = await hub.client();
    const { job_id, machine, lease } = await taken_job(client, { backoff_ms: 100, max_attempts: 3 });
    await using _machine = machine;
    await machine.fail(lease);
    const first = await event(client, job_id, 'job_retrying');
    await machine.fail(await machine.assigned(job_id));
    const second = await event(client, job_id, 'job_retrying');
    expect(first.run_at - first.at).toBeLessThanOrEqual(1.2 * 100 + 20);
    expect(second.run_at - second.at).toBeGreaterThanOrEqual(0.8 * 200 - 20);
    expect(second.run_at - second.at).toBeLessThanOrEqual(1.2 * 200 + 20);
  });

  test('retryable false fails the job at once', async () => {
    await using client = await hub.client();
    const { job_id, machine, lease } = await taken_job(client, { max_attempts: 5 });
    await using _machine = machine;
    const error = { code: 'bad_prompt', message: 'No.', retryable: false, details: { why: ['x'] } };
    await machine.fail(lease, error);
    const failed = await event(client, job_id, 'job_failed');
    expect(failed).toMatchObject({ error, worker_id: lease.worker_id, attempt: 1 });
    expect(await get_job(client, job_id)).toMatchObject({ status: 'failed', attempt: 1, error });
  });

  test('after max_attempts it is failed with its last error', async () => {
    await using client = await hub.client();
    const { job_id, machine, lease } = await taken_job(client, { max_attempts: 2 });
    await using _machine = machine;
    await machine.fail(lease, { code: 'first', message: 'One.' });
    await machine.fail(await machine.assigned(job_id), { code: 'second', message: 'Two.' });
    expect((await event(client, job_id, 'job_failed')).error.code).toBe('second');
    expect(await get_job(client, job_id)).toMatchObject({ status: 'failed', attempt: 2 });
    await machine.peer.none('job_assigned', 100);
  });

  test('job_released hands it back unharmed: no attempt is counted', async () => {
    await using client = await hub.client();
    const { job_id, machine, lease } = await taken_job(client, { max_attempts: 1 });
    await using _machine = machine;
    machine.started(lease);
    expect(await machine.release(lease, 'going home')).toMatchObject({ type: 'job_ack', accepted: true });
    expect(
      (await client.next(frame => frame.type === 'job_queued' && frame.reason === 'released')).job_id,
    ).toBe(job_id);
    const again = await machine.assigned(job_id);
    expect(again.attempt).toBe(1);
    expect(again.lease_id).not.toBe(lease.lease_id);
    await machine.complete(again);
    expect(await get_job(client, job_id)).toMatchObject({ status: 'completed', attempt: 1 });
  });

  test('job_cancelled that nobody asked for counts as job_released', async () => {
    await using client = await hub.client();
    const { job_id, machine, lease } = await taken_job(client, { max_attempts: 1 });
    await using _machine = machine;
    expect(await machine.cancelled(lease)).toMatchObject({ type: 'job_ack', accepted: true });
    expect((await machine.assigned(job_id)).attempt).toBe(1);
  });

  test('job_rejected: another worker gets it, no attempt is counted', async () => {
    await using client = await hub.client();
    const { job_id, job_type, machine, lease } = await taken_job(client, { max_attempts: 1 });
    await using _machine = machine;
    expect(await machine.reject(lease, { retry_after_ms: 60_000 })).toMatchObject({
      type: 'job_ack',
      accepted: true,
    });
    expect(
      (await client.next(frame => frame.type === 'job_queued' && frame.reason === 'rejected')).job_id,
    ).toBe(job_id);
    await using other = await hub.machine({ job_types: [job_type] });
    expect((await other.assigned(job_id)).attempt).toBe(1);
    await machine.peer.none('job_assigned');
  });

  test('the worker that rejected is passed over for retry_after_ms, for that signature alone', async () => {
    await using client = await hub.client();
    const [job_type, other_type] = [unique('t'), unique('t')];
    await using machine = await hub.machine({ job_types: [job_type, other_type] });
    const { job_id } = await submit(client, { job_type });
    const lease = await machine.assigned(job_id);
    await machine.reject(lease, { retry_after_ms: 800 });
    const rejected = performance.now();
    const other = await submit(client, { job_type: other_type });
    await machine.complete(await machine.assigned(other.job_id));
    const again = await machine.assigned(job_id);
    expect(performance.now() - rejected).toBeGreaterThan(700);
    expect(again.attempt).toBe(1);
  });
});

describe.skipIf(hub.skip).concurrent('timeouts', () => {
  test('run_timeout_ms: cancel_job, the grace, then the attempt failed with timeout and is retried', async () => {
    await using client = await hub.client();
    const { job_id, job_type, machine, lease } = await taken_job(client, { run_timeout_ms: 300 });
    await using _machine = machine;
    machine.started(lease);
    const order = await machine.peer.next('cancel_job');
    expect(order).toMatchObject({ job_id, lease_id: lease.lease_id, grace_ms: CANCEL_GRACE_MS });
    expect(order.reason).toEqual(expect.any(String));
    const retrying = await event(client, job_id, 'job_retrying');
    expect(retrying.error.code).toBe('timeout');
    // The slot is stopping and gets nothing, though the job waits: another worker may have it.
    await client.next(frame => frame.type === 'job_queued' && frame.reason === 'retry');
    await machine.peer.none('job_assigned', 150);
    await using other = await hub.machine({ job_types: [job_type] });
    expect((await other.assigned(job_id)).attempt).toBe(2);
    const next = await submit(client, { job_type });
    await machine.peer.none('job_assigned', 50);
    // A terminal message for that lease frees it.
    expect((await machine.cancelled(lease)).type).toBe('job_ack');
    await machine.assigned(next.job_id);
  });

  test('a stopping slot is free when the worker registers without the lease', async () => {
    await using client = await hub.client();
    const { job_id, machine } = await taken_job(client, {
      run_timeout_ms: 100,
      max_attempts: 1,
      watch: true,
    });
    await using _machine = machine;
    expect((await event(client, job_id, 'job_failed')).error.code).toBe('timeout');
    const next = await submit(client, { job_type: machine.fields.job_types[0] as string });
    await machine.peer.none('job_assigned', 150);
    await machine.register_again({ running: [] });
    await machine.assigned(next.job_id);
  });

  test('job_completed in the grace is accepted', async () => {
    await using client = await hub.client();
    const { job_id, machine, lease } = await taken_job(client, { run_timeout_ms: 200 });
    await using _machine = machine;
    await machine.peer.next('cancel_job');
    expect(await machine.complete(lease, 'just in time')).toMatchObject({ accepted: true });
    expect((await event(client, job_id, 'job_completed')).result).toBe('just in time');
  });

  test.each(['cancelled', 'fail'] as const)(
    '%s in the grace is the attempt failed with timeout',
    async how => {
      await using client = await hub.client();
      const { job_id, machine, lease } = await taken_job(client, { run_timeout_ms: 200, max_attempts: 1 });
      await using _machine = machine;
      await machine.peer.next('cancel_job');
      expect(await machine[how](lease)).toMatchObject({ type: 'job_ack', accepted: true });
      expect((await event(client, job_id, 'job_failed')).error.code).toBe('timeout');
      expect(await get_job(client, job_id)).toMatchObject({ status: 'failed', attempt: 1 });
    },
  );

  test('progress_timeout_ms: silence is progress_timeout, progress and output put it off', async () => {
    await using client = await hub.client();
    const { job_id, machine, lease } = await taken_job(client, { progress_timeout_ms: 700, max_attempts: 1 });
    await using _machine = machine;
    const began = performance.now();
    for (let i = 0; i < 4; i++) {
      await machine.peer.none('cancel_job', 300);
      if (i % 2) machine.output(lease, i, i);
      else machine.progress(lease, i / 10);
    }
    const order = await machine.peer.next('cancel_job');
    expect(order).toMatchObject({ job_id, lease_id: lease.lease_id });
    expect(performance.now() - began).toBeGreaterThan(1200 + 600);
    expect((await event(client, job_id, 'job_failed')).error.code).toBe('progress_timeout');
  });

  test('start_timeout_ms: a job that nobody took in time is expired', async () => {
    await using client = await hub.client();
    const job_type = unique('t');
    const { job_id } = await submit(client, { job_type, start_timeout_ms: 200 });
    await event(client, job_id, 'job_expired');
    expect((await get_job(client, job_id)).status).toBe('expired');
    const next = await submit(client, { job_type });
    await using machine = await hub.machine({ job_types: [job_type] });
    expect((await machine.assigned()).job_id).toBe(next.job_id);
  });

  test('start_timeout_ms counts from run_at, and ends with the first assignment', async () => {
    await using client = await hub.client();
    const { machine, lease, job_id } = await taken_job(client, { start_timeout_ms: 400, delay_ms: 600 });
    await using _machine = machine;
    machine.started(lease);
    await machine.peer.none('cancel_job', 700);
    expect(await machine.complete(lease)).toMatchObject({ accepted: true });
    expect(types(client.events(job_id))).not.toContain('job_expired');
  });
});

describe.skipIf(hub.skip).concurrent('worker_drain', () => {
  test('no new job comes, running ones go on, and worker_resume ends it', async () => {
    await using client = await hub.client();
    const { job_type, machine, lease } = await taken_job(client);
    await using _machine = machine;
    const worker_ids = [`${machine.fields.machine_id}:gpu0`];
    const draining = await machine.peer.request({ type: 'worker_drain', reason: 'update' });
    expect(draining).toMatchObject({ type: 'worker_draining', worker_ids });
    const { job_id } = await submit(client, { job_type });
    expect(await machine.complete(lease)).toMatchObject({ accepted: true });
    await machine.peer.none('job_assigned', 150);
    const resumed = await machine.peer.request({ type: 'worker_resume' });
    expect(resumed).toMatchObject({ type: 'worker_resumed', worker_ids });
    await machine.assigned(job_id);
  });

  test('after its answer no job comes that was being looked for; all run once it resumes', async () => {
    await using client = await hub.client();
    const job_type = unique('t');
    await using machine = await hub.machine({ job_types: [job_type] });
    for (let round = 0; round < 30; round++) {
      const submitted = submit(client, { job_type });
      if (round % 2 === 1) await new Promise(setImmediate);
      const drained = machine.peer.request({ type: 'worker_drain' });
      await Promise.all([submitted, drained]);
      await machine.peer.none(() => false, 10);
      const came = machine.peer.frames.map(({ type }) => type);
      expect(came.slice(came.lastIndexOf('worker_draining'))).not.toContain('job_assigned');
      await machine.peer.request({ type: 'worker_resume' });
      const lease = await machine.assigned((await submitted).job_id);
      expect(await machine.complete(lease)).toMatchObject({ accepted: true });
    }
  });

  test('worker_ids drains some slots and leaves the others', async () => {
    await using client = await hub.client();
    const job_type = unique('t');
    await using machine = await hub.machine({ job_types: [job_type], gpu_count: 2 });
    const [first, second] = machine.registered.worker_ids;
    const answer = await machine.peer.request({ type: 'worker_drain', worker_ids: [first] });
    expect(answer.worker_ids).toEqual([first]);
    for (let i = 0; i < 2; i++) await submit(client, { job_type });
    const lease = await machine.assigned();
    expect(lease.worker_id).toBe(second);
    await machine.peer.none('job_assigned', 100);
    await machine.peer.request({ type: 'worker_resume', worker_ids: [first] });
    expect((await machine.assigned()).worker_id).toBe(first);
  });

  test('it ends with the connection', async () => {
    await using client = await hub.client();
    const job_type = unique('t');
    await using machine = await hub.machine({ job_types: [job_type] });
    await machine.peer.request({ type: 'worker_drain' });
    await machine.peer.terminate();
    await using back = await MachinePeer.register(hub.url, machine.fields);
    const { job_id } = await submit(client, { job_type });
    await back.assigned(job_id);
  });

  test('registered with draining it gets nothing until worker_resume', async () => {
    await using client = await hub.client();
    const job_type = unique('t');
    const { job_id } = await submit(client, { job_type });
    await using machine = await hub.machine({ job_types: [job_type], draining: true });
    await machine.peer.none('job_assigned', 150);
    await machine.peer.request({ type: 'worker_resume' });
    await machine.assigned(job_id);
  });
});
