/** `gpuhub events --follow` against a real hub: what happens, filtered, across a restart of the hub. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { TestProcess } from '../harness/processes.ts';
import { Command } from './command.ts';
import { echoAndBroken, Fleet, until } from '../harness/fleet.ts';

let fleet: Fleet;
let gpuhub: Command;
beforeAll(async () => {
  fleet = await Fleet.start();
  gpuhub = new Command(fleet.hub.httpUrl);
  await fleet.machine({
    machine_id: 'machine1',
    handler: echoAndBroken,
  });
});
afterAll(() => fleet[Symbol.asyncDispose]());

async function run(job_id: string, job_type = 'echo'): Promise<void> {
  const job = await fleet.client().submit({ job_type, job_id, params: {} });
  await job.result().catch(() => undefined);
}

/** Starts it, and waits until jobs of this type that are run are shown. */
async function following(probe: string, ...args: string[]): Promise<TestProcess> {
  const process = fleet.owns(gpuhub.start('events', '--follow', ...args));
  let tries = 0;
  await until('the first event', async () => {
    await run(`probe-${process.pid}-${++tries}`, probe);
    return process.output.includes('probe-');
  });
  return process;
}

const events = (process: TestProcess) =>
  process.output
    .trim()
    .split('\n')
    .map(line => JSON.parse(line))
    .filter(event => !event.job_id.startsWith('probe-'));

test('shows the life of each job in a line an event', async () => {
  const live = await following('echo');
  await run('life');
  await live.waitFor(/completed +life/);
  const lines = live.output.split('\n').filter(line => line.includes('  life'));
  expect(lines.map(line => line.slice(14).replace(/(waited|ran) \w+(\.\d+s)?/g, '$1'))).toEqual([
    '○ queued      life  submitted',
    '▷ assigned    life  machine1:gpu0',
    '► processing  life  machine1:gpu0',
    '✓ completed   life  waited, ran',
  ]);
  for (const line of lines) expect(line).toMatch(/^\d\d:\d\d:\d\d\.\d{3} {2}/);
});

test('writes NDJSON of the wire, and ends after --limit events', async () => {
  const live = await following('echo', '--format', 'json', '--limit', '40');
  await until('the end', async () => {
    await run(`limit-${Math.random()}`);
    return live.ending;
  });
  expect(live.ending).toMatchObject({ code: 0 });
  const lines = live.output.trim().split('\n');
  expect(lines).toHaveLength(40);
  for (const line of lines) {
    expect(JSON.parse(line)).toMatchObject({
      type: expect.stringMatching(/^job_/),
      job_id: expect.any(String),
      seq: expect.any(Number),
      at: expect.any(Number),
      attempt: expect.any(Number),
    });
  }
});

test('shows only what the filters let through', async () => {
  const failed = await following('broken', '--format', 'json', '--state', 'failed', 'expired');
  const ofType = await following('broken', '--format', 'json', '--type', 'broken');
  const ofJob = fleet.owns(gpuhub.start('events', '--job', 'f-echo', 'f-last', '--event', 'job_completed'));
  await until('the third', async () => {
    // One of these ids has run only once: runs again make nothing new.
    await run(`f-other-${Math.random()}`);
    await run('f-broken', 'broken');
    await run('f-echo');
    await run('f-last');
    return ofType.output.includes('f-broken') && failed.output.includes('f-broken');
  });
  expect(events(failed)).toMatchObject([{ type: 'job_failed', job_id: 'f-broken' }]);
  expect(events(ofType).map(event => event.type)).toEqual([
    'job_queued',
    'job_assigned',
    'job_started',
    'job_failed',
  ]);
  await ofJob.stop();
});

test('comes back after a restart of the hub, and says what it misses', async () => {
  const live = await following('echo');
  await fleet.hub.process.stop();
  await live.waitFor(/trying again in .+ What happens meanwhile is not shown/);
  await fleet.restartHub();
  let tries = 0;
  await until('an event after the restart', async () => {
    await run(`later-${++tries}`);
    return live.output.includes('later-');
  });
});

test('bad filters are bad usage', async () => {
  for (const args of [
    ['--state', 'sleeping'],
    ['--event', 'job_slept'],
    ['--job', 'no job'],
    ['--limit', '0'],
  ]) {
    expect(await gpuhub.run('events', ...args)).toMatchObject({
      code: 2,
      text: expect.stringMatching(/^gpuhub: .+\n$/),
    });
  }
});
