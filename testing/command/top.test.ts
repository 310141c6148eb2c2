/** `gpuhub top` against a real hub: one picture in a pipe, and live on a pseudo-terminal. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Command } from './command.ts';
import { byHand, Fleet, until } from '../harness/fleet.ts';
import { OnTerminal, withoutTerminal } from './on_terminal.ts';

let fleet: Fleet;
let gpuhub: Command;
const work = byHand();
beforeAll(async () => {
  fleet = await Fleet.start();
  gpuhub = new Command(fleet.hub.httpUrl);
  await fleet.machine({
    machine_id: 'machine1',
    gpus: [
      { index: 0, name: 'NVIDIA RTX 4090', vram_mb: 24_576 },
      { index: 1, name: 'NVIDIA RTX 4090', vram_mb: 24_576 },
    ],
    handler: { hand: work.handler },
  });
  const client = fleet.client();
  await client.submit({ job_type: 'hand', job_id: 'runs', params: {} });
  (await work.run(0, 'runs')).context.progress(0.5, 'frame 60 of 120');
  await client.submit({ job_type: 'nobody', job_id: 'waits', params: {} });
  await until('the progress and the statistics', async () => {
    const { jobs } = await fleet.api.stats();
    return jobs.processing === 1 && jobs.queued === 1 && (await fleet.api.job('runs')).progress === 0.5;
  });
});
afterAll(async () => {
  await fleet[Symbol.asyncDispose]();
});

const onTerminal = (...args: string[]) => OnTerminal.start(fleet.hub.httpUrl, ['top', ...args]);

test('--once prints one picture with depth, slots, rates, waits, machines and running jobs', async () => {
  const { code, text } = await gpuhub.run('top', '--once');
  expect(code).toBe(0);
  expect(text).not.toContain('\u001b');
  expect(text).toContain(`gpuhub top · ${fleet.hub.httpUrl} · 1 hub`);
  expect(text).toMatch(/^WAIT 1 .*│ BUSY 1\/2 ████░░░░░ 50% │ DONE \d.*│ FAIL 0\.0\/s │ IN \d.*$/m);
  expect(text).toMatch(/^WAIT p50 \S+ p99 \S+ │ RUN p50 \S+ p99 \S+ │ OLDEST \S+/m);
  expect(text).toMatch(/^machine1 +(■□|□■) +1\/2 .*NVIDIA RTX 4090/m);
  expect(text).toMatch(/^► processing +runs +hand .* machine1:gpu\d .* ████░░░░░ 50% frame 60 of 120/m);
});

test('--format json is one document of statistics, workers and running jobs', async () => {
  const { code, body } = await gpuhub.json('top');
  expect(code).toBe(0);
  expect(body).toMatchObject({
    stats: { hubs: 1, jobs: { processing: 1 } },
    workers: [{ machine_id: 'machine1' }, { machine_id: 'machine1' }],
    jobs: [{ job_id: 'runs', progress: 0.5 }],
  });
});

test('without a terminal it says what it needs', async () => {
  const { code, text } = await gpuhub.run('top');
  expect(code).toBe(2);
  expect(text).toMatch(/^gpuhub: top needs a terminal .*--once.*\n$/);
});

test('--tab and --filter choose what is printed', async () => {
  const machines = await gpuhub.run('top', '--once', '--tab', 'machines');
  expect(machines.text).toContain('1 machine, 2 GPUs · by MACHINE▲');
  const none = await gpuhub.run('top', '--once', '--tab', 'jobs', '--filter', 'another');
  expect(none.text).toContain('1 active job · with "another": 0');
  expect(await gpuhub.run('top', '--once', '--tab', 'gpus')).toMatchObject({ code: 2 });
});

describe.skipIf(withoutTerminal())('on a terminal', () => {
  test('it is live, fits the screen, and q gives the terminal back as it was', async () => {
    await using top = await onTerminal('--every', '500ms');
    await until('the picture', () => top.picture.includes('frame 60 of 120'));
    expect(top.screen).toMatchObject({ isOther: true, cursorIsHidden: true });
    expect(top.picture).toMatch(/● live \d+ ev\/s +every 0\.5s$/m);
    expect(top.picture).toContain('[1 Overview]');
    expect(top.screen.lines).toHaveLength(30);

    (await work.run(0, 'runs')).context.progress(0.75, 'frame 90 of 120');
    await until('the progress', () => top.picture.includes('frame 90 of 120'));
    await top.type('-');
    await until('the slower pace', () => top.picture.includes('every 1s'));
    await top.type(' ');
    await until('the held picture', () => top.picture.includes('‖ held'));

    await top.type('q');
    expect(await top.ended()).toEqual({ code: 0, sameSettings: true });
    expect(top.screen).toMatchObject({ isOther: false, cursorIsHidden: false });
    expect(top.picture, 'what stood there before stands there again').toContain(`pid=${top.pid}`);
    expect(top.picture).not.toContain('gpuhub top');
  });

  test('tabs, filter, sorting, what is opened, and help by keys', async () => {
    await using top = await onTerminal('--every', '10s');
    await until('the picture', () => top.picture.includes('[1 Overview]'));
    const press = async (keys: string, what: RegExp) => {
      await top.type(keys);
      await until(`${what} after ${JSON.stringify(keys)}`, () => what.test(top.picture));
    };
    await press('2', /^▸ machine1 +(■□|□■) +1\/2/m);
    await press('s', /by BUSY▼/);
    await press('r', /by BUSY▲/);
    await press('\r', /^GPU +NVIDIA RTX 4090$/m);
    await press('\u001b', /\[2 Machines 1\]/);
    await press('\t', /^▸ ► processing +runs /m);
    await press('v', /^▸ ○ queued +waits /m);
    await press('/zzz', /1 waiting job · with "zzz": 0/);
    await press('\u001b', /^▸ ○ queued +waits /m);
    await press('\r', /^waits because +2 of 2 slots do not take jobs of type nobody$/m);
    await press('q', /\[3 Jobs waiting\]/);
    await press('4', /^▸ nobody +1 +0/m);
    await press('?', /^End +q or Ctrl-C$/m);
    await press('x', /\[4 Queues 2\]/);
    await press('1', /\[1 Overview\]/);
    await top.type('\u0003');
    expect(await top.ended()).toEqual({ code: 0, sameSettings: true });
  });

  test('it cancels a job and drains a machine, after it has asked', async () => {
    await fleet.client().submit({ job_type: 'nobody', job_id: 'unwanted', params: {} });
    await using top = await onTerminal('--tab', 'jobs');
    await until('the picture', () => top.picture.includes('[3 Jobs active]'));
    await top.type('v/unwanted\r');
    await until('the job', () => /▸ ○ queued +unwanted/.test(top.picture));
    await top.type('c');
    await until('the question', () => top.picture.includes('Cancel unwanted? (y'));
    await top.type('y');
    await until('the end', async () => (await fleet.api.job('unwanted')).status === 'cancelled');
    await top.type('2d');
    await until('the question', () =>
      top.picture.includes('Drain machine1: no new jobs, 1 running job will be finished'),
    );
    await top.type('y');
    await until('the drain', () => /machine1 +[‖■]{2}/.test(top.picture));
    await top.type('u');
    await until('the return', () => /machine1 +(■□|□■)/.test(top.picture));
    await top.type('q');
    expect((await top.ended()).code).toBe(0);
  });

  test('it follows the size of the window', async () => {
    await using top = await onTerminal('--every', '10s');
    await until('the picture', () => top.picture.includes('[1 Overview]'));
    for (const [columns, rows] of [
      [60, 20],
      [100, 40],
    ] as const) {
      const before = top.process.output.length;
      await top.resize(columns, rows);
      await until('the new picture', () => top.process.output.slice(before).includes('\u001b[2J'));
      await until('all of it', () => top.process.output.slice(before).includes(`\u001b[${rows};1H`));
      // What stands before it may be the last of a picture of the former size.
      const [, ...drawn] = top.process.output.slice(before).split('\u001b[2J');
      const lines = drawn.join('').match(/(?<=\u001b\[\d+;1H)[^\u001b]*(?=\u001b\[K)/g) ?? [];
      expect(lines.length).toBeGreaterThan(0);
      for (const line of lines) expect([...line].length).toBeLessThanOrEqual(columns);
    }
    await top.type('q');
    expect((await top.ended()).sameSettings).toBe(true);
  });

  test('a terminal that cannot move its cursor is none', async () => {
    await using top = await OnTerminal.start(fleet.hub.httpUrl, ['top'], { env: { TERM: 'dumb' } });
    expect((await top.ended()).code).toBe(2);
    expect(top.picture).toContain('gpuhub: top needs a terminal');
  });

  test('it writes little: a picture in which nothing changes but times is a few lines', async () => {
    await using top = await onTerminal('--every', '500ms', '--tab', 'queues');
    await until('the picture', () => top.picture.includes('[4 Queues'));
    const begin = top.process.output.length;
    const began = performance.now();
    await until('some seconds of it', () => performance.now() - began > 3000);
    const per_s = (top.process.output.length - begin) / 3;
    expect(per_s).toBeGreaterThan(0);
    expect(per_s).toBeLessThan(2000);
  });

  test.each([
    ['SIGTERM', 143],
    ['SIGINT', 130],
    ['SIGHUP', 129],
  ] as const)('%s gives the terminal back too', async (signal, code) => {
    await using top = await onTerminal();
    await until('the picture', () => top.picture.includes('● live'));
    process.kill(top.pid, signal);
    expect(await top.ended()).toEqual({ code, sameSettings: true });
    expect(top.screen).toMatchObject({ isOther: false, cursorIsHidden: false });
  });

  test('a hub that is away is said, the picture stays, and it goes on when the hub is back', async () => {
    await using top = await onTerminal('--every', '500ms');
    await until('the picture', () => /runs +hand/.test(top.picture));
    await fleet.hub.process.stop();
    await until('the loss', () => top.picture.includes('○ the hub is away for'));
    expect(top.picture).toContain('○ lost');
    expect(top.picture).toMatch(/runs +hand/);
    await fleet.restartHub();
    await until('the return', () => top.picture.includes('● live') && !top.picture.includes('away for'));
    await top.type('\u0003');
    expect(await top.ended()).toEqual({ code: 0, sameSettings: true });
  });
});
