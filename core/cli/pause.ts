import { type Cli, exampleHelp, jobTypeArgument, typeName } from './context.ts';
import { moment, table, visible } from './format.ts';
import { ApiError, type HubAddress } from './http.ts';
import { Deferred, Monitor } from './monitor.ts';

interface Paused {
  job_type: string | null;
  reason: string | null;
  at: number;
}

export function addPause(cli: Cli): void {
  cli.program
    .command('pause')
    .description('assign no more jobs of a type, or of any type, until resume-queue; running ones go on')
    .argument('[type]', 'the job type; without it all are held', jobTypeArgument)
    .option('--reason <text>', 'shown to whoever asks why a job waits')
    .option('--list', 'only tell what is paused')
    .addHelpText(
      'after',
      `
--format json writes {ok, job_type}, with job_type null for all; --list writes {paused: [{job_type, reason, at}]}.
${exampleHelp('gpuhub pause video.render --reason "model swap"', 'gpuhub pause', 'gpuhub pause --list')}`,
    )
    .action(
      cli.action(
        async (context, job_type: string | undefined, options: { reason?: string; list?: boolean }) => {
          const { json, screen } = context;
          if (options.list) {
            const paused = await pausedQueues(context.address);
            if (json) context.printJson({ paused });
            else if (paused.length === 0) context.print('nothing is paused');
            else {
              const rows = paused.map(row => [
                typeName(row.job_type),
                moment(row.at),
                visible(row.reason ?? ''),
              ]);
              context.print(table(screen, ['TYPE', 'SINCE', 'REASON'], rows));
            }
            return undefined;
          }
          await using monitor = await Monitor.open(context.address);
          await monitor.ask({
            type: 'pause_queue',
            ...(job_type !== undefined && { job_type }),
            ...(options.reason !== undefined && { reason: options.reason }),
          });
          if (json) context.printJson({ ok: true, job_type: job_type ?? null });
          else {
            const again = job_type === undefined ? 'gpuhub resume-queue' : `gpuhub resume-queue ${job_type}`;
            context.print(`paused ${typeName(job_type)}; end it with: ${again}`);
          }
          return undefined;
        },
      ),
    );
}

/** What is paused now: only the first message of a monitor tells. */
async function pausedQueues(address: HubAddress): Promise<Paused[]> {
  const snapshot = new Deferred<Paused[]>();
  await using _monitor = await Monitor.open(address, {
    message: message => {
      if (message.type === 'snapshot') snapshot.resolve(message['paused'] as Paused[]);
    },
    // A hub that cannot make a snapshot closes the connection.
    down: reason => snapshot.reject(new ApiError('unavailable', `${address.url} does not tell: ${reason}`)),
    end: error => snapshot.reject(error),
  });
  return await snapshot.promise;
}
