/** `gpuhub top` against a real hub: one picture in a pipe, and live on a pseudo-terminal. */
import { execFileSync } from 'node:child_process';
import { type FileHandle, mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { stripVTControlCharacters } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startProcess, type TestProcess } from '../harness/processes.ts';
import { Command } from './command.ts';
import { byHand, Fleet, until } from './fleet.ts';

let fleet: Fleet;
let gpuhub: Command;
let folder: string;
const work = byHand();
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'gpuhub-top-'));
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
  await rm(folder, { recursive: true, force: true });
});

/** `top` on a pseudo-terminal of 120 × 30, with what a shell says after it: its exit code, and the state of the terminal. */
class OnTerminal implements AsyncDisposable {
  readonly process: TestProcess;
  readonly #keys: FileHandle;

  private constructor(process: TestProcess, keys: FileHandle) {
    this.process = process;
    this.#keys = keys;
  }

  static async start(...args: string[]): Promise<OnTerminal> {
    const keyboard = join(folder, `keys-${Math.random()}`);
    execFileSync('sh', ['-c', 'mkfifo "$0"', keyboard]);
    // For reading too: so it opens at once, and stays open.
    const keys = await open(keyboard, 'r+');
    const top = `exec '${process.execPath}' core/cli/gpuhub.mjs top ${args.join(' ')}`;
    const session = `stty cols 120 rows 30; sh -c "echo pid=\\$\\$; ${top}"; echo exit=$?; stty -a; echo over`;
    // Its input is the keyboard of the terminal that it makes.
    const script = 'exec script -qfc "$0" /dev/null < "$1"';
    const running = startProcess('sh', ['-c', script, session, keyboard], {
      env: { HUB_URL: fleet.hub.httpUrl, TERM: 'xterm-256color' },
    });
    return new OnTerminal(running, keys);
  }

  async type(text: string): Promise<void> {
    await this.#keys.write(text);
  }

  get pid(): number {
    return Number(/pid=(\d+)/.exec(this.process.output)?.[1]);
  }

  /** What the last picture shows. */
  get picture(): string {
    return stripVTControlCharacters(this.process.output.split('\u001b[H').at(-1) ?? '');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.process.stop();
    await this.#keys.close();
  }

  /** Waits for its end; what was written after the last picture. */
  async ended(): Promise<string> {
    await this.process.waitFor(/over/);
    return this.process.output.split('\u001b[?1049l').at(-1) ?? '';
  }
}

test('a pipe gets one picture with depth, slots, rates, waits, machines and running jobs', async () => {
  const { code, text } = await gpuhub.run('top');
  expect(code).toBe(0);
  expect(text).not.toContain('\u001b');
  expect(text).toContain(`gpuhub top · ${fleet.hub.httpUrl} · 1 hub`);
  expect(text).toMatch(/^WAIT 1 .*│ BUSY 1\/2 ████░░░░░ 50% │ IN \d.*│ DONE \d.*│ FAIL 0\.0\/s$/m);
  expect(text).toMatch(/^WAIT p50 \S+ p99 \S+ │ RUN p50 \S+ p99 \S+ │ OLDEST \S+/m);
  expect(text).toMatch(/^machine1 +(■□|□■) +1\/2 .*NVIDIA RTX 4090$/m);
  expect(text).toMatch(/^► processing +runs +hand +\S+ +machine1:gpu\d +████░░░░░ 50% frame 60 of 120/m);
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

describe.skipIf(!hasScript())('on a terminal', () => {
  test('it is live, fits the screen, and q gives the terminal back', async () => {
    await using top = await OnTerminal.start('--every', '500ms');
    await top.process.waitFor(/frame 60 of 120/);
    expect(top.process.output).toContain('\u001b[?1049h');
    expect(top.picture).toMatch(/● live \d+ ev\/s +every 0\.5s · q quits/);
    const lines = top.picture.trimEnd().split(/\r*\n/);
    expect(lines.length).toBeLessThan(30);
    for (const line of lines) expect([...line].length).toBeLessThanOrEqual(120);

    (await work.run(0, 'runs')).context.progress(0.75, 'frame 90 of 120');
    await top.process.waitFor(/frame 90 of 120/);
    await top.type('-');
    await until('the slower pace', () => top.picture.includes('every 1s'));
    await top.type(' ');
    await until('the held picture', () => top.picture.includes('‖ held'));

    await top.type('q');
    const after = await top.ended();
    expect(after).toContain('exit=0');
    expect(after).toMatch(/[^-]icanon/);
    expect(after).toMatch(/[^-]echo /);
    expect(top.process.output).toContain('\u001b[?25h');
  });

  test.each([
    ['SIGTERM', 143],
    ['SIGINT', 130],
    ['SIGHUP', 129],
  ] as const)('%s gives the terminal back too', async (signal, code) => {
    await using top = await OnTerminal.start();
    await top.process.waitFor(/● live/);
    process.kill(top.pid, signal);
    const after = await top.ended();
    expect(after).toContain(`exit=${code}`);
    expect(after).toMatch(/[^-]icanon/);
    expect(after).toMatch(/[^-]echo /);
  });

  test('a hub that is away is said, the picture stays, and it goes on when the hub is back', async () => {
    await using top = await OnTerminal.start('--every', '500ms');
    await top.process.waitFor(/frame \d+ of 120/);
    await fleet.hub.process.stop();
    await until('the loss', () => top.picture.includes('○ lost'));
    expect(top.picture).toMatch(/runs +hand/);
    await fleet.restartHub();
    await until('the return', () => top.picture.includes('● live'));
    await top.type('\u0003');
    expect(await top.ended()).toContain('exit=0');
  });
});

/** The `script` of util-linux makes the pseudo-terminal. */
function hasScript(): boolean {
  try {
    return execFileSync('sh', ['-c', 'script --version'], { encoding: 'utf8' }).includes('util-linux');
  } catch {
    return false;
  }
}
