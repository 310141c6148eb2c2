import type { JobRecord } from '../messages/job.ts';
import type { WorkerRecord } from '../messages/worker.ts';
import { type Cli, exampleHelp, workerIdArgument } from './context.ts';
import {
  duration,
  fields,
  jsonText,
  memory,
  moment,
  paint,
  type Screen,
  state,
  table,
  visible,
} from './format.ts';
import { ApiError, type HubApi } from './http.ts';
import { phases } from './job_times.ts';
import { hubNow } from './now.ts';
import { unit } from './workers.ts';

const RECENT_JOBS = 10;

export function addWorker(cli: Cli): void {
  cli.program
    .command('worker')
    .description('one worker: hardware, state, its job and its last jobs')
    .argument('<id>', 'the worker_id, as machine1:gpu0', workerIdArgument)
    .addHelpText('after', exampleHelp('gpuhub worker machine1:gpu0'))
    .action(
      cli.action(async (context, id: string) => {
        const worker = await context.hub.worker(id);
        if (context.json) {
          context.printJson(worker);
          return undefined;
        }
        const [recent, now] = await Promise.all([recentJobs(context.hub, id), hubNow(context.hub)]);
        context.print(workerText(context.screen, worker, recent, now));
        return undefined;
      }),
    );
}

/** Its last jobs; none when the hub will not list them: they are an extra here. */
async function recentJobs(hub: HubApi, worker_id: string): Promise<JobRecord[]> {
  try {
    const { jobs } = await hub.jobs({ worker_id, limit: RECENT_JOBS });
    return jobs.filter(job => job.worker_id === worker_id);
  } catch (error) {
    if (error instanceof ApiError && error.status !== null) return [];
    throw error;
  }
}

/** @param now by the clock of Redis */
export function workerText(
  screen: Screen,
  worker: WorkerRecord,
  recent: readonly JobRecord[],
  now: number,
): string {
  const sections = [
    `${state(screen, worker.status)}  ${paint(screen, 'bold', visible(worker.worker_id))}`,
    facts(screen, worker, now),
    recent.length === 0 ? '' : recentTable(screen, recent, now),
  ];
  return sections.filter(text => text !== '').join('\n\n');
}

function facts(screen: Screen, worker: WorkerRecord, now: number): string {
  const { telemetry } = worker;
  return fields(screen, [
    ['reason', worker.status_reason && visible(worker.status_reason)],
    ['until', worker.resume_at === null ? null : moment(worker.resume_at)],
    ['job', worker.job_id && visible(worker.job_id)],
    ['GPU', worker.gpu_name && visible(worker.gpu_name)],
    ['memory', `${memory(telemetry?.vram_used_mb)} of ${memory(worker.vram_mb)}`],
    [
      'sensors',
      `${unit(telemetry?.gpu_util, '%')} · ${unit(telemetry?.temperature_c, '°C')} · ${unit(telemetry?.power_w, 'W')}`,
    ],
    ['job types', visible(worker.job_types.join(', '))],
    ['models', visible(worker.models.join(', '))],
    ['loaded', visible((telemetry?.loaded_models ?? []).join(', '))],
    ['labels', Object.keys(worker.labels).length > 0 ? jsonText(worker.labels) : null],
    ['version', worker.version && visible(worker.version)],
    ['hub', worker.hub_id && visible(worker.hub_id)],
    ['connected', `${moment(worker.connected_at)} (${duration(now - worker.connected_at)} ago)`],
    ['seen', `${duration(now - worker.last_seen_at)} ago`],
  ]);
}

function recentTable(screen: Screen, jobs: readonly JobRecord[], now: number): string {
  const rows = jobs.map(job => [
    visible(job.job_id),
    visible(job.job_type),
    state(screen, job.status),
    duration(phases(job, now).ran_ms),
    moment(job.finished_at),
  ]);
  return table(screen, ['JOB', 'TYPE', 'OUTCOME', 'RUN', 'ENDED'], rows, { right: ['RUN'] });
}
