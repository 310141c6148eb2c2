/** Where a system under measurement is: its Redis, and the hub in front of it if it has one. */
export interface Address {
  redis_port: number;
  hub_url: string | undefined;
  /** Makes the ids of one cell differ from those of all others. */
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
  close(): Promise<void>;
}

/** The machine's side: one process that does `slots` jobs at once. */
export interface Machine {
  close(): Promise<void>;
}

/** One way to get a job from an application to a worker and its result back; a file of systems/ each. */
export interface System {
  openSubmitter(address: Address): Promise<Submitter>;
  openMachine(address: Address, slots: number, handle: (params: Params) => Result): Promise<Machine>;
}

/** Milliseconds by the machine's monotonic clock, which all processes share. */
export function nowMs(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}
