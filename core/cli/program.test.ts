import { type Socket, createServer } from 'node:net';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  FakeHub,
  jobRecord,
  NOW,
  refusal,
  sse,
  statsRecord,
  workerRecord,
} from '../../testing/harness/fake_hub.ts';
import type { Screen } from './format.ts';
import { run } from './program.ts';
import type { Terminal } from './terminal.ts';

let hub: FakeHub;
beforeEach(async () => {
  hub = await FakeHub.start();
});
afterEach(() => hub[Symbol.asyncDispose]());

interface Ran {
  exit: number;
  out: string;
  err: string;
  /** stdout as one JSON document. */
  json: () => unknown;
}

interface World {
  screen?: Screen;
  env?: Record<string, string | undefined>;
  files?: Record<string, string>;
  /** What is piped into it. */
  input?: string;
  terminal?: Terminal;
}

/** The command with these arguments, its output a pipe unless said otherwise. */
async function gpuhub(args: string[], world: World = {}): Promise<Ran> {
  let out = '';
  let err = '';
  const file = (path: string) => {
    const text = world.files?.[path];
    if (text === undefined) throw new Error('no such file');
    return text;
  };
  const exit = await run(args, {
    out: text => {
      out += text;
    },
    err: text => {
      err += text;
    },
    screen: world.screen ?? { color: false, width: null },
    env: world.env ?? { HUB_URL: hub.url },
    read: async path => file(path),
    async *pieces(path) {
      yield path === '-' ? (world.input ?? '') : file(path);
    },
    piped: world.input !== undefined,
    notes: null,
    terminal: world.terminal ?? null,
  });
  return { exit, out, err, json: () => JSON.parse(out) };
}

const TERMINAL: Screen = { color: false, width: 100 };
const accepted = {
  job_id: 'j1',
  status: 'queued',
  duplicate: false,
  seq: 1,
  position: 2,
  created_at: NOW,
};

describe('summary', () => {
  it('tells jobs, GPUs, rates and problems, and each job type', async () => {
    const { exit, out, err } = await gpuhub(['summary']);
    expect({ exit, err }).toEqual({ exit: 0, err: '' });
    expect(out).toContain('1,092 queued · 3 scheduled · oldest 3s');
    expect(out).toContain('1,503/1,971 busy ███████░░░ 76%');
    expect(out).toContain('wait p50 0.4s p99 2.1s');
    expect(out).toContain('✕ sick: 8 GPUs');
    expect(out).toMatch(/^image\.generate +412 +1,120 +3,480 +1 +—$/m);
  });

  it('says so when jobs wait and no GPU is connected', async () => {
    const workers = { idle: 0, busy: 0, stopping: 0, draining: 0, quarantined: 0, offline: 0 };
    hub.on('GET /stats', 200, statsRecord({ workers }));
    expect((await gpuhub(['summary'])).out).toContain('1,092 jobs waiting, and no GPU is connected');
  });

  it('names what is paused, since when and why, and counts the rest', async () => {
    const paused = ['a', 'b', 'c', 'd'].map(job_type => ({ job_type, reason: null, at: NOW - 90_000 }));
    const all = { job_type: null, reason: 'new racks\u001b[31m', at: NOW - 2000 };
    hub.on('GET /stats', 200, statsRecord({ paused: [all, ...paused] }));
    expect((await gpuhub(['summary'])).out).toContain(
      '✕ paused: all job types for 2s, new racks‹U+001B›[31m; a for 1m30s; b for 1m30s; 2 more (gpuhub pause --list)',
    );
    expect((await gpuhub(['stats'])).out).toMatch(/ 5\n$/);
  });

  it('writes the stats of the wire as JSON', async () => {
    expect((await gpuhub(['summary', '--format', 'json'])).json()).toEqual(statsRecord());
  });
});

describe('jobs', () => {
  it('asks for what the options say', async () => {
    hub.on('GET /jobs', 200, { jobs: [], next_cursor: null });
    const args = ['--status', 'active', '--type', 'x', '--client', 'c', '--limit', '7', '--cursor', 'a b'];
    const { exit, out } = await gpuhub(['jobs', ...args]);
    expect({ exit, out }).toEqual({ exit: 0, out: 'no jobs\n' });
    const asked = hub.asked.map(({ path }) => path);
    expect(asked).toContain('/jobs?status=active&job_type=x&client_id=c&limit=7&cursor=a+b');
  });

  it('lists state, times, worker and progress, and where the next page is', async () => {
    const failed = jobRecord({
      job_id: 'j2',
      status: 'failed',
      finished_at: NOW - 60_000,
      error: { code: 'oom', message: `CUDA out of memory ${'x'.repeat(200)}`, retryable: true },
    });
    hub.on('GET /jobs', 200, { jobs: [jobRecord(), failed], next_cursor: 'c2' });
    const { out } = await gpuhub(['jobs']);
    expect(out).toMatch(
      /► processing +j1 +video\.render +10 +16m06s +2m04s +14m02s +1\/3 +machine1:gpu0 +█████░░░░ 62% frame 74 of 120 +studio/,
    );
    expect(out, 'a pipe is not cut').toContain('x'.repeat(200));
    expect(out).toContain('showing 2 · next: --cursor c2');
    const wide = await gpuhub(['jobs', '--wide'], { screen: TERMINAL });
    expect(wide.out, 'a terminal is').not.toContain('x'.repeat(100));
  });

  it('writes the page of the wire as JSON', async () => {
    const page = { jobs: [jobRecord()], next_cursor: null };
    hub.on('GET /jobs', 200, page);
    expect((await gpuhub(['--format=json', 'jobs'])).json()).toEqual(page);
  });

  it('refuses a status that there is not', async () => {
    const { exit, err } = await gpuhub(['jobs', '--status', 'lost']);
    expect(exit).toBe(2);
    expect(err).toContain('Allowed choices are scheduled, queued');
    expect(hub.asked).toEqual([]);
  });
});

describe('job', () => {
  it('shows facts, times, attempts, params and what to do next', async () => {
    const attempt = {
      attempt: 1,
      worker_id: 'machine1:gpu0',
      assigned_at: NOW - 842_000,
      started_at: NOW - 841_000,
      ended_at: null,
      outcome: null,
      error: null,
    };
    hub.on('GET /jobs/a:1', 200, jobRecord({ job_id: 'a:1', params: { prompt: 'x' }, attempts: [attempt] }));
    const { exit, out } = await gpuhub(['job', 'a:1']);
    expect(exit).toBe(0);
    expect(out).toContain('► processing  a:1');
    expect(out).toMatch(/^waited .*░+ +2m04s$/m);
    expect(out).toMatch(/^ran +█+ +14m02s$/m);
    expect(out).toMatch(/^1 +machine1:gpu0 +2026-11-22 12:45:58Z +1s +— +— +—$/m);
    expect(out).toContain('"prompt": "x"');
    expect(out).toContain('follow it: gpuhub watch a:1');
  });

  it('cuts a long result on a terminal, and not in a pipe or with --full', async () => {
    const done = jobRecord({
      status: 'completed',
      finished_at: NOW,
      result: Array.from({ length: 50 }, (_, i) => i),
    });
    hub.on('GET /jobs/j1', 200, done);
    expect((await gpuhub(['job', 'j1'], { screen: TERMINAL })).out).toContain('… 32 more lines: --full');
    expect((await gpuhub(['job', 'j1', '--full'], { screen: TERMINAL })).out).toContain('49');
    expect((await gpuhub(['job', 'j1'])).out).toContain('49');
  });

  it('exits 4 with the sentence of the hub when there is none', async () => {
    hub.on('GET /jobs/j9', 404, refusal('not_found', 'there is no job "j9"'));
    expect(await gpuhub(['job', 'j9'])).toMatchObject({
      exit: 4,
      out: '',
      err: 'gpuhub: there is no job "j9"\n',
    });
    const { err } = await gpuhub(['job', 'j9', '--format', 'json']);
    expect(JSON.parse(err)).toEqual(refusal('not_found', 'there is no job "j9"'));
  });

  it.each(['..', '../stats', 'a/b', '', 'x y', '-x'])('refuses %j, which cannot be an id', async id => {
    const { exit } = await gpuhub(['job', '--', id]);
    expect(exit).toBe(2);
    expect(hub.asked).toEqual([]);
  });
});

describe('workers', () => {
  it('lists them by machine and number, with a foot line', async () => {
    const workers = [
      workerRecord({ worker_id: 'machine1:gpu10', index: 10, status: 'idle', job_id: null }),
      workerRecord({ worker_id: 'machine1:gpu2', index: 2 }),
      workerRecord({
        worker_id: 'a:gpu0',
        machine_id: 'a',
        status: 'quarantined',
        status_reason: 'ECC errors',
      }),
    ];
    hub.on('GET /workers', 200, { workers });
    const { out } = await gpuhub(['workers']);
    const order = [...out.matchAll(/(\S+:gpu\d+)/g)].map(match => match[1]);
    expect(order).toEqual(['a:gpu0', 'machine1:gpu2', 'machine1:gpu10']);
    expect(out).toMatch(
      /► busy +machine1:gpu2 +NVIDIA H100 80GB HBM3 +61G\/80G +97% +71°C +j1 +wan-2\.2-14b +3s/,
    );
    expect(out).toContain('ECC errors');
    expect(out).toContain('3 GPUs: 1 busy 1 idle 1 sick');
    expect((await gpuhub(['workers', '--format', 'json'])).json()).toEqual({ workers });
  });

  it('says when there are none', async () => {
    hub.on('GET /workers', 200, { workers: [] });
    expect((await gpuhub(['workers'])).out).toBe('no workers\n');
  });
});

describe('worker', () => {
  it('shows hardware and its last jobs', async () => {
    hub.on('GET /workers/machine1:gpu0', 200, workerRecord());
    const other = jobRecord({ job_id: 'other', worker_id: 'machine2:gpu0' });
    hub.on('GET /jobs', 200, { jobs: [jobRecord(), other], next_cursor: null });
    const { exit, out } = await gpuhub(['worker', 'machine1:gpu0']);
    expect(exit).toBe(0);
    expect(out).toContain('NVIDIA H100 80GB HBM3');
    expect(out).toMatch(/^j1 +video\.render +► processing +14m02s +—$/m);
    expect(out).not.toContain('other');
  });

  it('exits 4 when there is none, and 2 for what cannot be one', async () => {
    expect((await gpuhub(['worker', 'machine1:gpu9'])).exit).toBe(4);
    expect((await gpuhub(['worker', 'machine1'])).exit).toBe(2);
  });
});

describe('submit', () => {
  const bodies = () => hub.asked.filter(({ method }) => method === 'POST').map(({ body }) => body);

  it('sends what the options say', async () => {
    hub.on('POST /jobs', 202, { ...accepted, warnings: ['unknown field "x" was ignored'] });
    const options = ['--params', '{"a":1}', '--priority', '-5', '--job-id', 'j1', '--delay-ms', '9'];
    const args = ['submit', '--type', 'echo', ...options, '--requirements', '{"min_vram_mb":1}'];
    const { exit, out } = await gpuhub(args);
    expect(exit).toBe(0);
    expect(out).toContain('○ queued  j1, number 2 of its kind');
    expect(out).toContain('! unknown field "x" was ignored');
    expect(bodies()).toEqual([
      {
        job_type: 'echo',
        params: { a: 1 },
        job_id: 'j1',
        priority: -5,
        requirements: { min_vram_mb: 1 },
        delay_ms: 9,
      },
    ]);
  });

  it('reads params from a file and makes up an id', async () => {
    hub.on('POST /jobs', 202, accepted);
    const { json } = await gpuhub(['submit', '--type', 'echo', '--params', '@p.json', '--format', 'json'], {
      files: { 'p.json': '{"from":"file"}' },
    });
    expect(json()).toEqual(accepted);
    expect(bodies()).toEqual([
      { job_type: 'echo', params: { from: 'file' }, job_id: expect.stringMatching(/^j_[\w-]{22}$/) },
    ]);
  });

  it.each([
    ['no type', []],
    ['params that are no JSON', ['--type', 'echo', '--params', '{']],
    ['params that are no object', ['--type', 'echo', '--params', '[]']],
    ['a file that is not there', ['--type', 'echo', '--params', '@none']],
    ['requirements that are no object', ['--type', 'echo', '--requirements', '7']],
    ['a priority out of range', ['--type', 'echo', '--priority', '101']],
    ['a priority that is no number', ['--type', 'echo', '--priority', 'high']],
    ['an unknown option', ['--type', 'echo', '--prio', '1']],
  ])('refuses %s before it asks the hub', async (_, args) => {
    const { exit, out, err } = await gpuhub(['submit', ...args]);
    expect({ exit, out }).toEqual({ exit: 2, out: '' });
    expect(err).toMatch(/^gpuhub: .+\n$/);
    expect(hub.asked).toEqual([]);
  });

  it('is bad usage when the hub finds a field wrong, and failed when it is full', async () => {
    hub.on(
      'POST /jobs',
      400,
      refusal('invalid_message', 'field "job_type": must match', [{ path: 'job_type' }]),
    );
    const { exit, err } = await gpuhub(['submit', '--type', '!', '--format', 'json']);
    expect(exit).toBe(2);
    expect(JSON.parse(err).error).toMatchObject({ code: 'invalid_message', details: [{ path: 'job_type' }] });
    hub.on('POST /jobs', 429, refusal('queue_full', 'the queue is full'));
    expect((await gpuhub(['submit', '--type', 'x'])).exit).toBe(1);
  });

  it('tells the id to try again with when nobody knows whether the job was taken', async () => {
    hub.on('POST /jobs', 503, refusal('unavailable', 'Redis does not answer', { outcome: 'unknown' }));
    expect((await gpuhub(['submit', '--type', 'x', '--job-id', 'j7'])).err).toContain('--job-id j7');
    hub.on('POST /jobs', 503, refusal('unavailable', 'Redis does not answer', { outcome: 'none' }));
    expect((await gpuhub(['submit', '--type', 'x', '--job-id', 'j7'])).err).not.toContain('--job-id');
  });

  it('--wait shows the result and exits 0 when the job completes', async () => {
    hub.on('POST /jobs', 202, accepted);
    hub.events(
      'j1',
      sse('job_queued', 1) + sse('job_completed', 2, { result: { url: 'u' }, queued_ms: 1, run_ms: 2 }),
    );
    const { exit, out } = await gpuhub(['submit', '--type', 'x', '--job-id', 'j1', '--wait']);
    expect(exit).toBe(0);
    expect(out).toContain('✓ completed  waited 1ms, ran 2ms');
    expect(out.endsWith('{\n  "url": "u"\n}\n')).toBe(true);
  });

  it('--wait exits 1 when it fails, and writes one document, the record, as JSON', async () => {
    hub.on('POST /jobs', 202, accepted);
    hub.events('j1', sse('job_failed', 2, { error: { code: 'oom', message: 'm' } }));
    const record = jobRecord({ status: 'failed', error: { code: 'oom', message: 'm', retryable: true } });
    hub.on('GET /jobs/j1', 200, record);
    const { exit, json } = await gpuhub(['submit', '--type', 'x', '--wait', '--format', 'json']);
    expect(exit).toBe(1);
    expect(json()).toEqual(record);
  });
});

describe('explain', () => {
  it.each([
    [2450, 'may start in   2.4s$'],
    [9000, 'may start in   2.4s – 9s$'],
  ])('says when a job may start: one time where both ends are the same', async (high, shown) => {
    hub.on('GET /jobs/j1', 200, jobRecord({ status: 'queued' }));
    hub.on('GET /jobs/j1/explain', 200, {
      job_id: 'j1',
      position: 1,
      eta_ms: { low: 2400, high },
      slots_total: 1,
      as_of: NOW,
      reasons: [],
    });
    expect((await gpuhub(['explain', 'j1'])).out).toMatch(new RegExp(shown, 'm'));
  });
});

describe('events', () => {
  it.each([
    ['--type', 'any'],
    ['--job', 'j1'],
    ['--state', 'failed'],
    ['--event', 'job_failed'],
  ])('are of workers or of chosen jobs: not --workers with %s', async (option, value) => {
    const { exit, err } = await gpuhub(['events', '--workers', option, value]);
    expect({ exit, err }).toEqual({
      exit: 2,
      err: expect.stringMatching(/^gpuhub: --workers goes with all jobs: .*--type.*\n$/),
    });
  });
});

describe('watch', () => {
  const story = [
    sse('job_queued', 1, { reason: 'submitted', position: 1 }),
    sse('job_assigned', 2, { worker_id: 'm:gpu0' }),
    sse('job_started', 3, { worker_id: 'm:gpu0' }),
    sse('job_progress', 3, { progress: 0.5, message: 'half' }),
    sse('job_output', 3, { index: 0, data: 'tok\u001ben' }, 0),
    sse('job_retrying', 4, { error: { code: 'oom', message: 'm' }, run_at: NOW + 5000, max_attempts: 3 }),
    sse('job_completed', 5, { result: 1, worker_id: 'm:gpu0', queued_ms: 1000, run_ms: 2000 }),
  ];

  it('tells each event in a line and exits 0', async () => {
    hub.events('j1', story.join(''));
    const { exit, out } = await gpuhub(['watch', 'j1']);
    expect(exit).toBe(0);
    expect(out.split('\n')).toEqual([
      '+0s       ○ queued  submitted',
      '+1s       ▷ assigned  m:gpu0',
      '+2s       ► processing  m:gpu0',
      '+2s       ██████████░░░░░░░░░░ 50%  half',
      '+2s       output  #0 "tok\\u001ben"',
      '+3s       ◷ scheduled  oom: m, again in 1s',
      '+4s       ✓ completed  waited 1s, ran 2s',
      '',
    ]);
  });

  it('redraws the progress on a terminal', async () => {
    hub.events('j1', story.join(''));
    const { out } = await gpuhub(['watch', 'j1'], { screen: { color: true, width: 30 } });
    expect(out).toContain('█');
    expect(out).toContain('\r\u001b[2K');
    const bars = out
      .replaceAll('\r\u001b[2K', '\n')
      .split('\n')
      .filter(line => line.includes('█'));
    expect(bars.map(line => line.length)).toEqual([29]);
  });

  it('writes one event a line as JSON', async () => {
    hub.events('j1', story.join(''));
    const lines = (await gpuhub(['watch', 'j1', '--format', 'json'])).out.trim().split('\n');
    expect(lines.map(line => JSON.parse(line).type)).toEqual([
      'job_queued',
      'job_assigned',
      'job_started',
      'job_progress',
      'job_output',
      'job_retrying',
      'job_completed',
    ]);
  });

  it.each(['job_failed', 'job_cancelled', 'job_expired'])('exits 1 after %s', async type => {
    hub.events('j1', sse(type, 1));
    expect((await gpuhub(['watch', 'j1'])).exit).toBe(1);
  });

  it('goes on where a broken stream ended', async () => {
    hub.events('j1', story.slice(0, 5).join(''), story.slice(5).join(''));
    const { exit, out } = await gpuhub(['watch', 'j1', '--format', 'json']);
    expect(exit).toBe(0);
    expect(out.trim().split('\n')).toHaveLength(7);
    expect(hub.asked.map(({ headers }) => headers['last-event-id'])).toEqual([undefined, '3:0']);
  });

  it('exits 4 for an unknown job, also for one that is lost on the way, and leaves the line of the bar', async () => {
    expect((await gpuhub(['watch', 'j404'])).exit).toBe(4);
    hub.events('j1', story.slice(0, 4).join(''));
    hub.answers.get('GET /jobs/j1/events')?.push({ status: 404, body: refusal('not_found', 'gone') });
    const { exit, out, err } = await gpuhub(['watch', 'j1'], { screen: TERMINAL });
    expect(exit).toBe(4);
    expect(err).toBe('gpuhub: gone\n');
    expect(out).toMatch(/50% {2}half\n$/);
  });
});

describe('cancel, retry, drain, resume', () => {
  it('ask the hub and say what was done', async () => {
    hub.on('POST /jobs/j1/cancel', 202, { job_id: 'j1', status: 'cancelling' });
    hub.on('POST /jobs/j1/retry', 202, { ...accepted, job_id: 'j_new' });
    hub.on('POST /workers/m:gpu0/drain', 202, { worker_ids: ['m:gpu0'] });
    hub.on('POST /workers/m:gpu0/resume', 202, { worker_ids: ['m:gpu0'] });
    expect((await gpuhub(['cancel', 'j1', '--reason', 'wrong'])).out).toContain('cancelling j1');
    expect((await gpuhub(['retry', 'j1'])).out).toContain('submitted again as j_new');
    expect((await gpuhub(['drain', 'm:gpu0', '--reason', 'driver'])).out).toContain('draining m:gpu0');
    expect((await gpuhub(['resume', 'm:gpu0'])).out).toBe('resumed m:gpu0\n');
    expect(hub.asked.map(({ body }) => body)).toEqual([{ reason: 'wrong' }, {}, { reason: 'driver' }, {}]);
  });

  it('exit 1 when the state does not allow it', async () => {
    hub.on('POST /jobs/j1/cancel', 409, refusal('conflict', 'the job has ended: completed'));
    expect(await gpuhub(['cancel', 'j1'])).toMatchObject({
      exit: 1,
      err: 'gpuhub: the job has ended: completed\n',
    });
  });
});

describe('when no hub answers', () => {
  async function closedPort(): Promise<number> {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    server.close();
    await once(server, 'close');
    return port;
  }

  it.each([
    'summary',
    'jobs',
    'job j1',
    'workers',
    'worker m:gpu0',
    'submit --type x',
    'watch j1',
    'cancel j1',
  ])('%s says so in one sentence and exits 3', async verb => {
    const url = `http://127.0.0.1:${await closedPort()}`;
    expect(await gpuhub(verb.split(' '), { env: { HUB_URL: url } })).toMatchObject({
      exit: 3,
      out: '',
      err: `gpuhub: cannot reach ${url} (connection refused). Is the hub running? Start one with "npm start", or set --hub or HUB_URL.\n`,
    });
  });

  it('says it as JSON when that was asked for', async () => {
    const url = `http://127.0.0.1:${await closedPort()}`;
    const { err } = await gpuhub(['summary', '--format', 'json', '--hub', url]);
    expect(JSON.parse(err).error).toMatchObject({ code: 'no_hub', message: expect.stringContaining(url) });
  });

  it('tells a connection that was closed, and a page that is no hub', async () => {
    const rude = createServer((socket: Socket) => void socket.destroy()).listen(0, '127.0.0.1');
    await once(rude, 'listening');
    const url = `http://127.0.0.1:${(rude.address() as AddressInfo).port}`;
    const { exit, err } = await gpuhub(['summary', '--hub', url]);
    rude.close();
    expect({ exit, err }).toMatchObject({
      exit: 3,
      err: expect.stringContaining('the connection was closed'),
    });

    hub.raw('GET /stats', { raw: response => response.end('<html>') });
    const page = await gpuhub(['summary']);
    expect(page.exit).toBe(3);
    expect(page.err).toContain('answers, but not as a hub does (HTTP 200');
  });
});

describe('the address of the hub', () => {
  const reach = async (args: string[], env: Record<string, string>) => (await gpuhub(args, { env })).exit;

  it('comes from --hub, HUB_URL, or HUB_HOST and HUB_PORT, in this order', async () => {
    const { port } = new URL(hub.url);
    expect(await reach(['summary'], { HUB_URL: hub.url })).toBe(0);
    expect(await reach(['summary'], { HUB_HOST: '127.0.0.1', HUB_PORT: port })).toBe(0);
    expect(await reach(['summary'], { HUB_HOST: '0.0.0.0', HUB_PORT: port })).toBe(0);
    expect(await reach(['summary', '--hub', hub.url], { HUB_URL: 'http://127.0.0.1:1' })).toBe(0);
    expect(await reach(['summary'], { HUB_URL: `ws://127.0.0.1:${port}/` })).toBe(0);
    expect(await reach(['summary'], { HUB_URL: `127.0.0.1:${port}` })).toBe(0);
  });

  it.each(['ftp://x', 'http://', 'http://x:99999', 'http://x/?token=1'])('%s is bad usage', async url => {
    const { exit, err } = await gpuhub(['summary', '--hub', url]);
    expect(exit).toBe(2);
    expect(err).toContain('is not the address of a hub');
  });
});

/** Whatever could steer a terminal; new lines are the only controls that belong there. */
const HARMFUL = /(?!\n)[\p{Cc}\p{Cf}]/u;

describe('hostile text', () => {
  const HOSTILE = '\u001b]0;owned\u0007\u009b2J\u202e\nfake line';

  it('from a job never reaches the terminal as it is', async () => {
    const job = jobRecord({
      status: 'failed',
      job_type: 'video.render',
      progress_message: HOSTILE,
      client_id: HOSTILE,
      params: { [HOSTILE]: HOSTILE },
      result: HOSTILE,
      metadata: { k: HOSTILE },
      error: { code: HOSTILE, message: HOSTILE, retryable: true },
    });
    hub.on('GET /jobs/j1', 200, job);
    hub.on('GET /jobs', 200, { jobs: [job, { ...job, status: 'processing' }], next_cursor: HOSTILE });
    const worker = workerRecord({ gpu_name: HOSTILE, models: [HOSTILE], labels: { [HOSTILE]: HOSTILE } });
    hub.on('GET /workers', 200, { workers: [{ ...worker, status_reason: HOSTILE }] });
    hub.on('GET /workers/m:gpu0', 200, worker);
    const error = { code: HOSTILE, message: HOSTILE };
    hub.events('j1', sse('job_cancelling', 1, { reason: HOSTILE }) + sse('job_failed', 2, { error }));
    for (const args of [['job', 'j1'], ['jobs'], ['workers'], ['worker', 'm:gpu0'], ['watch', 'j1']]) {
      for (const format of ['table', 'json']) {
        const { out } = await gpuhub([...args, '--format', format], { screen: { color: false, width: 200 } });
        expect(out, args.join(' ')).not.toMatch(HARMFUL);
        expect(out, args.join(' ')).not.toMatch(/^fake line/m);
      }
    }
  });

  it('from the hub is made visible in errors', async () => {
    hub.on('GET /jobs/j1', 404, refusal('not_found', HOSTILE));
    expect((await gpuhub(['job', 'j1'])).err).not.toMatch(HARMFUL);
  });
});

describe('help', () => {
  const verbs =
    'summary top stats jobs job explain workers worker submit watch events cancel retry drain resume pause resume-queue dead completion'.split(
      ' ',
    );

  it.each(verbs)('%s --help has an example and the options of all verbs', async verb => {
    const { exit, out } = await gpuhub([verb, '--help']);
    expect(exit).toBe(0);
    expect(out).toMatch(new RegExp(`Examples?:\\n  gpuhub ${verb}`));
    expect(out).toContain('--format');
  });

  it('names all verbs and the exit codes', async () => {
    const { exit, out } = await gpuhub(['--help']);
    expect(exit).toBe(0);
    for (const verb of verbs) expect(out).toContain(`  ${verb}`);
    for (const code of [0, 1, 2, 3, 4]) expect(out).toMatch(new RegExp(`^  ${code}  `, 'm'));
  });

  it('comes on stderr, with exit 2, when there is no verb', async () => {
    const { exit, out, err } = await gpuhub([]);
    expect({ exit, out }).toEqual({ exit: 2, out: '' });
    expect(err).toContain('Usage: gpuhub');
  });

  it('an unknown verb is bad usage', async () => {
    const { exit, err } = await gpuhub(['job-list']);
    expect(exit).toBe(2);
    expect(err).toContain("unknown command 'job-list'");
  });
});
