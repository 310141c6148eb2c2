import { type Config, readConfig } from '../config.ts';
import { HubError } from '../errors.ts';
import { auditStore } from '../store/audit.ts';
import { RedisLink } from '../store/redis_link.ts';
import { loadScripts } from '../store/scripts.ts';
import { ApiError } from './http.ts';
import { type Cli, EXIT, exampleHelp, UsageError, wholeNumber } from './context.ts';
import { count, plural, visible } from './format.ts';

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
        const config = settings(context.io.env);
        const link = new RedisLink(config, loadScripts(config));
        try {
          await link.open([]);
          const report = await auditStore(link, { pause_ms: options.pauseMs });
          if (context.json) context.printJson(report);
          else {
            for (const problem of report.problems) context.print(`✕ ${visible(problem)}`);
            const { problems, jobs, entries, machines } = report;
            const what = `${plural(jobs, 'job')}, ${count(entries)} entries of indexes, ${plural(machines, 'machine')}`;
            context.print(
              problems.length === 0
                ? `all is well: ${what}`
                : `${plural(problems.length, 'fault')} found: ${what}`,
            );
          }
          return report.problems.length === 0 ? EXIT.ok : EXIT.failed;
        } catch (error) {
          if (error instanceof HubError)
            throw new ApiError(error.code, error.message, error.http, error.details);
          throw new ApiError('unavailable', `cannot read Redis: ${(error as Error).message}`, null);
        } finally {
          link.close();
        }
      }),
    );
}

function settings(env: Record<string, string | undefined>): Config {
  try {
    return readConfig(env);
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
}
