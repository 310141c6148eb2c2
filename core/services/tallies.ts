import { FAST_MS, Histogram } from '../histogram.ts';

/** Of waiting and running: from what a cache answers to what renders for an hour. */
const JOB_MS = [
  10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 30_000, 60_000, 120_000, 300_000, 600_000, 1_800_000,
  3_600_000,
];
/** Job types told apart, the first that come; clients choose them, and each costs some 50 series. */
const TYPES_MAX = 50;
/** The other types together. */
export const OTHER = 'other';

/** Names to count by: the first `TYPES_MAX` have their own for good, so that no counter ever goes down. */
export class TypeNames {
  readonly #known = new Set<string>();

  nameOf(job_type: string): string {
    if (this.#known.has(job_type)) return job_type;
    if (this.#known.size >= TYPES_MAX) return OTHER;
    this.#known.add(job_type);
    return job_type;
  }
}

/** What this hub counted of one job type. */
export class TypeTally {
  /** Attempts sent to a worker, and those of them that were not the first of their job. */
  started = 0;
  retried = 0;
  readonly queue = new Histogram(JOB_MS);
  readonly run = new Histogram(JOB_MS);
}

/** What this hub counted since it started. Plain numbers: whoever scrapes reads them, counting costs an increment. */
export class Tallies {
  readonly #names = new TypeNames();
  readonly types = new Map<string, TypeTally>();
  /** From asking Redis for a job until it was written to its worker. */
  readonly dispatch = new Histogram(FAST_MS);
  /** Attempts that their worker said had failed. */
  failed = 0;
  leases_expired = 0;
  /** Words of workers, and claims, that bore a lease or a registration that is not the present one. */
  fenced = 0;

  /** For OpenTelemetry: attempts that ended completed or failed, those that failed, and how long jobs ran on average. */
  get totals(): { processed: number; failed: number; mean_ms: number } {
    let completed = 0;
    let run_ms = 0;
    for (const { run } of this.types.values()) {
      completed += run.counts.reduce((sum, count) => sum + count, 0);
      run_ms += run.sum_ms;
    }
    return {
      processed: completed + this.failed,
      failed: this.failed,
      mean_ms: completed === 0 ? 0 : run_ms / completed,
    };
  }

  /** @param job_type null when it is not known, e.g. of a lease from before the worker came here */
  of(job_type: string | null): TypeTally {
    const name = job_type === null ? OTHER : this.#names.nameOf(job_type);
    let tally = this.types.get(name);
    if (tally === undefined) this.types.set(name, (tally = new TypeTally()));
    return tally;
  }
}
