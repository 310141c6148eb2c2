/** What operators do with `gpuhub`, against a real hub: pause, resume-queue, dead letters, stats. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Command } from './command.ts';
import { Fleet, until } from '../harness/fleet.ts';

let fleet: Fleet;
let gpuhub: Command;
beforeAll(async () => {
  fleet = await Fleet.start();
  gpuhub = new Command(fleet.hub.httpUrl);
  const fails = (code: string) => () => {
    throw Object.assign(new Error(`this is ${code}`), { code, retryable: false });
  };
  await fleet.machine({
    machine_id: 'machine1',
    handler: { echo: job => ({ said: job.params }), oom: fails('oom'), weights: fails('bad_model') },
  });
});
afterAll(() => fleet[Symbol.asyncDispose]());

async function fail(job_type: string, job_id: string): Promise<void> {
  const job = await fleet.client().submit({ job_type, job_id, params: { of: job_id } });
  await expect(job.result()).rejects.toThrow('this is');
}

const lines = (text: string) =>
  text
    .trim()
    .split('\n')
    .map(line => JSON.parse(line));

test('pause holds the jobs of a type, says why, and resume-queue lets them go', async () => {
  expect(await gpuhub.run('pause', 'echo', '--reason', 'model swap')).toEqual({
    code: 0,
    text: 'paused echo; end it with: gpuhub resume-queue echo\n',
  });
  await gpuhub.run('submit', '--type', 'echo', '--job-id', 'held');
  expect((await gpuhub.run('job', 'held')).text).toContain('paused: model swap');
  expect((await gpuhub.run('pause', '--list')).text).toMatch(/echo +\d{4}-\S+ \S+Z +model swap/);
  expect((await gpuhub.json('pause', '--list')).body).toEqual({
    paused: [{ job_type: 'echo', reason: 'model swap', at: expect.any(Number) }],
  });
  expect(await gpuhub.json('resume-queue', 'echo')).toEqual({
    code: 0,
    body: { ok: true, job_type: 'echo' },
  });
  expect((await gpuhub.run('watch', 'held')).code).toBe(0);
  expect((await gpuhub.run('pause', '--list')).text).toBe('nothing is paused\n');
});

test('explain says why a job waits, and that one that has ended does not', async () => {
  await gpuhub.run('submit', '--type', 'nobody', '--job-id', 'unworkable');
  const said = await gpuhub.run('explain', 'unworkable');
  expect(said).toMatchObject({ code: 0, text: expect.stringMatching(/^waits because +\S.*nobody/) });
  expect((await gpuhub.json('explain', 'unworkable')).body).toMatchObject({
    job_id: 'unworkable',
    position: 1,
    slots_total: 1,
    reasons: [{ code: 'job_type', count: 1, message: expect.stringContaining('nobody') }],
  });
  expect(await gpuhub.run('explain', 'held')).toEqual({
    code: 0,
    text: 'held does not wait: it is completed (gpuhub job held)\n',
  });
  expect((await gpuhub.run('explain', 'nothing')).code).toBe(4);
});

test('pause without a type holds all jobs', async () => {
  expect((await gpuhub.json('pause')).body).toEqual({ ok: true, job_type: null });
  await gpuhub.run('submit', '--type', 'echo', '--job-id', 'held-too');
  expect((await gpuhub.run('job', 'held-too')).text).toContain('all queues are paused');
  expect((await gpuhub.run('resume-queue')).text).toBe('resumed all job types\n');
  expect((await gpuhub.run('watch', 'held-too')).code).toBe(0);
});

test('dead list shows the failed jobs, by type and by the code of their error', async () => {
  await fail('oom', 'dead-oom');
  await fail('weights', 'dead-weights');
  const all = await gpuhub.run('dead', 'list');
  expect(all.text).toMatch(/dead-weights +weights +bad_model: this is bad_model +.*1\/3 +machine1:gpu0/);
  expect(all.text.indexOf('dead-weights'), 'newest first').toBeLessThan(all.text.indexOf('dead-oom'));
  const ids = async (...args: string[]) =>
    (await gpuhub.json('dead', 'list', ...args)).body.jobs.map((job: { job_id: string }) => job.job_id);
  expect(await ids('--type', 'oom')).toEqual(['dead-oom']);
  expect(await ids('--error', 'bad_model')).toEqual(['dead-weights']);
  expect(await ids('--limit', '1')).toEqual(['dead-weights']);
  expect((await gpuhub.run('dead', 'list', '--error', 'none')).text).toBe('no dead letters\n');
});

test('dead retry runs one again, or all that were chosen, and names those it cannot', async () => {
  const one = await gpuhub.run('dead', 'retry', 'dead-oom', 'nothing', '--format', 'json');
  expect(one.code).toBe(1);
  const [again, refused] = lines(one.text).toSorted(a => (a.error ? 1 : -1));
  expect(again).toEqual({ job_id: 'dead-oom', new_job_id: expect.any(String) });
  expect(refused).toMatchObject({ job_id: 'nothing', error: { code: 'not_found' } });
  expect(await fleet.api.job(again.new_job_id)).toMatchObject({ retry_of: 'dead-oom' });

  const all = await gpuhub.run('dead', 'retry', '--all', '--error', 'bad_model');
  expect(all.code).toBe(0);
  expect(all.text).toMatch(/^dead-weights runs again as \S+\n1 job submitted again\n$/);
  for (const args of [[], ['--all', 'dead-oom'], ['dead-oom', '--type', 'oom']]) {
    expect(await gpuhub.run('dead', 'retry', ...args)).toMatchObject({ code: 2 });
  }
});

test('dead purge forgets failed jobs for ever, but only with --yes', async () => {
  await until('all retries to fail', async () => (await fleet.api.stats()).jobs.failed === 4);
  const asked = await gpuhub.run('dead', 'purge');
  expect(asked).toMatchObject({ code: 2, text: expect.stringMatching(/^gpuhub: 4 dead letters: say --yes/) });
  expect((await gpuhub.json('dead', 'purge', '--older-than', '1d', '--yes')).body).toEqual({ purged: 0 });
  expect(await gpuhub.run('dead', 'purge', '--yes')).toEqual({ code: 0, text: 'forgot 4 jobs\n' });
  expect((await gpuhub.run('dead', 'list')).text).toBe('no dead letters\n');
  expect((await gpuhub.run('job', 'held')).code, 'completed ones stay').toBe(0);
  expect(await gpuhub.run('dead', 'purge', '--older-than', 'week')).toMatchObject({ code: 2 });
});

test('stats writes a line of numbers, or one so often', async () => {
  const once = await gpuhub.run('stats');
  expect(once.code).toBe(0);
  const [head, line, ...rest] = once.text.trim().split('\n');
  expect(head).toMatch(/SCHED +QUEUED +RUNNING +IN\/s/);
  expect(line).toMatch(/^\d{4}-\d\d-\d\d \S+Z +0 +\d+ +0 /);
  expect(rest).toEqual([]);
  const often = await gpuhub.run('stats', '--every', '500ms', '--count', '3', '--format', 'json');
  const at = lines(often.text).map(stats => stats.at);
  expect(at).toHaveLength(3);
  expect(at.toSorted((a, b) => a - b)).toEqual(at);
  expect(lines(often.text)[0]).toEqual(
    expect.objectContaining({ hubs: 1, workers: expect.objectContaining({ idle: 1 }) }),
  );
});
