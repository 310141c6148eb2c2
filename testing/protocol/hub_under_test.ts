/**
 * How a suite gets its hub.
 *
 * By default each test file has a hub process of its own on a Redis of its own, started with the settings the
 * file names: settings that all hubs of one Redis must share (`LEASE_MS`) never meet. With `GPUHUB_URL` (for
 * example `http://127.0.0.1:8000`) the suite judges that hub instead; files that depend on settings then run only
 * if `GPUHUB_SETTINGS` (`NAME=value,NAME=value`) says that the hub has them.
 *
 * Nothing of the hub is imported here: the suite sees what any program on the network sees.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, vi } from 'vitest';
import {
  type ConnectOptions,
  EVENTS,
  type Frame,
  type Lease,
  type MachineFields,
  MachinePeer,
  Peer,
} from '../harness/peer.ts';

/** A whole test: long enough for a lease or two and for a busy computer. */
const TEST_TIMEOUT_MS = 20_000;
/** How many tests of a `describe.concurrent` are under way at once; they mostly wait. */
const TESTS_AT_ONCE = 12;
/** From the start of the process to `GET /readyz` 200, on a busy computer. */
const READY_WITHIN_MS = 30_000;
/** How much of the hub's log an error shows. */
const LOG_SHOWN = 4000;

const ROOT = fileURLToPath(new URL('../../', import.meta.url));

/** Short values for what takes minutes in production. Every duration a test waits for is named by the test's file. */
export const SHORT_LEASES = {
  LEASE_MS: '1500',
  HEARTBEAT_INTERVAL_MS: '300',
  REAP_INTERVAL_MS: '100',
  CANCEL_GRACE_MS: '600',
  RESEND_MS: '1000',
} as const;

/** Leases that no test outlives: for files about anything else. */
export const LONG_LEASES = {
  LEASE_MS: '60000',
  REAP_INTERVAL_MS: '100',
} as const;

export interface Answer {
  status: number;
  headers: Headers;
  text: string;
  /** The body as JSON, or `undefined`. */
  // `any`: a body of an untrusted peer, which the suite judges field by field.
  body: any;
}

export class HubUnderTest {
  url = '';
  readonly settings: Record<string, string>;
  /** True if this hub was started elsewhere and is not known to have this file's settings. */
  readonly skip: boolean;

  constructor(settings: Record<string, string>, skip: boolean) {
    this.settings = settings;
    this.skip = skip;
  }

  get port(): number {
    return Number(new URL(this.url).port || 80);
  }

  connect(options: ConnectOptions): Promise<Peer> {
    return Peer.connect(this.url, options);
  }

  client(options: Omit<ConnectOptions, 'path'> = {}): Promise<Peer> {
    return this.connect({ path: '/ws/client', ...options });
  }

  monitor(options: Omit<ConnectOptions, 'path'> = {}): Promise<Peer> {
    return this.connect({ path: '/ws/monitor', ...options });
  }

  /** A connection of a machine that has not registered yet. */
  worker(options: Omit<ConnectOptions, 'path'> = {}): Promise<Peer> {
    return this.connect({ path: '/ws/worker', ...options });
  }

  /** A registered machine: one GPU, a name of its own, unless said otherwise. */
  machine(fields: Partial<MachineFields> & { job_types: string[] }): Promise<MachinePeer> {
    return MachinePeer.register(this.url, { machine_id: unique('machine'), ...fields });
  }

  /** A job and its machine: waiting until the machine says what comes next. */
  async assigned_job(
    client: Peer,
    fields: Record<string, unknown> = {},
  ): Promise<{ job_id: string; machine: MachinePeer; lease: Frame & Lease; job_type: string }> {
    const job_type = unique('t');
    const machine = await this.machine({ job_types: [job_type] });
    const { job_id } = await submit(client, { job_type, ...fields });
    return { job_id, machine, lease: await machine.assigned(job_id), job_type };
  }

  async http(
    method: string,
    path: string,
    options: { body?: unknown; headers?: Record<string, string> } = {},
  ): Promise<Answer> {
    const { body } = options;
    const response = await fetch(new URL(path, this.url), {
      method,
      headers: { ...(body === undefined ? {} : { 'content-type': 'application/json' }), ...options.headers },
      ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    });
    const text = await response.text();
    let parsed: unknown;
    try {
      parsed = JSON.parse(text);
    } catch {
      parsed = undefined;
    }
    return { status: response.status, headers: response.headers, text, body: parsed };
  }
}

let counter = 0;
const run = Math.random().toString(36).slice(2, 8);

/** A name nobody else uses: tests of one hub don't disturb one another. */
export const unique = (stem: string): string => `${stem}-${run}-${process.pid}-${++counter}`;

/** Registers the hub of this file: started before the first test, stopped after the last one. */
export function hub_under_test(settings: Record<string, string> = LONG_LEASES): HubUnderTest {
  vi.setConfig({
    testTimeout: TEST_TIMEOUT_MS,
    hookTimeout: 2 * READY_WITHIN_MS,
    maxConcurrency: TESTS_AT_ONCE,
  });
  const external = process.env['GPUHUB_URL'];
  const said = new Map(
    (process.env['GPUHUB_SETTINGS'] ?? '').split(',').map(pair => {
      const [name = '', value = ''] = pair.split('=');
      return [name.trim(), value.trim()];
    }),
  );
  const differs = Object.entries(settings).some(([name, value]) => said.get(name) !== value);
  const hub = new HubUnderTest(settings, external !== undefined && differs);
  let stop: (() => Promise<void>) | undefined;
  beforeAll(async () => {
    if (external) {
      hub.url = external.replace(/^ws/, 'http');
      return;
    }
    const running = await start(settings);
    hub.url = running.url;
    stop = running.stop;
  });
  afterAll(async () => {
    await stop?.();
  });
  return hub;
}

/** A Redis and a hub process. `stop` fails if the hub had died by itself: no input may do that. */
async function start(settings: Record<string, string>): Promise<{ url: string; stop: () => Promise<void> }> {
  const { startRedis } = await import('../../scripts/redis_server.ts');
  const redis = await startRedis();
  try {
    const hub = await start_hub(redis.url, settings);
    return {
      url: hub.url,
      stop: async () => {
        try {
          await hub.stop();
        } finally {
          await redis.stop();
        }
      },
    };
  } catch (error) {
    await redis.stop();
    throw error;
  }
}

async function start_hub(redis_url: string, settings: Record<string, string>) {
  const port = await free_port();
  const url = `http://127.0.0.1:${port}`;
  const { PATH = '', HOME = '' } = process.env;
  const child = spawn(process.execPath, ['dist/core/main.js'], {
    cwd: ROOT,
    env: {
      PATH,
      HOME,
      LOG_LEVEL: 'warn',
      REDIS_URL: redis_url,
      HUB_HOST: '127.0.0.1',
      HUB_PORT: String(port),
      ...settings,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let log = '';
  const keep = (chunk: Buffer) => {
    log = (log + String(chunk)).slice(-LOG_SHOWN);
  };
  child.stdout.on('data', keep);
  child.stderr.on('data', keep);
  const ended = once(child, 'exit');
  const stop = async () => {
    if (has_ended(child))
      throw new Error(
        `the hub died by itself (${child.exitCode ?? child.signalCode}). Its log ends:\n${log}`,
      );
    child.kill('SIGTERM');
    const killer = setTimeout(() => child.kill('SIGKILL'), 5000);
    await ended;
    clearTimeout(killer);
  };
  const deadline = performance.now() + READY_WITHIN_MS;
  for (;;) {
    if (has_ended(child)) throw new Error(`the hub did not start (${child.exitCode}). Its log ends:\n${log}`);
    const ready = await fetch(`${url}/readyz`).then(
      response => response.status === 200,
      () => false,
    );
    if (ready) return { url, stop };
    if (performance.now() > deadline) {
      child.kill('SIGKILL');
      throw new Error(`GET /readyz was not 200 in ${READY_WITHIN_MS} ms. The hub's log ends:\n${log}`);
    }
    await new Promise(resolve => setTimeout(resolve, 50));
  }
}

const has_ended = (child: ChildProcess): boolean => child.exitCode !== null || child.signalCode !== null;

async function free_port(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  if (address === null || typeof address === 'string') throw new Error('no port');
  return address.port;
}

/** Submits and insists on `job_accepted`. */
export async function submit(
  client: Peer,
  fields: { job_type: string; [field: string]: unknown },
): Promise<Frame> {
  const answer = await client.request({ type: 'submit_job', params: {}, ...fields });
  if (answer.type !== 'job_accepted') throw new Error(`submit_job was answered ${JSON.stringify(answer)}`);
  return answer;
}

/** The record of a job, whole. */
export async function get_job(client: Peer, job_id: string): Promise<Frame> {
  const answer = await client.request({ type: 'get_job', job_id });
  if (answer.type !== 'job') throw new Error(`get_job was answered ${JSON.stringify(answer)}`);
  return answer['job'] as Frame;
}

/** The next event of one job, of one type if named. */
export const event = (
  peer: Peer,
  job_id: string,
  type?: string,
  options: { timeout_ms?: number } = {},
): Promise<Frame> =>
  peer.next(
    frame =>
      frame['job_id'] === job_id && (type === undefined ? EVENTS.has(frame.type) : frame.type === type),
    options,
  );
