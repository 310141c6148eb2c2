import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Backend, OpenBackend } from './backend.ts';
import type { Flood, FloodPlan, Paced, PacePlan } from './load.ts';
import { BenchProcess } from './process.ts';
import { MissingServer } from './packages.ts';
import type { Bench, Durability } from './scenario.ts';
import type { Usage } from './served.ts';
import type { Address } from './system.ts';

/** One system in one setting. */
export interface Cell {
  name: string;
  /** What `--only` calls it; several cells may share it. */
  system: string;
  /** A file of systems/. */
  file: string;
  durability: Durability;
  /** Gets a server that not every machine has. @throws MissingServer */
  needs?: (bench: Bench) => Promise<unknown>;
  backend: OpenBackend;
  /** They share the slots. */
  machines: number;
  /** Of the others' jobs, this share: one that is slower by a factor would take up the whole run. */
  share?: number;
}

export const SLOTS = 64;
export const IN_FLIGHT = 500;
/** After a warm-up or a flood: what is still being tidied up belongs to no later measurement. */
const SETTLE_MS = 300;
const FLOOD_TIMEOUT_MS = 120_000;

/** The columns of every table that tells processes apart, in this order. */
export const PROCESSES = ['hub', 'server', 'producer', 'worker'];

/** A cell in fresh processes, on an empty backend. */
export class RunningCell {
  readonly backend: Backend;
  readonly producer: BenchProcess;
  readonly worker: BenchProcess;

  private constructor(backend: Backend, producer: BenchProcess, worker: BenchProcess) {
    this.backend = backend;
    this.producer = producer;
    this.worker = worker;
  }

  /** Opens a cell, works with it, and ends its processes however that went. */
  static async during<T>(
    cell: Cell,
    bench: Bench,
    work: (running: RunningCell) => Promise<T>,
    slots = SLOTS,
  ): Promise<T> {
    const running = await RunningCell.#open(cell, bench, slots);
    try {
      return await work(running);
    } finally {
      await running.#close();
    }
  }

  static async #open(cell: Cell, bench: Bench, slots: number): Promise<RunningCell> {
    // They start while the backend does.
    const [producer, worker] = ['producer', 'worker'].map(
      role => new BenchProcess(role, 'scripts/bench/peer.js', [cell.file, role]),
    ) as [BenchProcess, BenchProcess];
    let backend: Backend | undefined;
    try {
      backend = await cell.backend(bench);
      const address: Address = {
        url: backend.url,
        durability: cell.durability,
        run_id: randomBytes(6).toString('hex'),
      };
      // Some brokers drop what nobody listens to yet.
      await worker.ask('open', { address, machines: cell.machines, slots });
      await producer.ask('open', address);
      return new RunningCell(backend, producer, worker);
    } catch (error) {
      await Promise.all([producer.stop(), worker.stop()]);
      await backend?.close();
      throw error;
    }
  }

  /** So many jobs, as fast as they go. */
  flood(jobs: number): Promise<Flood> {
    const plan: FloodPlan = { jobs, in_flight: IN_FLIGHT };
    return this.producer.ask<Flood>('flood', plan, FLOOD_TIMEOUT_MS);
  }

  pace(plan: PacePlan): Promise<Paced> {
    return this.producer.ask<Paced>('pace', plan, FLOOD_TIMEOUT_MS);
  }

  settle(): Promise<void> {
    return sleep(SETTLE_MS);
  }

  /** What each process has used so far. */
  async usage(): Promise<Record<string, Usage>> {
    const [backend, producer, worker] = await Promise.all([
      this.backend.usage(),
      this.producer.usage(),
      this.worker.usage(),
    ]);
    return { ...backend, producer, worker };
  }

  async #close(): Promise<void> {
    await Promise.all([this.producer.stop(), this.worker.stop()]);
    await this.backend.close();
  }
}

/** Those whose servers are to be had on this machine; of each other one a line is said. */
export async function available(cells: readonly Cell[], bench: Bench): Promise<Cell[]> {
  const there: Cell[] = [];
  for (const cell of cells) {
    try {
      await cell.needs?.(bench);
      there.push(cell);
    } catch (error) {
      if (!(error instanceof MissingServer)) throw error;
      bench.say(`left out: ${cell.name}. ${error.message}`);
    }
  }
  return there;
}

/** Runs every cell once a repetition, each time in another order: the machine drifts, and all drift with it. */
export async function takeTurns<Run>(
  cells: readonly Cell[],
  reps: number,
  run: (cell: Cell, rep: number) => Promise<Run>,
): Promise<Run[]> {
  const runs: Run[] = [];
  for (let rep = 0; rep < reps; rep++) {
    const shift = rep % Math.max(cells.length, 1);
    for (const cell of [...cells.slice(shift), ...cells.slice(0, shift)]) runs.push(await run(cell, rep));
  }
  return runs;
}
