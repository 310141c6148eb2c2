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
import { jsonText, state, visible } from './format.ts';
import { ApiError, type SubmitFields } from './http.ts';

interface SubmitOptions {
  type: string;
  params: string;
  priority?: number;
  jobId?: string;
  requirements?: Record<string, unknown>;
  delayMs?: number;
  wait?: boolean;
}

export function addSubmit(cli: Cli): void {
  cli.program
    .command('submit')
    .description('submit a job')
    .requiredOption('--type <type>', 'the job type')
    .option('--params <json>', 'the params: a JSON object, or @ and the name of a file with one', '{}')
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
    .option('--wait', 'wait for the end; exits 0 when the job completes and 1 when it does not')
    .addHelpText(
      'after',
      exampleHelp(
        `gpuhub submit --type image.generate --params '{"prompt": "a lighthouse"}' --priority 10 --wait`,
        `gpuhub submit --type video.render --params @shot-7.json --requirements '{"min_vram_mb": 24000}'`,
      ),
    )
    .action(cli.action(submit));
}

async function submit(context: Context, options: SubmitOptions): Promise<ExitCode | undefined> {
  const job = await jobFields(context, options);
  const accepted = await submitNamed(context, job);
  if (options.wait) return waitFor(context, accepted.job_id);
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

async function jobFields(
  context: Context,
  options: SubmitOptions,
): Promise<SubmitFields & { job_id: string }> {
  return {
    job_type: options.type,
    params: await params(context, options.params),
    // Named here, so that the same job can be sent again when no answer comes.
    job_id: options.jobId ?? `j_${randomBytes(16).toString('base64url')}`,
    ...(options.priority !== undefined && { priority: options.priority }),
    ...(options.requirements !== undefined && { requirements: options.requirements }),
    ...(options.delayMs !== undefined && { delay_ms: options.delayMs }),
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
  else if (end.type === 'job_completed') context.print(jsonText(end['result'], 2));
  return end.type === 'job_completed' ? EXIT.ok : EXIT.failed;
}

async function params(context: Context, given: string): Promise<Record<string, unknown>> {
  if (!given.startsWith('@')) return jsonObject(given, '--params');
  const path = given.slice(1);
  const text = await context.io.read(path).catch((error: Error) => {
    throw new UsageError(`--params: cannot read ${path}: ${error.message}`);
  });
  return jsonObject(text, path);
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
