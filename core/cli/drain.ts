import { type Cli, exampleHelp, workerIdArgument } from './context.ts';
import { visible } from './format.ts';

export function addDrain(cli: Cli): void {
  cli.program
    .command('drain')
    .description('give a worker no new job until it is resumed; a running one goes on')
    .argument('<id>', 'the worker_id, as machine1:gpu0', workerIdArgument)
    .option('--reason <text>', 'shown to whoever looks at the worker')
    .addHelpText('after', exampleHelp('gpuhub drain machine1:gpu0 --reason "new driver"'))
    .action(
      cli.action(async (context, id: string, options: { reason?: string }) => {
        const answer = await context.hub.drain(id, options.reason);
        if (context.json) context.printJson(answer);
        else context.print(`draining ${visible(id)}; end it with: gpuhub resume ${visible(id)}`);
        return undefined;
      }),
    );
}
