import { setTimeout as sleep } from 'node:timers/promises';
import { freePort } from '../redis_server.ts';
import { KEEP_FINISHED } from './payload.ts';
import { BenchProcess } from './process.ts';

/** What the hub's process loads first, so that it can be asked what it uses. */
const METER = ['--import', './.cache/bench/scripts/bench/meter.js'];
const READY_POLL_MS = 20;
const READY_TIMEOUT_MS = 20_000;

async function isReady(port: number): Promise<boolean> {
  return fetch(`http://127.0.0.1:${port}/readyz`).then(
    answer => answer.ok,
    () => false,
  );
}

/**
 * A hub on a Redis, ready to serve.
 * @param profile the folder for its CPU profile, if wanted
 * @param meter arguments of node that load what answers for its process
 */
export async function startHub(
  redis_url: string,
  profile: string | undefined,
  meter: readonly string[] = METER,
): Promise<{ hub: BenchProcess; url: string }> {
  const port = await freePort();
  const node = [...meter];
  if (profile !== undefined) node.push('--cpu-prof', `--cpu-prof-dir=${profile}`);
  const hub = new BenchProcess('hub', 'core/main.js', [], {
    node,
    env: {
      REDIS_URL: redis_url,
      HUB_PORT: String(port),
      LOG_LEVEL: 'warn',
      RETENTION_COUNT: String(KEEP_FINISHED),
    },
  });
  const deadline = Date.now() + READY_TIMEOUT_MS;
  while (!(await isReady(port))) {
    if (Date.now() > deadline) {
      await hub.stop();
      throw new Error(`the hub was not ready within ${READY_TIMEOUT_MS} ms`);
    }
    await sleep(READY_POLL_MS);
  }
  return { hub, url: `ws://127.0.0.1:${port}` };
}
