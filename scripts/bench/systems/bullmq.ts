// BullMQ as its documentation sets it up for speed: one Queue, one Worker with concurrency, completions with their
// results by QueueEvents.

import { Queue, QueueEvents, Worker } from 'bullmq';
import { KEEP_FINISHED } from '../payload.ts';
import type { Machine, Result, Submitter, System } from '../system.ts';

const NAME = 'bench';
const connectionOf = (port: number) => ({ host: '127.0.0.1', port });

function fail(error: unknown): never {
  throw error;
}

export const system: System = {
  async openSubmitter({ redis_port }): Promise<Submitter> {
    const keep = { count: KEEP_FINISHED };
    const queue = new Queue(NAME, {
      connection: connectionOf(redis_port),
      defaultJobOptions: { removeOnComplete: keep, removeOnFail: keep },
    });
    const events = new QueueEvents(NAME, { connection: connectionOf(redis_port) });
    await Promise.all([queue.waitUntilReady(), events.waitUntilReady()]);

    const listeners = new Map<string, (result: Result) => void>();
    /** Completions that came before the answer to add(): they come over another connection. */
    const early = new Map<string, Result>();
    events.on('completed', ({ jobId, returnvalue }) => {
      const result = returnvalue as unknown as Result;
      const ended = listeners.get(jobId);
      if (ended === undefined) early.set(jobId, result);
      else {
        listeners.delete(jobId);
        ended(result);
      }
    });
    events.on('failed', ({ failedReason }) => fail(new Error(failedReason)));

    return {
      submit(params, acked, ended) {
        queue
          .add(NAME, params)
          .then(job => {
            acked();
            const id = job.id as string;
            const result = early.get(id);
            if (result === undefined) listeners.set(id, ended);
            else {
              early.delete(id);
              ended(result);
            }
          })
          .catch(fail);
      },
      close: async () => {
        await Promise.all([queue.close(), events.close()]);
      },
    };
  },

  async openMachine({ redis_port }, slots, handle): Promise<Machine> {
    const worker = new Worker(NAME, async job => handle(job.data), {
      connection: connectionOf(redis_port),
      concurrency: slots,
    });
    worker.on('error', fail);
    await worker.waitUntilReady();
    return { close: () => worker.close() };
  },
};
