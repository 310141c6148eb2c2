import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { FakeHub, jobRecord } from '../../testing/harness/fake_hub.ts';

const MAIN = fileURLToPath(new URL('./gpuhub.mjs', import.meta.url));

function start(args: string[], env: Record<string, string>) {
  return spawn(process.execPath, [MAIN, ...args], {
    cwd: tmpdir(), // the command works in any folder
    env: { ...process.env, ...env },
  });
}

it('the command as a process: output without colour in a pipe, errors on stderr, the exit code', async () => {
  await using hub = await FakeHub.start();
  hub.on('GET /jobs', 200, { jobs: [jobRecord()], next_cursor: null });
  const good = start(['jobs'], { HUB_URL: hub.url });
  const bad = start(['job', 'j404'], { HUB_URL: hub.url });
  const [out, err, [goodExit], [badExit]] = await Promise.all([
    text(good.stdout),
    text(bad.stderr),
    once(good, 'exit'),
    once(bad, 'exit'),
  ]);
  expect(out).toContain('► processing  j1');
  expect(out).not.toContain('\u001b');
  expect(err).toContain('gpuhub: there is nothing at /jobs/j404');
  expect([goodExit, badExit]).toEqual([0, 4]);
}, 20_000);

it('a reader that has read enough is no failure', async () => {
  await using hub = await FakeHub.start();
  const jobs = Array.from({ length: 20_000 }, () => jobRecord());
  hub.on('GET /jobs', 200, { jobs, next_cursor: null });
  const child = start(['jobs', '--format', 'json'], { HUB_URL: hub.url });
  const err = text(child.stderr);
  child.stdout.once('data', () => child.stdout.destroy());
  const [exit] = await once(child, 'exit');
  expect({ exit, err: await err }).toEqual({ exit: 0, err: '' });
}, 20_000);
