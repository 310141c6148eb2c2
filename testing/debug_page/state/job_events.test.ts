import { expect, test } from 'vitest';
import { readJson } from '../text/json_text.ts';
import { afterEvent, type Job, type JobEvent, resultLine } from './job_events.ts';

const JOB = { job_id: 'j', status: 'queued', seq: 5, progress: 0, position: 3, note: null } as unknown as Job;
const event = (fields: Partial<JobEvent> & { type: JobEvent['type'] }): JobEvent => ({
  job_id: 'j',
  seq: 6,
  at: 100,
  attempt: 1,
  ...fields,
});

test('an event older than the record changes nothing', () => {
  expect(afterEvent(JOB, event({ type: 'job_expired', seq: 4 }))).toBe(JOB);
  expect(afterEvent(JOB, event({ type: 'job_expired', seq: 5 }))).toBe(JOB);
});

test('progress carries the seq reached so far and is taken', () => {
  const running = { ...JOB, status: 'processing' } as Job;
  expect(afterEvent(running, event({ type: 'job_progress', seq: 5, progress: 0.5 })).progress).toBe(0.5);
});

test('a new assignment starts progress again', () => {
  const job = afterEvent({ ...JOB, progress: 0.7 }, event({ type: 'job_assigned', worker_id: 'm:gpu0' }));
  expect(job).toMatchObject({
    status: 'assigned',
    progress: 0,
    worker_id: 'm:gpu0',
    position: null,
    attempt: 1,
  });
});

test('a job that an operator moved waits since it came, for the reason it had', () => {
  const waiting = { ...JOB, queued_at: 50, note: 'retry' } as Job;
  const moved = afterEvent(waiting, event({ type: 'job_queued', reason: 'operator', position: 1 }));
  expect(moved).toMatchObject({ status: 'queued', queued_at: 50, note: 'retry', position: 1, seq: 6 });
  // The event that put it back into its queue was left out.
  const running = { ...JOB, status: 'processing', worker_id: 'm:gpu0' } as Job;
  const back = afterEvent(running, event({ type: 'job_queued', reason: 'operator', position: 1 }));
  expect(back).toMatchObject({ status: 'queued', worker_id: null, queued_at: 100 });
});

test('the line of a result has its numbers as they were written', () => {
  const result = '{"seed":9223372036854775807,"f":7.0}';
  expect(resultLine(readJson(result))).toBe(result);
});

test('a result is kept as one short line, never whole', () => {
  const line = resultLine({ image: 'x'.repeat(1_000_000), list: Array.from({ length: 1000 }, (_, i) => i) });
  expect(line?.length).toBeLessThan(200);
});
