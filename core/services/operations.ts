import { HubError } from '../errors.ts';
import type { Log } from '../log.ts';
import { jsonBytes } from '../messages/json.ts';
import type { WorkerRecord } from '../messages/worker.ts';
import type { Store } from '../store/store.ts';
import type { Fleet } from './fleet.ts';
import type { Statistics } from './statistics.ts';

export interface WorkerFilter {
  status?: string | undefined;
  machine_id?: string | undefined;
  job_type?: string | undefined;
  worker_id?: string | undefined;
  labels?: Record<string, string> | undefined;
}

/** How many workers one line of the log names. */
const NAMED_MAX = 10;
/** The newest jobs of a snapshot. */
const SNAPSHOT_JOBS = 200;

/** What an operator sees of and does to the whole fleet, on whatever hub its machines are. */
export class Operations {
  readonly #store: Store;
  readonly #fleet: Fleet;
  readonly #statistics: Statistics;
  readonly #log: Log;

  constructor(store: Store, fleet: Fleet, statistics: Statistics, log: Log) {
    this.#log = log;
    this.#store = store;
    this.#fleet = fleet;
    this.#statistics = statistics;
  }

  /** The workers that match, by id: this hub's as they are, others' as their hub last wrote. @throws HubError `unavailable` */
  async workers(filter: WorkerFilter): Promise<WorkerRecord[]> {
    const records = new Map((await this.#store.workers()).map(record => [record.worker_id, record]));
    for (const record of this.#own()) records.set(record.worker_id, record);
    return [...records.values()].filter(record => matches(record, filter)).sort((a, b) => byName(a, b));
  }

  #own(): WorkerRecord[] {
    return this.#fleet.machines.flatMap(machine =>
      [...machine.slots.values()].map(slot => slot.record(this.#store.hub_id)),
    );
  }

  /**
   * Drains or resumes workers: by one of id, machine, labels. `why` null resumes.
   *
   * @throws HubError `not_found` when no worker matches, `unavailable`
   */
  async drain(
    target: Pick<WorkerFilter, 'worker_id' | 'machine_id' | 'labels'>,
    why: { reason: string | null; resume_at: number | null } | null,
  ): Promise<string[]> {
    const { worker_id, machine_id, labels } = target;
    const ids = (await this.workers({ worker_id, machine_id, labels })).map(record => record.worker_id);
    if (ids.length === 0)
      throw new HubError(
        'not_found',
        `no worker matches ${JSON.stringify({ worker_id, machine_id, labels })}`,
      );
    await this.#store.drain(ids, why);
    this.#log.info(
      { worker_ids: ids.slice(0, NAMED_MAX), workers: ids.length },
      why === null ? 'workers resumed' : 'workers drained',
    );
    return ids;
  }

  /** Pauses the jobs of a type, or of all; `why` null resumes. @throws HubError `unavailable` */
  async pause(job_type: string | null, why: { reason: string | null; at: number } | null): Promise<void> {
    await this.#store.pause(job_type, why);
    this.#log.info({ job_type }, why === null ? 'queue resumed' : 'queue paused');
  }

  /** What a monitor is shown first. @throws HubError `unavailable` */
  async snapshot(max_bytes: number): Promise<object> {
    await this.#statistics.beatAnew();
    const { stats, history, hubs } = this.#statistics;
    const room = max_bytes * 0.95 - jsonBytes({ stats, hubs });
    const [workers, { jobs }, paused] = await Promise.all([
      this.workers({}),
      this.#store.list({ limit: SNAPSHOT_JOBS, full: false, max_bytes: Math.floor(room / 4) }),
      this.#store.paused(),
    ]);
    // What is said of their machines is less than a third of the same again.
    const shown = fitting(workers, room * (3 / 8));
    return {
      type: 'snapshot',
      stats,
      history: fitting(history, room / 8),
      hubs,
      machines: machinesOf(shown),
      workers: shown,
      jobs,
      paused: fitting(paused, room / 8),
    };
  }
}

/** A frame is bounded: a larger fleet or history is thinned out evenly or cut, and lists page through the rest. */
function fitting<T>(list: T[], bytes: number): T[] {
  let kept = list;
  while (kept.length > 0 && jsonBytes(kept) > bytes) kept = kept.slice(Math.ceil(kept.length / 2));
  return kept;
}

function machinesOf(
  workers: WorkerRecord[],
): { machine_id: string; hub_id: string | null; worker_ids: string[] }[] {
  const machines = new Map<string, { machine_id: string; hub_id: string | null; worker_ids: string[] }>();
  for (const { machine_id, hub_id, worker_id } of workers) {
    const machine = machines.get(machine_id) ?? { machine_id, hub_id, worker_ids: [] };
    machine.worker_ids.push(worker_id);
    machines.set(machine_id, machine);
  }
  return [...machines.values()];
}

function matches(record: WorkerRecord, filter: WorkerFilter): boolean {
  const { status, machine_id, job_type, worker_id, labels } = filter;
  return (
    (status === undefined || record.status === status) &&
    (machine_id === undefined || record.machine_id === machine_id) &&
    (worker_id === undefined || record.worker_id === worker_id) &&
    (job_type === undefined || record.job_types.includes('*') || record.job_types.includes(job_type)) &&
    (labels === undefined ||
      Object.entries(labels).every(
        ([key, value]) => Object.hasOwn(record.labels, key) && record.labels[key] === value,
      ))
  );
}

function byName(a: WorkerRecord, b: WorkerRecord): number {
  if (a.machine_id !== b.machine_id) return a.machine_id < b.machine_id ? -1 : 1;
  return a.index - b.index;
}
