/**
 * Monitors for tests and tools: jobs, workers and queues of a running hub, over its HTTP API.
 *
 *     const jobs = new JobMonitor();      // the hub of HUB_URL, or on port 8000 here
 *     const there = new WorkerMonitor({ hub_url: 'http://10.0.0.5:8000' });
 *
 * The examples below run in testing/hub/monitors.test.ts as they stand here.
 *
 * Every method rejects with `ApiError`: its `code` is the hub's own (`not_found`, …), or `no_hub` when none answers.
 */
import { ApiError, HubApi, urlFromEnv } from '../core/cli/http.ts';
import type { Explanation } from '../core/messages/client.ts';
import type { JobRecord } from '../core/messages/job.ts';
import { type Stats, WORKER_STATES, type WorkerState } from '../core/messages/stats.ts';
import type { WorkerRecord } from '../core/messages/worker.ts';

/** @public */
export { ApiError };

/** The most jobs a hub lists in one answer. */
const PAGE_MAX = 500;

export interface MonitorOptions {
  /** Address of the hub; default: HUB_URL, or HUB_HOST and HUB_PORT, or `http://127.0.0.1:8000`. */
  hub_url?: string;
}

const connect = ({ hub_url }: MonitorOptions) => new HubApi({ url: hub_url ?? urlFromEnv(process.env) });

/** Looks at jobs. */
export class JobMonitor {
  readonly #hub: HubApi;

  constructor(options: MonitorOptions = {}) {
    this.#hub = connect(options);
  }

  /**
   * The whole record of a job, or null when there is none.
   *
   *     const job = await monitor.getJobDetails('job-123456');
   *     console.log(job?.status, job?.result);
   */
  async getJobDetails(job_id: string): Promise<JobRecord | null> {
    return orNull(this.#hub.job(job_id));
  }

  /**
   * Why a job waits: its place, when it may start, and what keeps each connected GPU from taking it; or null when there is
   * no such job.
   *
   *     const why = await monitor.explainJob('job-waiting');
   *     for (const { code, count, message } of why?.reasons ?? []) console.log(code, count, message);
   */
  async explainJob(job_id: string): Promise<Explanation | null> {
    return orNull(this.#hub.explain(job_id));
  }

  /**
   * All jobs that a worker has now (assigned or processing), newest first, without params and result.
   *
   *     for (const job of await monitor.getActiveJobs()) console.log(job.job_id, job.worker_id, job.progress);
   */
  async getActiveJobs(): Promise<JobRecord[]> {
    return this.#list('active', Number.POSITIVE_INFINITY);
  }

  /**
   * The newest jobs that were completed, without params and result.
   *
   *     const last = await monitor.getCompletedJobs(10);
   *
   * @param limit how many at most
   */
  async getCompletedJobs(limit = 10): Promise<JobRecord[]> {
    return this.#list('completed', limit);
  }

  async #list(status: string, limit: number): Promise<JobRecord[]> {
    const found: JobRecord[] = [];
    let cursor: string | undefined;
    while (found.length < limit) {
      const page = await this.#hub.jobs({ status, limit: Math.min(PAGE_MAX, limit - found.length), cursor });
      found.push(...page.jobs);
      if (page.next_cursor === null) break;
      cursor = page.next_cursor;
    }
    return found;
  }
}

/** How many workers there are, and how busy they are. */
export interface WorkerStats {
  total: number;
  /** Connected: all but those that are offline. */
  connected: number;
  machines: number;
  by_status: Record<WorkerState, number>;
  /** Busy ones among the connected, 0 to 1; 0 when none is connected. */
  utilization: number;
}

/** Looks at workers: one is one GPU of a machine. */
export class WorkerMonitor {
  readonly #hub: HubApi;

  constructor(options: MonitorOptions = {}) {
    this.#hub = connect(options);
  }

  /**
   * All workers.
   *
   *     const idle = (await monitor.getAllWorkers()).filter(worker => worker.status === 'idle');
   */
  getAllWorkers(): Promise<WorkerRecord[]> {
    return this.#hub.workers();
  }

  /**
   * One worker, or null when there is none.
   *
   *     const worker = await monitor.getWorkerById('machine1:gpu0');
   */
  getWorkerById(worker_id: string): Promise<WorkerRecord | null> {
    return orNull(this.#hub.worker(worker_id));
  }

  /**
   * Counts over all workers.
   *
   *     const { connected, by_status } = await monitor.getWorkerStats();
   *     console.log(`${by_status.busy} of ${connected} GPUs are busy`);
   */
  async getWorkerStats(): Promise<WorkerStats> {
    const workers = await this.#hub.workers();
    const by_status = Object.fromEntries(
      WORKER_STATES.map(status => [status, 0]),
    ) as WorkerStats['by_status'];
    for (const worker of workers) by_status[worker.status]++;
    const connected = workers.length - by_status.offline;
    return {
      total: workers.length,
      connected,
      machines: new Set(workers.map(worker => worker.machine_id)).size,
      by_status,
      utilization: connected === 0 ? 0 : by_status.busy / connected,
    };
  }
}

/** Looks at the queues as the hub keeps them in Redis. */
export class RedisMonitor {
  readonly #hub: HubApi;

  constructor(options: MonitorOptions = {}) {
    this.#hub = connect(options);
  }

  /**
   * Statistics of all queues and hubs, at most a second old: `stats` of the protocol.
   *
   *     const { jobs, oldest_queued_ms, by_type } = await monitor.getQueueStats();
   *     console.log(`${jobs.queued} wait, ${by_type['video.render']?.active ?? 0} videos are rendered`);
   */
  getQueueStats(): Promise<Stats> {
    return this.#hub.stats();
  }
}

async function orNull<T>(found: Promise<T>): Promise<T | null> {
  try {
    return await found;
  } catch (error) {
    if (error instanceof ApiError && error.code === 'not_found') return null;
    throw error;
  }
}
