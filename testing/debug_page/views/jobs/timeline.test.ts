import { expect, test } from 'vitest';
import type { JobRecord } from '../../../../core/messages/job.ts';
import { phasesOf } from './timeline.ts';

const BLANK: JobRecord = {
  job_id: 'j',
  job_type: 't',
  status: 'queued',
  priority: 0,
  requirements: null,
  client_id: null,
  worker_id: null,
  attempt: 0,
  max_attempts: 3,
  progress: 0,
  progress_message: null,
  error: null,
  metadata: null,
  retry_of: null,
  cancel_requested_at: null,
  created_at: 1000,
  run_at: null,
  queued_at: 1000,
  assigned_at: null,
  started_at: null,
  finished_at: null,
  updated_at: 1000,
  seq: 1,
};

const FAILED = {
  attempt: 1,
  worker_id: 'm:gpu0',
  assigned_at: 2000,
  started_at: 2100,
  ended_at: 5000,
  outcome: 'failed',
  error: { code: 'oom', message: 'no memory' },
};

const rows = (job: Partial<JobRecord>) =>
  phasesOf({ ...BLANK, ...job }).map(({ row, kind, from, to, outcome }) => [row, kind, from, to, outcome]);

test('a job that waits has waited since it was submitted', () => {
  expect(rows({})).toEqual([['wait 1', 'wait', 1000, null, undefined]]);
});

test('a delay stands before the waiting, which is shown when it has begun', () => {
  const delay = ['delay', 'planned', 1000, 4000, undefined];
  expect(rows({ status: 'scheduled', run_at: 4000 })).toEqual([delay]);
  expect(rows({ run_at: 4000 })).toEqual([delay, ['wait 1', 'wait', 4000, null, undefined]]);
});

test('a lease that ran out ended when the job went back, or before the next attempt', () => {
  const lost = { ...FAILED, ended_at: null, outcome: 'lease_expired' };
  const run = (to: number) => ['attempt 1', 'run', 2100, to, 'lost'];
  expect(rows({ attempts: [lost], updated_at: 4000 }).slice(2)).toEqual([
    run(4000),
    ['wait 2', 'wait', 4000, null, undefined],
  ]);
  const next = { ...FAILED, attempt: 2, assigned_at: 6000, started_at: 6100, ended_at: null, outcome: null };
  expect(rows({ status: 'processing', attempts: [lost, next] })[2]).toEqual(run(6000));
});

test('an attempt that ended without a word of its start is shown by its end', () => {
  expect(rows({ attempts: [{ ...FAILED, started_at: null }] })[1]).toEqual([
    'attempt 1',
    'run',
    2000,
    5000,
    'failed',
  ]);
});

test('a failed attempt is followed by its back-off and the next wait', () => {
  expect(rows({ attempt: 1, attempts: [FAILED], run_at: 6000 })).toEqual([
    ['wait 1', 'wait', 1000, 2000, undefined],
    ['attempt 1', 'dispatch', 2000, 2100, undefined],
    ['attempt 1', 'run', 2100, 5000, 'failed'],
    ['back-off', 'planned', 5000, 6000, undefined],
    ['wait 2', 'wait', 6000, null, undefined],
  ]);
});

test('the present attempt is shown before the record lists it', () => {
  const job = {
    status: 'processing',
    assigned_at: 7000,
    started_at: 7050,
    attempts: [FAILED],
    run_at: 6000,
  } as const;
  expect(rows({ ...job, attempts: [FAILED] }).slice(-2)).toEqual([
    ['attempt 2', 'dispatch', 7000, 7050, undefined],
    ['attempt 2', 'run', 7050, null, undefined],
  ]);
});

test('an attempt that never showed a sign is only a dispatch', () => {
  const lost = { ...FAILED, started_at: null, outcome: 'undelivered', error: null };
  expect(rows({ attempts: [lost] })[1]).toEqual(['attempt 1', 'dispatch', 2000, 5000, 'lost']);
});
