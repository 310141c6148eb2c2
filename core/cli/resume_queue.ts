import { type Cli, exampleHelp, jobTypeArgument, typeName } from './context.ts';
import { Monitor } from './monitor.ts';

export function addResumeQueue(cli: Cli): void {
  cli.program
    .command('resume-queue')
    .description('assign jobs again after pause')
    .argument(
      '[type]',
      'the job type; without it the pause of all types ends, those of single types stay',
      jobTypeArgument,
    )
    .addHelpText(
      'after',
      `
--format json writes {ok, job_type}, with job_type null for all.
${exampleHelp('gpuhub resume-queue video.render', 'gpuhub resume-queue')}`,
    )
    .action(
      cli.action(async (context, job_type: string | undefined) => {
        await using monitor = await Monitor.open(context.address);
        await monitor.ask({ type: 'resume_queue', ...(job_type !== undefined && { job_type }) });
        if (context.json) context.printJson({ ok: true, job_type: job_type ?? null });
        else context.print(`resumed ${typeName(job_type)}`);
        return undefined;
      }),
    );
}
