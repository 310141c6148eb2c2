import type { RedisClock } from '../clock.ts';
import type { Config } from '../config.ts';
import type { Connection } from '../connections/connection.ts';
import type { Explain } from '../services/explain.ts';
import type { Jobs } from '../services/jobs.ts';
import type { Statistics } from '../services/statistics.ts';
import type { Store } from '../store/store.ts';
import type { Handlers } from './router.ts';

export interface CommonServices {
  config: Config;
  clock: RedisClock;
  store: Store;
  jobs: Jobs;
  statistics: Statistics;
  explain: Explain;
}

/** `request_id` goes back with the direct answer. */
export const reply = (message: { request_id?: string | undefined }, answer: object) =>
  message.request_id === undefined ? answer : { ...answer, request_id: message.request_id };

/** The same as a member of a frame that is written by hand, with its comma. */
export const replyText = ({ request_id }: { request_id?: string | undefined }) =>
  request_id === undefined ? '' : `"request_id":${JSON.stringify(request_id)},`;

/** The envelope of a page needs a little room as well. */
export const pageBytes = (config: Config) => Math.floor(config.MAX_MESSAGE_BYTES * 0.95) - 1024;

/**
 * Reads a peer no further that brings new jobs faster than they go to Redis, until there is room. So a flood waits as bytes
 * in the kernel and with its sender, not as parsed jobs in the hub, where each garbage collection copies them. HTTP needs no
 * such thing: a connection asks once and waits for the answer.
 */
export function holdUp(connection: Connection, store: Store): void {
  if (connection.paused || !store.crowded) return;
  connection.pause();
  store.onceRoom(() => connection.resume());
}

type Shared = 'ping' | 'cancel_job' | 'get_job' | 'list_jobs' | 'explain_job' | 'get_stats';

/** What clients and monitors may both ask. */
export function commonRoutes({
  config,
  clock,
  store,
  jobs,
  statistics,
  explain,
}: CommonServices): Pick<Handlers<'client'> & Handlers<'monitor'>, Shared> {
  return {
    // -> pong
    ping: (connection, message) =>
      connection.sendMessage(reply(message, { type: 'pong', server_time: clock.now() })),

    // -> job_cancel_accepted | error
    cancel_job: async (connection, message) => {
      const status = await jobs.cancel(message.job_id, message.reason);
      connection.sendMessage(reply(message, { type: 'job_cancel_accepted', job_id: message.job_id, status }));
    },

    // -> job | error
    get_job: async (connection, message) => {
      const job = await jobs.get(message.job_id);
      connection.send(`{"type":"job",${replyText(message)}"job":${job.text}}`);
    },

    // -> jobs
    list_jobs: async (connection, message) => {
      const page = await store.list({ ...message, max_bytes: pageBytes(config) });
      connection.sendMessage(reply(message, { type: 'jobs', ...page }));
    },

    // -> job_explained | error
    explain_job: async (connection, message) => {
      const explanation = await explain.explain(message.job_id);
      connection.sendMessage(reply(message, { type: 'job_explained', ...explanation }));
    },

    // -> stats
    get_stats: (connection, message) =>
      connection.sendMessage(reply(message, { type: 'stats', ...statistics.stats })),
  };
}
