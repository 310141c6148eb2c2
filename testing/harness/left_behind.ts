import { AsyncLocalStorage, createHook } from 'node:async_hooks';

/**
 * Runs `work` and says which timers and sockets that it opened would still keep the process running. Those that others
 * open meanwhile, the test runner for one, are told apart by the asynchronous context they were opened in.
 */
export async function leftBehind(work: () => Promise<void>): Promise<string[]> {
  const within = new AsyncLocalStorage<true>();
  const open = new Map<number, { kind: string; resource: { hasRef?(): boolean } }>();
  const hook = createHook({
    init(id, kind, _cause, resource) {
      const counts = kind === 'Timeout' || kind === 'TCPWRAP';
      if (counts && within.getStore()) open.set(id, { kind, resource });
    },
    destroy(id) {
      open.delete(id);
    },
  }).enable();
  try {
    await within.run(true, work);
    // Node tells the end of a timer or a socket one turn later.
    await new Promise(setImmediate);
    await new Promise(setImmediate);
    return [...open.values()].filter(({ resource }) => resource.hasRef?.()).map(({ kind }) => kind);
  } finally {
    hook.disable();
  }
}
