/** Looking with the command `gpuhub` at a real hub: summary, jobs, job, workers, worker, as tables and as JSON. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Command } from './command.ts';
import { echoAndBroken, Fleet, until } from '../harness/fleet.ts';

let fleet: Fleet;
let gpuhub: Command;
beforeAll(async () => {
  fleet = await Fleet.start();
  gpuhub = new Command(fleet.hub.httpUrl);
  await fleet.machine({
    machine_id: 'machine1',
    gpus: [{ index: 0, name: 'NVIDIA RTX 4090', vram_mb: 24_576 }],
    labels: { region: 'eu' },
    handler: echoAndBroken,
  });
  const client = fleet.client();
  await (await client.submit({ job_type: 'echo', job_id: 'good', params: { text: 'hello' } })).result();
  await (await client.submit({ job_type: 'broken', job_id: 'bad', params: {} })).result().catch(() => {});
  await client.submit({ job_type: 'nobody', job_id: 'waits', params: {}, priority: 9 });
  await until('the statistics', async () => {
    const { completed, failed, queued } = (await fleet.api.stats()).jobs;
    return completed === 1 && failed === 1 && queued === 1;
  });
});
afterAll(() => fleet[Symbol.asyncDispose]());

test('tables for people show the hub, jobs and workers', async () => {
  const [summary, waiting, active, workers, worker, job] = await Promise.all([
    gpuhub.run('summary'),
    gpuhub.run('jobs', '--status', 'waiting'),
    gpuhub.run('jobs', '--status', 'active'),
    gpuhub.run('workers'),
    gpuhub.run('worker', 'machine1:gpu0'),
    gpuhub.run('job', 'bad'),
  ]);
  expect(summary.text).toContain(`${fleet.hub.httpUrl} · 1 hub`);
  expect(summary.text).toMatch(/1 completed · 1 failed/);
  expect(summary.text).toMatch(/nobody +1 +0/);
  expect(waiting.text).toMatch(/queued +waits +nobody +9/);
  expect(active.text).toBe('no jobs\n');
  expect(workers.text).toMatch(/idle +machine1:gpu0 +NVIDIA RTX 4090/);
  expect(workers.text).toContain('1 GPU: 1 idle');
  expect(worker.text).toContain('{"region":"eu"}');
  expect(worker.text).toMatch(/good +echo +.*completed/);
  expect(job.text).toContain('bad_model: no such weights');
  expect(job.text).toContain('run it again: gpuhub retry bad');
  for (const { code } of [summary, waiting, active, workers, worker, job]) expect(code).toBe(0);
});

test('--format json gives one document with the fields of the protocol', async () => {
  const [summary, waiting, job, workers, worker, ran, nothing] = await Promise.all([
    gpuhub.json('summary'),
    gpuhub.json('jobs', '--status', 'waiting'),
    gpuhub.json('job', 'good'),
    gpuhub.json('workers'),
    gpuhub.json('worker', 'machine1:gpu0'),
    gpuhub.json('submit', '--type', 'echo', '--wait'),
    gpuhub.json('job', 'nothing'),
  ]);
  expect(summary.body).toMatchObject({ hubs: 1, jobs: { queued: 1, failed: 1 } });
  expect(waiting.body).toMatchObject({
    jobs: [{ job_id: 'waits', status: 'queued', priority: 9 }],
    next_cursor: null,
  });
  expect(job.body).toMatchObject({ job_id: 'good', result: { said: { text: 'hello' } } });
  expect(workers.body).toMatchObject({ workers: [{ worker_id: 'machine1:gpu0' }] });
  expect(worker.body).toMatchObject({ labels: { region: 'eu' }, gpu_name: 'NVIDIA RTX 4090' });
  expect(ran).toMatchObject({ code: 0, body: { status: 'completed', result: { said: {} } } });
  expect(nothing).toMatchObject({ code: 4, body: { error: { code: 'not_found' } } });
});

test('says in one sentence that no hub answers', async () => {
  const nowhere = new Command('http://127.0.0.1:1');
  const attempts = [['summary'], ['jobs'], ['submit', '--type', 'echo'], ['watch', 'good']];
  for (const { code, text } of await Promise.all(attempts.map(args => nowhere.run(...args)))) {
    expect(code).toBe(3);
    expect(text.trim()).toMatch(
      /^gpuhub: cannot reach http:\/\/127\.0\.0\.1:1 \(.+\)\. Is the hub running\?[^\n]*$/,
    );
  }
});

test('says in one sentence that it was used badly', async () => {
  const [status, worker, help] = await Promise.all([
    gpuhub.run('jobs', '--status', 'sleeping'),
    gpuhub.run('worker', 'not a worker'),
    gpuhub.run('--help'),
  ]);
  expect(status).toMatchObject({ code: 2, text: expect.stringMatching(/^gpuhub: .*sleeping.*\n$/) });
  expect(worker).toMatchObject({ code: 2, text: expect.stringMatching(/^gpuhub: .*not a worker.*\n$/) });
  expect(help.code).toBe(0);
});
