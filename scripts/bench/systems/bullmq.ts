// BullMQ as its documentation sets it up for speed: one Queue, one Worker with concurrency, completions with their
// results by QueueEvents.

import { Queue, QueueEvents, Worker } from 'bullmq';
import { KEEP_FINISHED } from '../payload.ts';
import { fail, type Result, type Submitter, type System } from '../system.ts';

const NAME = 'bench';
/** By default the oldest of 10,000 events go; a submitter that the machine held up would wait for them for ever. */
const EVENTS_MAX = 200_000;

export const system: System = {
  async openSubmitter({ url }): Promise<Submitter> {
    const keep = { count: KEEP_FINISHED };
    const queue = new Queue(NAME, {
      connection: { url },
      defaultJobOptions: { removeOnComplete: keep, removeOnFail: keep },
      streams: { events: { maxLen: EVENTS_MAX } },
    });
    // From the first event on: by default those before the first read, which comes some time after "ready", are missed.
    const events = new QueueEvents(NAME, { connection: { url }, lastEventId: '0' });
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
    };
  },

  async openMachine({ url }, { slots }, handle): Promise<void> {
    const worker = new Worker(NAME, async job => handle(job.data), {
      connection: { url },
      concurrency: slots,
    });
    worker.on('error', fail);
    await worker.waitUntilReady();
  },
};
