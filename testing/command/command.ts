/** The command `gpuhub` as a process, compiled: core/cli/main.test.ts has it as a user runs it, which starts in twice the time. */
import { startProcess, type TestProcess } from '../harness/processes.ts';

const MAIN = 'dist/core/cli/main.js';

interface Said {
  code: number | null;
  /** What it wrote to both streams. */
  text: string;
}

export class Command {
  readonly #hub: string;

  /** @param hub its address */
  constructor(hub: string) {
    this.#hub = hub;
  }

  start(...args: string[]): TestProcess {
    return startProcess(process.execPath, [MAIN, ...args], { env: this.#env() });
  }

  /** Runs it to its end with the output of a shell command on its standard input. */
  async piped(shell: string, ...args: string[]): Promise<Said> {
    const script = `${shell} | "$0" ${MAIN} "$@"`;
    const running = startProcess('sh', ['-c', script, process.execPath, ...args], { env: this.#env() });
    const { code } = await running.exited;
    return { code, text: running.output };
  }

  #env() {
    return { HUB_URL: this.#hub, NO_COLOR: '1' };
  }

  /** Runs it to its end. */
  async run(...args: string[]): Promise<Said> {
    const running = this.start(...args);
    const { code } = await running.exited;
    return { code, text: running.output };
  }

  /** With `--format json`. */
  // `any`: the tests judge it field by field.
  async json(...args: string[]): Promise<{ code: number | null; body: any }> {
    const { code, text } = await this.run(...args, '--format', 'json');
    return { code, body: JSON.parse(text) };
  }
}
