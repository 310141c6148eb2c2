import type { Config } from '../config.ts';
import type { Connection } from '../connections/connection.ts';
import { CLOSE, HubError } from '../errors.ts';
import type { Log } from '../log.ts';
import { decode, type Frame, parseFrame } from '../messages/codec.ts';
import type { MessageOf, TypeOf } from '../messages/protocol.ts';
import type { Role } from '../messages/shared.ts';
import { errorBody } from './peer.ts';

/** Answers one message. What it throws is told to the peer. */
type Handler<M> = (connection: Connection, message: M, frame: Frame) => void | Promise<void>;
/** A handler for each message the role may send: a missing one does not compile. */
export type Handlers<R extends Role> = { [T in TypeOf<R>]: Handler<MessageOf<R, T>> };

export type Routes = { [R in Role]: Handlers<R> };

/** The codes that count towards MAX_BAD_FRAMES. */
const BAD = new Set(['invalid_json', 'unknown_type', 'invalid_message']);

/**
 * Requests of one connection that may wait for an answer at once. All share one link to Redis: thousands of one peer would
 * stand before everybody else's there, and in memory. One peer rarely has a few, and so many keep the link full. (A
 * submission has a bound of its own: see `holdUp`.)
 */
export const UNDER_WAY_MAX = 32;

const mustWait = ({ alone, under_way }: Connection) => alone || under_way >= UNDER_WAY_MAX;

/** Reads frames, calls their handlers, answers errors, and closes peers that send nothing but nonsense. */
export class Router {
  readonly #handlers: Record<Role, ReadonlyMap<string, Handler<unknown>>>;
  readonly #config: Config;
  readonly #log: Log;
  /** What must hold before a message of a role is read, e.g. registration. */
  readonly #before: (connection: Connection, type: string) => void;

  constructor(
    routes: Routes,
    config: Config,
    log: Log,
    before: (connection: Connection, type: string) => void,
  ) {
    const byType = (handlers: object) => new Map<string, Handler<unknown>>(Object.entries(handlers));
    this.#handlers = {
      client: byType(routes.client),
      worker: byType(routes.worker),
      monitor: byType(routes.monitor),
    };
    this.#config = config;
    this.#log = log;
    this.#before = before;
  }

  frame(connection: Connection, text: string): void {
    if (connection.waiting.length === 0 && !mustWait(connection)) return this.#read(connection, text);
    connection.waiting.push(text);
    // What its socket has given already still comes: at most a piece of some 64 KiB, or one frame.
    connection.pause('requests');
  }

  /** Reads what waited, as far as it may go on. */
  #readOn(connection: Connection): void {
    const { waiting } = connection;
    while (waiting.length > 0 && !mustWait(connection)) this.#read(connection, waiting.shift() as string);
    if (waiting.length === 0) connection.resume('requests');
  }

  #read(connection: Connection, text: string): void {
    if (connection.closed) return;
    let frame: Frame | undefined;
    try {
      frame = parseFrame(text);
      const handler = this.#handlers[connection.role].get(frame.type);
      if (handler) this.#before(connection, frame.type);
      const message = decode(connection.role, frame);
      connection.bad_frames = 0;
      const answering = (handler as Handler<unknown>)(connection, message, frame);
      if (answering) this.#follow(answering, connection, frame.request_id);
    } catch (error) {
      this.fail(connection, frame?.request_id, error);
    }
  }

  #follow(answering: Promise<void>, connection: Connection, request_id: string | undefined): void {
    connection.under_way += 1;
    void answering
      .catch((error: unknown) => this.fail(connection, request_id, error))
      .then(() => {
        connection.under_way -= 1;
        this.#readOn(connection);
      });
  }

  fail(connection: Connection, request_id: string | undefined, error: unknown): void {
    const body = errorBody(error, this.#log);
    connection.sendMessage({ type: 'error', ...(request_id === undefined ? {} : { request_id }), ...body });
    if (!(error instanceof HubError) || !BAD.has(error.code)) return;
    connection.bad_frames += 1;
    if (connection.bad_frames > this.#config.MAX_BAD_FRAMES)
      connection.close(CLOSE.bad_frames, 'too many bad frames in a row');
  }
}
