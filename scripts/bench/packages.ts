import { access, mkdir, mkdtemp, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { cacheFolder, findOnPath, libraryEnv, PrivateApt, unpackFolder } from '../redis_server.ts';

/** A library's package may need further ones. */
const LIBRARY_ROUNDS = 4;

/** A server that a cell needs is not to be had on this machine; the message is a sentence. */
export class MissingServer extends Error {}

const exists = (path: string) =>
  access(path).then(
    () => true,
    () => false,
  );

async function unpackAll(apt: PrivateApt, packages: readonly string[], root: string): Promise<void> {
  const seen = new Set(packages);
  let level = packages;
  for (let round = 0; round < LIBRARY_ROUNDS && level.length > 0; round++) {
    await apt.unpack(level, root);
    level = (await apt.missingLibraries(level)).filter(library => !seen.has(library));
    for (const library of level) seen.add(library);
  }
}

/** Unpacks into a folder of its own and renames that: a second process at the same time does no harm. */
async function unpackFromApt(packages: readonly string[], target: string): Promise<void> {
  await mkdir(cacheFolder(), { recursive: true });
  const folder = await mkdtemp(join(cacheFolder(), 'unpack-'));
  try {
    const apt = new PrivateApt(folder);
    await apt.update();
    await unpackAll(apt, packages, join(folder, 'root'));
    await rename(join(folder, 'root'), target);
  } catch (error) {
    // Another process may have been faster.
    if (!['ENOTEMPTY', 'EEXIST'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/**
 * Debian's packages, unpacked into the cache folder without root and without installing anything.
 * @param program a path in them, by which to see that they are there
 * @returns their root, and what their programs need in the environment
 * @throws MissingServer where there are none
 */
export async function unpackedPackages(
  name: string,
  packages: readonly string[],
  program: string,
): Promise<{ root: string; env: Record<string, string> }> {
  const root = await unpackFolder(name);
  if (!(await exists(join(root, program)))) {
    if (!(await findOnPath('apt-get')) || !(await findOnPath('dpkg'))) {
      throw new MissingServer(`${name} is not installed, and this is no Debian or Ubuntu.`);
    }
    try {
      await unpackFromApt(packages, root);
    } catch (error) {
      const reason = (error as Error).message.trim().split('\n').at(-1);
      throw new MissingServer(`${name} is not installed, and unpacking its package failed (${reason}).`, {
        cause: error,
      });
    }
  }
  return { root, env: await libraryEnv(root) };
}

/**
 * A program on the PATH, or of its Debian package.
 * @param packaged its path in the package of the same name
 * @throws MissingServer
 */
export async function findServer(
  name: string,
  packaged: string,
): Promise<{ path: string; env: Record<string, string> }> {
  const path = await findOnPath(name);
  if (path !== undefined) return { path, env: {} };
  const { root, env } = await unpackedPackages(name, [name], packaged);
  return { path: join(root, packaged), env };
}
