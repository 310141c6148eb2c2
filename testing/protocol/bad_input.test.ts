/**
 * Bad input of every kind. Whatever is sent: the one who sent it gets a defined code, close code or HTTP status,
 * nobody else notices, and the hub goes on completing jobs. After each test a second, well-behaved client submits
 * a job and a machine that was there all along completes it.
 */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import type { Frame, MachinePeer, Path, Peer } from '../harness/peer.ts';
import { event, get_job, hub_under_test, submit, unique } from './hub_under_test.ts';

const hub = hub_under_test();

/** What the hub may say to bad input; never `internal`. */
const CODES = [
  'invalid_json',
  'unknown_type',
  'invalid_message',
  'payload_too_large',
  'not_found',
  'conflict',
];

let bystander: Peer;
let machine: MachinePeer;
const job_type = unique('steady');

beforeAll(async () => {
  if (hub.skip) return;
  bystander = await hub.client();
  machine = await hub.machine({ job_types: [job_type] });
});

afterEach(async () => {
  if (hub.skip) return;
  const { job_id } = await submit(bystander, { job_type });
  await machine.run(job_id, 'fine');
  expect((await event(bystander, job_id, 'job_completed')).result).toBe('fine');
});

afterAll(async () => {
  if (hub.skip) return;
  // Nobody closed the peers that behaved.
  expect([bystander.is_open, machine.peer.is_open]).toEqual([true, true]);
  await bystander.close();
  await machine.terminate();
});

/** Sends one frame; gives the code of the error or of the close that answered it, or the type of another answer. */
async function said_to(peer: Peer, text: string | Buffer): Promise<string | number> {
  const before = peer.frames.length;
  peer.sendRaw(text, { binary: false });
  const said = await peer
    .next(() => true)
    .then(
      frame => (frame.type === 'error' ? (frame.code as string) : frame.type),
      // It fails with a list of what came; a close is an answer as well.
      async error => (peer.is_open ? Promise.reject(error) : (await peer.closed()).code),
    );
  for (const frame of peer.frames.slice(before)) expect(JSON.stringify(frame)).not.toMatch(/\\n\s+at /);
  return said;
}

describe.skipIf(hub.skip)('frames that are not one JSON object', () => {
  const DEEP = 100_000;
  const cases: [string, string][] = [
    ['nothing', ''],
    ['blanks', ' \n '],
    ['null', 'null'],
    ['a list', '[]'],
    ['a list of messages', '[{"type":"ping"}]'],
    ['a string', '"ping"'],
    ['a number', '1'],
    ['true', 'true'],
    ['a brace', '{'],
    ['half a message', '{"type":"pi'],
    ['a trailing comma', '{"type":"ping",}'],
    ['single quotes', "{'type':'ping'}"],
    ['NaN', '{"type":"ping","a":NaN}'],
    ['Infinity', '{"type":"ping","a":Infinity}'],
    ['undefined', 'undefined'],
    ['two messages', '{"type":"ping"}{"type":"ping"}'],
    ['a raw NUL inside a string', '{"type":"pi\u0000ng"}'],
    ['a comment', '{"type":"ping"/* hello */}'],
    [`${DEEP} opening brackets`, '['.repeat(DEEP)],
    [`${DEEP} nested lists`, '['.repeat(DEEP) + ']'.repeat(DEEP)],
    ['13,000 opening objects', '{"a":'.repeat(13_000)],
    ['HTTP', 'GET / HTTP/1.1\r\n\r\n'],
  ];
  test.each(cases)('%s is invalid_json on every role', async (_name, text) => {
    for (const path of ['/ws/client', '/ws/worker', '/ws/monitor'] satisfies Path[]) {
      await using peer = await hub.connect({ path });
      if (path === '/ws/monitor') await peer.next('snapshot');
      peer.sendRaw(text);
      expect((await peer.next('error')).code, path).toBe('invalid_json');
      expect((await peer.request({ type: 'ping' })).type).toBe('pong');
    }
  });

  test('a type that is missing, no string or no message is refused', async () => {
    await using peer = await hub.client();
    const bad = [
      '{}',
      '{"type":null}',
      '{"type":1}',
      '{"type":["ping"]}',
      '{"type":{"type":"ping"}}',
      '{"type":""}',
    ];
    const names = [
      '__proto__',
      'constructor',
      'toString',
      'hasOwnProperty',
      'valueOf',
      'PING',
      'ping ',
      'error',
    ];
    for (const text of [...bad, ...names.map(type => JSON.stringify({ type }))])
      expect(['unknown_type', 'invalid_message'], text).toContain(await said_to(peer, text));
    for (const type of names) expect((await peer.request({ type })).code, type).toBe('unknown_type');
  });
});

/** One field of a message: what it must not be, and whether it may be left out. */
interface Field {
  required?: true;
  bad: unknown[];
}

interface Message {
  role: 'client' | 'worker' | 'monitor';
  good: { type: string; [field: string]: unknown };
  fields: Record<string, Field>;
}

const NOT_STRING = [1, true, {}, []];
const NOT_LIST = ['x', 1, true, {}];
const NOT_OBJECT = ['x', 1, true, []];
const NOT_COUNT = ['1', 1.5, -1, true, {}, []];
const BAD_NAME = [
  ...NOT_STRING,
  '',
  ' ',
  '-a',
  'a b',
  'a/b',
  'é',
  '{x}',
  'a*',
  'a\u0000b',
  '__proto__',
  'x'.repeat(129),
];
const JOB_ID: Field = { required: true, bad: [...BAD_NAME, 'x'.repeat(65_536)] };
const LEASE_ID: Field = { required: true, bad: [...NOT_STRING, 'x'.repeat(129), 'x'.repeat(65_536)] };
const STATUS = ['', 'sleeping', 'QUEUED', 1, {}, ['queued']];

const REQUIREMENTS = [
  ...NOT_OBJECT,
  ...[{ min_vram_mb: '8000' }, { min_vram_mb: -1 }, { min_vram_mb: 1.5 }],
  ...[
    { gpu_model: 'A100' },
    { gpu_model: [1] },
    { models: 'sdxl' },
    { models: [{}] },
    { models: ['x'.repeat(257)] },
  ],
  ...[{ labels: ['zone'] }, { labels: { zone: {} } }, { labels: { zone: [{}] } }, { labels: { 'a b': 'x' } }],
  ...[
    { gpus: 0 },
    { gpus: 2 },
    { gpus: '1' },
    { gpus: 1.5 },
    { prefer_model: 1 },
    { prefer_model: 'x'.repeat(257) },
  ],
];

const SUBMISSION: Record<string, Field> = {
  job_type: { required: true, bad: BAD_NAME },
  params: { required: true, bad: NOT_OBJECT },
  job_id: { bad: JOB_ID.bad },
  priority: { bad: ['1', 1.5, 101, -101, 2 ** 53, 1e308, true, []] },
  requirements: { bad: REQUIREMENTS },
  max_attempts: { bad: ['3', 0, -1, 101, 1.5, 1e9] },
  backoff_ms: { bad: ['1', -1, 1.5, true] },
  delay_ms: { bad: ['1', -1, 1.5, true] },
  run_at: { bad: ['now', 1.5, '2030-01-01T00:00:00Z'] },
  start_timeout_ms: { bad: ['1', -1, 1.5] },
  run_timeout_ms: { bad: ['1', -1, 1.5] },
  progress_timeout_ms: { bad: ['1', -1, 1.5] },
  metadata: {
    bad: [
      ...NOT_OBJECT,
      ...[{ a: 1 }, { a: {} }, { a: ['x'] }, { a: null }],
      Object.fromEntries(Array.from({ length: 33 }, (_, i) => [`k${i}`, 'v'])),
    ],
  },
  watch: { bad: ['some', 1, {}, []] },
};

const LEASED = { job_id: 'some-job', lease_id: `1-${'A'.repeat(22)}` };

const MESSAGES: Message[] = [
  { role: 'client', good: { type: 'submit_job', job_type: 'x', params: {} }, fields: SUBMISSION },
  {
    role: 'client',
    good: { type: 'submit_jobs', jobs: [{ job_type: 'x', params: {} }] },
    fields: {
      jobs: { required: true, bad: [...NOT_LIST, [], Array(1001).fill({ job_type: 'x', params: {} })] },
    },
  },
  {
    role: 'client',
    good: { type: 'cancel_job', job_id: 'x' },
    fields: { job_id: JOB_ID, reason: { bad: NOT_STRING } },
  },
  { role: 'client', good: { type: 'get_job', job_id: 'x' }, fields: { job_id: JOB_ID } },
  {
    role: 'client',
    good: { type: 'list_jobs' },
    fields: {
      status: { bad: STATUS },
      job_type: { bad: BAD_NAME },
      client_id: { bad: BAD_NAME },
      limit: { bad: ['50', 501, -1, 1.5] },
      cursor: { bad: [1, {}, []] },
      full: { bad: ['yes', 1] },
    },
  },
  {
    role: 'client',
    good: { type: 'watch_jobs', job_ids: ['x'] },
    fields: {
      job_ids: { required: true, bad: [...NOT_LIST, [1], ['-a'], [null], Array(1001).fill('x')] },
      after_seq: { bad: [...NOT_OBJECT, { x: '0' }, { x: -1 }, { x: 1.5 }] },
      after_output: { bad: [...NOT_OBJECT, { x: '0' }, { x: 1.5 }] },
    },
  },
  {
    role: 'client',
    good: { type: 'unwatch_jobs', job_ids: ['x'] },
    fields: { job_ids: { required: true, bad: [...NOT_LIST, [1], ['-a']] } },
  },
  {
    role: 'worker',
    good: { type: 'register_worker', machine_id: 'spare-machine', job_types: ['x'] },
    fields: {
      machine_id: { required: true, bad: BAD_NAME },
      job_types: { required: true, bad: [...NOT_LIST, [1], [''], ['a b']] },
      gpu_count: { bad: ['1', 0, 65, -1, 1.5, 1e9] },
      gpus: {
        bad: [...NOT_LIST, [{}], [{ index: '0' }], [{ index: -1 }], [{ index: 0, vram_mb: 'much' }], [1]],
      },
      models: { bad: [...NOT_LIST, [1], ['x'.repeat(257)]] },
      labels: { bad: [...NOT_OBJECT, { a: {} }, { 'a b': 'x' }] },
      version: { bad: NOT_STRING },
      draining: { bad: ['yes', 1] },
      running: { bad: [...NOT_LIST, [1], [{}], [{ job_id: 'x' }], [{ lease_id: 'x' }], [LEASED.lease_id]] },
    },
  },
  {
    role: 'worker',
    good: { type: 'worker_heartbeat', workers: [], running: [] },
    fields: {
      workers: { required: true, bad: [...NOT_LIST, [1], [{}], [{ worker_id: 1 }]] },
      running: {
        required: true,
        bad: [...NOT_LIST, [1], [{}], [{ job_id: 'x' }], [{ ...LEASED, lease_id: 1 }]],
      },
    },
  },
  {
    role: 'worker',
    good: { type: 'job_started', ...LEASED },
    fields: { job_id: JOB_ID, lease_id: LEASE_ID },
  },
  {
    role: 'worker',
    good: { type: 'job_progress', ...LEASED, progress: 0.5 },
    fields: {
      job_id: JOB_ID,
      lease_id: LEASE_ID,
      progress: {
        required: true,
        bad: ['0.5', -0.1, 1.1, true, {}],
      },
      message: { bad: NOT_STRING },
    },
  },
  {
    role: 'worker',
    good: { type: 'job_output', ...LEASED, index: 0, data: 'x' },
    fields: {
      job_id: JOB_ID,
      lease_id: LEASE_ID,
      index: {
        required: true,
        bad: NOT_COUNT,
      },
      data: {
        required: true,
        bad: [],
      },
    },
  },
  {
    role: 'worker',
    good: { type: 'job_completed', ...LEASED, result: {} },
    fields: { job_id: JOB_ID, lease_id: LEASE_ID, result: { required: true, bad: [] } },
  },
  {
    role: 'worker',
    good: { type: 'job_failed', ...LEASED, error: { code: 'a', message: 'b' } },
    fields: {
      job_id: JOB_ID,
      lease_id: LEASE_ID,
      error: {
        required: true,
        bad: [
          ...NOT_OBJECT,
          ...[
            {},
            { code: 'a' },
            { message: 'b' },
            {
              code: 1,
              message: 'b',
            },
            {
              code: 'a',
              message: {},
            },
          ],
          {
            code: 'a',
            message: 'b',
            retryable: 'no',
          },
        ],
      },
    },
  },
  {
    role: 'worker',
    good: { type: 'job_cancelled', ...LEASED },
    fields: { job_id: JOB_ID, lease_id: LEASE_ID },
  },
  {
    role: 'worker',
    good: { type: 'job_released', ...LEASED },
    fields: { job_id: JOB_ID, lease_id: LEASE_ID, reason: { bad: NOT_STRING } },
  },
  {
    role: 'worker',
    good: { type: 'job_rejected', ...LEASED, reason: 'busy' },
    fields: {
      job_id: JOB_ID,
      lease_id: LEASE_ID,
      reason: {
        required: true,
        bad: NOT_STRING,
      },
      retry_after_ms: { bad: NOT_COUNT },
    },
  },
  {
    role: 'worker',
    good: { type: 'worker_drain' },
    fields: { worker_ids: { bad: [...NOT_LIST, [1]] }, reason: { bad: NOT_STRING } },
  },
  { role: 'worker', good: { type: 'worker_resume' }, fields: { worker_ids: { bad: [...NOT_LIST, [1]] } } },
  { role: 'monitor', good: { type: 'submit_job', job_type: 'x', params: {} }, fields: SUBMISSION },
  {
    role: 'monitor',
    good: { type: 'pause_queue', job_type: unique('t') },
    fields: { job_type: { bad: BAD_NAME }, reason: { bad: NOT_STRING } },
  },
  { role: 'monitor', good: { type: 'resume_queue' }, fields: { job_type: { bad: BAD_NAME } } },
  {
    role: 'monitor',
    good: { type: 'drain_worker', machine_id: unique('none') },
    fields: { machine_id: { required: true, bad: NOT_STRING }, reason: { bad: NOT_STRING } },
  },
  { role: 'monitor', good: { type: 'retry_job', job_id: 'x' }, fields: { job_id: JOB_ID } },
  {
    role: 'monitor',
    good: { type: 'set_priority', job_id: 'x', priority: 1 },
    fields: { job_id: JOB_ID, priority: { required: true, bad: ['1', 1.5, 101, -101, true] } },
  },
  {
    role: 'monitor',
    good: { type: 'purge_jobs', status: 'failed' },
    fields: {
      status: { required: true, bad: STATUS },
      older_than_ms: { bad: ['1', -1, 1.5] },
    },
  },
];

/** A peer of that role that has said what it owes. */
async function peer_of(role: Message['role']): Promise<Peer> {
  if (role === 'client') return hub.client();
  if (role === 'monitor') return hub.monitor();
  return (await hub.machine({ job_types: [unique('t')] })).peer;
}

const FIELDS = MESSAGES.flatMap(({ role, good, fields }) =>
  Object.entries(fields).map(([name, field]) => ({ role, good, name, field, type: good.type })),
);

describe.skipIf(hub.skip)('fields', () => {
  test.each(FIELDS)('$role: a bad $name of $type is invalid_message', async ({ role, good, name, field }) => {
    await using peer = await peer_of(role);
    const tries: Record<string, unknown>[] = field.bad.map(value => ({ ...good, [name]: value }));
    if (field.required) {
      const { [name]: _left_out, ...rest } = good;
      tries.push(rest);
    }
    const wrong: string[] = [];
    for (const message of tries) {
      const answer = await peer.request(message);
      const shown = name in message ? JSON.stringify(message[name])?.slice(0, 80) : 'left out';
      if (answer.type !== 'error' || answer.code !== 'invalid_message')
        wrong.push(`${name} ${shown}: ${JSON.stringify(answer).slice(0, 200)}`);
      else if (!Array.isArray(answer.details) || answer.details.some((detail: Frame) => !('path' in detail)))
        wrong.push(`${name} ${shown}: details ${JSON.stringify(answer.details)?.slice(0, 200)}`);
    }
    expect(wrong).toEqual([]);
    expect((await peer.request({ type: 'ping' })).type).toBe('pong');
  });

  test.each(Object.entries(SUBMISSION))(
    'in a batch a bad %s is the error of its own job',
    async (name, field) => {
      await using client = await hub.client();
      const good = { job_type: unique('t'), params: {} };
      const jobs = field.bad.slice(0, 8).flatMap(value => [{ ...good, [name]: value }, good]);
      const answer = await client.request({ type: 'submit_jobs', jobs });
      expect(answer.type).toBe('jobs_accepted');
      const codes = answer.results.map((result: Frame) => result.error?.code ?? result.status);
      expect(codes).toEqual(jobs.map((_, i) => (i % 2 ? 'queued' : 'invalid_message')));
    },
  );

  test('drain_worker that names nobody is invalid_message', async () => {
    await using monitor = await hub.monitor();
    expect((await monitor.request({ type: 'drain_worker' })).code).toBe('invalid_message');
  });

  test('numbers beyond a double are no numbers', async () => {
    await using client = await hub.client();
    for (const field of ['priority', 'delay_ms', 'run_at', 'max_attempts', 'run_timeout_ms']) {
      for (const value of ['1e400', '-1e400']) {
        const text = `{"type":"submit_job","job_type":"x","params":{},"${field}":${value}}`;
        expect(await said_to(client, text), text).toBe('invalid_message');
      }
    }
  });

  test('times beyond all calendars are refused, or kept without harm', async () => {
    await using client = await hub.client();
    for (const value of [2 ** 53, 1e15, 9_007_199_254_740_991, 1e300])
      for (const field of ['delay_ms', 'run_at', 'start_timeout_ms', 'run_timeout_ms', 'backoff_ms'])
        expect(['invalid_message', 'job_accepted'], `${field} ${value}`).toContain(
          await said_to(
            client,
            JSON.stringify({
              type: 'submit_job',
              job_type: unique('t'),
              params: {},
              watch: false,
              [field]: value,
            }),
          ),
        );
  });
});

describe.skipIf(hub.skip)('strange values', () => {
  test('params nested 20,000 deep are refused, or come out as they went in', async () => {
    await using client = await hub.client();
    const depth = 20_000;
    const deep = '{"a":'.repeat(depth) + '1' + '}'.repeat(depth);
    const job_id = unique('deep');
    const text = `{"type":"submit_job","job_id":"${job_id}","job_type":"${unique('t')}","params":${deep}}`;
    const said = await said_to(client, text);
    expect([...CODES, 'job_accepted']).toContain(said);
    if (said !== 'job_accepted') return;
    const job = await get_job(client, job_id);
    let found = 0;
    for (let at = job.params; typeof at === 'object'; at = at.a) found++;
    expect(found).toBe(depth);
  });

  test.each(['[', '{"a":'])('a result and an output nested 20,000 deep by %s harm nobody', async open => {
    await using client = await hub.client();
    const type = unique('t');
    await using worker = await hub.machine({ job_types: [type] });
    const { job_id } = await submit(client, { job_type: type });
    const { lease_id } = await worker.assigned(job_id);
    const deep = open.repeat(20_000) + '1' + (open === '[' ? ']' : '}').repeat(20_000);
    worker.peer.sendRaw(
      `{"type":"job_output","job_id":"${job_id}","lease_id":"${lease_id}","index":0,"data":${deep}}`,
    );
    worker.peer.sendRaw(
      `{"type":"job_completed","request_id":"end","job_id":"${job_id}","lease_id":"${lease_id}","result":${deep}}`,
    );
    const answer = await worker.peer.next(frame => frame.request_id === 'end');
    if (answer.type === 'error') {
      expect(CODES).toContain(answer.code);
      // As after any refused end, the lease is as it was.
      expect(await worker.fail({ job_id, lease_id })).toMatchObject({ accepted: true });
    } else {
      expect(answer).toMatchObject({ type: 'job_ack', accepted: true });
      expect((await get_job(client, job_id)).status).toBe('completed');
    }
  });

  test('__proto__, constructor and prototype are plain keys of params, or refused', async () => {
    await using client = await hub.client();
    const params = '{"__proto__":{"polluted":true},"constructor":{"prototype":{"polluted":true}},"a":1}';
    const job_id = unique('proto');
    const text = `{"type":"submit_job","job_id":"${job_id}","job_type":"${unique('t')}","params":${params}}`;
    const said = await said_to(client, text);
    expect([...CODES, 'job_accepted']).toContain(said);
    if (said !== 'job_accepted') return;
    const job = await get_job(client, job_id);
    expect(JSON.stringify(job.params)).toContain('"__proto__":{"polluted":true}');
    expect(job.params.constructor).toEqual({ prototype: { polluted: true } });
    const other = await submit(client, { job_type: unique('t') });
    expect(JSON.stringify(await get_job(client, other.job_id))).not.toContain('polluted');
  });

  test.each(['{"__proto__":"x"}', '{"__proto__":["x"]}', '{"toString ":"x"}'])(
    'the label keys of %s are no names',
    async labels => {
      await using client = await hub.client();
      const text = `{"type":"submit_job","job_type":"x","params":{},"requirements":{"labels":${labels}}}`;
      expect(await said_to(client, text)).toBe('invalid_message');
    },
  );

  test('__proto__ as a key of the message, of metadata and of after_seq harms nobody', async () => {
    await using client = await hub.client();
    for (const text of [
      '{"__proto__":{"type":"submit_job"},"type":"ping"}',
      `{"type":"submit_job","job_type":"${unique('t')}","params":{},"metadata":{"__proto__":"x"}}`,
      `{"type":"submit_job","job_type":"${unique('t')}","params":{},"__proto__":{"priority":100}}`,
      `{"type":"submit_job","job_type":"${unique('t')}","params":{},"requirements":{"__proto__":{"gpus":5}}}`,
      '{"type":"watch_jobs","job_ids":["constructor"],"after_seq":{"__proto__":0,"constructor":0}}',
    ])
      expect([...CODES, 'job_accepted', 'pong', 'jobs_watched'], text).toContain(await said_to(client, text));
  });

  test.each(['constructor', 'toString', 'hasOwnProperty', 'valueOf', 'then', '0', 'null', 'undefined'])(
    '%s is a job type, a job id, a machine and a label as any other',
    async name => {
      await using client = await hub.client();
      const job_id = `${name}.${unique('job')}`;
      await using worker = await hub.machine({
        machine_id: name,
        job_types: [name],
        labels: { [name]: name },
      });
      await submit(client, { job_id, job_type: name, requirements: { labels: { [name]: name } } });
      await worker.run(job_id, name);
      expect((await event(client, job_id, 'job_completed')).result).toBe(name);
      const stats = await hub.http('GET', '/stats');
      expect(stats.status).toBe(200);
    },
  );

  test.each([
    ['a lone surrogate', '"\\ud800"'],
    ['a reversed pair', '"\\udc00\\ud800"'],
    ['NUL', '"a\\u0000b"'],
    ['line ends', '"a\\r\\nHTTP/1.1 200 OK\\r\\n"'],
    ['right to left', '"\\u202ecba"'],
    ['escape codes', '"\\u001b[31mred"'],
  ])('%s in params, metadata and reasons is refused, or harms nobody', async (_name, literal) => {
    await using client = await hub.client();
    const job_id = unique('strange');
    const head = `"job_id":"${job_id}","job_type":"${unique('t')}"`;
    const said = await said_to(
      client,
      `{"type":"submit_job",${head},"params":{"a":${literal}},"metadata":{"k":${literal}},"watch":false}`,
    );
    expect([...CODES, 'job_accepted']).toContain(said);
    if (said !== 'job_accepted') return;
    expect((await get_job(client, job_id)).job_id).toBe(job_id);
    expect([...CODES, 'job_cancel_accepted']).toContain(
      await said_to(client, `{"type":"cancel_job","job_id":"${job_id}","reason":${literal}}`),
    );
    expect((await client.request({ type: 'get_job', job_id })).type).toBe('job');
  });

  test('names with NUL, surrogates or 64 KiB are invalid_message wherever they stand', async () => {
    await using client = await hub.client();
    for (const name of ['a\\u0000', 'a\\ud800', 'a\\r\\n', 'a'.repeat(65_536), '\\u0000'.repeat(1000)])
      for (const text of [
        `{"type":"get_job","job_id":"${name}"}`,
        `{"type":"submit_job","job_type":"${name}","params":{}}`,
        `{"type":"watch_jobs","job_ids":["${name}"]}`,
        `{"type":"ping","request_id":"${'x'.repeat(65_536)}"}`,
      ])
        expect(await said_to(client, text), text.slice(0, 60)).toBe('invalid_message');
  });

  test('of duplicate keys one is taken, and the message is judged by it', async () => {
    await using client = await hub.client();
    const job_id = unique('twice');
    const text = `{"type":"submit_job","job_id":"${job_id}","job_type":"${unique('t')}","params":{},"priority":1,"priority":2}`;
    const said = await said_to(client, text);
    expect([...CODES, 'job_accepted']).toContain(said);
    if (said === 'job_accepted') expect([1, 2]).toContain((await get_job(client, job_id)).priority);
  });

  test('100,000 keys and a key of 60 KB are read or refused', async () => {
    await using client = await hub.client();
    const many = Object.fromEntries(Array.from({ length: 100_000 }, (_, i) => [`k${i}`, 0]));
    const wide = { ['k'.repeat(60_000)]: 1 };
    for (const fields of [
      { params: wide },
      { params: {}, ...wide },
      { params: many },
      { params: {}, metadata: many },
    ]) {
      const text = JSON.stringify({ type: 'submit_job', job_type: unique('t'), ...fields });
      if (text.length > client.welcome.limits.max_message_bytes) continue;
      expect([...CODES, 'job_accepted']).toContain(await said_to(client, text));
    }
  });

  test('a frame above the limit closes 1009, on each role', async () => {
    for (const role of ['client', 'worker', 'monitor'] satisfies Message['role'][]) {
      await using peer = await peer_of(role);
      peer.send({ type: 'ping', filler: 'x'.repeat(peer.welcome.limits.max_message_bytes) });
      expect((await peer.closed()).code).toBe(1009);
    }
  });

  test('cursors and event ids that nobody gave are refused, or answered with nothing wrong', async () => {
    await using client = await hub.client();
    for (const cursor of [
      'x',
      '-1',
      '$',
      '+',
      '0-0',
      '18446744073709551616',
      '{}',
      '*',
      'A'.repeat(10_000),
      '\u0000',
    ])
      expect([...CODES, 'jobs'], cursor.slice(0, 20)).toContain(
        await said_to(client, JSON.stringify({ type: 'list_jobs', job_type: unique('t'), cursor })),
      );
    const { job_id } = await submit(client, { job_type: unique('t'), watch: false });
    await client.request({ type: 'cancel_job', job_id });
    for (const last of ['x', '-1', '0-0', '1:2:3', ':', '99999999999999999999', '{}', 'NaN']) {
      const response = await fetch(new URL(`/jobs/${job_id}/events`, hub.url), {
        headers: { 'last-event-id': last },
        signal: AbortSignal.timeout(3000),
      });
      expect(response.status, last).toBeLessThan(500);
      await response.body?.cancel();
    }
    for (const seq of [Number.MAX_SAFE_INTEGER, 2 ** 53])
      expect([...CODES, 'jobs_watched']).toContain(
        await said_to(
          client,
          JSON.stringify({ type: 'watch_jobs', job_ids: [job_id], after_seq: { [job_id]: seq } }),
        ),
      );
  });

  test('a worker with huge claims about itself is refused, or harms nobody', async () => {
    for (const fields of [
      { gpus: Array.from({ length: 65 }, (_, index) => ({ index })) },
      { gpus: [{ index: 0 }, { index: 0 }] },
      { gpus: [{ index: 1e9, vram_mb: 1e300 }] },
      { gpus: [] },
      { job_types: [] },
      { job_types: Array.from({ length: 10_000 }, (_, i) => `type${i}`) },
      { models: Array.from({ length: 10_000 }, (_, i) => `model${i}`) },
      { labels: Object.fromEntries(Array.from({ length: 10_000 }, (_, i) => [`k${i}`, 'v'])) },
      { version: 'v'.repeat(100_000) },
      { running: Array(10_000).fill(LEASED) },
    ]) {
      await using peer = await hub.worker();
      const answer = await peer.request({
        type: 'register_worker',
        machine_id: unique('machine'),
        job_types: [unique('t')],
        ...fields,
      });
      if (answer.type === 'error') expect(CODES).toContain(answer.code);
      else expect(answer.type).toBe('worker_registered');
    }
  });

  test('a frame of nonsense is answered in few words', async () => {
    const many = (count: number, entry: string) => Array(count).fill(entry).join();
    const keys = (count: number, value: string) =>
      Array.from({ length: count }, (_, i) => `"${i.toString(36)}":${value}`).join();
    const head = '"job_type":"x","params":{}';
    const frames: [Path, string][] = [
      ['/ws/client', `{"type":"watch_jobs","job_ids":[${many(100_000, '1')}]}`],
      ['/ws/client', `{"type":"watch_jobs","job_ids":["a"],"after_seq":{${keys(20_000, '-1')}}}`],
      ['/ws/client', `{"type":"watch_jobs","job_ids":["a"],"after_output":{${keys(20_000, '1')}}}`],
      ['/ws/client', `{"type":"submit_job",${head},"metadata":{${keys(20_000, '1')}}}`],
      ['/ws/client', `{"type":"submit_job",${head},${keys(20_000, '1')}}`],
      ['/ws/client', `{"type":"submit_job",${head},"requirements":{"labels":{${keys(20_000, '[]')}}}}`],
      [
        '/ws/client',
        `{"type":"submit_jobs","jobs":[${many(1000, `{${head},"metadata":{${keys(31, '1')}},${keys(31, '1')}}`)}]}`,
      ],
      [
        '/ws/worker',
        `{"type":"register_worker","machine_id":"m","job_types":["*"],"running":[${many(100_000, '{}')}]}`,
      ],
      ['/ws/monitor', `{"type":"drain_worker","labels":{${keys(20_000, '1')}}}`],
    ];
    for (const [path, text] of frames) {
      await using peer = await hub.connect({ path });
      peer.sendRaw(text, { binary: false });
      const said = await peer.next(() => true);
      const bytes = Buffer.byteLength(JSON.stringify(said));
      expect(bytes, text.slice(0, 60)).toBeLessThan(
        text.startsWith('{"type":"submit_jobs"') ? 500_000 : 8192,
      );
    }
  });

  test('an error of 500 KB from a worker is taken, shortened or refused', async () => {
    await using client = await hub.client();
    const type = unique('t');
    await using worker = await hub.machine({ job_types: [type] });
    const { job_id } = await submit(client, { job_type: type, max_attempts: 1 });
    const lease = await worker.assigned(job_id);
    const answer = await worker.fail(lease, { code: 'boom', message: 'm'.repeat(500_000) });
    if (answer.type === 'error') {
      expect(CODES).toContain(answer.code);
      await worker.fail(lease);
    }
    expect((await event(client, job_id, 'job_failed')).error.message).toEqual(expect.any(String));
  });

  test('progress that is no share, 1,000 times, costs nobody else anything', async () => {
    await using worker = await peer_of('worker');
    // Fewer than MAX_BAD_FRAMES in a row, so the connection stays.
    for (let i = 0; i < 1000; i++) {
      worker.send({ type: 'job_progress', ...LEASED, progress: 2 });
      if (i % 50 === 0) worker.send({ type: 'ping' });
    }
    expect((await bystander.request({ type: 'ping' })).type).toBe('pong');
    expect((await worker.request({ type: 'ping' })).type).toBe('pong');
  });
});

const KEY = 'dGhlIHNhbXBsZSBub25jZQ==';

/** Opens a TCP connection and writes; gives what comes back until the end, or until `enough`. */
async function raw(
  bytes: string | Buffer,
  enough: (text: string) => boolean = text => text.includes('\r\n\r\n'),
): Promise<string> {
  const socket = connect(hub.port, new URL(hub.url).hostname);
  await once(socket, 'connect');
  const text = await exchange(socket, bytes, enough);
  socket.destroy();
  return text;
}

function exchange(
  socket: Socket,
  bytes: string | Buffer,
  enough: (text: string) => boolean,
): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = '';
    const timer = setTimeout(
      () => reject(new Error(`no end after ${JSON.stringify(text.slice(0, 300))}`)),
      5000,
    );
    const done = () => {
      clearTimeout(timer);
      resolve(text);
    };
    socket.on('data', (chunk: Buffer) => {
      text += chunk.toString('latin1');
      if (enough(text)) done();
    });
    socket.on('close', done);
    socket.on('error', done);
    socket.write(bytes);
  });
}

const status_in = (text: string): number => Number(/^HTTP\/1\.[01] (\d{3})/.exec(text)?.[1] ?? 0);

function upgrade(
  changes: Record<string, string | undefined> = {},
  start = 'GET /ws/client HTTP/1.1',
): string {
  const headers: Record<string, string | undefined> = {
    Host: `127.0.0.1:${hub.port}`,
    Upgrade: 'websocket',
    Connection: 'Upgrade',
    'Sec-WebSocket-Key': KEY,
    'Sec-WebSocket-Version': '13',
    ...changes,
  };
  const lines = Object.entries(headers).flatMap(([name, value]) =>
    value === undefined ? [] : [`${name}: ${value}`],
  );
  return [start, ...lines, '', ''].join('\r\n');
}

describe.skipIf(hub.skip)('handshakes', () => {
  test('a handshake in good form is 101: what follows differs from it in one thing', async () => {
    expect(status_in(await raw(upgrade()))).toBe(101);
  });

  const cases: [string, () => string, number[]][] = [
    ['no key', () => upgrade({ 'Sec-WebSocket-Key': undefined }), [400]],
    ['a short key', () => upgrade({ 'Sec-WebSocket-Key': 'abc' }), [400]],
    ['version 12', () => upgrade({ 'Sec-WebSocket-Version': '12' }), [400, 426]],
    ['no version', () => upgrade({ 'Sec-WebSocket-Version': undefined }), [400, 426]],
    ['POST', () => upgrade({}, 'POST /ws/client HTTP/1.1'), [400, 404, 405]],
    ['another protocol to upgrade to', () => upgrade({ Upgrade: 'h2c' }), [400, 404, 405, 426]],
    ['a subprotocol twice', () => upgrade({ 'Sec-WebSocket-Protocol': 'a, a' }), [400]],
    ['a subprotocol with a blank', () => upgrade({ 'Sec-WebSocket-Protocol': 'a b' }), [400]],
    ['an empty subprotocol', () => upgrade({ 'Sec-WebSocket-Protocol': ',' }), [400]],
    ['other subprotocols', () => upgrade({ 'Sec-WebSocket-Protocol': 'gpuhub.v0' }), [400]],
    [
      '8 KB of blanks in a subprotocol',
      () => upgrade({ 'Sec-WebSocket-Protocol': `b${' '.repeat(8000)}x` }),
      [400],
    ],
    ['a header of 17 KB', () => upgrade({ Cookie: 'x'.repeat(17 * 1024) }), [431]],
    [
      '3,000 headers',
      () => upgrade(Object.fromEntries(Array.from({ length: 3000 }, (_, i) => [`X-H${i}`, 'v'.repeat(8)]))),
      [400, 431],
    ],
    ['a path outside', () => upgrade({}, 'GET /ws/../admin HTTP/1.1'), [400, 404]],
    ['a path with two slashes', () => upgrade({}, 'GET //ws/client HTTP/1.1'), [400, 404]],
    ['an escaped path', () => upgrade({}, 'GET /ws%2fclient HTTP/1.1'), [400, 404]],
    ['a path that is none', () => upgrade({}, 'GET http://[ HTTP/1.1'), [400, 404]],
    ['a bad escape', () => upgrade({}, 'GET /ws/client?client_id=%ff%zz HTTP/1.1'), [400]],
    ['two origins', () => upgrade({ Origin: 'https://a.example, https://b.example' }), [403]],
    ['a token in the URL', () => upgrade({}, 'GET /ws/worker?token=abc HTTP/1.1'), [400, 401, 403]],
  ];
  test.each(cases)('%s is refused', async (_name, request, statuses) => {
    const text = await raw(request());
    expect(statuses, text.slice(0, 200)).toContain(status_in(text));
    expect(text).not.toMatch(/\n\s+at /);
  });

  test('a WebSocket path without Upgrade is no WebSocket and no crash', async () => {
    const answer = await hub.http('GET', '/ws/client');
    expect(answer.status).toBeGreaterThanOrEqual(400);
    expect(answer.status).toBeLessThan(500);
  });

  test.each([
    [
      'two lengths',
      'POST /jobs HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
    ],
    ['a negative length', 'POST /jobs HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n'],
    ['no HTTP at all', '\u0016\u0003\u0001 hello\r\n\r\n'],
    ['a method nobody knows', 'BREW /jobs HTTP/1.1\r\nHost: x\r\n\r\n'],
  ])('HTTP with %s is refused', async (_name, request) => {
    const status = status_in(await raw(request));
    expect(status).toBeGreaterThanOrEqual(400);
    expect(status).toBeLessThan(500);
  });

  test('a body that is announced with 10 GB is refused or cut, and is not waited for', async () => {
    const head = `POST /jobs HTTP/1.1\r\nHost: 127.0.0.1:${hub.port}\r\nContent-Type: application/json\r\n`;
    const text = await raw(`${head}Content-Length: 10737418240\r\n\r\n{"a":"${'x'.repeat(3_000_000)}`);
    expect([0, 400, 413]).toContain(status_in(text));
  });
});

/** A client's frame, masked with zeros; `flags` is the whole first byte. */
function frame(
  flags: number,
  payload: Buffer | string = '',
  options: { mask?: boolean; length?: Buffer } = {},
): Buffer {
  const body = Buffer.from(payload);
  const masked = options.mask === false ? 0 : 0x80;
  const length =
    options.length ??
    (body.length < 126
      ? Buffer.from([body.length])
      : Buffer.from([126, body.length >> 8, body.length & 255]));
  const second = Buffer.from([(length[0] ?? 0) | masked, ...length.subarray(1)]);
  return Buffer.concat([Buffer.from([flags]), second, masked ? Buffer.alloc(4) : Buffer.alloc(0), body]);
}

const FIN_TEXT = 0x81;
const PING = '{"type":"ping"}';

describe.skipIf(hub.skip)('broken WebSocket frames', () => {
  const cases: [string, Buffer, number[]][] = [
    ['a frame without mask', frame(FIN_TEXT, PING, { mask: false }), [1002]],
    ['RSV1 without an extension', frame(FIN_TEXT | 0x40, PING), [1002]],
    ['RSV2', frame(FIN_TEXT | 0x20, PING), [1002]],
    ['opcode 3', frame(0x83, PING), [1002]],
    ['opcode 11', frame(0x8b, PING), [1002]],
    ['a ping in fragments', frame(0x09, 'x'), [1002]],
    ['a ping of 126 bytes', frame(0x89, 'x'.repeat(126)), [1002]],
    ['a continuation without a start', frame(0x80, PING), [1002]],
    ['a text inside fragments', Buffer.concat([frame(0x01, 'a'), frame(FIN_TEXT, PING)]), [1002]],
    ['a close of one byte', frame(0x88, 'x'), [1002]],
    ['a close with code 999', frame(0x88, Buffer.from([0x03, 0xe7])), [1002]],
    ['a close with code 1005', frame(0x88, Buffer.from([0x03, 0xed])), [1002]],
    ['a close with a bad reason', frame(0x88, Buffer.from([0x03, 0xe8, 0xc3, 0x28])), [1007]],
    ['bad UTF-8', frame(FIN_TEXT, Buffer.from([0xc3, 0x28])), [1007]],
    ['an encoded surrogate', frame(FIN_TEXT, Buffer.from([0xed, 0xa0, 0x80])), [1007]],
    [
      'a length of 2^63',
      frame(FIN_TEXT, '', { length: Buffer.from([127, 0x80, 0, 0, 0, 0, 0, 0, 0]) }),
      [1002, 1009],
    ],
    [
      'a length of 1 GiB',
      frame(FIN_TEXT, '', { length: Buffer.from([127, 0, 0, 0, 0, 0x40, 0, 0, 0]) }),
      [1009],
    ],
    ['a binary frame', frame(0x82, PING), [1003]],
  ];
  test.each(cases)('%s ends the connection with its code', async (_name, bytes, codes) => {
    const socket = connect(hub.port, new URL(hub.url).hostname);
    await once(socket, 'connect');
    try {
      const head = await exchange(
        socket,
        upgrade(),
        text => text.includes('"welcome"') && text.endsWith('}'),
      );
      expect(status_in(head)).toBe(101);
      socket.removeAllListeners('data');
      const text = await exchange(socket, bytes, answer => Buffer.from(answer, 'latin1').indexOf(0x88) >= 0);
      const answer = Buffer.from(text, 'latin1');
      const at = answer.indexOf(0x88);
      // A connection cut without a close frame is no code, but no harm either.
      if (at >= 0 && answer.length >= at + 4) expect(codes).toContain(answer.readUInt16BE(at + 2));
    } finally {
      socket.destroy();
    }
  });
});
