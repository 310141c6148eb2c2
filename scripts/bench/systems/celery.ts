// Celery on Redis, with Python on both sides: a worker of several processes, and a submitter that this process talks to
// by lines of JSON. Both end with this process. The task is in celery_app.py.

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { resolve } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { celeryPython } from '../brokers/celery.ts';
import { type Address, fail, type Result, type Submitter, type System } from '../system.ts';

/** From the project's root, where all processes of a cell run: the compiler leaves Python where it is. */
const FOLDER = resolve('scripts/bench/systems');
/** Worker processes: more only wait for each other on a small machine. */
const PROCESSES = 8;

type Out = { acked: number } | { ended: number; result: Result };

async function python({ url }: Address, args: readonly string[]): Promise<ChildProcess> {
  const { path, env } = await celeryPython();
  const child = spawn(path, args, {
    cwd: FOLDER,
    env: { ...process.env, ...env, REDIS_URL: url, PYTHONDONTWRITEBYTECODE: '1' },
    stdio: ['pipe', 'pipe', 'inherit', 'pipe'],
  });
  child.on('exit', code => fail(new Error(`celery ended early: ${code}`)));
  return child;
}

export const system: System = {
  has_children: true,

  async openSubmitter(address): Promise<Submitter> {
    const child = await python(address, ['celery_submitter.py']);
    const waiting = new Map<number, { acked: () => void; ended: (result: Result) => void }>();
    let count = 0;
    createInterface({ input: child.stdout as Readable }).on('line', line => {
      const out = JSON.parse(line) as Out;
      if ('acked' in out) waiting.get(out.acked)?.acked();
      else {
        const job = waiting.get(out.ended);
        waiting.delete(out.ended);
        job?.ended(out.result);
      }
    });
    return {
      submit(params, acked, ended) {
        const id = count++;
        waiting.set(id, { acked, ended });
        child.stdin?.write(`${JSON.stringify({ id, params })}\n`);
      },
    };
  },

  async openMachine(address, { slots }): Promise<void> {
    const processes = String(Math.min(slots, PROCESSES));
    const options = ['--pool', 'prefork', '--concurrency', processes, '--loglevel', 'WARNING'];
    const quiet = ['--without-gossip', '--without-mingle', '--without-heartbeat'];
    const child = await python(address, ['-m', 'celery', '-A', 'celery_app', 'worker', ...options, ...quiet]);
    await once(child.stdio[3] as Readable, 'data');
  },
};
