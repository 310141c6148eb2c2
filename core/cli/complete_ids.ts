import { Argument } from 'commander';
import { LIST_LIMIT_MAX } from '../messages/client.ts';
import { JobId, JobType, WorkerId } from '../messages/fields.ts';
import type { Cli } from './context.ts';
import { ApiError, HubApi } from './http.ts';

/** Ids that a shell may offer: jobs in a state, `open` for those that have not ended, workers, job types. */
export const ID_KINDS = ['jobs', 'waiting', 'open', 'finished', 'failed', 'workers', 'types'] as const;
export type IdKind = (typeof ID_KINDS)[number];

/** Somebody pressed Tab and waits. */
const TIMEOUT_MS = 1000;

/** The command that the scripts of `completion` ask; it is not shown. */
export function addCompleteIds(cli: Cli): void {
  cli.program
    .command('complete-ids', { hidden: true })
    .description('ids that the hub knows, a line each, the newest first; nothing when no hub answers')
    .addArgument(new Argument('<kind>', 'of what').choices(ID_KINDS))
    .action(
      cli.action(async (context, kind: IdKind) => {
        const hub = new HubApi({ ...context.address, timeout_ms: TIMEOUT_MS });
        try {
          for (const id of await idsOf(hub, kind)) context.print(id);
        } catch (error) {
          if (!(error instanceof ApiError)) throw error;
        }
        return undefined;
      }),
    );
}

async function idsOf(hub: HubApi, kind: IdKind): Promise<string[]> {
  // Only what is an id: a shell would take anything else apart.
  if (kind === 'workers') {
    const workers = await hub.workers();
    return workers.map(({ worker_id }) => worker_id).filter(id => WorkerId.safeParse(id).success);
  }
  if (kind === 'types') {
    const { by_type } = await hub.stats();
    return Object.keys(by_type).filter(type => JobType.safeParse(type).success);
  }
  const states = kind === 'open' ? ['active', 'waiting'] : [kind === 'jobs' ? undefined : kind];
  const pages = await Promise.all(states.map(status => hub.jobs({ status, limit: LIST_LIMIT_MAX })));
  return pages
    .flatMap(({ jobs }) => jobs.map(({ job_id }) => job_id))
    .filter(id => JobId.safeParse(id).success);
}
