export interface SignalOptions {
  wait_ms?: number;
  signals?: NodeJS.Signals[];
  exit?: boolean;
}

/** What is drained: a worker. */
interface Drained {
  drain(options: { reason: string; timeout_ms: number }): Promise<boolean>;
  stop(): Promise<void>;
}

/** Drains, stops and ends the process at the first signal; the second ends the waiting. */
export function drainOnSignals(worker: Drained, options: SignalOptions): () => void {
  const { wait_ms = 25_000, signals = ['SIGTERM', 'SIGINT'], exit = true } = options;
  let asked = 0;
  const onSignal = async (signal: NodeJS.Signals) => {
    asked += 1;
    if (asked === 1) await worker.drain({ reason: signal, timeout_ms: wait_ms });
    await worker.stop();
    remove();
    if (exit) process.exit(0);
  };
  const listener = (signal: NodeJS.Signals) => void onSignal(signal);
  const remove = () => {
    for (const signal of signals) process.off(signal, listener);
  };
  for (const signal of signals) process.on(signal, listener);
  return remove;
}
