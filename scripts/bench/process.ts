import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Answer, Usage } from './served.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
/** The compiled sources, as the hub runs and as applications have the SDK. `npm run bench` makes it. */
const BUILT = join(ROOT, '.cache', 'bench');
const OUTPUT_CHARS = 4000;
const STOP_TIMEOUT_MS = 10_000;

/** A process of a cell. It ends when this one does, because the channel between them closes. */
export class BenchProcess {
  readonly name: string;
  readonly #child: ChildProcess;
  readonly #waiting = new Map<
    number,
    { resolve: (value: unknown) => void; reject: (error: Error) => void }
  >();
  readonly #exited: Promise<unknown>;
  #next = 0;
  #output = '';

  /** @param file compiled, from the root of the project  @param options.node arguments of node itself, before it */
  constructor(
    name: string,
    file: string,
    args: string[],
    options: { env?: Record<string, string>; node?: string[] } = {},
  ) {
    this.name = name;
    this.#child = spawn(process.execPath, [...(options.node ?? []), join(BUILT, file), ...args], {
      cwd: ROOT,
      env: { ...cleanEnvironment(), ...options.env },
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    });
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      stream?.setEncoding('utf8').on('data', (text: string) => {
        this.#output = (this.#output + text).slice(-OUTPUT_CHARS);
      });
    }
    this.#exited = once(this.#child, 'close').then(([code, signal]) => {
      const error = new Error(`${name} ended early (${signal ?? `code ${code}`}):\n${this.#output}`);
      for (const { reject } of this.#waiting.values()) reject(error);
      this.#waiting.clear();
    });
    this.#child.on('message', message => {
      const answer = message as Answer;
      const asked = this.#waiting.get(answer.id);
      this.#waiting.delete(answer.id);
      if ('error' in answer) asked?.reject(new Error(`${name}: ${answer.error}`));
      else asked?.resolve(answer.value);
    });
  }

  /** @throws Error with the end of its output, if the process ends before it answers or takes too long */
  ask<T>(command: string, argument?: unknown, timeout_ms = 60_000): Promise<T> {
    const id = this.#next++;
    const answer = new Promise<T>((resolve, reject) => {
      this.#waiting.set(id, { resolve: resolve as (value: unknown) => void, reject });
    });
    const over = setTimeout(() => {
      const what = `${this.name} did not answer "${command}" within ${timeout_ms / 1000} s`;
      this.#waiting.get(id)?.reject(new Error(`${what}:\n${this.#output}`));
    }, timeout_ms);
    if (!this.#child.connected)
      this.#waiting.get(id)?.reject(new Error(`${this.name} has ended:\n${this.#output}`));
    else this.#child.send({ id, command, argument });
    return answer.finally(() => clearTimeout(over));
  }

  usage(): Promise<Usage> {
    return this.ask('usage');
  }

  async stop(): Promise<void> {
    const force = setTimeout(() => this.#child.kill('SIGKILL'), STOP_TIMEOUT_MS);
    this.#child.kill('SIGTERM');
    await this.#exited;
    clearTimeout(force);
  }
}

/** A setting in the shell of whoever measures must not make two cells differ from the next person's. */
function cleanEnvironment(): NodeJS.ProcessEnv {
  const { PATH, HOME, TMPDIR, GPUHUB_CACHE, XDG_CACHE_HOME } = process.env;
  return { PATH, HOME, TMPDIR, GPUHUB_CACHE, XDG_CACHE_HOME, NODE_ENV: 'production' };
}
