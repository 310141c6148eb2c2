import { execFile } from 'node:child_process';
import { access } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { findOnPath, unpackFolder } from '../../redis_server.ts';
import { MissingServer, unpackedPackages } from '../packages.ts';

/** Debian's Celery with its client for Redis, and what they import. All are plain Python. */
const PACKAGES = [
  'amqp',
  'async-timeout',
  'billiard',
  'cached-property',
  'celery',
  'click',
  'click-didyoumean',
  'click-plugins',
  'click-repl',
  'dateutil',
  'deprecated',
  'kombu',
  'packaging',
  'pkg-resources',
  'prompt-toolkit',
  'redis',
  'six',
  'tz',
  'vine',
  'wcwidth',
].map(name => `python3-${name}`);

const MODULES = 'usr/lib/python3/dist-packages';
const IMPORTS = 'import celery.bin.celery, celery.backends.redis, kombu.transport.redis';

interface Python {
  path: string;
  env: Record<string, string>;
}

async function canImport({ path, env }: Python): Promise<boolean> {
  return promisify(execFile)(path, ['-c', IMPORTS], { env: { ...process.env, ...env } }).then(
    () => true,
    () => false,
  );
}

/** The unpacked Celery, if there is one; else what Python itself has, if anything. */
export async function celeryPython(): Promise<Python> {
  const path = await findOnPath('python3');
  if (path === undefined) throw new MissingServer('celery needs python3, which is not on the PATH.');
  const modules = join(await unpackFolder('celery'), MODULES);
  const isThere = await access(modules).then(
    () => true,
    () => false,
  );
  return { path, env: isThere ? { PYTHONPATH: modules } : {} };
}

/**
 * Sees to it that {@link celeryPython} has Celery, its own or Debian's.
 * @throws MissingServer
 */
export async function ensureCelery(): Promise<void> {
  if (await canImport(await celeryPython())) return;
  await unpackedPackages('celery', PACKAGES, join(MODULES, 'celery'));
  if (!(await canImport(await celeryPython()))) {
    throw new MissingServer("celery is not installed, and this python3 cannot use Debian's package of it.");
  }
}
