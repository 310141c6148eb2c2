// Real processes in tests: started, waited for, killed, and never left behind.

import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { get } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { endWithParent, freePort } from '../../scripts/redis_server.ts';

export { freePort };

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const READY_TIMEOUT_MS = 20_000;
const STOP_TIMEOUT_MS = 10_000;
const POLL_MS = 20;
const HTTP_TIMEOUT_MS = 2_000;
/** The output kept for waitFor() and for the messages of failures. */
const MAX_OUTPUT_CHARS = 1_000_000;
const TAIL_CHARS = 4_000;

export interface ProcessOptions {
  /** Added to the environment; undefined takes a variable out. */
  env?: Readonly<Record<string, string | undefined>>;
  /** By default the root of the repository. */
  cwd?: string;
}

export interface Ending {
  code: number | null;
  signal: NodeJS.Signals | null;
}

const running = new Set<TestProcess>();

/** Settings of the developer's own shell must not reach a test, least of all the address of a real Redis. */
function cleanEnvironment(extra: ProcessOptions['env'] = {}): NodeJS.ProcessEnv {
  const inherited = Object.entries(process.env).filter(
    ([name]) => !/^(REDIS|HUB|VITEST|NODE_OPTIONS)/.test(name),
  );
  return { ...Object.fromEntries(inherited), ...extra };
}

export class TestProcess implements AsyncDisposable {
  /** Settles when the process has ended and its output is complete. */
  readonly exited: Promise<Ending>;
  readonly #child: ChildProcess;
  readonly #command: string;
  readonly #listeners = new Set<() => void>();
  #output = '';
  #ending: Ending | undefined;

  /** @internal Use startProcess(). */
  constructor(command: string, args: readonly string[], options: ProcessOptions) {
    this.#command = [command, ...args].join(' ');
    this.#child = spawn(command, args, {
      cwd: options.cwd ?? ROOT,
      env: cleanEnvironment(options.env),
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      stream?.setEncoding('utf8').on('data', (text: string) => this.#add(text));
    }
    this.exited = new Promise(resolve => {
      this.#child.once('error', error => this.#add(`${error.message}\n`));
      this.#child.once('close', (code, signal) => {
        this.#ending = { code, signal };
        running.delete(this);
        resolve(this.#ending);
        this.#notify();
      });
    });
    running.add(this);
    if (this.pid !== undefined) this.#child.once('exit', endWithParent(this.pid));
  }

  /** Undefined if the process could not be started. */
  get pid(): number | undefined {
    return this.#child.pid;
  }

  /** What it wrote to stdout and stderr, as it came; the last million characters. */
  get output(): string {
    return this.#output;
  }

  get ending(): Ending | undefined {
    return this.#ending;
  }

  /**
   * Waits until the output matches.
   * @throws Error with the end of the output, if the process ends first or the time is over.
   */
  async waitFor(pattern: RegExp, timeoutMs = READY_TIMEOUT_MS): Promise<RegExpExecArray> {
    const signal = AbortSignal.timeout(timeoutMs);
    for (;;) {
      const match = new RegExp(pattern, pattern.flags.replace(/[gy]/g, '')).exec(this.#output);
      if (match) return match;
      if (this.#ending || signal.aborted) throw this.#failure(`${pattern} did not appear`);
      await this.#change(signal);
    }
  }

  /**
   * Waits until a GET of `url` answers 200.
   * @throws Error with the end of the output, if the process ends first or the time is over.
   */
  async waitForHttp(url: string, timeoutMs = READY_TIMEOUT_MS): Promise<void> {
    const deadline = Date.now() + timeoutMs;
    while ((await httpStatus(url)) !== 200) {
      if (this.#ending || Date.now() > deadline) throw this.#failure(`${url} did not answer 200`);
      await sleep(POLL_MS);
    }
  }

  /** Sends a signal; nothing happens if the process has ended. */
  kill(signal: NodeJS.Signals = 'SIGKILL'): void {
    this.#child.kill(signal);
  }

  /** Asks it to end with SIGTERM, and after ten seconds with SIGKILL. */
  async stop(timeoutMs = STOP_TIMEOUT_MS): Promise<Ending> {
    const force = setTimeout(() => this.kill('SIGKILL'), timeoutMs);
    this.kill('SIGCONT'); // one that a test has halted would not see the next signal
    this.kill('SIGTERM');
    const ending = await this.exited;
    clearTimeout(force);
    return ending;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  #add(text: string): void {
    this.#output = (this.#output + text).slice(-MAX_OUTPUT_CHARS);
    this.#notify();
  }

  #notify(): void {
    for (const listener of [...this.#listeners]) listener();
  }

  /** Resolves at the next output, at the end of the process, or when the signal aborts. */
  async #change(signal: AbortSignal): Promise<void> {
    await new Promise<void>(resolve => {
      const done = () => {
        this.#listeners.delete(done);
        signal.removeEventListener('abort', done);
        resolve();
      };
      this.#listeners.add(done);
      signal.addEventListener('abort', done);
    });
  }

  #failure(what: string): Error {
    const end = this.#ending;
    const state = end ? `it ended with ${end.signal ?? `code ${end.code}`}` : 'it still runs';
    return new Error(`${this.#command}: ${what} (${state}). Its output:\n${this.#output.slice(-TAIL_CHARS)}`);
  }
}

/** The status of a GET on a connection of its own, so that none stays open; undefined if there is none. */
async function httpStatus(url: string): Promise<number | undefined> {
  const request = get(url, { agent: false, timeout: HTTP_TIMEOUT_MS });
  request.on('timeout', () => request.destroy());
  try {
    const [response] = await once(request, 'response');
    response.resume();
    return response.statusCode;
  } catch {
    return undefined;
  }
}

/** Starts a program. It is ended by stopAll() at the latest, and dies with the process that runs the tests. */
export function startProcess(
  command: string,
  args: readonly string[] = [],
  options: ProcessOptions = {},
): TestProcess {
  return new TestProcess(command, args, options);
}

/** Starts one of the repository's TypeScript files. */
export function startScript(
  file: string,
  args: readonly string[] = [],
  options: ProcessOptions = {},
): TestProcess {
  return startProcess(process.execPath, ['--import', 'tsx', file, ...args], options);
}

/** Compiles what is newer than the last build: hubs and commands then start in about half the time. */
export async function build(): Promise<void> {
  await promisify(execFile)(process.execPath, ['scripts/build.mjs'], { cwd: ROOT });
}

let built: Promise<void> | undefined;

/** Starts a hub from what `npm start` runs. */
export async function startHubProcess(options: ProcessOptions): Promise<TestProcess> {
  built ??= build();
  await built;
  return startProcess(process.execPath, ['dist/core/main.js'], options);
}

export interface HubProcess {
  readonly process: TestProcess;
  readonly host: string;
  readonly port: number;
  /** ws://host:port */
  readonly wsUrl: string;
  /** http://host:port */
  readonly httpUrl: string;
}

/**
 * Starts a hub as `npm start` does, on a free port, and waits until it is ready.
 * @throws Error with the end of its output if it does not get ready.
 */
export async function startHub(env: Readonly<Record<string, string | undefined>>): Promise<HubProcess> {
  const host = '127.0.0.1';
  const port = env.HUB_PORT === undefined ? await freePort() : Number(env.HUB_PORT);
  const hub = await startHubProcess({ env: { HUB_HOST: host, HUB_PORT: String(port), ...env } });
  await hub.waitForHttp(`http://${host}:${port}/readyz`);
  return { process: hub, host, port, wsUrl: `ws://${host}:${port}`, httpUrl: `http://${host}:${port}` };
}

/** Ends everything that is still running; for afterEach or afterAll. */
export async function stopAll(): Promise<void> {
  await Promise.all([...running].map(process => process.stop()));
}
