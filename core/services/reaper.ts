import type { Config } from '../config.ts';
import { HubError } from '../errors.ts';
import type { Log } from '../log.ts';
import type { Letter } from '../store/records.ts';
import { idOf } from '../store/keys.ts';
import type { Reaped, Store } from '../store/store.ts';
import type { JobTraces } from './job_traces.ts';
import type { Tallies } from './tallies.ts';

const ENDED: Letter[] = ['c', 'f', 'x', 'e'];
const SIGNATURES_INTERVAL_MS = 60_000;

/**
 * Lets time act: leases that ran out, deadlines, delayed jobs, retention. Any number of hubs do so at once; each step is
 * one bounded script. Delayed jobs are moved when they are due, everything else within REAP_INTERVAL_MS.
 */
export class Reaper {
  readonly #store: Store;
  readonly #config: Config;
  readonly #log: Log;
  readonly #tallies: Tallies;
  readonly #traces: JobTraces;
  readonly #now: () => number;
  #timer: NodeJS.Timeout | undefined;
  #signatures: NodeJS.Timeout | undefined;
  #due: { at: number; timer: NodeJS.Timeout } | undefined;
  #running: Promise<void> | undefined;
  #stopped = false;

  /** @param now the time of Redis, ms */
  constructor(
    store: Store,
    config: Config,
    log: Log,
    tallies: Tallies,
    traces: JobTraces,
    now: () => number,
  ) {
    this.#traces = traces;
    this.#tallies = tallies;
    this.#store = store;
    this.#config = config;
    this.#log = log;
    this.#now = now;
    store.onEffect(effect => {
      if (effect.kind === 'due') this.#expect(effect.at);
    });
  }

  start(): void {
    this.#timer = setInterval(() => this.#tick(), this.#config.REAP_INTERVAL_MS);
    this.#signatures = setInterval(
      () => void this.#guard(() => this.#store.purgeSignatures()),
      SIGNATURES_INTERVAL_MS,
    );
    this.#tick();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    clearInterval(this.#timer);
    clearInterval(this.#signatures);
    clearTimeout(this.#due?.timer);
    await this.#running;
  }

  /** A job is due at this time: look then, not at the next interval. */
  #expect(at: number): void {
    if (this.#stopped || (this.#due && this.#due.at <= at)) return;
    clearTimeout(this.#due?.timer);
    const wait_ms = Math.max(0, at - this.#now());
    // Later ones are found by the interval.
    if (wait_ms > this.#config.REAP_INTERVAL_MS) return;
    const timer = setTimeout(() => {
      this.#due = undefined;
      this.#tick();
    }, wait_ms + 1);
    this.#due = { at, timer };
  }

  #tick(): void {
    if (this.#running || this.#stopped) return;
    this.#running = this.#guard(() => this.#work()).finally(() => {
      this.#running = undefined;
    });
  }

  async #work(): Promise<void> {
    if (!this.#store.up) return;
    let more = true;
    while (more && !this.#stopped) {
      const reaped = await this.#store.reap();
      more = reaped.more;
      this.#tell(reaped);
      if (reaped.next_due !== null) this.#expect(reaped.next_due);
    }
    const { RETENTION_COUNT: keep, RETENTION_MS: age_ms } = this.#config;
    while (!this.#stopped && (await this.#store.trim({ letters: ENDED, keep, age_ms })).more);
  }

  #tell({ expired, ended }: Reaped): void {
    this.#tallies.leases_expired += expired;
    // A few are machines that went away; each is worth a look, and their number is bounded by the slots.
    if (expired > 0) this.#log.warn({ leases: expired }, 'leases ran out: their jobs go back to the queue');
    for (const ref of ended) {
      this.#log.debug({ job_id: idOf(ref) }, 'job ended by time: expired, out of attempts, or cancelled');
      this.#traces.ended(ref);
    }
  }

  async #guard(act: () => Promise<void>): Promise<void> {
    try {
      await act();
    } catch (error) {
      // Redis in trouble is told once, where the link is kept.
      if (!(error instanceof HubError)) this.#log.error({ err: error }, 'reaping failed');
    }
  }
}
