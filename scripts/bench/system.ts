import type { Durability } from './scenario.ts';

/** Where a system under measurement is. */
export interface Address {
  /** Of what its clients connect to: the hub, the broker, or Redis itself. */
  url: string;
  durability: Durability;
  /** Makes the ids and names of one cell differ from those of all others. */
  run_id: string;
}

/** What a job carries, and what its handler returns. */
export type Params = Record<string, unknown>;
export interface Result {
  /** When the handler began, by {@link nowMs}. */
  started_ms: number;
  [field: string]: unknown;
}

/** The application's side: one connection, one message a job. */
export interface Submitter {
  /**
   * @param acked the queue holds the job
   * @param ended its completion, with its result, was told to this process
   */
  submit(params: Params, acked: () => void, ended: (result: Result) => void): void;
}

export interface MachineOptions {
  /** One of several in the same process has its own. */
  machine_id: string;
  slots: number;
}

/**
 * One way to get a job from an application to a worker and its result back; a file of systems/ each. What it opens ends
 * with its process.
 */
export interface System {
  /** It works in processes of its own, below the one that opens it. */
  has_children?: boolean;
  openSubmitter(address: Address): Promise<Submitter>;
  /** A machine that does several jobs at once, until its process ends. */
  openMachine(address: Address, options: MachineOptions, handle: (params: Params) => Result): Promise<void>;
}

/** Ends the process, and with it the run: a benchmark that goes on after an error measures something else. */
export function fail(error: unknown): never {
  throw error;
}

/** Milliseconds by the machine's monotonic clock, which all processes share. */
export function nowMs(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}
