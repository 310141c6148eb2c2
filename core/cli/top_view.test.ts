import { describe, expect, it } from 'vitest';
import { jobRecord, NOW, statsRecord, workerRecord } from '../../testing/harness/fake_hub.ts';
import { shownWidth } from './format.ts';
import { newView, TABS, type View } from './top_state.ts';
import { draw, type Picture } from './top_view.ts';

function picture(fields: Partial<Picture> = {}): Picture {
  return {
    url: 'http://hub:8000',
    stats: statsRecord(),
    depths: [0, 546, 1092],
    workers: [workerRecord()],
    jobs: [jobRecord()],
    jobs_known: 1503,
    now: NOW,
    link: '● live 12 ev/s',
    away: '',
    note: 'every 1s',
    notice: '',
    detail: [],
    ...fields,
  };
}

function viewOf(fields: Partial<View>, list: Partial<View['lists']['jobs']> = {}): View {
  const view = { ...newView(), ...fields };
  Object.assign(view.lists[view.tab], list);
  return view;
}

const PIPE = { color: false, width: null };
const TERMINAL = { color: false, width: 120 };
const printed = (fields: Partial<Picture> = {}, view = newView()) =>
  draw(PIPE, picture(fields), view, Number.POSITIVE_INFINITY).lines;
const shown = (fields: Partial<Picture>, view: View, rows = 24) =>
  draw(TERMINAL, picture(fields), view, rows);

/** A fleet of 250 machines with 8 GPUs each, all at work. */
function largeFleet(): Partial<Picture> {
  const workers = Array.from({ length: 2000 }, (_, i) => {
    const machine_id = `m-${Math.floor(i / 8)}`;
    return workerRecord({ machine_id, index: i % 8, worker_id: `${machine_id}:gpu${i % 8}` });
  });
  const jobs = Array.from({ length: 200 }, (_, i) => jobRecord({ job_id: `j${i}` }));
  return { workers, jobs };
}

describe('the overview', () => {
  it('tells depth, slots, rates, waits, problems, types, machines and running jobs', () => {
    const text = printed().join('\n');
    expect(text).toContain('WAIT 1,092 ▁▅█ +3 scheduled │ BUSY 1,503/1,971 ██████░░░ 76%');
    expect(text).toContain('DONE 59.2/s │ FAIL 0.4/s │ IN 60.0/s');
    expect(text).toContain('WAIT p50 0.4s p99 2.1s │ RUN p50 6.2s p99 14s │ OLDEST 3s');
    expect(text).toContain('✕ sick: 8 GPUs');
    expect(text).toMatch(/^image\.generate +412 +1,120/m);
    expect(text).toMatch(/^machine1 +■ +1\/1 +97% +61G\/80G +71°C +3s +NVIDIA H100/m);
    expect(text).toMatch(
      /^► processing +j1 +video\.render +2m04s +14m02s +machine1:gpu0 +10 +1\/3 +█████░░░░ 62% frame 74/m,
    );
    expect(text).toContain('… 1,502 more running jobs');
  });

  it('has one sign a GPU, in their order', () => {
    const states = ['offline', 'quarantined', 'draining', 'stopping', 'busy', 'idle'] as const;
    const workers = states.map((status, i) => workerRecord({ status, index: 5 - i }));
    expect(printed({ workers }).join('\n')).toMatch(/^machine1 +□■◔‖☒┄ +2\/6/m);
  });

  it('says so when there is no machine and nothing runs', () => {
    const lines = printed({ workers: [], jobs: [jobRecord({ status: 'failed' })] });
    expect(lines).toContain('no machine is connected');
    expect(lines).toContain('no job runs');
  });
});

describe('the tabs', () => {
  it('the open one stands in brackets, its keys in the last line', () => {
    const { lines } = shown({}, viewOf({ tab: 'jobs' }));
    expect(lines.join('\n')).toContain(' 1 Overview   2 Machines 1  [3 Jobs active]  4 Queues 2');
    expect(lines.at(-1)).toMatch(/^↑↓ move · ⏎ open · \/ filter · s sort .* · q quit$/);
    expect(lines).toHaveLength(24);
  });

  it('jobs: sorted by what has the arrow, unknown last, and how many there are', () => {
    const jobs = [
      jobRecord({ job_id: 'waits', status: 'queued', assigned_at: null }),
      jobRecord({ job_id: 'short', assigned_at: NOW - 1000 }),
      jobRecord({ job_id: 'long', assigned_at: NOW - 9000 }),
    ];
    expect(shown({ jobs }, viewOf({ tab: 'jobs' })).ids).toEqual(['waits', 'short', 'long']);
    const by_run = shown({ jobs }, viewOf({ tab: 'jobs' }, { order: 2 }));
    expect(by_run.ids).toEqual(['long', 'short', 'waits']);
    expect(by_run.lines.join('\n')).toContain('the newest 3 of 1,503 active jobs · by RUN▼');
    expect(by_run.lines.join('\n')).toMatch(/STATE +JOB .* RUN▼/);
    const turned = shown({ jobs }, viewOf({ tab: 'jobs' }, { order: 2, reversed: true }));
    expect(turned.ids).toEqual(['short', 'long', 'waits']);
    expect(turned.lines.join('\n')).toContain('by RUN▲');
  });

  it('jobs: why one waits, as far as it can be told without asking', () => {
    const queued = jobRecord({ status: 'queued', assigned_at: null, progress: null });
    const why = (fields: Partial<Picture>) => shown(fields, viewOf({ tab: 'jobs' })).lines.join('\n');
    const paused = [{ job_type: 'video.render', reason: 'model swap', at: NOW }];
    expect(why({ jobs: [queued], stats: statsRecord({ paused }) })).toContain('paused: model swap');
    const none = { idle: 0, busy: 0, stopping: 0, draining: 0, quarantined: 0, offline: 0 };
    const alone = statsRecord({ workers: none });
    expect(why({ jobs: [queued], stats: alone })).toMatch(/queued .* no machine is connected/);
    const drained = statsRecord({ workers: { ...none, draining: 4 } });
    expect(why({ jobs: [queued], stats: drained })).toContain('every GPU is draining or sick');
    const error = { code: 'oom', message: 'm', retryable: true };
    const later = jobRecord({ status: 'scheduled', run_at: NOW + 60_000, error });
    expect(why({ jobs: [later] })).toContain('due in 1m, oom: m');
    expect(why({ jobs: [jobRecord({ status: 'failed', error })] })).toMatch(/failed .* oom: m/);
  });

  it('machines and queues can be filtered by what stands in them', () => {
    const fleet = largeFleet();
    const machines = shown(fleet, viewOf({ tab: 'machines' }, { filter: 'M-24' }));
    expect(machines.ids).toEqual(['m-24', ...Array.from({ length: 10 }, (_, i) => `m-24${i}`)]);
    expect(machines.lines.join('\n')).toContain('250 machines, 2,000 GPUs · with "M-24": 11');
    expect(shown({}, viewOf({ tab: 'queues' })).ids).toEqual(['video.render', 'image.generate']);
    expect(shown({}, viewOf({ tab: 'queues' }, { filter: 'image' })).ids).toEqual(['image.generate']);
    const paused = [{ job_type: null, reason: null, at: NOW - 1000 }];
    const text = shown({ stats: statsRecord({ paused }) }, viewOf({ tab: 'queues' })).lines.join('\n');
    expect(text).toContain('‖ for 1s (all queues)');
  });

  it('the cursor stays in sight, wherever it is', () => {
    for (const [selected, rows] of [
      ['j0', '1 to'],
      ['j100', 'rows'],
      ['j199', 'to 200'],
    ] as const) {
      const { lines } = shown(largeFleet(), viewOf({ tab: 'jobs' }, { selected }));
      const marked = lines.filter(line => line.startsWith('▸'));
      expect(marked).toHaveLength(1);
      expect(marked[0]).toContain(` ${selected} `);
      expect(lines.join('\n')).toContain(rows);
    }
  });
});

describe('over the list', () => {
  it('a hub that is away, what is typed, what is asked, what was done, and help are said', () => {
    const jobs = viewOf({ tab: 'jobs', typing: { before: '' } }, { filter: 'vid' });
    expect(shown({}, jobs).lines.at(-1)).toMatch(/^\/vid▏/);
    const question = { text: 'Cancel j1?', effect: { do: 'cancel' as const, id: 'j1' } };
    expect(shown({}, viewOf({ question })).lines.at(-1)).toBe('Cancel j1? (y or any other key for no)');
    expect(shown({ notice: 'cancelled j1' }, viewOf({})).lines.at(-1)).toBe('cancelled j1');
    expect(shown({ away: 'the hub is away' }, viewOf({})).lines).toContain('○ the hub is away');
    expect(shown({}, viewOf({ help: true })).lines.join('\n')).toContain('q or Ctrl-C');
    const detail = { kind: 'job' as const, id: 'j1', top: 1 };
    const opened = shown({ detail: ['one', 'two', 'three'] }, viewOf({ detail })).lines;
    expect(opened).toContain('two');
    expect(opened).not.toContain('one');
  });
});

describe('on any screen', () => {
  const SIZES: [width: number, rows: number][] = [
    [80, 24],
    [100, 30],
    [200, 60],
    [60, 20],
    [40, 12],
    [20, 3],
    [10, 1],
  ];
  it.each(SIZES.flatMap(([width, rows]) => TABS.map(tab => [width, rows, tab] as const)))(
    'fits on %i × %i with the tab %s, however large the fleet',
    (width, rows, tab) => {
      const { lines } = draw({ color: true, width }, picture(largeFleet()), viewOf({ tab }), rows);
      expect(lines).toHaveLength(rows);
      for (const line of lines) expect(shownWidth(line)).toBeLessThanOrEqual(width);
      if (rows >= 24 && tab === 'overview') {
        expect(lines.join('\n')).toMatch(/more machines/);
        expect(lines.join('\n')).toMatch(/more running jobs/);
      }
    },
  );

  it('a narrow one keeps the id and how far it is', () => {
    const { lines } = draw({ color: false, width: 60 }, picture(), viewOf({ tab: 'jobs' }), 20);
    expect(lines.join('\n')).toMatch(/▸ ► processing {2}j1 .* █████░░░░ 62% frame/);
  });

  it('hostile text is made visible', () => {
    const hostile = '\u001b[2J\u009b\u202e\nx';
    const fields = {
      jobs: [jobRecord({ progress_message: hostile, worker_id: hostile })],
      workers: [workerRecord({ gpu_name: hostile, machine_id: hostile, status_reason: hostile })],
      stats: statsRecord({
        by_type: { [hostile]: { queued: 1, active: 1, completed: 0, failed: 0, avg_run_ms: null } },
        paused: [{ job_type: null, reason: hostile, at: NOW }],
      }),
    };
    for (const tab of TABS) {
      for (const line of printed(fields, viewOf({ tab }, { filter: '\u202e' })))
        expect(line).not.toMatch(/[\p{Cc}\p{Cf}]/u);
      for (const line of printed(fields, viewOf({ tab }))) expect(line).not.toMatch(/[\p{Cc}\p{Cf}]/u);
    }
  });
});
