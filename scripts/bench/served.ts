// The child's end of the wire between the benchmark and its processes: requests and answers over Node's IPC.

/** What a process has used since it began. */
export interface Usage {
  cpu_ms: number;
  peak_rss_mb: number;
}

export interface Request {
  id: number;
  command: string;
  argument: unknown;
}
export type Answer = { id: number; value: unknown } | { id: number; error: string };

/** Of this process. */
export function ownUsage(): Usage {
  const { user, system } = process.cpuUsage();
  return { cpu_ms: (user + system) / 1000, peak_rss_mb: process.resourceUsage().maxRSS / 1024 };
}

// biome-ignore lint: each command knows its own argument
type Commands = Record<string, (argument: any) => unknown>;

/** Answers the parent's requests: `usage` and the given ones. Ends the process when the parent has gone. */
export function serve(commands: Commands = {}): void {
  const all: Commands = { usage: ownUsage, ...commands };
  process.on('disconnect', () => process.exit());
  process.on('message', ({ id, command, argument }: Request) => {
    // The promise turns an exception of the command itself into a rejection.
    new Promise(resolve => resolve(all[command]?.(argument))).then(
      value => process.send?.({ id, value } satisfies Answer),
      (error: Error) => process.send?.({ id, error: error.stack ?? error.message } satisfies Answer),
    );
  });
}
