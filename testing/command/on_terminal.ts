/** The command `gpuhub` on a pseudo-terminal, as a person has it before them. */
import { execFileSync } from 'node:child_process';
import { type FileHandle, mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startProcess, type TestProcess } from '../harness/processes.ts';
import { TerminalScreen } from './terminal_screen.ts';

interface TerminalOptions {
  columns?: number;
  rows?: number;
  env?: Readonly<Record<string, string>>;
}

/** Marks what the shell says after the command: its exit code, and how the terminal is set. */
const AFTER = /exit=(\d+)\r?\n([\s\S]*)over/;

export class OnTerminal implements AsyncDisposable {
  readonly process: TestProcess;
  readonly #keys: FileHandle;
  readonly #folder: string;
  #size: { columns: number; rows: number };

  private constructor(
    process: TestProcess,
    keys: FileHandle,
    folder: string,
    size: { columns: number; rows: number },
  ) {
    this.process = process;
    this.#keys = keys;
    this.#folder = folder;
    this.#size = size;
  }

  /**
   * Starts `gpuhub` with these arguments.
   *
   * @param hub its address
   */
  static async start(
    hub: string,
    args: readonly string[],
    options: TerminalOptions = {},
  ): Promise<OnTerminal> {
    const { columns = 120, rows = 30 } = options;
    const folder = await mkdtemp(join(tmpdir(), 'gpuhub-terminal-'));
    const keyboard = join(folder, 'keys');
    execFileSync('sh', ['-c', 'mkfifo "$0"', keyboard]);
    // For reading too: so it opens at once, and stays open.
    const keys = await open(keyboard, 'r+');
    const command = `exec '${process.execPath}' core/cli/gpuhub.mjs ${args.join(' ')}`;
    const begin = `stty cols ${columns} rows ${rows}; stty -g; echo tty=$(tty)`;
    const session = `${begin}; sh -c "echo pid=\\$\\$; ${command}"; echo exit=$?; stty -g; echo over`;
    // Its input is the keyboard of the terminal that it makes.
    const script = 'exec script -qfc "$0" /dev/null < "$1"';
    const running = startProcess('sh', ['-c', script, session, keyboard], {
      env: { HUB_URL: hub, TERM: 'xterm-256color', ...options.env },
    });
    return new OnTerminal(running, keys, folder, { columns, rows });
  }

  async type(text: string): Promise<void> {
    await this.#keys.write(text);
  }

  /** Of the command. */
  get pid(): number {
    return Number(/pid=(\d+)/.exec(this.process.output)?.[1]);
  }

  /** Makes the window larger or smaller. What was drawn before is forgotten: terminals differ in what they do with it. */
  async resize(columns: number, rows: number): Promise<void> {
    const [, tty = ''] = /tty=(\S+)/.exec(this.process.output) ?? [];
    this.#size = { columns, rows };
    execFileSync('sh', ['-c', `stty -F "$0" cols ${columns} rows ${rows}`, tty]);
  }

  /** What stands on it now. */
  get screen(): TerminalScreen {
    const screen = new TerminalScreen(this.#size.columns, this.#size.rows);
    screen.write(this.process.output);
    return screen;
  }

  /** The lines that stand on it now. */
  get picture(): string {
    return this.screen.lines.join('\n');
  }

  /** Waits for the end of the command. */
  async ended(): Promise<{ code: number; sameSettings: boolean }> {
    const [, code, after = ''] = await this.process.waitFor(AFTER);
    // As `stty -g` told them before and after: every setting, by number.
    const settings = /^[\da-f]+(:[\da-f]+)+/m;
    const [before] = settings.exec(this.process.output) ?? [];
    return { code: Number(code), sameSettings: before !== undefined && before === settings.exec(after)?.[0] };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.process.stop();
    await this.#keys.close();
    await rm(this.#folder, { recursive: true, force: true });
  }
}

/** Why there is no pseudo-terminal here; undefined when there is. The `script` of util-linux makes it. */
function noTerminal(): string | undefined {
  try {
    const said = execFileSync('sh', ['-c', 'script --version'], { encoding: 'utf8', stdio: 'pipe' });
    return said.includes('util-linux')
      ? undefined
      : `the program script is not that of util-linux: ${said.trim()}`;
  } catch {
    return 'there is no program script, which makes pseudo-terminals';
  }
}

/** For `describe.skipIf`; says why tests are left out. */
export function withoutTerminal(): boolean {
  const reason = noTerminal();
  if (reason !== undefined) console.warn(`left out: ${reason}`);
  return reason !== undefined;
}
