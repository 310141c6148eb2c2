import { HubError } from '../errors.ts';
import type { AuditReport } from '../store/audit.ts';
import { type Cli, type Context, EXIT, exampleHelp, UsageError, wholeNumber } from './context.ts';
import { count, plural, visible } from './format.ts';
import { ApiError } from './http.ts';

const PAUSE_MS_DEFAULT = 2;

export function addAudit(cli: Cli): void {
  cli.program
    .command('audit')
    .description('check in Redis itself that each job lies in exactly the one index its state says')
    .option(
      '--pause-ms <ms>',
      'between steps, to go easy on a Redis in use',
      wholeNumber(0, 60_000),
      PAUSE_MS_DEFAULT,
    )
    .addHelpText(
      'after',
      `
It reads Redis, not the hub: at REDIS_URL, or REDIS_HOST, REDIS_PORT, REDIS_DB and REDIS_PASSWORD. It writes nothing, and
may run while jobs do. The exit code is 1 when something is wrong.
${exampleHelp('REDIS_URL=redis://10.0.0.5:6379 gpuhub audit', 'gpuhub audit --pause-ms 20 --format json')}`,
    )
    .action(
      cli.action(async (context, options: { pauseMs: number }) => {
        const report = await audit(context.io.env, options.pauseMs);
        if (context.json) context.printJson(report);
        else printReport(context, report);
        return report.problems.length === 0 ? EXIT.ok : EXIT.failed;
      }),
    );
}

/** Imports what it needs only now: a fifth of the time in which any command starts would go to the client of Redis. */
async function audit(env: Record<string, string | undefined>, pause_ms: number): Promise<AuditReport> {
  const [{ readConfig }, { auditStore }, { RedisLink }, { loadScripts }] = await Promise.all([
    import('../config.ts'),
    import('../store/audit.ts'),
    import('../store/redis_link.ts'),
    import('../store/scripts.ts'),
  ]);
  const config = usable(() => readConfig(env));
  const link = new RedisLink(config, loadScripts(config));
  try {
    await link.open([]);
    return await auditStore(link, { pause_ms });
  } catch (error) {
    if (error instanceof HubError) throw new ApiError(error.code, error.message, error.http, error.details);
    throw new ApiError('unavailable', `cannot read Redis: ${(error as Error).message}`, null);
  } finally {
    link.close();
  }
}

function usable<Settings>(read: () => Settings): Settings {
  try {
    return read();
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
}

function printReport(context: Context, { problems, jobs, entries, machines }: AuditReport): void {
  for (const problem of problems) context.print(`✕ ${visible(problem)}`);
  const what = `${plural(jobs, 'job')}, ${count(entries)} entries of indexes, ${plural(machines, 'machine')}`;
  const verdict = problems.length === 0 ? 'all is well' : `${plural(problems.length, 'fault')} found`;
  context.print(`${verdict}: ${what}`);
}
