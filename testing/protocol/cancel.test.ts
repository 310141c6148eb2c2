/** Protocol sections 3 and 5 rule 6: cancelling. */
import { describe, expect, test } from 'vitest';
import { type Frame, type Lease, type MachinePeer, type Peer, types } from '../harness/peer.ts';
import { event, get_job, hub_under_test, submit, unique } from './hub_under_test.ts';

const CANCEL_GRACE_MS = 1500;

const hub = hub_under_test({
  LEASE_MS: '60000',
  REAP_INTERVAL_MS: '100',
  CANCEL_GRACE_MS: String(CANCEL_GRACE_MS),
});

/** A job at work whose cancel is stored and known to its worker. */
async function cancelling_job(
  client: Peer,
  fields: object = {},
): Promise<{ job_id: string; machine: MachinePeer; lease: Frame & Lease; job_type: string }> {
  const job_type = unique('t');
  const machine = await hub.machine({ job_types: [job_type] });
  const { job_id } = await submit(client, { job_type, backoff_ms: 20, ...fields });
  const lease = await machine.assigned(job_id);
  machine.started(lease);
  await event(client, job_id, 'job_started');
  const answer = await client.request({ type: 'cancel_job', job_id, reason: 'changed my mind' });
  expect(answer).toMatchObject({ type: 'job_cancel_accepted', job_id, status: 'cancelling' });
  await machine.peer.next('cancel_job');
  return { job_id, machine, lease, job_type };
}

describe.skipIf(hub.skip).concurrent('cancel_job', () => {
  test('a cancel that crosses a registration reaches the worker, by its action or by cancel_job', async () => {
    await using client = await hub.client();
    for (let i = 0; i < 20; i++) {
      const job_type = unique('t');
      const machine = await hub.machine({ job_types: [job_type] });
      const { job_id } = await submit(client, { job_type });
      const { lease_id } = await machine.assigned(job_id);
      await machine.peer.close();
      await using back = await hub.worker();
      back.send({ type: 'register_worker', ...machine.fields, running: [{ job_id, lease_id }] });
      client.send({ type: 'cancel_job', job_id });
      const told = await back.next(
        frame =>
          frame.type === 'cancel_job' ||
          (frame.type === 'worker_registered' && frame.jobs[0]?.action === 'cancel'),
        { timeout_ms: 1200 },
      );
      expect(told).toBeDefined();
    }
  });

  test('a queued job is cancelled at once, and no worker gets it', async () => {
    await using client = await hub.client();
    const job_type = unique('t');
    const { job_id } = await submit(client, { job_type });
    const answer = await client.request({ type: 'cancel_job', job_id, reason: 'no need' });
    expect(answer).toMatchObject({ type: 'job_cancel_accepted', job_id, status: 'cancelled' });
    expect((await event(client, job_id, 'job_cancelled')).reason).toBe('no need');
    expect(await get_job(client, job_id)).toMatchObject({ status: 'cancelled', attempt: 0, worker_id: null });
    const { job_id: next } = await submit(client, { job_type });
    await using machine = await hub.machine({ job_types: [job_type] });
    expect((await machine.assigned()).job_id).toBe(next);
  });

  test('a scheduled job is cancelled at once, and never becomes due', async () => {
    await using client = await hub.client();
    const job_type = unique('t');
    await using machine = await hub.machine({ job_types: [job_type] });
    const { job_id } = await submit(client, { job_type, delay_ms: 200, watch: 'all' });
    expect((await client.request({ type: 'cancel_job', job_id })).status).toBe('cancelled');
    await event(client, job_id, 'job_cancelled');
    const later = await submit(client, { job_type, delay_ms: 200 });
    expect((await machine.assigned()).job_id).toBe(later.job_id);
    expect(client.events(job_id).at(-1)?.type).toBe('job_cancelled');
  });

  test('an assigned job is cancelling: its worker gets cancel_job with reason and grace_ms', async () => {
    await using client = await hub.client();
    const job_type = unique('t');
    await using machine = await hub.machine({ job_types: [job_type] });
    const { job_id } = await submit(client, { job_type });
    const { lease_id } = await machine.assigned(job_id);
    expect((await client.request({ type: 'cancel_job', job_id, reason: 'why' })).status).toBe('cancelling');
    const order = await machine.peer.next('cancel_job');
    expect(order).toMatchObject({ job_id, lease_id, reason: 'why', grace_ms: CANCEL_GRACE_MS });
    expect((await event(client, job_id, 'job_cancelling')).reason).toBe('why');
  });

  test('a job at work ends cancelled when its worker says job_cancelled', async () => {
    await using client = await hub.client();
    const { job_id, machine, lease } = await cancelling_job(client);
    await using _machine = machine;
    expect(await machine.cancelled(lease)).toMatchObject({ type: 'job_ack', job_id, accepted: true });
    const cancelled = await event(client, job_id, 'job_cancelled');
    expect(cancelled.reason).toBe('changed my mind');
    const job = await get_job(client, job_id);
    expect(job).toMatchObject({ status: 'cancelled', seq: cancelled.seq });
    expect(job.cancel_requested_at).toEqual(expect.any(Number));
    expect(types(client.events(job_id))).toEqual(['job_started', 'job_cancelling', 'job_cancelled']);
    // Repeats are true, another terminal type is a conflict: as for any accepted end.
    expect(await machine.cancelled(lease)).toMatchObject({ accepted: true });
    expect(await machine.complete(lease)).toMatchObject({ accepted: false, code: 'conflict' });
  });

  test('the slot is free again after job_cancelled', async () => {
    await using client = await hub.client();
    const { machine, lease, job_type } = await cancelling_job(client);
    await using _machine = machine;
    await machine.cancelled(lease);
    const { job_id } = await submit(client, { job_type });
    await machine.assigned(job_id);
  });

  test('a completion after the cancel is refused with conflict, again and again, and ends the job cancelled at once', async () => {
    await using client = await hub.client();
    const { job_id, machine, lease } = await cancelling_job(client);
    await using _machine = machine;
    expect(await machine.complete(lease, 'too late')).toMatchObject({
      type: 'job_ack',
      accepted: false,
      code: 'conflict',
      job_id,
      lease_id: lease.lease_id,
    });
    await event(client, job_id, 'job_cancelled', { timeout_ms: CANCEL_GRACE_MS / 2 });
    expect(await get_job(client, job_id)).toMatchObject({ status: 'cancelled', result: null });
    expect(await machine.complete(lease, 'too late')).toMatchObject({ accepted: false, code: 'conflict' });
    expect(types(client.events(job_id))).not.toContain('job_completed');
  });

  test('a failure after the cancel is refused with conflict and ends it cancelled: no retry', async () => {
    await using client = await hub.client();
    const { job_id, machine, lease } = await cancelling_job(client, { max_attempts: 5 });
    await using _machine = machine;
    expect(await machine.fail(lease)).toMatchObject({ accepted: false, code: 'conflict' });
    await event(client, job_id, 'job_cancelled', { timeout_ms: CANCEL_GRACE_MS / 2 });
    expect(await machine.fail(lease)).toMatchObject({ accepted: false, code: 'conflict' });
    await machine.peer.none('job_assigned', 100);
    expect((await get_job(client, job_id)).status).toBe('cancelled');
  });

  test.each(['release', 'reject'] as const)(
    '%s after the cancel is acked true and ends it cancelled',
    async how => {
      await using client = await hub.client();
      const { job_id, machine, lease } = await cancelling_job(client);
      await using _machine = machine;
      expect(await machine[how](lease)).toMatchObject({ type: 'job_ack', accepted: true });
      await event(client, job_id, 'job_cancelled', { timeout_ms: CANCEL_GRACE_MS / 2 });
      expect((await get_job(client, job_id)).status).toBe('cancelled');
    },
  );

  test('at the end of the grace the job is cancelled without its worker', async () => {
    await using client = await hub.client();
    const { job_id, machine, lease } = await cancelling_job(client);
    await using _machine = machine;
    const cancelling = client.events(job_id).find(frame => frame.type === 'job_cancelling') as Frame;
    const cancelled = await event(client, job_id, 'job_cancelled');
    expect(cancelled.at - cancelling.at).toBeGreaterThanOrEqual(CANCEL_GRACE_MS - 50);
    expect((await get_job(client, job_id)).status).toBe('cancelled');
    expect(await machine.complete(lease)).toMatchObject({ type: 'job_ack', accepted: false });
  });

  test('progress and output in the grace still reach watchers, none after the end', async () => {
    await using client = await hub.client();
    const { job_id, machine, lease } = await cancelling_job(client);
    await using _machine = machine;
    machine.output(lease, 0, 'last words');
    expect((await event(client, job_id, 'job_output')).data).toBe('last words');
    await machine.cancelled(lease);
    await event(client, job_id, 'job_cancelled');
    machine.output(lease, 1, 'ghost');
    await client.none(frame => frame.data === 'ghost', 50);
  });

  test('an ended job is conflict', async () => {
    await using client = await hub.client();
    const job_type = unique('t');
    await using machine = await hub.machine({ job_types: [job_type] });
    const { job_id } = await submit(client, { job_type });
    await machine.run(job_id);
    const answer = await client.request({ type: 'cancel_job', job_id });
    expect([answer.type, answer.code]).toEqual(['error', 'conflict']);
    expect((await get_job(client, job_id)).status).toBe('completed');
    const gone = await submit(client, { job_type: unique('t') });
    await client.request({ type: 'cancel_job', job_id: gone.job_id });
    expect((await client.request({ type: 'cancel_job', job_id: gone.job_id })).code).toBe('conflict');
  });

  test('an unknown job is not_found', async () => {
    await using client = await hub.client();
    const answer = await client.request({ type: 'cancel_job', job_id: unique('none') });
    expect([answer.type, answer.code]).toEqual(['error', 'not_found']);
  });

  test('a job that waits for its next attempt is cancelled at once', async () => {
    await using client = await hub.client();
    const job_type = unique('t');
    await using machine = await hub.machine({ job_types: [job_type] });
    const { job_id } = await submit(client, { job_type, backoff_ms: 60_000 });
    await machine.fail(await machine.assigned(job_id));
    expect((await event(client, job_id, 'job_retrying')).job_id).toBe(job_id);
    expect((await client.request({ type: 'cancel_job', job_id })).status).toBe('cancelled');
    await event(client, job_id, 'job_cancelled');
  });

  test('a machine that was away learns of the cancel when it registers', async () => {
    await using client = await hub.client();
    const job_type = unique('t');
    await using machine = await hub.machine({ job_types: [job_type] });
    const { job_id } = await submit(client, { job_type });
    const lease = await machine.assigned(job_id);
    machine.started(lease);
    await event(client, job_id, 'job_started');
    await machine.peer.terminate();
    expect((await client.request({ type: 'cancel_job', job_id })).status).toBe('cancelling');
    const running = [{ job_id, lease_id: lease.lease_id }];
    await using back = await hub.machine({ ...machine.fields, running });
    expect(back.registered.jobs).toHaveLength(1);
    expect(back.registered.jobs[0]).toMatchObject({ ...running[0], action: 'cancel' });
    expect(await back.cancelled(lease)).toMatchObject({ accepted: true });
    await event(client, job_id, 'job_cancelled');
  });
});
