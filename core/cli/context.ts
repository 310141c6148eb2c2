import type { Command } from 'commander';
import { InvalidArgumentError } from 'commander';
import { JobId, JobType, WorkerId } from '../messages/fields.ts';
import { documentText } from './as_written.ts';
import { duration, type Screen, shownJson, visible } from './format.ts';
import { HubApi, type HubAddress } from './http.ts';
import type { Terminal, TerminalSize } from './terminal.ts';

/** How the command ends. */
export const EXIT = { ok: 0, failed: 1, usage: 2, no_hub: 3, not_found: 4 } as const;
/** The same for people. */
export const EXIT_TEXTS: [code: ExitCode, text: string][] = [
  [EXIT.ok, 'done'],
  [EXIT.failed, 'it failed: the hub refused or could not, or a job that was waited for did not complete'],
  [EXIT.usage, 'bad usage: an option or argument is wrong'],
  [EXIT.no_hub, 'no hub answers'],
  [EXIT.not_found, 'no such job or worker'],
];
export type ExitCode = (typeof EXIT)[keyof typeof EXIT];

/** A usage error that a verb finds by itself. */
export class UsageError extends Error {}

/** What the command has of the world; `main.ts` makes it from the process, tests from strings. */
export interface Io {
  out(text: string): void;
  err(text: string): void;
  screen: Screen;
  env: Record<string, string | undefined>;
  /** The text of a file. */
  read(path: string): Promise<string>;
  /** A file piece by piece, as it is read; `-` is standard input. Reading no further holds up whoever writes. */
  pieces(path: string): AsyncIterable<string>;
  /** Standard input is a pipe or a file, not a keyboard. */
  piped: boolean;
  /** How large the terminal is that stderr is, where lines may be redrawn; null when it is none. */
  notes: (() => TerminalSize) | null;
  /** The terminal that stdout is; null when it is none, or one that can only write line after line. */
  terminal: Terminal | null;
}

/** What a verb works with: the hub and the output that the options ask for. */
export interface Context {
  /** Of the same hub as `hub`, for connections beside it. */
  address: HubAddress;
  hub: HubApi;
  /** `--format json`: one document on stdout, or one a line where a verb says so. */
  json: boolean;
  screen: Screen;
  io: Io;
  print(text: string): void;
  printJson(document: object): void;
}

/** What a verb's file gets to add its command to the program. */
export interface Cli {
  program: Command;
  /** Makes an action of commander from what a verb does; what that returns is the exit code, 0 when nothing. */
  action<A extends unknown[]>(
    run: (context: Context, ...args: A) => Promise<ExitCode | undefined>,
  ): (...args: A) => Promise<void>;
}

export function makeContext(io: Io, address: HubAddress, json: boolean): Context {
  return {
    address,
    hub: new HubApi(address),
    json,
    screen: io.screen,
    io,
    print: text => io.out(`${text}\n`),
    printJson: document => io.out(`${shownJson(documentText(document))}\n`),
  };
}

/** The argument of a verb that names a job: what cannot be an id is bad usage, not an unknown job. */
export function jobIdArgument(text: string): string {
  return check(JobId, text);
}

export function workerIdArgument(text: string): string {
  return check(WorkerId, text);
}

export function jobTypeArgument(text: string): string {
  return check(JobType, text);
}

/** How a pause names what it holds. */
export function typeName(job_type: string | null | undefined): string {
  return job_type == null ? 'all job types' : visible(job_type);
}

type Checked = {
  safeParse(value: unknown): { success: boolean; error?: { issues: { message: string }[] } | undefined };
};

function check(schema: Checked, text: string): string {
  const parsed = schema.safeParse(text);
  if (parsed.success) return text;
  throw new InvalidArgumentError(`It ${parsed.error?.issues[0]?.message ?? 'is not valid'}.`);
}

/** For an option or an argument that may be given several times: each text is checked, the list is the value. */
export function repeated(check: (text: string) => string): (text: string, before?: unknown) => string[] {
  return (text, before) => [...((before as string[] | undefined) ?? []), check(text)];
}

/** A whole number within limits, as an argument of an option. */
export function wholeNumber(least: number, most: number): (text: string) => number {
  return text => {
    const value = Number(text);
    if (/^-?\d+$/.test(text) && value >= least && value <= most) return value;
    throw new InvalidArgumentError(`It must be a whole number from ${least} to ${most}.`);
  };
}

const UNITS_MS: Record<string, number> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** A length of time as an argument: `500ms`, `10s`, `5m`, `2h`, `7d`; a bare number is seconds. Returns ms. */
export function timeArgument(least_ms: number, most_ms: number): (text: string) => number {
  return text => {
    const [, number, unit = 's'] = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)?$/.exec(text) ?? [];
    const value = Math.round(Number(number) * (UNITS_MS[unit] as number));
    if (number !== undefined && value >= least_ms && value <= most_ms) return value;
    throw new InvalidArgumentError(
      `It must be a time such as 30s, 5m, 2h or 7d, from ${duration(least_ms)} to ${duration(most_ms)}.`,
    );
  };
}

/** The text under the options of a verb's help. */
export function exampleHelp(...lines: string[]): string {
  return `\nExample${lines.length > 1 ? 's' : ''}:\n${lines.map(line => `  ${line}`).join('\n')}`;
}
