/**
 * What the processes of a fault scenario write down, one JSON object a line, each process into a file of its own that is
 * only ever appended to. A line is written before the next thing is done, so a process that is killed leaves all that it
 * had seen.
 */
import { openSync, readdirSync, readFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';

export interface Entry {
  /** ms on the monotonic clock of this machine, the same for all processes. */
  at: number;
  /** A machine, a client, or `harness`. */
  who: string;
  op: string;
  [field: string]: unknown;
}

/** ms on the monotonic clock that all processes of a machine share. */
export const now = (): number => Number(process.hrtime.bigint() / 1000n) / 1000;

export class Ledger {
  readonly #file: number;

  constructor(folder: string, name: string) {
    this.#file = openSync(join(folder, `${name}.jsonl`), 'a');
  }

  write(who: string, op: string, fields: object = {}): void {
    writeSync(this.#file, `${JSON.stringify({ at: now(), who, op, ...fields })}\n`);
  }
}

/** All entries of all processes, in the order of time. A last line that was cut by a kill is left out. */
export function readLedgers(folder: string): Entry[] {
  const entries: Entry[] = [];
  for (const name of readdirSync(folder).filter(file => file.endsWith('.jsonl'))) {
    const lines = readFileSync(join(folder, name), 'utf8').split('\n');
    lines.pop();
    for (const line of lines) entries.push(JSON.parse(line) as Entry);
  }
  return entries.sort((a, b) => a.at - b.at);
}
