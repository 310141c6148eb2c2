import { type Cli, exampleHelp, jobIdArgument } from './context.ts';
import { visible } from './format.ts';

export function addRetry(cli: Cli): void {
  cli.program
    .command('retry')
    .description('run an ended job again, as a new job')
    .argument('<id>', 'the job_id', jobIdArgument)
    .addHelpText('after', exampleHelp('gpuhub retry render-2291:shot-7'))
    .action(
      cli.action(async (context, id: string) => {
        const answer = await context.hub.retry(id);
        if (context.json) context.printJson(answer);
        else
          context.print(
            `submitted again as ${visible(answer.job_id)}\nfollow it: gpuhub watch ${visible(answer.job_id)}`,
          );
        return undefined;
      }),
    );
}
