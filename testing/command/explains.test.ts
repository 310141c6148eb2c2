/** Why a job does not run, found out with the command alone: for planted causes `explain` and `job` lead to what helps. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Command } from './command.ts';
import { byHand, Fleet, until } from '../harness/fleet.ts';

let fleet: Fleet;
let gpuhub: Command;
const work = byHand();
beforeAll(async () => {
  fleet = await Fleet.start();
  gpuhub = new Command(fleet.hub.httpUrl);
});
afterAll(() => fleet[Symbol.asyncDispose]());

/** Submits a job and waits until both verbs say this of it. */
async function leadsTo(said: RegExp, ...args: string[]): Promise<void> {
  const { body } = await gpuhub.json('submit', ...args);
  const explain = await until(`${said} of explain`, async () => {
    const { text } = await gpuhub.run('explain', body.job_id);
    return said.test(text) && text;
  });
  expect(explain).toMatch(/^waits because {2}\S/);
  expect((await gpuhub.run('job', body.job_id)).text).toMatch(said);
  await gpuhub.run('cancel', body.job_id);
}

test('before there is any machine', async () => {
  await leadsTo(/no machine is connected\nso +Connect a machine\..*npm run mock-worker/, '--type', 'hand');
});

test('with a machine: its type, its memory, all busy, scheduled, paused, drained', async () => {
  const gpus = [{ index: 0, name: 'NVIDIA RTX 4090', vram_mb: 24_576 }];
  await fleet.machine({ machine_id: 'machine1', gpus, handler: { hand: work.handler } });
  await leadsTo(
    /1 of 1 slot does not take jobs of type speech\nso .*connect a machine that takes jobs of type speech\. Those here take hand\./,
    '--type',
    'speech',
  );
  await leadsTo(
    /so .*a machine with 80,000 MB of memory a GPU\. The largest here has 24,576 MB\./,
    '--type',
    'hand',
    '--requirements',
    '{"min_vram_mb":80000}',
  );
  await leadsTo(/so +It starts by itself when it is due, in 59m/, '--type', 'hand', '--delay-ms', '3600000');

  await gpuhub.run('submit', '--type', 'hand', '--job-id', 'holds');
  const run = await work.run(0, 'holds');
  await leadsTo(
    /1 of 1 slot is busy .*\nso +It starts by itself when a GPU that fits is free\./,
    '--type',
    'hand',
  );
  run.complete();

  await gpuhub.run('pause', 'hand', '--reason', 'model swap');
  await leadsTo(
    /the queue of type hand is paused: model swap\nso +It waits until the pause is ended: gpuhub resume-queue hand\n/,
    '--type',
    'hand',
  );
  await gpuhub.run('resume-queue', 'hand');

  await gpuhub.run('drain', 'machine1:gpu0', '--reason', 'new driver');
  await leadsTo(
    /so +It waits until a GPU is resumed: gpuhub resume machine1:gpu0 \(drained: new driver\)/,
    '--type',
    'hand',
  );
}, 120_000);
