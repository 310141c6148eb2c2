/** `gpuhub submit` with many jobs, from files and from standard input, against a real hub. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Command } from './command.ts';
import { echoAndBroken, Fleet } from '../harness/fleet.ts';

let fleet: Fleet;
let gpuhub: Command;
let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'gpuhub-input-'));
  fleet = await Fleet.start();
  gpuhub = new Command(fleet.hub.httpUrl);
  await fleet.machine({
    machine_id: 'machine1',
    gpu_count: 4,
    handler: echoAndBroken,
  });
});
afterAll(async () => {
  await fleet[Symbol.asyncDispose]();
  await rm(folder, { recursive: true, force: true });
});

async function file(name: string, text: string): Promise<string> {
  const path = join(folder, name);
  await writeFile(path, text);
  return path;
}

const ndjson = (...jobs: unknown[]) => jobs.map(job => `${JSON.stringify(job)}\n`).join('');
const lines = (text: string) =>
  text
    .trim()
    .split('\n')
    .map(line => JSON.parse(line));

test('standard input is taken line by line; options fill in what a line does not say', async () => {
  const path = await file('some.ndjson', ndjson({ params: { n: 1 } }, { job_type: 'other', priority: 7 }));
  const said = await gpuhub.piped(
    `cat ${path}`,
    'submit',
    '--file',
    '-',
    '--type',
    'nobody',
    '--priority',
    '3',
    '--id-prefix',
    'piped',
  );
  expect(said).toEqual({ code: 0, text: '2 jobs taken\n' });
  expect(await fleet.api.job('piped:1')).toMatchObject({
    job_type: 'nobody',
    priority: 3,
    params: { n: 1 },
  });
  expect(await fleet.api.job('piped:2')).toMatchObject({ job_type: 'other', priority: 7, params: {} });
});

test('the same input sent again under its prefix makes no second job', async () => {
  const path = await file('again.ndjson', ndjson({ job_type: 'nobody' }, { job_type: 'nobody' }));
  const args = ['submit', '--file', path, '--id-prefix', 'again'];
  expect((await gpuhub.run(...args)).text).toBe('2 jobs taken\n');
  expect((await gpuhub.run(...args)).text).toBe('2 jobs taken · 2 of them there already\n');
});

test('a bad line is named and fails the command; the others are taken', async () => {
  const input = `${ndjson({ job_type: 'nobody', job_id: 'bad:1' })}{"job_type":\n\n${ndjson(
    { job_type: 'nobody', priority: 500 },
    { job_type: 'nobody', job_id: 'bad:1', priority: 1 },
    { job_type: 'nobody', job_id: 'bad:6' },
  )}`;
  const path = await file('bad.ndjson', input);
  const said = await gpuhub.run('submit', '--file', path);
  expect(said.code).toBe(1);
  expect(said.text).toMatch(/^gpuhub: line 2: invalid_json: it is not JSON/m);
  expect(said.text).toMatch(/^gpuhub: line 4: invalid_message: .*priority/m);
  expect(said.text).toMatch(/^gpuhub: line 5: conflict: .*bad:1/m);
  expect(said.text).toContain('2 jobs taken · 3 refused');
  expect(await fleet.api.job('bad:6')).toMatchObject({ status: 'queued' });
  const json = await gpuhub.run('submit', '--file', path, '--format', 'json');
  expect(json.code).toBe(1);
  expect(lines(json.text).toSorted((a, b) => a.line - b.line)).toMatchObject([
    { line: 1, job_id: 'bad:1', status: 'queued', duplicate: true, seq: expect.any(Number) },
    { line: 2, error: { code: 'invalid_json' } },
    { line: 4, error: { code: 'invalid_message' } },
    { line: 5, job_id: 'bad:1', error: { code: 'conflict' } },
    { line: 6, job_id: 'bad:6', duplicate: true },
  ]);
});

test('--wait waits for the end of all of an array, and tells which did not complete', async () => {
  const path = await file(
    'jobs.json',
    JSON.stringify([{ job_type: 'echo', params: { n: 1 } }, { job_type: 'broken' }], null, 2),
  );
  const said = await gpuhub.run('submit', '--file', path, '--wait');
  expect(said.code).toBe(1);
  expect(said.text).toMatch(/^gpuhub: item 2: \S+ failed: bad_model: no such weights$/m);
  expect(said.text).toContain('2 jobs taken · 1 completed · 1 not completed');
  const json = await gpuhub.run('submit', '--file', path, '--wait', '--format', 'json');
  expect(lines(json.text).toSorted((a, b) => a.item - b.item)).toMatchObject([
    { item: 1, status: 'completed', result: { said: { n: 1 } } },
    { item: 2, status: 'failed', error: { code: 'bad_model', message: 'no such weights' } },
  ]);
});

test('ten thousand lines come out once each, in order', async () => {
  const jobs = Array.from({ length: 10_000 }, (_, n) => ({ params: { n } }));
  const path = await file('many.ndjson', ndjson(...jobs));
  const args = ['submit', '--type', 'many', '--file', '-', '--id-prefix', 'many'];
  const said = await gpuhub.piped(`cat ${path}`, ...args);
  expect(said).toEqual({ code: 0, text: '10,000 jobs taken\n' });
  const client = fleet.client();
  const numbers: unknown[] = [];
  for await (const job of client.iterateJobs({ job_type: 'many', limit: 500, full: true })) {
    numbers.push(job.params?.['n']);
  }
  expect(numbers.reverse()).toEqual(jobs.map(({ params }) => params.n));
}, 60_000);

test('an input without a job, and one that cannot be read, are bad usage', async () => {
  expect(await gpuhub.piped('printf ""', 'submit', '--file', '-')).toMatchObject({
    code: 2,
    text: 'gpuhub: there is no job in standard input\n',
  });
  expect(await gpuhub.run('submit', '--file', join(folder, 'none'))).toMatchObject({
    code: 2,
    text: expect.stringMatching(/^gpuhub: cannot read .*none: ENOENT/),
  });
});
