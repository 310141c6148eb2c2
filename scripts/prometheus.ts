// Finds prometheus and promtool for the tests of /metrics, and unpacks Debian's package of both where there are none.

import { access, mkdir, mkdtemp, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { cacheFolder, findOnPath, PrivateApt } from './redis_server.ts';

export type Prometheus = { prometheus: string; promtool: string } | { missing: string };

const PACKAGE = 'prometheus';

async function inFolder(folder: string): Promise<Prometheus | undefined> {
  const tools = {
    prometheus: join(folder, 'usr/bin/prometheus'),
    promtool: join(folder, 'usr/bin/promtool'),
  };
  const there = await Promise.all(
    Object.values(tools).map(path =>
      access(path).then(
        () => true,
        () => false,
      ),
    ),
  );
  return there.every(Boolean) ? tools : undefined;
}

/** Unpacked, not installed: it needs no root, and no service is started on anybody's machine. Both programs are static. */
async function unpack(target: string): Promise<void> {
  await mkdir(cacheFolder(), { recursive: true });
  const folder = await mkdtemp(join(cacheFolder(), 'unpack-prometheus-'));
  try {
    const apt = new PrivateApt(folder);
    await apt.update();
    await apt.unpack([PACKAGE], join(folder, 'root'));
    await rename(join(folder, 'root'), target);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Both programs on the PATH, or of the package unpacked into the cache folder. `missing` is a sentence. */
export async function ensurePrometheus(): Promise<Prometheus> {
  const [prometheus, promtool] = await Promise.all([findOnPath('prometheus'), findOnPath('promtool')]);
  if (prometheus !== undefined && promtool !== undefined) return { prometheus, promtool };
  const target = join(cacheFolder(), `prometheus-${process.arch}`);
  const cached = await inFolder(target);
  if (cached !== undefined) return cached;
  if (!(await findOnPath('apt-get')) || !(await findOnPath('dpkg'))) {
    return { missing: 'prometheus and promtool are not on the PATH, and this is no Debian or Ubuntu.' };
  }
  try {
    await unpack(target);
  } catch (error) {
    const reason = (error as Error).message.trim().split('\n').at(-1);
    return { missing: `prometheus is not on the PATH, and unpacking Debian's package failed (${reason}).` };
  }
  return (await inFolder(target)) ?? { missing: 'the unpacked package has no prometheus and promtool.' };
}
