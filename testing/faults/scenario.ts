import type { World } from './world.ts';

/** What a scenario may show beside a plain success; everything else is a violation. */
export interface Allowed {
  /**
   * When a job may run again although an execution of it had begun: `never`; `away`: when the worker of the former
   * one was killed, halted, cut off or not connected for longer than a lease; `any`: the fault takes jobs from live
   * workers by its nature.
   */
  executed_twice?: 'never' | 'away' | 'any';
  /** Redis came back older: what it had acknowledged in the lost time may be gone, and be done again. */
  rolled_back?: boolean;
  /** Jobs that end otherwise than completed, by their id. */
  ends?: (job_id: string) => string[];
  /** Workers of different abilities or jobs that are delayed: priorities cannot be compared. */
  inversions?: boolean;
}

export interface Scenario {
  name: string;
  /** The rows of the list of faults that it covers. */
  faults: readonly number[];
  /** What is done and what must hold, in a sentence. */
  title: string;
  /** It is one of the short set that `npm test` runs. */
  short?: boolean;
  /** Settings of all hubs, beside the short times of world.ts. */
  settings?: Readonly<Record<string, string>>;
  /** Further arguments of Redis. */
  redis?: readonly string[];
  allowed?: Allowed;
  /** Sets up, breaks things, and returns when the clients have ended; the checker judges the rest. */
  run(world: World): Promise<void>;
}
