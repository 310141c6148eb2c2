/** The command `gpuhub` as a process, as a user runs it. */
import { startProcess, type TestProcess } from '../harness/processes.ts';

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
    const env = { HUB_URL: this.#hub, NO_COLOR: '1' };
    return startProcess(process.execPath, ['core/cli/gpuhub.mjs', ...args], { env });
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
