import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, open, readFile, rm } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { endWithParent, freePort } from '../../redis_server.ts';
import type { Stoppable } from '../scenario.ts';
import type { Usage } from '../served.ts';
import { processUsage } from '../usage.ts';

const READY_POLL_MS = 50;
const READY_TIMEOUT_MS = 60_000;
const LOG_TAIL_CHARS = 2000;

/** How to start a server. */
export interface Launch {
  path: string;
  args: readonly string[];
  env: Readonly<Record<string, string>>;
}

async function answers(port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1');
  return once(socket, 'connect')
    .then(
      () => true,
      () => false,
    )
    .finally(() => socket.destroy());
}

/** Somebody else's server on loopback, with a folder of its own; it ends with this process, however that ends. */
export class Broker implements Stoppable {
  readonly port: number;
  readonly #child: ChildProcess;
  readonly #folder: string;
  readonly #exited: Promise<unknown>;
  readonly #release: () => void;

  private constructor(port: number, child: ChildProcess, folder: string) {
    this.port = port;
    this.#child = child;
    this.#folder = folder;
    this.#release = endWithParent(child.pid as number, folder);
    this.#exited = once(child, 'exit').finally(this.#release);
  }

  /**
   * @param launch told a free port and an empty folder; may write into it
   * @throws Error with the end of its output, if nobody answers at the port in time
   */
  static async start(launch: (port: number, folder: string) => Launch | Promise<Launch>): Promise<Broker> {
    const port = await freePort();
    const folder = await mkdtemp(join(tmpdir(), 'gpuhub-bench-'));
    const { path, args, env } = await launch(port, folder);
    const log = await open(join(folder, 'output.log'), 'a');
    const child = spawn(path, args, {
      cwd: folder,
      env: { PATH: process.env['PATH'], HOME: folder, ...env },
      stdio: ['ignore', log.fd, log.fd],
      detached: true, // Ctrl-C ends the benchmark, which ends its servers
    });
    try {
      await once(child, 'spawn');
    } finally {
      await log.close();
    }
    const broker = new Broker(port, child, folder);
    try {
      await broker.#waitUntilReady();
      return broker;
    } catch (error) {
      await broker.stop();
      throw error;
    }
  }

  usage(): Promise<Usage> {
    return processUsage(this.#child.pid as number);
  }

  /** Its data is of no use to anybody: no time is lost on an orderly end. */
  async stop(): Promise<void> {
    this.#child.kill('SIGKILL');
    await this.#exited;
    await rm(this.#folder, { recursive: true, force: true });
  }

  async #waitUntilReady(): Promise<void> {
    const deadline = Date.now() + READY_TIMEOUT_MS;
    while (!(await answers(this.port))) {
      const { exitCode, signalCode, spawnfile } = this.#child;
      if (exitCode !== null || signalCode !== null || Date.now() > deadline) {
        const log = await readFile(join(this.#folder, 'output.log'), 'utf8').catch(() => '');
        throw new Error(`${spawnfile} does not answer:\n${log.slice(-LOG_TAIL_CHARS)}`);
      }
      await sleep(READY_POLL_MS);
    }
  }
}
