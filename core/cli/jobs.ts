import { Option } from 'commander';
import { LIST_LIMIT_MAX } from '../messages/client.ts';
import { type JobRecord, StateFilter } from '../messages/job.ts';
import { type Cli, type Context, exampleHelp, wholeNumber } from './context.ts';
import { bar, cut, duration, NOTHING, percent, type Screen, state, table, visible } from './format.ts';
import { phases } from './job_times.ts';
import { hubNow } from './now.ts';

/** Longer messages are cut on a terminal, and whole in a pipe. */
const NOTE_MOST = 60;

interface JobsOptions {
  status?: string;
  type?: string;
  client?: string;
  limit: number;
  cursor?: string;
  wide?: boolean;
}

export function addJobs(cli: Cli): void {
  cli.program
    .command('jobs')
    .description('list jobs, newest first')
    .addOption(new Option('--status <status>', 'only jobs in this state').choices(StateFilter.options))
    .option('--type <type>', 'only this job type')
    .option('--client <client>', 'only jobs of this client')
    .option('--limit <n>', 'how many at most', wholeNumber(1, LIST_LIMIT_MAX), 50)
    .option('--cursor <cursor>', 'the next page: what the page before named')
    .option('--wide', 'all columns, however narrow the terminal')
    .addHelpText(
      'after',
      exampleHelp('gpuhub jobs --status active', 'gpuhub jobs --type video.render --format json'),
    )
    .action(cli.action(listJobs));
}

async function listJobs(context: Context, options: JobsOptions): Promise<undefined> {
  const filter = {
    status: options.status,
    job_type: options.type,
    client_id: options.client,
    limit: options.limit,
    cursor: options.cursor,
  };
  if (context.json) {
    context.printJson(await context.hub.jobs(filter));
    return;
  }
  const [page, now] = await Promise.all([context.hub.jobs(filter), hubNow(context.hub)]);
  if (page.jobs.length === 0) context.print('no jobs');
  else context.print(jobsTable(context.screen, page.jobs, now, options.wide));
  if (page.next_cursor !== null) {
    context.print(`\nshowing ${page.jobs.length} · next: --cursor ${visible(page.next_cursor)}`);
  }
}

/** @param now by the clock of Redis, see {@link hubNow} */
function jobsTable(screen: Screen, jobs: readonly JobRecord[], now: number, wide = false): string {
  const head = ['STATE', 'JOB', 'TYPE', 'PRI', 'AGE', 'WAIT', 'RUN', 'TRY', 'WORKER', 'NOTE', 'CLIENT'];
  const rows = jobs.map(job => {
    const { waited_ms, ran_ms } = phases(job, now);
    return [
      state(screen, job.status),
      visible(job.job_id),
      visible(job.job_type),
      String(job.priority),
      duration(now - job.created_at),
      duration(waited_ms),
      duration(ran_ms),
      `${job.attempt}/${job.max_attempts}`,
      visible(job.worker_id ?? NOTHING),
      note(screen, job),
      visible(job.client_id ?? NOTHING),
    ];
  });
  return table(screen, head, rows, { right: ['PRI', 'AGE', 'WAIT', 'RUN'], wide });
}

/** How far the job is, or why it ended. */
function note(screen: Screen, job: JobRecord): string {
  const text = noteText(job);
  return screen.width === null ? text : cut(text, NOTE_MOST);
}

function noteText(job: JobRecord): string {
  const error = job.error as { code?: string; message?: string } | null;
  if (error?.code !== undefined && job.status !== 'completed') {
    return visible(`${error.code}: ${error.message ?? ''}`);
  }
  const running = job.status === 'assigned' || job.status === 'processing';
  if (!running) return NOTHING;
  const share = job.progress ?? 0;
  return `${bar(share)} ${percent(share)} ${visible(job.progress_message ?? '')}`.trimEnd();
}
