import process from 'node:process';
import type { WriteStream } from 'node:tty';
import { KeyReader } from './keys.ts';

/** What a full-screen view is told while it has the terminal. */
export interface TerminalHandlers {
  /** A key: a character, or a name as `up` or `ctrl-c`, see {@link KeyReader}. */
  key(key: string): void;
  resize(): void;
}

export interface TerminalSize {
  columns: number;
  rows: number;
}

/** How large a terminal is now; one that does not tell is taken for the usual 80 × 24. */
export function sizeOf(stream: WriteStream): TerminalSize {
  return { columns: stream.columns || 80, rows: stream.rows || 24 };
}

/** A terminal that a verb may take as a whole. */
export interface Terminal {
  size(): TerminalSize;
  /**
   * Takes the whole screen and the keyboard.
   *
   * @returns what gives both back as they were; calling it again does nothing
   */
  take(handlers: TerminalHandlers): () => void;
}

/** The other screen, no cursor, lines that are too long are cut; and all of it back. */
const TAKE = '\u001b[?1049h\u001b[?25l\u001b[?7l\u001b[2J';
const GIVE_BACK = '\u001b[?7h\u001b[?25h\u001b[?1049l';
/** With the exit codes that a shell gives to what they end. */
const SIGNALS = { SIGHUP: 129, SIGINT: 130, SIGTERM: 143 } as const;

/** The terminal of this process. It is given back also when a signal or an error ends the process. */
export class ProcessTerminal implements Terminal {
  size(): TerminalSize {
    return sizeOf(process.stdout);
  }

  take(handlers: TerminalHandlers): () => void {
    const { stdin, stdout } = process;
    const keys = new KeyReader(key => handlers.key(key));
    const onKeys = (text: string) => keys.read(text);
    const onResize = () => handlers.resize();
    const ends = Object.entries(SIGNALS).map(([signal, code]) => {
      const end = () => {
        giveBack();
        process.exit(code);
      };
      process.once(signal, end);
      return () => process.removeListener(signal, end);
    });
    const giveBack = () => {
      for (const end of ends.splice(0)) end();
      process.removeListener('exit', giveBack);
      process.removeListener('uncaughtExceptionMonitor', giveBack);
      stdout.removeListener('resize', onResize);
      if (!stdout.writableEnded && taken) stdout.write(GIVE_BACK);
      taken = false;
      if (stdin.isTTY !== true) return;
      keys.end();
      stdin.removeListener('data', onKeys);
      stdin.setRawMode(false);
      stdin.pause();
    };
    let taken = true;
    process.once('exit', giveBack);
    // Before the error is written: on the other screen nobody would see it.
    process.once('uncaughtExceptionMonitor', giveBack);
    stdout.on('resize', onResize);
    stdout.write(TAKE);
    if (stdin.isTTY === true) {
      stdin.setEncoding('utf8').on('data', onKeys);
      stdin.setRawMode(true);
    }
    return giveBack;
  }
}
