import { type Cli, exampleHelp, workerIdArgument } from './context.ts';
import { visible } from './format.ts';

export function addResume(cli: Cli): void {
  cli.program
    .command('resume')
    .description('end the drain of a worker')
    .argument('<id>', 'the worker_id, as machine1:gpu0', workerIdArgument)
    .addHelpText('after', exampleHelp('gpuhub resume machine1:gpu0'))
    .action(
      cli.action(async (context, id: string) => {
        const answer = await context.hub.resume(id);
        if (context.json) context.printJson(answer);
        else context.print(`resumed ${visible(id)}`);
        return undefined;
      }),
    );
}
