// `npm start`: a hub in the foreground, with a Redis of its own unless the environment names one.
//
// Two processes: this one, which owns the private Redis, and the hub exactly as it runs in production. So
// Redis always outlives the hub while that stops, and goes also when the hub was killed; if this process is
// killed, both go with it.

import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { constants } from 'node:os';
import { fileURLToPath } from 'node:url';
import { type Config, ConfigError, readConfig } from '../core/config.ts';
import { endWithParent, redisFromEnvOrLauncher } from './redis_server.ts';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const FAULT = 1;
const BAD_SETTING = 2;

/** For people; standard output belongs to the hub's log. */
function say(sentence: string): void {
  process.stderr.write(`gpuhub: ${sentence}\n`);
}

/** Looked at before Redis is fetched and started; if the port is lost after that, the hub itself says so. */
async function checkPort({ HUB_HOST, HUB_PORT }: Config): Promise<void> {
  const server = createServer().listen(HUB_PORT, HUB_HOST);
  try {
    await once(server, 'listening');
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    const why: Record<string, string> = {
      EADDRINUSE: `port ${HUB_PORT} of ${HUB_HOST} is in use: stop what listens there, or set HUB_PORT to another`,
      EACCES: `port ${HUB_PORT} may not be opened by this user: set HUB_PORT to one above 1023`,
    };
    throw new Error(why[code ?? ''] ?? `cannot listen on port ${HUB_PORT} of ${HUB_HOST}: ${message}`, {
      cause: error,
    });
  }
  server.close();
  await once(server, 'close');
}

/** @throws Error when the sources do not compile; what is wrong was printed */
function build(): void {
  const { status } = spawnSync(process.execPath, ['scripts/build.mjs'], { cwd: ROOT, stdio: 'inherit' });
  if (status !== 0) throw new Error('the hub cannot be built');
}

function spawnHub(env: Readonly<Record<string, string>>): ChildProcess {
  const hub = spawn(process.execPath, ['dist/core/main.js'], {
    cwd: ROOT,
    env: { ...process.env, ...env },
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  if (hub.pid !== undefined) hub.once('exit', endWithParent(hub.pid));
  return hub;
}

/** Runs the hub to its end. @returns the exit code */
async function main(): Promise<number> {
  let hub: ChildProcess | undefined;
  let stopping = false;
  const stop = () => {
    if (stopping && hub === undefined) process.exit(FAULT); // asked twice while Redis is being fetched
    stopping = true;
    hub?.kill('SIGTERM');
  };
  process.on('SIGTERM', stop).on('SIGINT', stop);

  await checkPort(readConfig(process.env));
  build();
  const redis = await redisFromEnvOrLauncher(process.env);
  try {
    if (stopping) return 0;
    if (redis.server) {
      say(
        `started a private Redis on port ${redis.server.port}; its jobs are gone when the hub ends, set REDIS_URL to keep them`,
      );
    }
    hub = spawnHub(redis.env);
    const [code, signal] = (await once(hub, 'exit')) as [number | null, NodeJS.Signals | null];
    if (signal === null) return code ?? FAULT;
    // A hub that is still starting has nothing to stop, and ends by the signal itself.
    if (stopping && (signal === 'SIGTERM' || signal === 'SIGINT')) return 0;
    say(`the hub was ended by ${signal}`);
    return 128 + constants.signals[signal];
  } finally {
    await redis.stop();
  }
}

main().then(
  code => process.exit(code),
  (error: Error) => {
    say(error.message);
    process.exit(error instanceof ConfigError ? BAD_SETTING : FAULT);
  },
);
