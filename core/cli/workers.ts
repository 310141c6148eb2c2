import type { WorkerRecord } from '../messages/worker.ts';
import { type Cli, exampleHelp } from './context.ts';
import { count, duration, memory, NOTHING, plural, type Screen, state, table, visible } from './format.ts';
import { hubNow } from './now.ts';

/** Words of the foot line; what is busy comes first, what is wrong last. */
const FOOT: [status: string, word: string][] = [
  ['busy', 'busy'],
  ['stopping', 'stopping'],
  ['idle', 'idle'],
  ['draining', 'draining'],
  ['offline', 'away'],
  ['quarantined', 'sick'],
];

export function addWorkers(cli: Cli): void {
  cli.program
    .command('workers')
    .description('list workers: one is one GPU of a machine')
    .option('--wide', 'all columns, however narrow the terminal')
    .addHelpText('after', exampleHelp('gpuhub workers', 'gpuhub workers --format json'))
    .action(
      cli.action(async (context, options: { wide?: boolean }) => {
        const workers = await context.hub.workers();
        if (context.json) context.printJson({ workers });
        else if (workers.length === 0) context.print('no workers');
        else context.print(workersTable(context.screen, workers, await hubNow(context.hub), options.wide));
        return undefined;
      }),
    );
}

/** Grouped by machine, with a foot line that counts. */
function workersTable(screen: Screen, workers: readonly WorkerRecord[], now: number, wide = false): string {
  const head = ['STATE', 'WORKER', 'GPU', 'MEM', 'UTIL', 'TEMP', 'JOB', 'MODELS', 'SEEN', 'REASON'];
  const rows = [...workers].sort(byMachine).map(worker => workerRow(screen, worker, now));
  const text = table(screen, head, rows, { right: ['UTIL', 'TEMP', 'SEEN'], wide });
  return `${text}\n\n${foot(workers)}`;
}

function byMachine(a: WorkerRecord, b: WorkerRecord): number {
  if (a.machine_id !== b.machine_id) return a.machine_id < b.machine_id ? -1 : 1;
  return a.index - b.index;
}

function workerRow(screen: Screen, worker: WorkerRecord, now: number): string[] {
  const { telemetry } = worker;
  return [
    state(screen, worker.status),
    visible(worker.worker_id),
    visible(worker.gpu_name ?? NOTHING),
    `${memory(telemetry?.vram_used_mb)}/${memory(worker.vram_mb)}`,
    unit(telemetry?.gpu_util, '%'),
    unit(telemetry?.temperature_c, '°C'),
    visible(worker.job_id ?? NOTHING),
    visible((telemetry?.loaded_models ?? worker.models).join(', ') || NOTHING),
    duration(now - worker.last_seen_at),
    visible(worker.status_reason ?? NOTHING),
  ];
}

/** A reading of a sensor, rounded. */
export function unit(value: number | null | undefined, name: string): string {
  return value == null ? NOTHING : `${Math.round(value)}${name}`;
}

function foot(workers: readonly WorkerRecord[]): string {
  const words = FOOT.map(([status, word]) => ({
    n: workers.filter(worker => worker.status === status).length,
    word,
  })).filter(({ n }) => n > 0);
  return `${plural(workers.length, 'GPU')}: ${words.map(({ n, word }) => `${count(n)} ${word}`).join(' ')}`;
}
