import { Command, CommanderError, Option } from 'commander';
import { addAudit } from './audit.ts';
import { addCancel } from './cancel.ts';
import { addCompletion } from './completion.ts';
import { type Cli, EXIT, EXIT_TEXTS, type ExitCode, type Io, makeContext, UsageError } from './context.ts';
import { addDead } from './dead.ts';
import { addDrain } from './drain.ts';
import { addEvents } from './events.ts';
import { addExplain } from './explain.ts';
import { fittingHelp, jsonText, visible, wrapped } from './format.ts';
import { ApiError, HUB_URL_DEFAULT, type HubAddress, hubUrl, urlFromEnv } from './http.ts';
import { addJob } from './job.ts';
import { addJobs } from './jobs.ts';
import { addPause } from './pause.ts';
import { addResume } from './resume.ts';
import { addResumeQueue } from './resume_queue.ts';
import { addRetry } from './retry.ts';
import { addStats } from './stats.ts';
import { addSubmit } from './submit.ts';
import { addSummary } from './summary.ts';
import { addTop } from './top.ts';
import { addWatch } from './watch.ts';
import { addWorker } from './worker.ts';
import { addWorkers } from './workers.ts';

const FOOT = `
Exit codes:
${EXIT_TEXTS.map(([code, text]) => `  ${code}  ${text}`).join('\n')}

Output:
  --format json writes one document with the field names of the protocol, times in ms; "watch", "events" and some others
  write one a line. Errors go to stderr, as a sentence or as {"error": {code, message, details?}}.
  Colours only on a terminal, and not if NO_COLOR is set. A pipe gets everything, uncut.
  core/cli/README.md has all documents with their fields.

The hub is at --hub, or HUB_URL, or HUB_HOST and HUB_PORT, or ${HUB_URL_DEFAULT}. If it wants a credential, put it
into GPUHUB_TOKEN.`;

const VERBS = [
  addSummary,
  addTop,
  addStats,
  addJobs,
  addJob,
  addExplain,
  addWorkers,
  addWorker,
  addSubmit,
  addWatch,
  addEvents,
  addCancel,
  addRetry,
  addDrain,
  addResume,
  addPause,
  addResumeQueue,
  addDead,
  addAudit,
  addCompletion,
];

/** Descriptions are broken into lines when they have so many columns at least. */
const HELP_COLUMN_LEAST = 20;

interface GlobalOptions {
  hub?: string;
  token?: string;
  format: 'table' | 'json';
}

/**
 * Runs the command line.
 *
 * @param args what stands behind the name of the command
 * @returns the exit code, see {@link EXIT}
 */
export async function run(args: readonly string[], io: Io): Promise<ExitCode> {
  let exit: ExitCode = EXIT.ok;
  const program = makeProgram(io);
  const cli: Cli = {
    program,
    action:
      verb =>
      async (...given) => {
        const options = program.opts<GlobalOptions>();
        const context = makeContext(io, address(options, io), options.format === 'json');
        exit = (await verb(context, ...given)) ?? EXIT.ok;
      },
  };
  for (const add of VERBS) add(cli);
  try {
    await program.parseAsync(args, { from: 'user' });
    return exit;
  } catch (error) {
    return report(error, io, wantsJson(args));
  }
}

function makeProgram(io: Io): Command {
  return new Command('gpuhub')
    .description('Look at and steer a gpuhub: jobs, workers, queues.')
    .addOption(new Option('--hub <url>', 'address of the hub'))
    .addOption(
      new Option(
        '--token <token>',
        'credential; better in GPUHUB_TOKEN, where no list of processes shows it',
      ),
    )
    .addOption(new Option('--format <format>', 'how to write').choices(['table', 'json']).default('table'))
    .addHelpText('after', FOOT)
    .configureHelp({ showGlobalOptions: true, minWidthToWrap: HELP_COLUMN_LEAST })
    .configureOutput({
      writeOut: text => io.out(fittingHelp(text, io.screen.width ?? Number.POSITIVE_INFINITY)),
      writeErr: text => io.err(fittingHelp(text, io.screen.width ?? Number.POSITIVE_INFINITY)),
      outputError: () => {}, // told by report(), in the format that was asked for
      getOutHelpWidth: () => io.screen.width ?? 100,
      getErrHelpWidth: () => io.screen.width ?? 100,
    })
    .exitOverride();
}

function address(options: GlobalOptions, { env }: Io): HubAddress {
  const token = options.token ?? (env['GPUHUB_TOKEN'] || undefined);
  // What cannot stand in a header: the error of fetch would show it.
  if (token !== undefined && !/^[!-~]+$/.test(token)) {
    throw new UsageError(
      'the token has characters that no token has; is there a space or a line break in it?',
    );
  }
  try {
    return { url: hubUrl(options.hub ?? urlFromEnv(env)), ...(token !== undefined && { token }) };
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
}

/** The format must be known also when the options could not be read. */
function wantsJson(args: readonly string[]): boolean {
  return (
    args.includes('--format=json') || args.some((arg, i) => arg === '--format' && args[i + 1] === 'json')
  );
}

function report(error: unknown, io: Io, json: boolean): ExitCode {
  if (error instanceof CommanderError && error.exitCode === 0) return EXIT.ok; // --help
  if (error instanceof CommanderError && error.code === 'commander.help') return EXIT.usage; // help was shown
  const { code, message, exit, details } = explain(error);
  if (json) io.err(`${jsonText({ error: { code, message, ...(details !== undefined && { details }) } })}\n`);
  else {
    const text = `gpuhub: ${visible(message)}`;
    io.err(`${io.notes === null ? text : wrapped(text, io.notes().columns)}\n`);
  }
  return exit;
}

function explain(error: unknown): { code: string; message: string; exit: ExitCode; details?: unknown } {
  if (error instanceof CommanderError || error instanceof UsageError) {
    const message = error.message.replace(/^error: /, '').replaceAll('\n', ' ');
    return { code: 'usage', message, exit: EXIT.usage };
  }
  if (error instanceof ApiError) {
    const { code, details } = error;
    const advice = Object.hasOwn(ADVICE, code) ? ` ${ADVICE[code]}` : '';
    return { code, message: `${sentence(error.message, advice)}${advice}`, exit: exitOf(error), details };
  }
  return { code: 'internal', message: (error as Error).message, exit: EXIT.failed };
}

/** What to do about a refusal, where the hub cannot know it. */
const ADVICE: Record<string, string> = {
  unauthorized: 'Set GPUHUB_TOKEN, or --token, to a token that this hub knows.',
  forbidden: 'The token has no right to this: set GPUHUB_TOKEN, or --token, to one that has.',
};

/** Ends as a sentence where another one follows. */
const sentence = (text: string, next: string) => (next === '' || /[.!?]$/.test(text) ? text : `${text}.`);

function exitOf({ code, status }: ApiError): ExitCode {
  if (code === 'no_hub') return EXIT.no_hub;
  if (code === 'not_found') return EXIT.not_found;
  return status === 400 ? EXIT.usage : EXIT.failed;
}
