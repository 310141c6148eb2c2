import { type Cli, exampleHelp, jobIdArgument } from './context.ts';
import { visible } from './format.ts';
import { surroundings, reasons } from './job.ts';

export function addExplain(cli: Cli): void {
  cli.program
    .command('explain')
    .description(
      'why a job waits: its own causes, how many GPUs fail which of its wishes, and what would help',
    )
    .argument('<id>', 'the job_id', jobIdArgument)
    .addHelpText(
      'after',
      `
--format json writes {job_id, position, eta_ms: {low, high}, slots_total, as_of, reasons: [{code, count, message}]}: each
connected GPU is counted under the first test that it fails, the nearest miss first.
${exampleHelp('gpuhub explain render-2291:shot-7', 'gpuhub explain render-2291:shot-7 --format json')}`,
    )
    .action(
      cli.action(async (context, id: string) => {
        const why = await context.hub.explain(id);
        if (context.json) {
          context.printJson(why);
          return undefined;
        }
        const [job, around] = await Promise.all([context.hub.job(id), surroundings(context)]);
        const waits = job.status === 'queued' || job.status === 'scheduled';
        if (waits) context.print(reasons(context.screen, job, why, around));
        else context.print(`${visible(id)} does not wait: it is ${job.status} (gpuhub job ${visible(id)})`);
        return undefined;
      }),
    );
}
