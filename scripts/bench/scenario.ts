import type { RedisProcess } from '../redis_server.ts';

/** A table for people. Cells are text as it is to be shown. */
export interface Table {
  title: string;
  /** What the columns mean, where that needs saying. */
  note?: string;
  head: string[];
  rows: string[][];
}

/** Medians with their ranges, to be drawn: bars where x is a name, lines where it is a number. */
export interface Plot {
  /** The name of its file, without the extension. */
  file: string;
  title: string;
  x: string;
  y: string;
  /** For axes that span several powers of ten. */
  log_x?: boolean;
  log_y?: boolean;
  series: { name: string; points: { x: number | string; median: number; min: number; max: number }[] }[];
}

/** One line of the targets: a ratio measured within this run. */
export interface Ratio {
  what: string;
  value: number;
  /** What it must be at least (`>=`) or at most (`<=`), if anything, and what it should be. */
  target?: { is: '>=' | '<='; least?: number; aim: number };
}

/** What a scenario found. `raw` has everything measured and goes into the JSON file. */
export interface Findings {
  tables: Table[];
  plots: Plot[];
  ratios: Ratio[];
  raw: unknown;
}

/** What all scenarios share in one run of the benchmark. */
export interface Bench {
  /** Fewer and shorter runs: the whole benchmark in under two minutes. */
  quick: boolean;
  /** Runs of each cell; those of one scenario take turns. */
  reps: number;
  /** Jobs of a flood, if it is not to be the scenario's own number. */
  jobs: number | undefined;
  /** Also on servers that write to disk, where a quick run would leave that out. */
  aof: boolean;
  /** The folder for a CPU profile of each hub, if wanted. */
  profile: string | undefined;
  /** Only these systems, if given. */
  only: readonly string[] | undefined;
  /** A line of progress. */
  say(text: string): void;
  /** A private Redis, empty, that ends with the run; the same one for the same kind. */
  redis(kind: Durability): Promise<RedisProcess>;
  /** What `start` gave at the first call of this name; it is stopped when the run ends. */
  shared<T extends Stoppable>(name: string, start: () => Promise<T>): Promise<T>;
}

/** Nothing on disk, or written at once and synced every second. */
export type Durability = 'memory' | 'everysec';

export interface Stoppable {
  stop(): Promise<void>;
}

/** One question the benchmark answers; a file of scenarios/ each, listed in scenarios/index.ts. */
export interface Scenario {
  name: string;
  /** In one sentence: what is measured, against what. */
  about: string;
  /** What `--quick` runs must stay below a minute in all. */
  run(bench: Bench): Promise<Findings>;
}
