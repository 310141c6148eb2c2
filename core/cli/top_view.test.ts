import { describe, expect, it } from 'vitest';
import { jobRecord, NOW, statsRecord, workerRecord } from '../../testing/harness/fake_hub.ts';
import { shownWidth } from './format.ts';
import { type Picture, topLines } from './top_view.ts';

function picture(fields: Partial<Picture> = {}): Picture {
  return {
    url: 'http://hub:8000',
    stats: statsRecord(),
    depths: [0, 546, 1092],
    workers: [workerRecord()],
    running: [jobRecord()],
    now: NOW,
    link: '● live 12 ev/s',
    note: 'q quits',
    ...fields,
  };
}

const PIPE = { color: false, width: null };
const shown = (fields: Partial<Picture> = {}) => topLines(PIPE, picture(fields), Number.POSITIVE_INFINITY);

/** A fleet of 250 machines with 8 GPUs each, all at work. */
function largeFleet(): Partial<Picture> {
  const workers = Array.from({ length: 2000 }, (_, i) => {
    const machine_id = `m-${Math.floor(i / 8)}`;
    return workerRecord({ machine_id, index: i % 8, worker_id: `${machine_id}:gpu${i % 8}` });
  });
  const running = Array.from({ length: 200 }, (_, i) => jobRecord({ job_id: `j${i}` }));
  return { workers, running };
}

describe('the picture of top', () => {
  it('tells depth, slots, rates, waits, problems, types, machines and running jobs', () => {
    const text = shown().join('\n');
    expect(text).toContain('WAIT 1,092 ▁▅█ +3 scheduled │ BUSY 1,503/1,971 ██████░░░ 76%');
    expect(text).toContain('IN 60.0/s │ DONE 59.2/s │ FAIL 0.4/s');
    expect(text).toContain('WAIT p50 0.4s p99 2.1s │ RUN p50 6.2s p99 14s │ OLDEST 3s');
    expect(text).toContain('✕ sick: 8 GPUs');
    expect(text).toMatch(/^image\.generate +412 +1,120/m);
    expect(text).toMatch(/^machine1 +■ +1\/1 +97% +61G\/80G +71°C +NVIDIA H100/m);
    expect(text).toMatch(/^► processing +j1 +video\.render +14m02s +machine1:gpu0 +█████░░░░ 62% frame 74/m);
    expect(text).toContain('… 1,502 more: gpuhub jobs --status active');
  });

  it('has one sign a GPU, in their order', () => {
    const states = ['offline', 'quarantined', 'draining', 'stopping', 'busy', 'idle'] as const;
    const workers = states.map((status, i) => workerRecord({ status, index: 5 - i }));
    expect(shown({ workers }).join('\n')).toMatch(/^machine1 +□■◔‖☒┄ +2\/6/m);
  });

  it('says so when there is no machine and nothing runs', () => {
    const lines = shown({ workers: [], running: [] });
    expect(lines).toContain('no machine is connected');
    expect(lines).toContain('no job runs');
  });

  it.each([
    [80, 24],
    [100, 30],
    [200, 60],
    [40, 12],
    [20, 3],
  ])('fits on %i × %i, however large the fleet', (width, rows) => {
    const lines = topLines({ color: true, width }, picture(largeFleet()), rows);
    expect(lines.length).toBeLessThanOrEqual(rows);
    for (const line of lines) expect(shownWidth(line)).toBeLessThanOrEqual(width);
    if (rows >= 24) {
      expect(lines.join('\n')).toContain('more machines: gpuhub workers');
      expect(lines.join('\n')).toContain('more: gpuhub jobs --status active');
      expect(lines.length, 'and uses the room').toBeGreaterThan(rows - 4);
    }
  });

  it('makes hostile text visible', () => {
    const hostile = '\u001b[2J\u009b\u202e\nx';
    const lines = shown({
      running: [jobRecord({ progress_message: hostile, worker_id: hostile })],
      workers: [workerRecord({ gpu_name: hostile, machine_id: hostile })],
      stats: statsRecord({
        by_type: { [hostile]: { queued: 1, active: 1, completed: 0, failed: 0, avg_run_ms: null } },
      }),
    });
    for (const line of lines) expect(line).not.toMatch(/[\p{Cc}\p{Cf}]/u);
  });
});
