import { LIST_LIMIT_MAX } from '../messages/client.ts';
import type { JobRecord } from '../messages/job.ts';
import {
  type Cli,
  type Context,
  EXIT,
  type ExitCode,
  exampleHelp,
  jobIdArgument,
  jobTypeArgument,
  repeated,
  timeArgument,
  UsageError,
  wholeNumber,
} from './context.ts';
import { duration, moment, NOTHING, plural, table, visible } from './format.ts';
import { ApiError } from './http.ts';
import { Monitor } from './monitor.ts';
import { hubNow } from './now.ts';

/** Jobs submitted again at once. */
const RETRIES_IN_FLIGHT = 8;
const YEAR_MS = 365 * 86_400_000;
/** Forgetting a million jobs takes a while. */
const PURGE_TIMEOUT_MS = 600_000;

interface Chosen {
  type?: string;
  error?: string;
}

export function addDead(cli: Cli): void {
  const dead = cli.program
    .command('dead')
    .description('the dead letters: jobs that failed for good. List them, run them again, or forget them')
    .addHelpText(
      'after',
      exampleHelp(
        'gpuhub dead list',
        'gpuhub dead retry --all --error oom',
        'gpuhub dead purge --older-than 7d --yes',
      ),
    );
  addList(cli, dead);
  addRetryDead(cli, dead);
  addPurge(cli, dead);
}

type Verb = Cli['program'];

function chosenBy(verb: Verb): Verb {
  return verb
    .option('--type <type>', 'only this job type', jobTypeArgument)
    .option('--error <code>', 'only jobs whose last error has this code, as timeout or poison');
}

function addList(cli: Cli, dead: Verb): void {
  chosenBy(dead.command('list').description('list failed jobs, newest first, with their last error'))
    .option('--limit <n>', 'how many at most', wholeNumber(1, Number.MAX_SAFE_INTEGER), 50)
    .addHelpText(
      'after',
      `
--format json writes {jobs: [the job records, without params and result]}.
${exampleHelp('gpuhub dead list', 'gpuhub dead list --type video.render --error timeout --format json')}`,
    )
    .action(
      cli.action(async (context, options: Chosen & { limit: number }) => {
        const jobs: JobRecord[] = [];
        for await (const job of failedJobs(context, options)) {
          jobs.push(job);
          if (jobs.length === options.limit) break;
        }
        if (context.json) context.printJson({ jobs });
        else if (jobs.length === 0) context.print('no dead letters');
        else context.print(deadTable(context, jobs, await hubNow(context.hub)));
        return undefined;
      }),
    );
}

function addRetryDead(cli: Cli, dead: Verb): void {
  chosenBy(
    dead
      .command('retry')
      .description('run failed jobs again, each as a new job; the failed ones stay listed'),
  )
    .argument('[id...]', 'the job_ids', repeated(jobIdArgument))
    .option('--all', 'all that are listed, or all that --type and --error choose')
    .addHelpText(
      'after',
      `
--format json writes a line for each: {job_id, new_job_id} or {job_id, error: {code, message}}. One that cannot be run
again makes the exit code 1, the others go on.
${exampleHelp('gpuhub dead retry render-2291:shot-7', 'gpuhub dead retry --all --type video.render --error oom')}`,
    )
    .action(
      cli.action(async (context, ids: string[], options: Chosen & { all?: boolean }) => {
        const given = ids.length > 0;
        if (given === (options.all === true)) throw new UsageError('give job_ids, or --all, and not both');
        if (given && (options.type ?? options.error) !== undefined)
          throw new UsageError('--type and --error belong to --all');
        // All are listed first: the new jobs may fail too, and would be found again.
        return retryAll(context, given ? ids : await idsOf(context, options));
      }),
    );
}

function addPurge(cli: Cli, dead: Verb): void {
  dead
    .command('purge')
    .description('forget failed jobs for ever')
    .option(
      '--older-than <time>',
      'only those that ended so long ago, as 12h or 7d',
      timeArgument(0, YEAR_MS),
    )
    .option('--yes', 'do it; without it only the number of all is told')
    .addHelpText(
      'after',
      `
--format json writes {purged: how many}.
${exampleHelp('gpuhub dead purge', 'gpuhub dead purge --older-than 7d --yes')}`,
    )
    .action(
      cli.action(async (context, options: { olderThan?: number; yes?: boolean }) => {
        if (options.yes !== true) {
          const ids = await idsOf(context, {});
          throw new UsageError(
            `${plural(ids.length, 'dead letter')}: say --yes to forget what was chosen for ever`,
          );
        }
        await using monitor = await Monitor.open(context.address);
        const answer = await monitor.ask(
          {
            type: 'purge_jobs',
            status: 'failed',
            ...(options.olderThan !== undefined && { older_than_ms: options.olderThan }),
          },
          PURGE_TIMEOUT_MS,
        );
        const purged = answer['count'] as number;
        if (context.json) context.printJson({ purged });
        else context.print(`forgot ${plural(purged, 'job')}`);
        return undefined;
      }),
    );
}

/** The failed jobs that the options choose, newest first, page by page. */
async function* failedJobs({ hub }: Context, { type, error }: Chosen): AsyncGenerator<JobRecord> {
  let cursor: string | undefined;
  do {
    const page = await hub.jobs({ status: 'failed', job_type: type, limit: LIST_LIMIT_MAX, cursor });
    yield* page.jobs.filter(job => error === undefined || codeOf(job) === error);
    cursor = page.next_cursor ?? undefined;
  } while (cursor !== undefined);
}

async function idsOf(context: Context, chosen: Chosen): Promise<string[]> {
  const ids: string[] = [];
  for await (const job of failedJobs(context, chosen)) ids.push(job.job_id);
  return ids;
}

function codeOf(job: JobRecord): unknown {
  return (job.error as { code?: unknown } | null)?.code;
}

/** @param now by the clock of Redis */
function deadTable({ screen }: Context, jobs: readonly JobRecord[], now: number): string {
  const rows = jobs.map(job => {
    const { code, message } = (job.error ?? {}) as { code?: unknown; message?: unknown };
    return [
      visible(job.job_id),
      visible(job.job_type),
      visible(`${code}: ${message}`),
      duration(now - (job.finished_at ?? now)),
      `${job.attempt}/${job.max_attempts}`,
      visible(job.worker_id ?? NOTHING),
      moment(job.finished_at),
    ];
  });
  return table(screen, ['JOB', 'TYPE', 'ERROR', 'AGE', 'TRY', 'WORKER', 'ENDED'], rows, {
    right: ['AGE', 'TRY'],
    text: 'ERROR',
  });
}

async function retryAll(context: Context, ids: readonly string[]): Promise<ExitCode> {
  const left = [...ids].reverse();
  let retried = 0;
  const next = async (): Promise<void> => {
    for (let id = left.pop(); id !== undefined; id = left.pop()) {
      if (await retryOne(context, id)) retried += 1;
    }
  };
  await Promise.all(Array.from({ length: RETRIES_IN_FLIGHT }, next));
  if (!context.json) context.print(`${plural(retried, 'job')} submitted again`);
  return retried === ids.length ? EXIT.ok : EXIT.failed;
}

/** @returns whether it runs again; a hub that is away ends the command instead */
async function retryOne(context: Context, job_id: string): Promise<boolean> {
  try {
    const { job_id: new_job_id } = await context.hub.retry(job_id);
    if (context.json) context.printJson({ job_id, new_job_id });
    else context.print(`${visible(job_id)} runs again as ${visible(new_job_id)}`);
    return true;
  } catch (error) {
    if (!(error instanceof ApiError) || error.status === null) throw error;
    const { code, message } = error;
    if (context.json) context.printJson({ job_id, error: { code, message } });
    else context.io.err(`gpuhub: ${visible(`${job_id}: ${message}`)}\n`);
    return false;
  }
}
