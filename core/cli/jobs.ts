import { Option } from 'commander';
import { LIST_LIMIT_MAX } from '../messages/client.ts';
import { type JobRecord, StateFilter } from '../messages/job.ts';
import type { Stats } from '../messages/stats.ts';
import { type Cli, type Context, exampleHelp, wholeNumber } from './context.ts';
import { duration, NOTHING, type Screen, state, table, visible } from './format.ts';
import { noteOf } from './job_note.ts';
import { phases } from './job_times.ts';

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
  const [page, stats] = await Promise.all([context.hub.jobs(filter), context.hub.stats()]);
  if (page.jobs.length === 0) context.print('no jobs');
  else context.print(jobsTable(context.screen, page.jobs, stats, options.wide));
  const waiting = page.jobs.find(({ status }) => status === 'queued');
  // A pipe gets the table alone.
  if (waiting !== undefined && context.screen.width !== null) {
    context.print(`\nwhy one waits: gpuhub explain ${visible(waiting.job_id)}`);
  }
  if (page.next_cursor !== null) {
    context.print(`\nshowing ${page.jobs.length} · next: --cursor ${visible(page.next_cursor)}`);
  }
}

function jobsTable(screen: Screen, jobs: readonly JobRecord[], stats: Stats, wide = false): string {
  const now = stats.at;
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
      noteOf(job, { stats, now }),
      visible(job.client_id ?? NOTHING),
    ];
  });
  return table(screen, head, rows, { right: ['PRI', 'AGE', 'WAIT', 'RUN'], wide, text: 'NOTE' });
}
