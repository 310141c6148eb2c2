/** The programs people start: mock worker, test client, and the hub with a Redis of its own. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { freePort, startScript, stopAll, type TestProcess } from '../harness/processes.ts';
import { Fleet, until } from '../harness/fleet.ts';

let fleet: Fleet;
let folder: string;
beforeAll(async () => {
  fleet = await Fleet.start();
  folder = await mkdtemp(join(tmpdir(), 'gpuhub-prompts-'));
});
afterEach(stopMocks);
afterAll(async () => {
  await fleet[Symbol.asyncDispose]();
  await rm(folder, { recursive: true, force: true });
  await stopAll();
});

const mocks: TestProcess[] = [];

async function stopMocks(): Promise<void> {
  for (const mock of mocks.splice(0)) mock.kill('SIGKILL');
}

async function mockWorker(machine_id: string, ...args: string[]): Promise<TestProcess> {
  const mock = startScript('testing/mock_worker.ts', [
    ...['--machine-id', machine_id, '--url', fleet.hub.wsUrl, '--speed', '20'],
    ...args,
  ]);
  mocks.push(mock);
  await mock.waitFor(new RegExp(`registered ${machine_id}:gpu0`));
  return mock;
}

const testClient = (...args: string[]) =>
  startScript('testing/test_client.ts', ['--ws-port', String(fleet.hub.port), ...args]);

async function file(name: string, text: string): Promise<string> {
  const path = join(folder, name);
  await writeFile(path, text);
  return path;
}

describe('test_client and mock_worker', () => {
  test('50 prompts of a file run on two machines of several GPUs; it exits with 0', async () => {
    await mockWorker('mock-a', '--gpu-count', '2', '--job-types', 'image');
    await mockWorker('mock-b', '--gpu-count', '4', '--job-types', 'image', '--result', 'text');
    const rows = Array.from({ length: 50 }, (_, i) => `prompt number ${i}\t${(i % 3) - 1}\t${i}`);
    const prompts = await file('prompts.tsv', ['prompt\tpriority\tseed', ...rows].join('\n'));
    const client = testClient('--file', prompts);
    expect(await client.exited, client.output).toEqual({ code: 0, signal: null });
    expect(client.output).toMatch(/50 of 50 completed in/);
    const { jobs } = await fleet.api.jobs({ status: 'completed', job_type: 'image', limit: 500 });
    expect(jobs).toHaveLength(50);
    expect(new Set(jobs.map(({ worker_id }) => worker_id)).size).toBeGreaterThan(2);
    const job = await fleet.api.job(jobs[0]?.job_id as string);
    expect(job.params).toMatchObject({ prompt: 'prompt number 49', seed: 49 });
    expect(job.result).toMatchObject({ prompt: 'prompt number 49', seed: 49 });
  });

  test('a mock worker that fails everything makes it exit with 1 and say why', async () => {
    await mockWorker('mock-f', '--job-types', 'fails', '--fail-rate', '1');
    const prompts = await file(
      'fails.ndjson',
      '{"job_type":"fails","params":{"prompt":"x"},"max_attempts":1}\n',
    );
    const client = testClient('--file', prompts);
    expect(await client.exited).toEqual({ code: 1, signal: null });
    expect(client.output).toContain('mock_failure: CUDA out of memory (simulated)');
    expect(client.output).toContain('0 of 1 completed');
  });

  test('jobs outlive mock workers that crash and reject', async () => {
    await mockWorker('mock-r', '--job-types', 'rough', '--reject-rate', '1');
    const prompts = await file('rough.txt', 'one\ntwo\nthree\n');
    const client = testClient('--file', prompts, '--type', 'rough');
    await until('the jobs', async () => (await fleet.api.jobs({ job_type: 'rough' })).jobs.length === 3);
    await mockWorker('mock-s', '--job-types', 'rough');
    expect(await client.exited, client.output).toEqual({ code: 0, signal: null });
  });

  test('a crash kills the machine as SIGKILL would', async () => {
    const mock = await mockWorker('mock-c', '--job-types', 'crash', '--crash-rate', '1');
    await fleet.api.submit({ job_type: 'crash', params: {} });
    expect(await mock.exited).toEqual({ code: 137, signal: null });
  });

  test('--timeout cancels what has not ended', async () => {
    const client = testClient('--prompt', 'x', '--type', 'never', '--timeout', '1');
    expect(await client.exited).toEqual({ code: 1, signal: null });
    const { jobs } = await fleet.api.jobs({ job_type: 'never' });
    expect(jobs).toMatchObject([{ status: 'cancelled' }]);
  });

  test('say bad usage and a missing hub in a sentence', async () => {
    const bad = testClient('--prompt', 'x', '--priority', 'urgent');
    expect(await bad.exited).toMatchObject({ code: 2 });
    expect(bad.output).toContain('--priority must be a whole number from -100 to 100, or mixed');
    const lost = testClient('--prompt', 'x', '--url', 'ws://127.0.0.1:1');
    expect(await lost.exited).toMatchObject({ code: 1 });
    expect(lost.output).toContain('Is the hub running?');
    const worker = startScript('testing/mock_worker.ts', ['--fail-rate', '7']);
    expect(await worker.exited).toMatchObject({ code: 2 });
    expect(worker.output).toContain('--fail-rate must be a number from 0 to 1');
  });
});

describe('npm start', () => {
  test('starts a Redis of its own and a hub; SIGTERM ends both, exit code 0', async () => {
    const port = await freePort();
    const started = startScript('scripts/start.ts', [], { env: { HUB_PORT: String(port) } });
    await started.waitForHttp(`http://127.0.0.1:${port}/readyz`);
    const redis_port = Number((await started.waitFor(/private Redis on port (\d+)/))[1]);
    expect(await listens(redis_port)).toBe(true);
    started.kill('SIGTERM');
    expect(await started.exited).toEqual({ code: 0, signal: null });
    expect(await listens(port)).toBe(false);
    expect(await listens(redis_port)).toBe(false);
  });

  test('says that the port is in use, and starts nothing', async () => {
    const started = startScript('scripts/start.ts', [], { env: { HUB_PORT: String(fleet.hub.port) } });
    expect(await started.exited).toMatchObject({ code: 1 });
    expect(started.output).toContain(`port ${fleet.hub.port} of 127.0.0.1 is in use`);
    expect(started.output).not.toContain('private Redis');
  });
});

function listens(port: number): Promise<boolean> {
  return new Promise(resolve => {
    const socket = connect(port, '127.0.0.1');
    const end = (answer: boolean) => (socket.destroy(), resolve(answer));
    socket.once('connect', () => end(true)).once('error', () => end(false));
  });
}
