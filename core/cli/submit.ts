import { randomBytes } from 'node:crypto';
import { InvalidArgumentError } from 'commander';
import {
  type Cli,
  type Context,
  EXIT,
  type ExitCode,
  exampleHelp,
  jobIdArgument,
  UsageError,
  wholeNumber,
} from './context.ts';
import { follow } from './follow.ts';
import { JsonText } from '../sdk/client.ts';
import { memberText } from './as_written.ts';
import { jsonLines, state, visible } from './format.ts';
import { ApiError, type SubmitFields } from './http.ts';
import { submitMany } from './submit_many.ts';

interface SubmitOptions {
  type?: string;
  file?: string;
  params?: string;
  priority?: number;
  jobId?: string;
  requirements?: Record<string, unknown>;
  delayMs?: number;
  maxAttempts?: number;
  runTimeoutMs?: number;
  idPrefix?: string;
  wait?: boolean;
  watch?: boolean;
}

export function addSubmit(cli: Cli): void {
  cli.program
    .command('submit')
    .description('submit a job, or all jobs of a file or of standard input')
    .option('--type <type>', 'the job type')
    .option(
      '--file <file>',
      'submit the jobs of a file: NDJSON (an object a line) or JSON (an array, or one object); - is standard input',
    )
    .option(
      '--params <json>',
      'the params: a JSON object, or @ and the name of a file with one (default: {})',
    )
    .option('--priority <n>', '-100 to 100, higher runs first', wholeNumber(-100, 100))
    .option('--job-id <id>', 'the id; the same id with the same content makes nothing new', jobIdArgument)
    .option(
      '--requirements <json>',
      'what a GPU must have, as min_vram_mb, gpu_model, models, labels',
      objectArgument,
    )
    .option(
      '--delay-ms <ms>',
      'run it not before this time has passed',
      wholeNumber(0, Number.MAX_SAFE_INTEGER),
    )
    .option('--max-attempts <n>', '1 to 100', wholeNumber(1, 100))
    .option(
      '--run-timeout-ms <ms>',
      'the most that an attempt may take',
      wholeNumber(1, Number.MAX_SAFE_INTEGER),
    )
    .option(
      '--id-prefix <id>',
      'with --file: a job without a job_id gets PREFIX:NUMBER, so that the same input sent again makes no second job',
      jobIdArgument,
    )
    .option('--wait', 'wait for the end; exits 0 when all complete and 1 when one does not')
    .option(
      '--watch',
      'wait, and show how each job of an input goes: a bar each for up to 100, else one line for all',
    )
    .addHelpText(
      'after',
      `
The jobs of an input have the fields of submit_job: job_type, params, job_id, priority, requirements ...; what one does
not say is taken from the options. Without --type and --file a pipe is read. A job that is refused is named on stderr by
its line, the others go on, and the exit code is 1. No more is read than the hub takes: while it is full, the pipe waits.
One job is told as a story with --wait and with --watch alike.
--format json writes a line for each job: {line or item, job_id, status, duplicate, seq, warnings?}, with --wait when it
ends {line or item, job_id, status, result or error}; for a refused one {line or item, job_id?, error: {code, message}}.
${exampleHelp(
  `gpuhub submit --type image.generate --params '{"prompt": "a lighthouse"}' --priority 10 --wait`,
  `gpuhub submit --type video.render --params @shot-7.json --requirements '{"min_vram_mb": 24000}'`,
  'gpuhub submit --file shots.ndjson --type video.render --id-prefix render-2291 --watch',
  `jq -c '.[] | {params: .}' prompts.json | gpuhub submit --file - --type image.generate --format json`,
)}`,
    )
    .action(cli.action(submit));
}

async function submit(context: Context, options: SubmitOptions): Promise<ExitCode | undefined> {
  const from = options.file ?? (options.type === undefined && context.io.piped ? '-' : undefined);
  if (from !== undefined) return submitInput(context, from, options);
  if (options.type === undefined) {
    throw new UsageError('what to submit? Give --type TYPE, or --file FILE, or jobs on standard input');
  }
  if (options.idPrefix !== undefined) throw new UsageError('--id-prefix belongs to --file; give --job-id');
  const job = await jobFields(context, options.type, options);
  const accepted = await submitNamed(context, job);
  if (options.wait || options.watch) return waitFor(context, accepted.job_id);
  if (context.json) {
    context.printJson(accepted);
    return undefined;
  }
  const place = accepted.position == null ? '' : `, number ${accepted.position} of its kind`;
  const known = accepted.duplicate ? ' (it was there already)' : '';
  const id = visible(accepted.job_id);
  context.print(`${state(context.screen, accepted.status)}  ${id}${place}${known}`);
  for (const warning of accepted.warnings ?? []) context.print(`! ${visible(warning)}`);
  context.print(`follow it: gpuhub watch ${id}`);
  return undefined;
}

function submitInput(context: Context, from: string, options: SubmitOptions): Promise<ExitCode> {
  for (const [name, value] of [
    ['--job-id', options.jobId],
    ['--params', options.params],
  ]) {
    if (value !== undefined) throw new UsageError(`${name} is for one job, not for those of an input`);
  }
  const defaults = {
    ...(options.type !== undefined && { job_type: options.type }),
    ...optionalFields(options),
  };
  return submitMany(context, {
    from,
    defaults,
    id_prefix: options.idPrefix,
    wait: options.wait === true,
    watch: options.watch === true,
  });
}

async function jobFields(
  context: Context,
  job_type: string,
  options: SubmitOptions,
): Promise<SubmitFields & { job_id: string }> {
  return {
    job_type,
    params: await params(context, options.params ?? '{}'),
    // Named here, so that the same job can be sent again when no answer comes.
    job_id: options.jobId ?? `j_${randomBytes(16).toString('base64url')}`,
    ...optionalFields(options),
  };
}

function optionalFields(options: SubmitOptions) {
  return {
    ...(options.priority !== undefined && { priority: options.priority }),
    ...(options.requirements !== undefined && { requirements: options.requirements }),
    ...(options.delayMs !== undefined && { delay_ms: options.delayMs }),
    ...(options.maxAttempts !== undefined && { max_attempts: options.maxAttempts }),
    ...(options.runTimeoutMs !== undefined && { run_timeout_ms: options.runTimeoutMs }),
  };
}

/** When nobody knows whether the hub took the job, the user is told the id to try again with. */
async function submitNamed(context: Context, job: SubmitFields & { job_id: string }) {
  try {
    return await context.hub.submit(job);
  } catch (error) {
    if (!(error instanceof ApiError) || !outcomeUnknown(error)) throw error;
    const again = `It is not known whether the job was taken: run the same again with --job-id ${job.job_id}, it makes no second job.`;
    throw new ApiError(error.code, `${error.message} ${again}`, error.status, error.details);
  }
}

function outcomeUnknown({ code, details }: ApiError): boolean {
  const { outcome } = (details ?? {}) as { outcome?: unknown };
  return (code === 'no_hub' || code === 'unavailable') && outcome !== 'none';
}

async function waitFor(context: Context, job_id: string): Promise<ExitCode> {
  if (!context.json) context.print(`job ${visible(job_id)}`);
  const end = await follow(context, job_id, context.json ? () => {} : undefined);
  if (context.json) context.printJson(await context.hub.job(job_id));
  else if (end.type === 'job_completed') context.print(jsonLines(memberText(end, 'result')));
  return end.type === 'job_completed' ? EXIT.ok : EXIT.failed;
}

/** Whoever submits them may count on their digits: they go as they were written. */
async function params(context: Context, given: string): Promise<JsonText> {
  if (!given.startsWith('@')) return objectText(given, '--params');
  const path = given.slice(1);
  const text = await context.io.read(path).catch((error: Error) => {
    throw new UsageError(`--params: cannot read ${path}: ${error.message}`);
  });
  return objectText(text, path);
}

function objectText(text: string, what: string): JsonText {
  jsonObject(text, what);
  return new JsonText(text);
}

function objectArgument(text: string): Record<string, unknown> {
  try {
    return jsonObject(text, 'It');
  } catch (error) {
    throw new InvalidArgumentError((error as Error).message);
  }
}

function jsonObject(text: string, what: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new UsageError(`${what} must be JSON: ${(error as Error).message}`);
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new UsageError(`${what} must be a JSON object`);
  }
  return value as Record<string, unknown>;
}
