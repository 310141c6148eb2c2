import type { Command } from 'commander';
import { InvalidArgumentError } from 'commander';
import { JobId, WorkerId } from '../messages/fields.ts';
import { jsonText, type Screen } from './format.ts';
import type { HubApi } from './http.ts';

/** How the command ends; the help text says the same. */
export const EXIT = { ok: 0, failed: 1, usage: 2, no_hub: 3, not_found: 4 } as const;
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
  /** Columns of the terminal that stderr is, where a line may be redrawn; null when it is none. */
  note_width: number | null;
}

/** What a verb works with: the hub and the output that the options ask for. */
export interface Context {
  hub: HubApi;
  /** `--format json`: one document on stdout, or one a line where a verb says so. */
  json: boolean;
  screen: Screen;
  io: Io;
  print(text: string): void;
  printJson(document: unknown): void;
}

/** What a verb's file gets to add its command to the program. */
export interface Cli {
  program: Command;
  /** Makes an action of commander from what a verb does; what that returns is the exit code, 0 when nothing. */
  action<A extends unknown[]>(
    run: (context: Context, ...args: A) => Promise<ExitCode | undefined>,
  ): (...args: A) => Promise<void>;
}

export function makeContext(io: Io, hub: HubApi, json: boolean): Context {
  return {
    hub,
    json,
    screen: io.screen,
    io,
    print: text => io.out(`${text}\n`),
    printJson: document => io.out(`${jsonText(document)}\n`),
  };
}

/** The argument of a verb that names a job: what cannot be an id is bad usage, not an unknown job. */
export function jobIdArgument(text: string): string {
  return check(JobId, text);
}

export function workerIdArgument(text: string): string {
  return check(WorkerId, text);
}

type Checked = {
  safeParse(value: unknown): { success: boolean; error?: { issues: { message: string }[] } | undefined };
};

function check(schema: Checked, text: string): string {
  const parsed = schema.safeParse(text);
  if (parsed.success) return text;
  throw new InvalidArgumentError(`It ${parsed.error?.issues[0]?.message ?? 'is not valid'}.`);
}

/** A whole number within limits, as an argument of an option. */
export function wholeNumber(least: number, most: number): (text: string) => number {
  return text => {
    const value = Number(text);
    if (/^-?\d+$/.test(text) && value >= least && value <= most) return value;
    throw new InvalidArgumentError(`It must be a whole number from ${least} to ${most}.`);
  };
}

/** The text under the options of a verb's help. */
export function exampleHelp(...lines: string[]): string {
  return `\nExample${lines.length > 1 ? 's' : ''}:\n${lines.map(line => `  ${line}`).join('\n')}`;
}
