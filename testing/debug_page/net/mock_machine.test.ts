import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { MockMachine } from './mock_machine.ts';

type Frame = { type: string } & Record<string, unknown>;

let sent: Frame[];
let machine: MockMachine;

beforeEach(() => {
  vi.useFakeTimers();
  sent = [];
  machine = new MockMachine(
    'm',
    { gpuCount: 2, speed: 1, failRate: 0, durationMs: 1200, jobTypes: ['*'] },
    frame => sent.push(frame),
  );
  machine.connected();
  machine.take({ type: 'worker_registered', heartbeat_interval_ms: 5000, resend_ms: 3000, jobs: [] });
});

afterEach(() => {
  machine.stop();
  vi.useRealTimers();
});

const assigned = (lease: string): Frame => ({
  type: 'job_assigned',
  job_id: 'j',
  lease_id: lease,
  worker_id: 'm:gpu0',
  job_type: 't',
  params: {},
});
const typesSent = () => sent.map(frame => frame.type).filter(type => type !== 'worker_heartbeat');
const ofType = (type: string) => sent.filter(frame => frame.type === type);

test('works through a job and repeats its end until it is acknowledged', () => {
  machine.take(assigned('1-a'));
  vi.advanceTimersByTime(1300);
  expect(typesSent().at(1)).toBe('job_started');
  expect(ofType('job_completed')).toHaveLength(1);
  vi.advanceTimersByTime(6000);
  expect(ofType('job_completed').length).toBeGreaterThan(1);
  machine.take({ type: 'job_ack', job_id: 'j', lease_id: '1-a', accepted: true });
  const before = ofType('job_completed').length;
  vi.advanceTimersByTime(20_000);
  expect(ofType('job_completed')).toHaveLength(before);
});

test('tells what the job asks it to tell, and after a reconnect what the hub does not have', () => {
  machine.take({ ...assigned('1-a'), params: { output: ['a', 'b', { c: 1 }] } });
  vi.advanceTimersByTime(900);
  const told = () => ofType('job_output').map(frame => [frame['index'], frame['data']]);
  expect(told()).toEqual([
    [0, 'a'],
    [1, 'b'],
    [2, { c: 1 }],
  ]);
  sent = [];
  machine.disconnected();
  const job = { job_id: 'j', lease_id: '1-a', action: 'continue', next_output: 2 };
  machine.take({ type: 'worker_registered', jobs: [job] });
  expect(told()).toEqual([[2, { c: 1 }]]);
});

test('ignores a lease it knows', () => {
  machine.take(assigned('1-a'));
  machine.take(assigned('1-a'));
  expect(ofType('job_started')).toHaveLength(1);
});

test('names in running what it works on and what is not acknowledged', () => {
  machine.take(assigned('1-a'));
  vi.advanceTimersByTime(1300);
  machine.take({ ...assigned('1-b'), job_id: 'k' });
  machine.connected();
  expect(sent.at(-1)?.['running']).toEqual([
    { job_id: 'k', lease_id: '1-b' },
    { job_id: 'j', lease_id: '1-a' },
  ]);
});

test('goes on working while the hub is away, and tells the end when it is back', () => {
  machine.take(assigned('1-a'));
  machine.disconnected();
  vi.advanceTimersByTime(1300);
  sent = [];
  machine.take({ type: 'worker_registered', jobs: [{ job_id: 'j', lease_id: '1-a', action: 'continue' }] });
  expect(typesSent()).toEqual(['job_completed']);
});

test('stops when told to cancel, and forgets what is abandoned', () => {
  machine.take(assigned('1-a'));
  machine.take({ type: 'cancel_job', job_id: 'j', lease_id: '1-a' });
  expect(ofType('job_cancelled')).toHaveLength(1);
  machine.take({ type: 'heartbeat_ack', abandon: [{ job_id: 'j', lease_id: '1-a' }] });
  sent = [];
  vi.advanceTimersByTime(10_000);
  expect(typesSent()).toEqual([]);
});

test('a result the hub can never take becomes a failure', () => {
  machine.take(assigned('1-a'));
  vi.advanceTimersByTime(1300);
  const id = ofType('job_completed')[0]?.['request_id'];
  machine.take({ type: 'error', request_id: id, code: 'payload_too_large', message: 'too large' });
  expect(ofType('job_failed')).toHaveLength(1);
});
