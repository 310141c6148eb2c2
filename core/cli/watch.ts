import { type Cli, EXIT, exampleHelp, jobIdArgument, repeated } from './context.ts';
import { follow } from './follow.ts';
import { watchMany } from './watch_many.ts';

export function addWatch(cli: Cli): void {
  cli.program
    .command('watch')
    .description('follow jobs from their beginning to their end, several as bars; exits 0 when all complete')
    .argument('<id...>', 'the job_ids', repeated(jobIdArgument))
    .addHelpText(
      'after',
      `
One job is told as a story, a line an event. Several are a board on a terminal, a line each: state, time, progress, worker,
message; more than fit are summed up in a line. In a pipe they are a line an event. Ctrl-C only ends the watching.
The exit code is 1 when a job does not complete, and 4 when one is not known.
--format json writes one event a line as the wire has it: {type, job_id, seq, at, attempt, ...}, see the protocol; for a
job that is not known {job_id, error: {code, message}}.
${exampleHelp(
  'gpuhub watch render-2291:shot-7',
  'gpuhub watch render-2291:shot-7 render-2291:shot-8 render-2291:shot-9',
  `gpuhub jobs --status active --format json | jq -r '.jobs[].job_id' | xargs gpuhub watch`,
  'gpuhub watch job-123456 --format json',
)}`,
    )
    .action(
      cli.action(async (context, ids: string[]) => {
        const [id, ...more] = ids as [string, ...string[]];
        if (more.length > 0) return watchMany(context, ids);
        const end = await follow(context, id, context.json ? event => context.printJson(event) : undefined);
        return end.type === 'job_completed' ? EXIT.ok : EXIT.failed;
      }),
    );
}
