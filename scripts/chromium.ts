// Finds a Chromium for the tests of the debug page, and installs one where that needs nobody's leave.

import { execFile } from 'node:child_process';
import { access } from 'node:fs/promises';
import { promisify } from 'node:util';
import { findOnPath } from './redis_server.ts';

const run = promisify(execFile);

const NAMES = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable'];
const USUAL_PLACES = [
  '/usr/bin/chromium',
  '/usr/lib/chromium/chromium',
  '/opt/google/chrome/chrome',
  '/snap/bin/chromium',
  '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome',
  '/Applications/Chromium.app/Contents/MacOS/Chromium',
];
const VERSION_TIMEOUT_MS = 20_000;
const INSTALL_TIMEOUT_MS = 600_000;
/** Another apt at work is waited for this long. */
const APT_LOCK_TIMEOUT_S = 120;

export type Chromium = { path: string } | { missing: string };

/** Whether it starts: Ubuntu has a chromium-browser that only says that one should install a snap. */
async function starts(path: string): Promise<boolean> {
  try {
    await access(path);
    await run(path, ['--version'], { timeout: VERSION_TIMEOUT_MS });
    return true;
  } catch {
    return false;
  }
}

/** CHROMIUM_PATH, or else a Chromium or Chrome on the PATH or in a usual place. `missing` is a sentence. */
export async function findChromium(): Promise<Chromium> {
  const wanted = process.env.CHROMIUM_PATH;
  if (wanted) {
    return (await starts(wanted)) ? { path: wanted } : { missing: `CHROMIUM_PATH=${wanted} does not start.` };
  }
  for (const name of NAMES) {
    const path = await findOnPath(name);
    if (path && (await starts(path))) return { path };
  }
  for (const path of USUAL_PLACES) {
    if (await starts(path)) return { path };
  }
  return { missing: 'No Chromium was found: install chromium or Google Chrome, or set CHROMIUM_PATH.' };
}

async function apt(...args: string[]): Promise<void> {
  await run('apt-get', ['-qq', '-o', `DPkg::Lock::Timeout=${APT_LOCK_TIMEOUT_S}`, ...args], {
    timeout: INSTALL_TIMEOUT_MS,
    maxBuffer: 16 * 1024 * 1024,
    env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive', LC_ALL: 'C' },
  });
}

/** findChromium(), and if there is none, the package of Debian's kind of system when this is its root. */
export async function ensureChromium(): Promise<Chromium> {
  const found = await findChromium();
  if ('path' in found || process.env.CHROMIUM_PATH) return found;
  if (process.getuid?.() !== 0 || !(await findOnPath('apt-get'))) return found;
  try {
    await apt('update');
    await apt('install', '-y', '--no-install-recommends', 'chromium');
  } catch (error) {
    const reason = (error as Error).message.trim().split('\n').at(-1);
    return { missing: `No Chromium was found, and installing it failed (${reason}).` };
  }
  return findChromium();
}
