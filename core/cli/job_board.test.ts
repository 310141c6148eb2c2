import { describe, expect, it } from 'vitest';
import { jobRecord, NOW } from '../../testing/harness/fake_hub.ts';
import { shownWidth } from './format.ts';
import type { JobEvent } from './http.ts';
import { type BoardJob, boardJob, boardLines, hasEnded, takeEvent, takeRecord } from './job_board.ts';

const SCREEN = { color: false, width: 100 };
let seq = 0;
const event = (type: string, after_ms: number, fields: object = {}): JobEvent => {
  seq += 1;
  return { type, job_id: 'j1', seq, at: NOW + after_ms, attempt: 1, ...fields };
};

/** The line of a job after these events. */
function lineAfter(now_ms: number, ...events: JobEvent[]): string {
  const job = boardJob('j1');
  for (const each of events) takeEvent(job, each);
  return boardLines(SCREEN, [job], NOW + now_ms, 10)[0] as string;
}

const started = [
  event('job_queued', 0),
  event('job_assigned', 4000, { worker_id: 'm:gpu0' }),
  event('job_started', 4500, { worker_id: 'm:gpu0' }),
];

describe('the line of a job', () => {
  it('tells how long it waits, then its progress, worker and how long it runs, then how it ended', () => {
    expect(lineAfter(3000)).toBe('…             j1');
    expect(lineAfter(3000, ...started.slice(0, 1))).toBe('○ queued      j1      3s');
    expect(lineAfter(4200, ...started.slice(0, 2))).toBe('▷ assigned    j1    0.2s  ░░░░░░░░░░   0%  m:gpu0');
    const half = event('job_progress', 9000, { progress: 0.5, message: 'frame 60' });
    expect(lineAfter(14_000, ...started, half)).toBe(
      '► processing  j1     10s  █████░░░░░  50%  m:gpu0  frame 60',
    );
    const done = event('job_completed', 20_000, { worker_id: 'm:gpu0', run_ms: 16_000 });
    expect(lineAfter(99_000, ...started, half, done)).toBe('✓ completed   j1     16s  on m:gpu0');
  });

  it('tells since when it waits also after an operator moved it', () => {
    const moved = event('job_queued', 9000, { reason: 'operator', position: 1 });
    expect(lineAfter(10_000, started[0] as JobEvent, moved)).toBe('○ queued      j1     10s');
  });

  it('tells why it failed, waits again, or is being cancelled', () => {
    const error = { code: 'oom', message: 'out of\nmemory' };
    expect(lineAfter(9000, ...started, event('job_failed', 8000, { error, worker_id: 'm:gpu0' }))).toBe(
      '✕ failed      j1      4s  oom: out of‹U+000A›memory',
    );
    const again = event('job_retrying', 8000, { error, run_at: NOW + 10_000 });
    expect(lineAfter(9000, ...started, again)).toBe(
      '◷ scheduled   j1      1s  until it is due, oom: out of‹U+000A›memory',
    );
    expect(lineAfter(9000, ...started, event('job_cancelling', 8000, { reason: 'wrong' }))).toBe(
      '► processing  j1      5s  ░░░░░░░░░░   0%  m:gpu0  is being cancelled wrong',
    );
    expect(lineAfter(9000, started[0] as JobEvent, event('job_cancelled', 8000, { reason: 'wrong' }))).toBe(
      '⊘ cancelled   j1       —  wrong',
    );
  });

  it('begins with what the record says, and goes on with events', () => {
    const job = boardJob('j1');
    takeRecord(job, jobRecord());
    expect(boardLines(SCREEN, [job], NOW, 9)[0]).toBe(
      '► processing  j1  14m02s  ██████░░░░  62%  machine1:gpu0  frame 74 of 120',
    );
    takeEvent(job, event('job_completed', 0, { worker_id: 'machine1:gpu0', run_ms: 5000 }));
    expect(hasEnded(job)).toBe(true);
    const failed = boardJob('j2');
    const error = { code: 'oom', message: 'm', retryable: true };
    takeRecord(failed, jobRecord({ status: 'failed', error, finished_at: NOW - 840_000 }));
    expect(boardLines(SCREEN, [failed], NOW, 9)[0]).toBe('✕ failed      j2      2s  oom: m');
  });

  it('an attempt after another begins its bar and its time anew', () => {
    const again = [
      event('job_progress', 9000, { progress: 0.9, message: 'nearly' }),
      event('job_queued', 20_000, { reason: 'lease_expired' }),
      event('job_assigned', 21_000, { worker_id: 'n:gpu0' }),
      event('job_started', 21_000, { worker_id: 'n:gpu0' }),
    ];
    expect(lineAfter(23_000, ...started, ...again)).toBe('► processing  j1      2s  ░░░░░░░░░░   0%  n:gpu0');
  });
});

describe('the board', () => {
  const jobs = (n: number, of: (i: number) => Partial<BoardJob>): BoardJob[] =>
    Array.from({ length: n }, (_, i) => ({ ...boardJob(`job-${i}`), since: NOW, ...of(i) }));

  it('counts all jobs in its last line', () => {
    const three = jobs(3, i => ({ status: (['failed', 'queued', 'completed'] as const)[i] as 'failed' }));
    expect(boardLines(SCREEN, three, NOW, 10, 'hub away')).toHaveLength(4);
    expect(boardLines(SCREEN, three, NOW, 10, 'hub away').at(-1)).toBe(
      '3 jobs: 1 queued · 1 completed · 1 failed · hub away',
    );
  });

  it('has no more lines than there is room for: what moves stays, the rest is summed up', () => {
    const many = jobs(50, i => ({ status: i === 40 ? 'processing' : i === 45 ? 'failed' : 'queued' }));
    const lines = boardLines(SCREEN, many, NOW, 6);
    expect(lines).toHaveLength(6);
    expect(lines[0]).toContain('job-0');
    expect(lines[2]).toMatch(/^► processing +job-40 /);
    expect(lines[3]).toMatch(/^✕ failed +job-45 /);
    expect(lines[4]).toBe('… 46 more: 46 queued');
    expect(lines[5]).toBe('50 jobs: 48 queued · 1 processing · 1 failed');
    for (const rows of [1, 2, 3]) expect(boardLines(SCREEN, many, NOW, rows)).toHaveLength(rows);
  });

  it.each([30, 60, 80])('is never wider than %i columns, and cuts an id in its middle', width => {
    const wide = jobs(3, i => ({
      job_id: `studio-render-2291-reel-12:shot-${i}-final-version`,
      status: 'processing',
      progress: 0.5,
      worker_id: 'machine-with-a-long-name:gpu0',
      message: '画像を生成しています、しばらくお待ちください 🙂🙂🙂🙂',
    }));
    for (const line of boardLines({ color: false, width }, wide, NOW, 10)) {
      expect(shownWidth(line)).toBeLessThanOrEqual(width);
    }
    expect(boardLines({ color: false, width }, wide, NOW, 10)[1]).toMatch(/studio[^ ]*…[^ ]*sion/);
  });
});
