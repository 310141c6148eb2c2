import type { Connection } from '../connections/connection.ts';
import { CLOSE, HubError } from '../errors.ts';
import type { Log } from '../log.ts';
import type { Listener } from '../services/broadcaster.ts';
import type { JobEvent } from '../store/store.ts';
import { TERMINAL_EVENTS } from '../messages/job.ts';

/** The text of an error for its peer; what is not meant for one is `internal`, and logged. */
export function errorBody(error: unknown, log: Log): { code: string; message: string; details?: unknown } {
  if (error instanceof HubError) {
    const { code, message, details } = error;
    return details === undefined ? { code, message } : { code, message, details };
  }
  log.error({ err: error }, 'a bug');
  return { code: 'internal', message: 'the hub made a mistake; it is in its log' };
}

/** A client's socket as a listener for events: progress may be coalesced while it reads slowly, nothing else. */
export class ClientListener implements Listener {
  readonly #connection: Connection;

  constructor(connection: Connection) {
    this.#connection = connection;
  }

  event(event: JobEvent, frame: string): void {
    if (event.type === 'job_progress') return this.#connection.sendLatest(event.ref, frame);
    if (TERMINAL_EVENTS.has(event.type)) this.#connection.forget(event.ref);
    this.#connection.send(frame);
  }

  /** It learns what is lost by watching again, and submits that again. */
  lost(): void {
    this.#connection.close(CLOSE.restart, 'Redis lost jobs that were accepted: watch them again');
  }
}
