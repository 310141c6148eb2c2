/** Protocol section 5 rules 2, 4 and 7: leases that run out, crashes, poison. Leases are short here. */
import { describe, expect, test } from 'vitest';
import { type Frame, type Lease, type MachinePeer, type Peer, types } from '../harness/peer.ts';
import { event, get_job, hub_under_test, SHORT_LEASES, submit, unique } from './hub_under_test.ts';

const LEASE_MS = Number(SHORT_LEASES.LEASE_MS);
const HEARTBEAT_INTERVAL_MS = Number(SHORT_LEASES.HEARTBEAT_INTERVAL_MS);
/** A lease, the reaper's interval, and room for a busy computer. */
const EXPIRY = { timeout_ms: LEASE_MS + 5000 };

const hub = hub_under_test({ ...SHORT_LEASES, POISON_AFTER: '2' });

interface Held {
  job_id: string;
  job_type: string;
  machine: MachinePeer;
  lease: Frame & Lease;
}

/** A job that a machine holds; `sign` = the machine has said that it started. */
async function held_job(client: Peer, sign: boolean, fields: Record<string, unknown> = {}): Promise<Held> {
  const job_type = unique('t');
  const machine = await hub.machine({ job_types: [job_type] });
  const { job_id } = await submit(client, { job_type, watch: 'all', ...fields });
  const lease = await machine.assigned(job_id);
  if (sign) {
    machine.started(lease);
    await event(client, job_id, 'job_started');
  }
  return { job_id, job_type, machine, lease };
}

/** Waits until this job's lease has run out and it is back in the queue. */
const back_in_queue = (client: Peer, job_id: string): Promise<Frame> =>
  client.next(
    frame => frame.type === 'job_queued' && frame.job_id === job_id && frame.reason !== 'submitted',
    EXPIRY,
  );

describe.skipIf(hub.skip).concurrent('a lease that runs out', () => {
  test('after a sign of life it is a crash: the job goes back at once, and the attempt counts', async () => {
    await using client = await hub.client();
    const { job_id, job_type, machine } = await held_job(client, true);
    await using _machine = machine;
    await using other = await hub.machine({ job_types: [job_type] });
    expect((await back_in_queue(client, job_id)).reason).toBe('lease_expired');
    const again = await other.assigned(job_id);
    expect(again.attempt).toBe(2);
    expect(await other.complete(again)).toMatchObject({ accepted: true });
    const job = await get_job(client, job_id);
    expect(job).toMatchObject({ status: 'completed', attempt: 2 });
    expect(job.attempts[0].error.code).toBe('lease_expired');
    expect(types(client.events(job_id))).not.toContain('job_retrying');
  });

  test('without any sign it was undelivered: no attempt counts', async () => {
    await using client = await hub.client();
    const { job_id, job_type, machine } = await held_job(client, false, { max_attempts: 1 });
    await using _machine = machine;
    expect((await back_in_queue(client, job_id)).reason).toBe('undelivered');
    await using other = await hub.machine({ job_types: [job_type] });
    const again = await other.assigned(job_id);
    expect(again.attempt).toBe(1);
    await other.complete(again);
    expect(await get_job(client, job_id)).toMatchObject({ status: 'completed', attempt: 1 });
  });

  test('being named in running is a sign of life', async () => {
    await using client = await hub.client();
    const { job_id, job_type, machine, lease } = await held_job(client, false);
    await using _machine = machine;
    await machine.heartbeat([lease]);
    expect((await back_in_queue(client, job_id)).reason).toBe('lease_expired');
    await using other = await hub.machine({ job_types: [job_type] });
    expect((await other.assigned(job_id)).attempt).toBe(2);
  });

  test('heartbeats that name it keep it', async () => {
    await using client = await hub.client();
    const { job_id, machine, lease } = await held_job(client, true);
    await using _machine = machine;
    machine.keep_beating(HEARTBEAT_INTERVAL_MS, () => [lease]);
    await client.none(frame => frame.type === 'job_queued' && frame.reason !== 'submitted', 2 * LEASE_MS);
    machine.stop_beating();
    expect(await machine.complete(lease)).toMatchObject({ accepted: true });
    expect((await event(client, job_id, 'job_completed')).attempt).toBe(1);
  });

  test('heartbeats that do not name it do not', async () => {
    await using client = await hub.client();
    const { job_id, machine } = await held_job(client, true);
    await using _machine = machine;
    machine.keep_beating(HEARTBEAT_INTERVAL_MS, () => []);
    await back_in_queue(client, job_id);
  });

  test('a lost connection leaves the lease clock running: another worker gets the job when it ends', async () => {
    await using client = await hub.client();
    const { job_id, job_type, machine, lease } = await held_job(client, true);
    await machine.terminate();
    await using other = await hub.machine({ job_types: [job_type] });
    await other.peer.none('job_assigned', LEASE_MS / 3);
    const again = await other.assigned(job_id, EXPIRY);
    expect(again.lease_id).not.toBe(lease.lease_id);
    await other.complete(again);
  });

  test('with its attempts used up the job is failed with lease_expired', async () => {
    await using client = await hub.client();
    const { job_id, machine } = await held_job(client, true, { max_attempts: 1 });
    await using _machine = machine;
    expect((await event(client, job_id, 'job_failed', EXPIRY)).error.code).toBe('lease_expired');
    expect(await get_job(client, job_id)).toMatchObject({
      status: 'failed',
      error: { code: 'lease_expired' },
    });
  });
});

describe
  .skipIf(hub.skip)
  .concurrent('a lease that ran out stays present until the job is assigned anew', () => {
    test('a late heartbeat renews it: the job leaves the queue, nothing is counted', async () => {
      await using client = await hub.client();
      const { job_id, job_type, machine, lease } = await held_job(client, true);
      await using _machine = machine;
      await back_in_queue(client, job_id);
      expect((await machine.heartbeat([lease])).abandon).toEqual([]);
      expect(['assigned', 'processing']).toContain((await get_job(client, job_id)).status);
      machine.keep_beating(HEARTBEAT_INTERVAL_MS, () => [lease]);
      await using other = await hub.machine({ job_types: [job_type] });
      await other.peer.none('job_assigned', 150);
      expect(await machine.complete(lease, 'late')).toMatchObject({ accepted: true });
      const completed = await event(client, job_id, 'job_completed');
      expect(completed).toMatchObject({ result: 'late', attempt: 1 });
      expect(await get_job(client, job_id)).toMatchObject({ status: 'completed', attempt: 1 });
    });

    test.each(['started', 'progress', 'output'] as const)(
      'late %s renews it as a heartbeat does',
      async how => {
        await using client = await hub.client();
        const { job_id, job_type, machine, lease } = await held_job(client, true);
        await using _machine = machine;
        await back_in_queue(client, job_id);
        if (how === 'started') machine.started(lease);
        if (how === 'progress') machine.progress(lease, 0.5);
        if (how === 'output') machine.output(lease, 0, 'late');
        await machine.peer.request({ type: 'ping' });
        const deadline = performance.now() + LEASE_MS / 2;
        let job = await get_job(client, job_id);
        while (job.status === 'queued' && performance.now() < deadline) job = await get_job(client, job_id);
        expect(job).toMatchObject({ status: 'processing', attempt: 1 });
        await using other = await hub.machine({ job_types: [job_type] });
        await other.peer.none('job_assigned', 50);
        expect(await machine.complete(lease)).toMatchObject({ accepted: true });
      },
    );

    test('a late completion under it is accepted', async () => {
      await using client = await hub.client();
      const { job_id, job_type, machine, lease } = await held_job(client, true);
      await using _machine = machine;
      await back_in_queue(client, job_id);
      expect(await machine.complete(lease, 'late')).toMatchObject({ type: 'job_ack', accepted: true });
      expect((await event(client, job_id, 'job_completed')).result).toBe('late');
      await using other = await hub.machine({ job_types: [job_type] });
      await other.peer.none('job_assigned', 100);
    });

    test('a worker that comes back and names it continues', async () => {
      await using client = await hub.client();
      const { job_id, machine, lease } = await held_job(client, true);
      await machine.terminate();
      await back_in_queue(client, job_id);
      const running = [{ job_id, lease_id: lease.lease_id }];
      await using back = await hub.machine({ ...machine.fields, running });
      expect(back.registered.jobs).toMatchObject([{ ...running[0], action: 'continue' }]);
      expect(await back.complete(lease)).toMatchObject({ accepted: true });
      expect((await event(client, job_id, 'job_completed')).attempt).toBe(1);
    });

    test('job_released then only gives it up: the crash stays counted', async () => {
      await using client = await hub.client();
      const { job_id, machine, lease } = await held_job(client, true);
      await using _machine = machine;
      await back_in_queue(client, job_id);
      expect(await machine.release(lease)).toMatchObject({ type: 'job_ack', accepted: true });
      expect((await machine.assigned(job_id)).attempt).toBe(2);
    });

    test('after reassignment the former lease is stale: no end, no renewal, abandon', async () => {
      await using client = await hub.client();
      const { job_id, job_type, machine, lease } = await held_job(client, true);
      await using _machine = machine;
      await using other = await hub.machine({ job_types: [job_type] });
      const again = await other.assigned(job_id, EXPIRY);
      other.keep_beating(HEARTBEAT_INTERVAL_MS, () => [again]);
      const stale = {
        type: 'job_ack',
        job_id,
        lease_id: lease.lease_id,
        accepted: false,
        code: 'stale_lease',
      };
      expect(await machine.complete(lease, 'zombie')).toMatchObject(stale);
      expect(await machine.fail(lease)).toMatchObject(stale);
      expect(await machine.release(lease)).toMatchObject(stale);
      const abandoned = await machine.heartbeat([lease]);
      expect(abandoned.abandon.map((one: Lease) => one.lease_id)).toContain(lease.lease_id);
      machine.output(lease, 0, 'zombie');
      await machine.peer.next(frame => frame.type === 'job_ack' && frame.request_id === undefined);
      expect(await other.complete(again, 'real')).toMatchObject({ accepted: true });
      expect((await event(client, job_id, 'job_completed')).result).toBe('real');
      await client.none(frame => frame.data === 'zombie');
      expect(await machine.complete(lease, 'zombie')).toMatchObject(stale);
    });
  });

describe.skipIf(hub.skip).concurrent('a slot whose lease ran out', () => {
  test('gets nothing until a heartbeat does not name it', async () => {
    await using client = await hub.client();
    const { job_id, machine } = await held_job(client, true);
    await using _machine = machine;
    await back_in_queue(client, job_id);
    await machine.peer.none('job_assigned', 200);
    await machine.heartbeat([]);
    expect((await machine.assigned(job_id)).attempt).toBe(2);
  });

  test('gets a job again after a terminal message for it', async () => {
    await using client = await hub.client();
    const { job_id, job_type, machine, lease } = await held_job(client, true);
    await using _machine = machine;
    await back_in_queue(client, job_id);
    const next = await submit(client, { job_type });
    await machine.peer.none('job_assigned', 200);
    await machine.complete(lease);
    await machine.assigned(next.job_id);
  });

  test('gets a job again after it registers', async () => {
    await using client = await hub.client();
    const { job_id, machine } = await held_job(client, true);
    await using _machine = machine;
    await back_in_queue(client, job_id);
    await machine.peer.none('job_assigned', 200);
    await machine.register_again({ running: [] });
    await machine.assigned(job_id);
  });
});

describe.skipIf(hub.skip).concurrent('poison', () => {
  test('a job with crashes on POISON_AFTER distinct workers is failed with poison', async () => {
    await using client = await hub.client();
    const { job_id, job_type, machine } = await held_job(client, true, { max_attempts: 10 });
    await using _machine = machine;
    await back_in_queue(client, job_id);
    await using other = await hub.machine({ job_types: [job_type] });
    const again = await other.assigned(job_id);
    other.started(again);
    const failed = await event(client, job_id, 'job_failed', EXPIRY);
    expect(failed.error.code).toBe('poison');
    expect(await get_job(client, job_id)).toMatchObject({ status: 'failed', error: { code: 'poison' } });
  });

  test('crashes on one worker alone are not poison', async () => {
    await using client = await hub.client();
    const { job_id, machine } = await held_job(client, true, { max_attempts: 10 });
    await using _machine = machine;
    for (let attempt = 2; attempt <= 3; attempt++) {
      await back_in_queue(client, job_id);
      await machine.heartbeat([]);
      const again = await machine.assigned(job_id);
      expect(again.attempt).toBe(attempt);
      machine.started(again);
      if (attempt === 3) await machine.complete(again);
    }
    await event(client, job_id, 'job_completed');
  });

  test('failures that the worker itself reports are not crashes', async () => {
    await using client = await hub.client();
    const { job_id, job_type, machine, lease } = await held_job(client, true, {
      max_attempts: 10,
      backoff_ms: 20,
    });
    await using _machine = machine;
    await machine.peer.request({ type: 'worker_drain' });
    await machine.fail(lease);
    await using other = await hub.machine({ job_types: [job_type] });
    await other.fail(await other.assigned(job_id));
    await client.next(frame => frame.type === 'job_retrying' && frame.attempt === 2);
    expect((await get_job(client, job_id)).status).not.toBe('failed');
  });
});
