// One WebSocket to a hub in one role, by hand: the console shows what happens on the wire, so nothing is
// hidden by a library.

import { protocol } from '../protocol/protocol.ts';
import type { Role } from '../../../core/messages/shared.ts';
import { touch } from '../state/live.ts';
import { readJson, writeJson } from '../text/json_text.ts';
import { frameLog } from './frame_log.ts';

const REQUEST_TIMEOUT_MS = 15_000;

export type Frame = { type: string } & Record<string, unknown>;

/** The hub answered `error`. */
export class RefusedError extends Error {
  readonly code: string;
  readonly details: unknown;

  constructor(frame: Frame) {
    super(String(frame['message'] ?? frame['code']));
    this.code = String(frame['code']);
    this.details = frame['details'];
  }
}

export interface ConnectionOptions {
  url: string;
  role: Role;
  name: string;
  token?: string | undefined;
  /** The page's own, which no console tab owns. */
  own?: boolean;
}

interface Waiting {
  resolve: (frame: Frame) => void;
  reject: (error: Error) => void;
  timer: ReturnType<typeof setTimeout>;
}

/** What a browser offers: the protocol, and the token as it cannot set a header. */
export function subprotocols(token = ''): string[] {
  return token === '' ? [protocol.subprotocol] : [protocol.subprotocol, `bearer.${base64url(token)}`];
}

function base64url(text: string): string {
  const binary = String.fromCharCode(...new TextEncoder().encode(text));
  return btoa(binary).replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '');
}

/** What people and programs write for each other, which hubs hand on as it was written. */
const HANDED_ON = ['params', 'result', 'data'] as const;

type Fields = Record<string, unknown>;

const isObject = (value: unknown): value is Fields => typeof value === 'object' && value !== null;

const handsOn = (fields: Fields) =>
  HANDED_ON.some(name => isObject(fields[name]) || typeof fields[name] === 'number');

/** The same with the numbers of what is handed on as they were written; those of the protocol are plain numbers. */
function withWritten<T extends Fields>(fields: T, written: unknown): T {
  const kept = HANDED_ON.filter(name => name in fields).map(name => [name, (written as Fields)[name]]);
  return { ...fields, ...Object.fromEntries(kept) };
}

/** Undefined for what is not a JSON object. */
export function readFrame(text: string): Frame | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return isObject(value) ? keepWritten(value as Frame, text) : undefined;
  } catch {
    return undefined;
  }
}

function keepWritten(frame: Frame, text: string): Frame {
  const { job } = frame;
  const jobHandsOn = isObject(job) && handsOn(job);
  if (!jobHandsOn && !handsOn(frame)) return frame;
  const written = readJson(text) as Fields;
  const kept = withWritten(frame, written);
  return jobHandsOn ? { ...kept, job: withWritten(job, written['job']) } : kept;
}

let requests = 0;

export class Connection {
  readonly role: Role;
  readonly name: string;
  readonly own: boolean;
  state: 'connecting' | 'open' | 'closed' = 'connecting';
  /** Why it closed, once it has. */
  closed: { code: number; reason: string; wasOpen: boolean } | undefined;
  onFrame: (frame: Frame) => void = () => {};
  onOpen: () => void = () => {};
  onClose: () => void = () => {};
  readonly #socket: WebSocket;
  readonly #waiting = new Map<string, Waiting>();

  constructor({ url, role, name, token, own = false }: ConnectionOptions) {
    this.role = role;
    this.name = name;
    this.own = own;
    this.#socket = new WebSocket(url, subprotocols(token));
    this.#socket.onopen = () => this.#opened();
    this.#socket.onmessage = event => this.#received(String(event.data));
    this.#socket.onclose = event => this.#ended(event);
    touch('connections');
  }

  #opened(): void {
    this.state = 'open';
    touch('connections');
    this.onOpen();
  }

  #received(raw: string): void {
    const frame = readFrame(raw);
    frameLog.add({ connection: this.name, own: this.own, out: false, raw, frame });
    if (frame === undefined) return;
    const id = frame['request_id'];
    const waiting = typeof id === 'string' ? this.#waiting.get(id) : undefined;
    if (waiting !== undefined) {
      clearTimeout(waiting.timer);
      this.#waiting.delete(id as string);
      if (frame.type === 'error') waiting.reject(new RefusedError(frame));
      else waiting.resolve(frame);
    }
    this.onFrame(frame);
  }

  #ended(event: CloseEvent): void {
    this.closed = { code: event.code, reason: event.reason, wasOpen: this.state === 'open' };
    this.state = 'closed';
    for (const { reject, timer } of this.#waiting.values()) {
      clearTimeout(timer);
      reject(new Error('the connection closed before the answer; it may have been done'));
    }
    this.#waiting.clear();
    touch('connections');
    this.onClose();
  }

  /** Sends a text as it is, even if the hub must refuse it: this is a debug page. */
  sendRaw(raw: string): void {
    if (this.state !== 'open') throw new Error(`${this.name} is not connected`);
    this.#socket.send(raw);
    frameLog.add({ connection: this.name, own: this.own, out: true, raw, frame: readFrame(raw) });
  }

  send(frame: Frame): void {
    this.sendRaw(writeJson(frame));
  }

  /** Sends with a fresh request_id and waits for the answer that carries it back. */
  request(frame: Frame): Promise<Frame> {
    const id = `q${++requests}`;
    return new Promise((resolve, reject) => {
      this.send({ ...frame, request_id: id });
      const timer = setTimeout(() => {
        this.#waiting.delete(id);
        reject(new Error(`no answer within ${REQUEST_TIMEOUT_MS / 1000} s`));
      }, REQUEST_TIMEOUT_MS);
      this.#waiting.set(id, { resolve, reject, timer });
    });
  }

  close(): void {
    this.#socket.close(1000);
  }
}
