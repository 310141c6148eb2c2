import { type Cli, exampleHelp, jobIdArgument } from './context.ts';
import { visible } from './format.ts';

export function addCancel(cli: Cli): void {
  cli.program
    .command('cancel')
    .description('cancel a job: at once while it waits, by its worker while it runs')
    .argument('<id>', 'the job_id', jobIdArgument)
    .option('--reason <text>', 'told to the worker and to those who watch')
    .addHelpText('after', exampleHelp('gpuhub cancel render-2291:shot-7 --reason "wrong prompt"'))
    .action(
      cli.action(async (context, id: string, options: { reason?: string }) => {
        const answer = await context.hub.cancel(id, options.reason);
        if (context.json) context.printJson(answer);
        else if (answer.status === 'cancelling') {
          context.print(`cancelling ${visible(id)}: its worker was told to stop`);
        } else context.print(`cancelled ${visible(id)}`);
        return undefined;
      }),
    );
}
