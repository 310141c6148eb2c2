/**
 * What a job costs its peers, in frames and bytes. The numbers are exact and are to be changed by hand, with a reason: a
 * regression is seen at once, however fast the machine.
 */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Frame, MachinePeer, Peer } from '../harness/peer.ts';
import { Fleet } from '../harness/fleet.ts';

let fleet: Fleet;
beforeAll(async () => {
  fleet = await Fleet.start();
});
afterAll(() => fleet[Symbol.asyncDispose]());

/** Bytes of a frame without its request id, and with each duration as one digit: chance must not change the cost. */
const bytes = ({ request_id: _, ...frame }: Frame) =>
  JSON.stringify(frame).replaceAll(/_ms":\d+/g, '_ms":0').length;

/** One job of 970 bytes from its submission to the acknowledgement of its end, over bare sockets. */
async function life(watch: unknown) {
  await using client = await Peer.connect(fleet.hub.wsUrl, { path: '/ws/client' });
  await using machine = await MachinePeer.register(fleet.hub.wsUrl, {
    machine_id: 'm1',
    job_types: ['image'],
  });
  const before = { client: client.frames.length, machine: machine.peer.frames.length };
  const params = { prompt: 'x'.repeat(957) };
  const job_id = `job-${JSON.stringify(watch)}`.replaceAll('"', '').padEnd(12, '_');
  await client.request({ type: 'submit_job', job_id, job_type: 'image', params, watch, request_id: 'r1' });
  const lease = await machine.assigned(job_id);
  machine.started(lease);
  await machine.complete(lease, { url: 'y'.repeat(180) });
  await client.request({ type: 'ping', request_id: 'p1' });
  const told = (frames: Frame[], from: number) =>
    frames.slice(from).flatMap(frame => (frame.type === 'pong' ? [] : [`${frame.type} ${bytes(frame)}`]));
  return {
    client: told(client.frames, before.client),
    machine: told(machine.peer.frames, before.machine),
  };
}

test.each([
  [true, ['job_accepted 146', 'job_started 122', 'job_completed 349']],
  ['end', ['job_accepted 146', 'job_completed 349']],
  [false, ['job_accepted 146']],
  ['all', ['job_accepted 146', 'job_queued 133', 'job_assigned 123', 'job_started 122', 'job_completed 349']],
])('with watch %s a job is so many frames of so many bytes', async (watch, frames) => {
  expect(await life(watch)).toEqual({ client: frames, machine: ['job_assigned 1184', 'job_ack 96'] });
});
