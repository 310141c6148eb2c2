/** Steering with the command `gpuhub` against a real hub: submit, watch, cancel, retry, drain, resume. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Command } from './command.ts';
import { byHand, echoAndBroken, Fleet, until } from '../harness/fleet.ts';

let fleet: Fleet;
let gpuhub: Command;
const work = byHand();
beforeAll(async () => {
  fleet = await Fleet.start();
  gpuhub = new Command(fleet.hub.httpUrl);
  await fleet.machine({
    machine_id: 'machine1',
    handler: {
      ...echoAndBroken,
      hand: work.handler,
    },
  });
});
afterAll(() => fleet[Symbol.asyncDispose]());

const submit = (...args: string[]) => gpuhub.run('submit', '--type', ...args);

test('submit --wait shows the job run and exits by how it ended', async () => {
  const [good, bad] = await Promise.all([
    submit('echo', '--params', '{"text":"hello"}', '--job-id', 'cli-echo', '--wait'),
    submit('broken', '--job-id', 'cli-broken', '--wait'),
  ]);
  expect(good.code, good.text).toBe(0);
  expect(good.text).toContain('job cli-echo');
  expect(good.text).toMatch(/completed .*waited/);
  expect(good.text).toContain('"text": "hello"');
  expect(bad.code).toBe(1);
  expect(bad.text).toContain('bad_model: no such weights');
});

test('submit names the job, says a duplicate, and refuses what the hub refuses', async () => {
  const args = ['nobody', '--job-id', 'cli-waits', '--priority', '9'];
  expect(await submit(...args)).toMatchObject({ code: 0, text: expect.stringContaining('cli-waits') });
  expect((await submit(...args)).text).toContain('it was there already');
  const other = await submit('nobody', '--job-id', 'cli-waits', '--priority', '8');
  expect(other).toMatchObject({ code: 1, text: expect.stringMatching(/^gpuhub: .*cli-waits/) });
  expect(await submit('nobody', '--priority', '200')).toMatchObject({ code: 2 });
});

test('watch follows a job from its beginning, also after its end', async () => {
  const following = gpuhub.start('watch', 'cli-hand');
  // It does not exist yet.
  expect(await following.exited).toMatchObject({ code: 4 });
  await submit('hand', '--job-id', 'cli-hand');
  const run = await work.run(0, 'cli-hand');
  const live = fleet.owns(gpuhub.start('watch', 'cli-hand'));
  await live.waitFor(/machine1:gpu0/);
  run.context.output({ token: 1 });
  await live.waitFor(/#0 \{"token":1\}/);
  run.complete('done');
  expect(await live.exited).toMatchObject({ code: 0 });
  const later = await gpuhub.run('watch', 'cli-hand', '--format', 'json');
  const events = later.text
    .trim()
    .split('\n')
    .map(line => JSON.parse(line) as { type: string });
  expect(events.at(-1)).toMatchObject({ type: 'job_completed', job_id: 'cli-hand', result: 'done' });
  expect((await gpuhub.run('watch', 'cli-broken')).code).toBe(1);
});

test('cancel stops a waiting and a running job; retry runs an ended one again', async () => {
  expect((await gpuhub.run('cancel', 'cli-waits')).text).toContain('cancelled cli-waits');
  expect((await gpuhub.run('cancel', 'cli-waits')).code).toBe(1);
  await submit('hand', '--job-id', 'cli-long');
  const run = await work.run(0, 'cli-long');
  const said = await gpuhub.run('cancel', 'cli-long', '--reason', 'too slow');
  expect(said).toMatchObject({ code: 0, text: expect.stringContaining('its worker was told to stop') });
  await until('the abort', () => run.context.signal.aborted);
  await until('the end', async () => (await fleet.api.job('cli-long')).status === 'cancelled');
  const { body } = await gpuhub.json('retry', 'cli-long');
  (await work.run(0, body.job_id)).complete('this time');
  const again = await until('the end of the retry', async () => {
    const job = await fleet.api.job(body.job_id);
    return job.status === 'completed' && job;
  });
  expect(again).toMatchObject({ retry_of: 'cli-long', result: 'this time' });
  expect((await gpuhub.run('retry', 'nothing')).code).toBe(4);
});

test('drain keeps new jobs away from a worker until resume', async () => {
  expect(await gpuhub.run('drain', 'machine1:gpu0', '--reason', 'new driver')).toMatchObject({ code: 0 });
  expect((await gpuhub.run('workers')).text).toMatch(/draining +machine1:gpu0.*new driver/);
  await submit('echo', '--job-id', 'cli-drained');
  expect((await gpuhub.run('job', 'cli-drained')).text).toMatch(/queued/);
  expect((await gpuhub.run('resume', 'machine1:gpu0')).code).toBe(0);
  expect((await gpuhub.run('watch', 'cli-drained')).code).toBe(0);
  expect((await gpuhub.run('drain', 'machine9:gpu0')).code).toBe(4);
});
