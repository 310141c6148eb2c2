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
    if (connection.busy) this.#readAfter(connection.busy, connection, text);
    else this.#read(connection, text);
  }

  /**
   * What follows a registration is read after it. `busy` stays the last of those that wait: a frame may itself be a
   * registration, which the frames behind it, waiting for this promise, wait for as well.
   */
  #readAfter(before: Promise<void>, connection: Connection, text: string): void {
    const busy: Promise<void> = before.then(() => {
      const last = connection.busy;
      connection.busy = undefined;
      this.#read(connection, text);
      const registering = connection.busy;
      if (last !== busy) connection.busy = last;
      return registering;
    });
    connection.busy = busy;
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
    answering.catch((error: unknown) => this.fail(connection, request_id, error));
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
