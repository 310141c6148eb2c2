import { jsonBytes } from '../messages/json.ts';
import type { ObjectText } from '../messages/object_text.ts';
import type { Connection } from '../connections/connection.ts';
import type { Log } from '../log.ts';
import { refOf } from '../store/keys.ts';
import type { Broadcaster } from '../services/broadcaster.ts';
import type { Accepted } from '../services/jobs.ts';
import {
  type CommonServices,
  commonRoutes,
  firstFitting,
  holdUp,
  pageBytes,
  reply,
  replyText,
} from './common.ts';
import { ClientListener, errorBody } from './peer.ts';
import type { Handlers, Router } from './router.ts';
import { HubError } from '../errors.ts';
import { WATCH_MAX } from '../messages/client.ts';

export interface ClientServices extends CommonServices {
  log: Log;
  broadcaster: Broadcaster;
  router: () => Router;
}

/** Watches of one connection altogether; a frame may name at most WATCH_MAX. */
const WATCHES_MAX = 100 * WATCH_MAX;

export function clientRoutes(services: ClientServices): Handlers<'client'> {
  const { jobs, broadcaster, store } = services;
  const listeners = new WeakMap<Connection, ClientListener>();
  const listenerOf = (connection: Connection) => {
    let listener = listeners.get(connection);
    if (listener === undefined) {
      const made = new ClientListener(connection);
      listeners.set(connection, made);
      connection.onClose(() => broadcaster.dropAll(made));
      listener = made;
    }
    return listener;
  };

  return {
    ...commonRoutes(services),

    // -> job_accepted | error
    submit_job: (connection, message, frame) => {
      const by = { client_id: connection.client_id, listener: listenerOf(connection) };
      // Not the message itself: it would be kept until Redis answers.
      const { request_id } = message;
      jobs.submit(message, frame, by, (error, accepted) => {
        if (error) services.router().fail(connection, request_id, error);
        else connection.send(acceptedText(accepted as Accepted, request_id));
      });
      holdUp(connection, store);
    },

    // -> jobs_accepted, one result a job
    submit_jobs: (connection, message, frame) => {
      const batch = new BatchAnswer(message.jobs.length, results => {
        const told = jsonBytes(results) > pageBytes(services.config) ? results.map(brief) : results;
        connection.sendMessage(reply(message, { type: 'jobs_accepted', results: told }));
      });
      const by = { client_id: connection.client_id, listener: listenerOf(connection), defer: batch.defer };
      const texts = frame.text.objects('jobs');
      message.jobs.forEach((body, i) => {
        const failed = (error: unknown) =>
          batch.set(i, { ...idOfBody(body), error: errorBody(error, services.log) });
        try {
          const source = { body: body as Record<string, unknown>, text: texts[i] as ObjectText };
          jobs.submit(jobs.read(body), source, by, (error, accepted) => {
            if (error) failed(error);
            else batch.set(i, batchResult(accepted as Accepted));
          });
        } catch (error) {
          failed(error);
        }
      });
      holdUp(connection, store);
    },

    // -> jobs_watched, then the replay
    watch_jobs: async (connection, message) => {
      const listener = listenerOf(connection);
      if (broadcaster.watching(listener) + message.job_ids.length > WATCHES_MAX) {
        throw new HubError('rate_limited', `one connection watches at most ${WATCHES_MAX} jobs`, {
          limit: WATCHES_MAX,
          retry_after_ms: 1000,
        });
      }
      const after = { seq: message.after_seq ?? {}, output: message.after_output ?? {} };
      await broadcaster.watch(listener, message.job_ids, after, found => {
        const ids = [...new Set(message.job_ids)];
        const records = found.flatMap(job => (job === null ? [] : [job.record(false)]));
        const not_found = ids.filter((_, i) => found[i] === null);
        const shown = firstFitting(records, pageBytes(services.config) - jsonBytes(not_found));
        connection.sendMessage(reply(message, { type: 'jobs_watched', jobs: shown, not_found }));
      });
    },

    // -> jobs_unwatched
    unwatch_jobs: (connection, message) => {
      for (const job_id of message.job_ids) broadcaster.drop(listenerOf(connection), refOf(job_id));
      connection.sendMessage(reply(message, { type: 'jobs_unwatched', job_ids: message.job_ids }));
    },
  };
}

/** Written by hand: it is answered to each job, and nothing in it but warnings needs escapes. */
function acceptedText(accepted: Accepted, request_id: string | undefined): string {
  const { job_id, status, duplicate, seq, position, created_at, warnings } = accepted;
  const told = warnings === undefined ? '' : `,"warnings":${JSON.stringify(warnings)}`;
  return `{"type":"job_accepted",${replyText({ request_id })}"job_id":"${job_id}","status":"${status}","duplicate":${duplicate},"seq":${seq},"position":${position},"created_at":${created_at}${told}}`;
}

function idOfBody(body: unknown): { job_id?: string } {
  const job_id = (body as { job_id?: unknown } | null)?.job_id;
  return typeof job_id === 'string' ? { job_id: job_id.slice(0, 128) } : {};
}

interface BatchResult {
  job_id?: string;
  warnings?: string[];
  error?: { code: string; message: string; details?: unknown };
}

function batchResult({ job_id, status, duplicate, seq, warnings }: Accepted): BatchResult {
  const result = { job_id, status, duplicate, seq };
  return warnings ? { ...result, warnings } : result;
}

/** What is left of a result where those of a batch are too much for a frame: its outcome, and the first fault. */
function brief({ warnings: _warnings, error, ...result }: BatchResult): BatchResult {
  if (error === undefined) return result;
  const { code, message } = error;
  return { ...result, error: { code, message } };
}

/** Gathers the results of a batch, sends them when all are there, and lets the jobs' events go out after that. */
class BatchAnswer {
  readonly #results: BatchResult[];
  readonly #send: (results: BatchResult[]) => void;
  readonly #releases: (() => void)[] = [];
  #left: number;

  constructor(size: number, send: (results: BatchResult[]) => void) {
    this.#results = Array.from({ length: size });
    this.#left = size;
    this.#send = send;
  }

  set(index: number, result: BatchResult): void {
    this.#results[index] = result;
    this.#left -= 1;
    if (this.#left > 0) return;
    this.#send(this.#results);
    for (const release of this.#releases) release();
  }

  readonly defer = (release: () => void): void => {
    if (this.#left > 0) this.#releases.push(release);
    else release();
  };
}
