import type { RedisClock } from '../clock.ts';
import type { Config } from '../config.ts';
import type { Connection } from '../connections/connection.ts';
import { HubError } from '../errors.ts';
import { jsonBytes } from '../messages/json.ts';
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
  if (store.crowded && connection.pause('crowd')) store.onceRoom(() => connection.resume('crowd'));
}

const tooLarge = (job_id: string, bytes: number, limit: number) =>
  new HubError(
    'payload_too_large',
    `the record of job ${job_id} takes ${bytes} bytes, a frame at most ${limit}: GET /jobs/${job_id} has no such limit`,
    { bytes, limit },
  );

/** The first of a list that fit into so many bytes. */
export function firstFitting<T>(list: T[], bytes: number): T[] {
  let left = bytes;
  const end = list.findIndex(item => (left -= jsonBytes(item) + 1) < 0);
  return end < 0 ? list : list.slice(0, end);
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
      const frame = `{"type":"job",${replyText(message)}"job":${job.text}}`;
      const [bytes, limit] = [Buffer.byteLength(frame), config.MAX_MESSAGE_BYTES];
      if (bytes > limit) throw tooLarge(message.job_id, bytes, limit);
      connection.send(frame);
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
