import { type Cli, EXIT, exampleHelp, jobIdArgument } from './context.ts';
import { follow } from './follow.ts';

export function addWatch(cli: Cli): void {
  cli.program
    .command('watch')
    .description(
      'follow a job from its beginning to its end; exits 0 when it completes and 1 when it does not',
    )
    .argument('<id>', 'the job_id', jobIdArgument)
    .addHelpText(
      'after',
      exampleHelp('gpuhub watch render-2291:shot-7', 'gpuhub watch job-123456 --format json'),
    )
    .action(
      cli.action(async (context, id: string) => {
        const end = await follow(context, id, context.json ? event => context.printJson(event) : undefined);
        return end.type === 'job_completed' ? EXIT.ok : EXIT.failed;
      }),
    );
}
