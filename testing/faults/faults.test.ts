/** The short set of the fault scenarios; `npm run faults` has all, with other seeds. */
import { describe, expect, test } from 'vitest';
import type { JobRecord } from '../../core/messages/job.ts';
import { NOT_RUN, SCENARIOS } from './catalogue.ts';
import { check, type Evidence } from './checker.ts';
import type { Entry } from './ledger.ts';
import { lineOf } from './report.ts';
import { runScenario } from './runner.ts';

const SEED = 1;
const TIMEOUT_MS = 60_000;
const FAULTS = 40;

test('each fault of the list has a scenario or a reason why it has none', () => {
  const covered = new Set([
    ...SCENARIOS.flatMap(({ faults }) => faults),
    ...Object.keys(NOT_RUN).map(Number),
  ]);
  const missing = Array.from({ length: FAULTS }, (_, i) => i + 1).filter(fault => !covered.has(fault));
  expect(missing).toEqual([]);
});

describe('the checker finds', () => {
  const LEASE = '1-a';
  const entry = (at: number, who: string, op: string, fields: object): Entry => ({ at, who, op, ...fields });
  const record = {
    job_id: 'j',
    status: 'completed',
    priority: 0,
    created_at: 1,
    run_at: null,
    result: { lease_id: LEASE },
  };
  /** One job that a machine did, and a client watched to its end. */
  const good = (): Entry[] => [
    entry(1, 'c', 'submit', { job_id: 'j' }),
    entry(2, 'c', 'submitted', { job_id: 'j', outcome: 'ok' }),
    entry(3, 'm', 'begin', { job_id: 'j', lease_id: LEASE, attempt: 1, gpu: 0 }),
    entry(4, 'm', 'end', { job_id: 'j', lease_id: LEASE, how: 'done' }),
    entry(5, 'm', 'told', { job_id: 'j', lease_id: LEASE, type: 'job_completed' }),
    entry(6, 'm', 'answer', { job_id: 'j', lease_id: LEASE, accepted: true, code: null }),
    entry(7, 'c', 'event', { job_id: 'j', type: 'job_completed', seq: 9, lease_id: LEASE }),
  ];
  const again = (from: number): Entry[] => [
    entry(from, 'n', 'begin', { job_id: 'j', lease_id: '2-b', attempt: 2, gpu: 0 }),
    entry(from + 1, 'n', 'end', { job_id: 'j', lease_id: '2-b', how: 'done' }),
    entry(from + 2, 'n', 'told', { job_id: 'j', lease_id: '2-b', type: 'job_completed' }),
  ];
  const judge = (entries: Entry[], kept: object | null = record) => {
    const evidence: Evidence = {
      entries: entries.sort((a, b) => a.at - b.at),
      records: new Map(kept === null ? [] : [['j', kept as JobRecord]]),
      lease_ms: 3000,
      heartbeat_ms: 500,
      ended_at: 10_000,
    };
    return check(evidence, { executed_twice: 'away' });
  };

  test('nothing in a run without faults', () => {
    expect(judge(good())).toMatchObject({ completed: 1, executed_twice: 0, violations: [] });
  });

  test('a job that was acknowledged and is gone', () => {
    expect(judge(good(), null)).toMatchObject({ lost: 1 });
  });

  test('a job that never ends, and its watcher', () => {
    const entries = good().filter(({ op }) => op !== 'event');
    expect(judge(entries, { ...record, status: 'queued' })).toMatchObject({ stuck: 1, missed_ends: 0 });
    expect(judge(entries)).toMatchObject({ stuck: 0, missed_ends: 1 });
  });

  test('two results that were taken', () => {
    const answer = entry(20, 'n', 'answer', { job_id: 'j', lease_id: '2-b', accepted: true, code: null });
    const verdict = judge([...good(), ...again(10), answer]);
    expect(verdict).toMatchObject({ accepted_twice: 1, executed_twice: 1 });
    expect(verdict.violations.join()).toContain('accepted twice');
  });

  test('a second run beside a worker that was there, but not beside one that was away', () => {
    const stale = entry(3600, 'm', 'answer', {
      job_id: 'j',
      lease_id: LEASE,
      accepted: false,
      code: 'stale_lease',
    });
    const late = good()
      .filter(({ op }) => op !== 'answer' && op !== 'event')
      .map(one => (one.at > 3 ? { ...one, at: one.at + 3500 } : one));
    const taken = entry(3700, 'n', 'answer', { job_id: 'j', lease_id: '2-b', accepted: true, code: null });
    const told = entry(3701, 'c', 'event', { job_id: 'j', type: 'job_completed', seq: 9, lease_id: '2-b' });
    const run = [...late, stale, ...again(3400), taken, told];
    const kept = { ...record, result: { lease_id: '2-b' } };
    expect(judge(run, kept)).toMatchObject({ executed_twice: 1, lease_taken: 1 });
    const away = entry(3600, 'harness', 'away', { machines: ['m'], from: 10, to: 3450, why: 'halted' });
    expect(judge([...run, away], kept)).toMatchObject({ executed_twice: 1, lease_taken: 0, violations: [] });
  });

  test('a job of higher priority that waited while a lower one was assigned', () => {
    const urgent = { ...record, job_id: 'k', priority: 5, attempts: [{ assigned_at: 50 }] };
    const evidence: Evidence = {
      entries: good(),
      records: new Map([
        ['j', { ...record, attempts: [{ assigned_at: 40 }] } as unknown as JobRecord],
        ['k', urgent as unknown as JobRecord],
      ]),
      lease_ms: 3000,
      heartbeat_ms: 500,
      ended_at: 10_000,
    };
    expect(check(evidence, {}).inversions).toBe(1);
  });

  test('events out of order', () => {
    const before = entry(8, 'c', 'event', { job_id: 'j', type: 'job_started', seq: 3 });
    expect(judge([...good(), before]).violations.join()).toContain('out of order');
  });
});

describe('nothing is lost and nothing counts twice:', () => {
  for (const scenario of SCENARIOS.filter(({ short }) => short)) {
    test(scenario.title, { timeout: TIMEOUT_MS }, async () => {
      const outcome = await runScenario(scenario, SEED);
      console.log(lineOf(outcome));
      expect(outcome.verdict.violations).toEqual([]);
    });
  }
});
