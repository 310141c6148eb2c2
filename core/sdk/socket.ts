import type { IncomingMessage } from 'node:http';
import type { z } from 'zod';
import { CLOSE } from '../errors.ts';
import type { Limits, Role, Welcome } from '../messages/shared.ts';
import { maskedFrames } from './masked_frames.ts';

/** Declared here a second time because importing protocol.ts would bring all of zod into a browser. */
const SUBPROTOCOL: typeof import('../messages/protocol.ts').SUBPROTOCOL = 'gpuhub.v1';

export type WelcomeMessage = z.infer<typeof Welcome>;
export type HubLimits = z.infer<typeof Limits>;

/** Any frame of the hub: what is beside `type` depends on it. */
export interface HubMessage {
  type: string;
  request_id?: string;
  [field: string]: unknown;
}

/** Codes that the SDK itself gives, beside those of the protocol. */
export type LocalErrorCode = 'unreachable' | 'closed' | 'replaced' | 'timeout' | 'aborted' | 'unwatched';

/**
 * What went wrong, as the hub said it (`code`, `message`, `details` of its `error`), or as the SDK found it:
 * `unreachable` (no hub answered), `closed` (this end was closed), `replaced` (the same machine registered
 * again elsewhere), `timeout` and `aborted` (the caller gave up), `unwatched` (its watch was taken back).
 */
export class GpuhubError extends Error {
  readonly code: string;
  readonly details: unknown;

  constructor(code: LocalErrorCode | (string & {}), message: string, details?: unknown) {
    super(message);
    this.name = 'GpuhubError';
    this.code = code;
    this.details = details;
  }
}

/** One open WebSocket, as much of it as the SDK needs. */
export interface Wire {
  /** Bytes that were sent and have not left yet. */
  readonly buffered: number;
  send(text: string): void;
  /** The polite end: what was sent still leaves. */
  close(code: number, reason: string): void;
  /** The end at once, when the other side is not believed to be there. */
  terminate(): void;
}

/** What a wire tells its owner. `close` comes once, last. */
export interface WireEvents {
  message(text: string): void;
  /** Any sign of life that is not a message, such as a WebSocket ping. */
  sign(): void;
  close(code: number, reason: string, refusal?: Refusal): void;
}

/** A handshake that was answered, but not with 101. A browser never tells. */
export interface Refusal {
  /** The HTTP status; 0 when nobody answered. */
  status: number;
  message: string;
  retry_after_ms?: number | undefined;
}

/** Where to connect and with what. */
export interface Address {
  url: string;
  token: string | undefined;
  /** Time for the handshake, ms. */
  timeout_ms: number;
}

/** Opens a wire. May be given in place of the built-in ones, for tests or other runtimes. */
export type WireFactory = (address: Address, events: WireEvents) => Wire | Promise<Wire>;

const CLOSED_ABNORMALLY = 1006;

/** Waiting before the next attempt to connect, all in ms; random so that a fleet does not come back as one. */
export interface BackoffOptions {
  /** The most that is waited after the first failure; doubled with each further one. */
  base_ms: number;
  cap_ms: number;
  /** Only a connection that lasted this long makes the next failure a first one again. */
  stable_ms: number;
  random: () => number;
}
const BACKOFF: BackoffOptions = { base_ms: 500, cap_ms: 30_000, stable_ms: 60_000, random: Math.random };

/** A restarting hub asks for a random delay: the others take its peers over, spread over a second. */
const RESTART_DELAY_MS = { least: 200, spread: 1000 };
/** An overloaded hub is spared the short delays: it counts as this many failures more. */
const OVERLOAD_FAILURES = 2;

/** Decides how long to wait before the next attempt. */
export class Backoff {
  #failures = 0;
  readonly #options: BackoffOptions;

  constructor(options: Partial<BackoffOptions> = {}) {
    this.#options = { ...BACKOFF, ...options };
  }

  /**
   * @param code how the last connection closed
   * @param lasted_ms how long it was open, 0 if it never was
   * @param urls how many hubs there are to try: the wait grows once a round
   */
  next(code: number, lasted_ms: number, urls = 1): number {
    const { base_ms, cap_ms, stable_ms, random } = this.#options;
    if (lasted_ms >= stable_ms) this.#failures = 0;
    const overloaded = code === CLOSE.overloaded || code === CLOSE.too_many;
    if (overloaded) this.#failures += OVERLOAD_FAILURES * urls;
    const most = Math.min(cap_ms, base_ms * 2 ** Math.floor(this.#failures / urls));
    this.#failures += 1;
    if (code === CLOSE.restart) return RESTART_DELAY_MS.least + random() * RESTART_DELAY_MS.spread;
    return overloaded ? most / 2 + (random() * most) / 2 : random() * most;
  }
}

export interface HubSocketOptions {
  /** `ws://host:port`, or several hubs of one Redis: the next is tried when one fails. */
  url: string | readonly string[];
  role: Role;
  /** Further query parameters. Never a credential: the hub refuses a token in a URL. */
  query?: Record<string, string>;
  token?: string | undefined;
  backoff?: Partial<BackoffOptions> | undefined;
  /** For the handshake and `welcome` together, ms. Default 10,000. */
  connect_timeout_ms?: number | undefined;
  factory?: WireFactory | undefined;
  /** Reads a frame, in place of `JSON.parse`. */
  parse?: ((text: string) => HubMessage) | undefined;
}

/** What the owner of a {@link HubSocket} is told. */
export interface HubSocketEvents {
  /** `welcome` came: requests may be sent. */
  open(welcome: WelcomeMessage): void;
  message(message: HubMessage): void;
  /** The connection, or an attempt at one, was lost; the next follows after `retry_in_ms`. */
  down(fault: GpuhubError, retry_in_ms: number): void;
  /** Over for good: refused, replaced, or closed by {@link HubSocket.close} (then without a fault). */
  end(fault: GpuhubError | undefined): void;
}

/**
 * A socket to any of the hubs that comes back by itself.
 *
 *     idle -> connecting -> open -> waiting -> connecting ...
 *     any  -> ended   by close(), or by a refusal that no retry can mend (4401, 4403, 4409; HTTP 400, 401, 403)
 *
 * It promises nothing about messages that were sent when the connection broke: its owner sends again what was
 * not answered. A hub that says nothing for more than two ping intervals is taken for dead.
 */
export class HubSocket {
  readonly #options: HubSocketOptions;
  readonly #events: HubSocketEvents;
  readonly #parse: (text: string) => HubMessage;
  readonly #urls: readonly string[];
  readonly #backoff: Backoff;
  #state: 'idle' | 'connecting' | 'open' | 'waiting' | 'ended' = 'idle';
  #wire: Wire | undefined;
  /** Raised with each attempt: what a former wire still has to say is not heard. */
  #generation = 0;
  #url_index = 0;
  #welcome: WelcomeMessage | undefined;
  #opened_at = 0;
  #retry: ReturnType<typeof setTimeout> | undefined;
  #watchdog: Watchdog | undefined;
  #closing: { resolve: () => void; timer: ReturnType<typeof setTimeout> } | undefined;

  constructor(options: HubSocketOptions, events: HubSocketEvents) {
    this.#options = options;
    this.#events = events;
    this.#parse = options.parse ?? JSON.parse;
    this.#urls = (typeof options.url === 'string' ? [options.url] : options.url).map(url =>
      hubUrl(url, options.role, options.query ?? {}),
    );
    if (this.#urls.length === 0) throw new TypeError('url: at least one hub is needed');
    this.#backoff = new Backoff(options.backoff);
  }

  /** What the hub said of itself on the present connection; `undefined` while there is none. */
  get welcome(): WelcomeMessage | undefined {
    return this.#state === 'open' ? this.#welcome : undefined;
  }

  /** Bytes sent that have not left this machine. */
  get buffered(): number {
    return this.#wire?.buffered ?? 0;
  }

  /** Begins to connect. A second call does nothing. */
  start(): void {
    if (this.#state === 'idle') void this.#connect();
  }

  /** Sends one frame; `false` if there is no connection. All frames of a turn leave in one write (Node). */
  send(message: object | string): boolean {
    if (this.#state !== 'open' || this.#wire === undefined) return false;
    this.#wire.send(typeof message === 'string' ? message : JSON.stringify(message));
    return true;
  }

  /**
   * Ends it for good. What was sent still leaves.
   *
   * @param timeout_ms a hub that does not answer the close within this time is cut off
   */
  close(timeout_ms = 2000): Promise<void> {
    if (this.#state === 'ended') return Promise.resolve();
    const wire = this.#state === 'open' ? this.#wire : undefined;
    if (wire === undefined) {
      this.#wire?.terminate();
      this.#end(undefined);
      return Promise.resolve();
    }
    return new Promise(resolve => {
      const previous = this.#closing;
      if (previous !== undefined) clearTimeout(previous.timer);
      const timer = setTimeout(() => wire.terminate(), timeout_ms);
      this.#closing = { resolve: () => (previous?.resolve(), resolve()), timer };
      if (previous === undefined) wire.close(1000, '');
    });
  }

  /** Drops the connection and makes a new one, as after a fault. */
  reconnect(reason: string): void {
    if (this.#state !== 'open' && this.#state !== 'connecting') return;
    const wire = this.#wire;
    this.#lost(CLOSED_ABNORMALLY, reason);
    wire?.terminate();
  }

  async #connect(): Promise<void> {
    this.#state = 'connecting';
    const generation = ++this.#generation;
    const live = () => generation === this.#generation;
    const url = this.#urls[this.#url_index % this.#urls.length] as string;
    const timeout_ms = this.#options.connect_timeout_ms ?? 10_000;
    this.#watchdog = new Watchdog(timeout_ms, () => this.reconnect(`no welcome within ${timeout_ms} ms`));
    const events: WireEvents = {
      message: text => void (live() && this.#read(text)),
      sign: () => void (live() && this.#watchdog?.heard()),
      close: (code, reason, refusal) => void (live() && this.#lost(code, reason, refusal)),
    };
    const factory = this.#options.factory ?? (isNode() ? nodeWire : browserWire);
    try {
      const wire = await factory({ url, token: this.#options.token, timeout_ms }, events);
      if (live()) this.#wire = wire;
      else wire.terminate();
    } catch (error) {
      if (live()) this.#lost(CLOSED_ABNORMALLY, error instanceof Error ? error.message : String(error));
    }
  }

  #read(text: string): void {
    this.#watchdog?.heard();
    let message: HubMessage;
    try {
      message = this.#parse(text);
    } catch {
      this.reconnect('the hub sent a frame that is not JSON');
      return;
    }
    if (typeof message?.type !== 'string') return;
    if (this.#state === 'open') this.#events.message(message);
    else if (message.type === 'welcome') this.#open(message as unknown as WelcomeMessage);
  }

  #open(welcome: WelcomeMessage): void {
    this.#state = 'open';
    this.#welcome = welcome;
    this.#opened_at = performance.now();
    const interval_ms = welcome.ping_interval_ms;
    this.#watchdog?.stop();
    this.#watchdog = new Watchdog(
      2 * interval_ms + Math.min(interval_ms, SILENCE_SLACK_MS),
      () => this.reconnect('the hub has said nothing for two ping intervals'),
      // A browser does not show pings, and a busy worker may get none: ask.
      () => this.send({ type: 'ping' }),
    );
    this.#events.open(welcome);
  }

  #lost(code: number, reason: string, refusal?: Refusal): void {
    const lasted_ms = this.#state === 'open' ? performance.now() - this.#opened_at : 0;
    this.#generation += 1;
    this.#wire = undefined;
    this.#watchdog?.stop();
    if (this.#closing !== undefined) {
      this.#end(undefined);
      return;
    }
    const fault = faultOf(code, reason, refusal, this.#urls[this.#url_index % this.#urls.length] as string);
    if (fault.final) {
      this.#end(fault.error);
      return;
    }
    this.#state = 'waiting';
    this.#url_index += 1;
    const wait_ms = Math.max(
      this.#backoff.next(refusal?.status === 503 ? CLOSE.overloaded : code, lasted_ms, this.#urls.length),
      refusal?.retry_after_ms ?? 0,
    );
    this.#retry = setTimeout(() => void this.#connect(), wait_ms);
    this.#events.down(fault.error, wait_ms);
  }

  #end(fault: GpuhubError | undefined): void {
    if (this.#state === 'ended') return;
    this.#state = 'ended';
    this.#generation += 1;
    this.#wire = undefined;
    clearTimeout(this.#retry);
    this.#watchdog?.stop();
    if (this.#closing !== undefined) clearTimeout(this.#closing.timer);
    this.#events.end(fault);
    this.#closing?.resolve();
  }
}

/** At most this is added to two ping intervals, and at most one more: a ping that is on its way counts. */
const SILENCE_SLACK_MS = 2000;

/** Calls `expired` after `limit_ms` without {@link heard}; `ask` comes at half of that, and again. */
class Watchdog {
  #heard_at = performance.now();
  #looked_at = performance.now();
  #timer: ReturnType<typeof setInterval>;

  constructor(limit_ms: number, expired: () => void, ask?: () => void) {
    const step_ms = limit_ms / 4;
    this.#timer = setInterval(() => {
      const now = performance.now();
      const slept = now - this.#looked_at > 2 * step_ms;
      this.#looked_at = now;
      // If this process stood still (a long computation, a closed laptop), the silence may be its own: what
      // came meanwhile is read only after this timer.
      if (slept) this.#heard_at = Math.max(this.#heard_at, now - limit_ms / 2);
      const silent_ms = now - this.#heard_at;
      if (silent_ms >= limit_ms) expired();
      else if (silent_ms >= limit_ms / 2 - step_ms / 2) ask?.();
    }, step_ms);
  }

  heard(): void {
    this.#heard_at = performance.now();
  }

  stop(): void {
    clearInterval(this.#timer);
  }
}

/** The WebSocket URL of a role: `ws://host:8000` -> `ws://host:8000/ws/client?client_id=a`. http(s) is taken as ws(s). */
function hubUrl(base: string, role: Role, query: Record<string, string>): string {
  let url: URL;
  try {
    url = new URL(base.replace(/^http/, 'ws'));
  } catch {
    throw new TypeError(`url: "${base}" is not a URL; it should look like ws://127.0.0.1:8000`);
  }
  if (url.protocol !== 'ws:' && url.protocol !== 'wss:') {
    throw new TypeError(`url: "${base}" must begin with ws:// or wss://`);
  }
  if (!url.pathname.endsWith(`/ws/${role}`)) url.pathname = `${url.pathname.replace(/\/+$/, '')}/ws/${role}`;
  for (const [key, value] of Object.entries(query)) url.searchParams.set(key, value);
  url.hash = '';
  return url.href;
}

/** Close codes after which the same try would end the same way. */
const FINAL_CLOSES = new Map<number, [code: string, message: string]>([
  [CLOSE.unauthorized, ['unauthorized', 'the hub wants other credentials']],
  [CLOSE.forbidden, ['forbidden', 'these credentials do not have this role']],
  [CLOSE.replaced, ['replaced', 'the same machine_id has registered again elsewhere']],
]);
const FINAL_STATUSES = new Map<number, string>([
  [400, 'invalid_message'],
  [401, 'unauthorized'],
  [403, 'forbidden'],
]);

function faultOf(code: number, reason: string, refusal: Refusal | undefined, url: string) {
  const details = { close_code: code, http_status: refusal?.status || undefined };
  const closed = FINAL_CLOSES.get(code);
  if (closed !== undefined) {
    return { final: true, error: new GpuhubError(closed[0], reason || closed[1], details) };
  }
  const refused = refusal && FINAL_STATUSES.get(refusal.status);
  if (refused !== undefined) {
    return { final: true, error: new GpuhubError(refused, refusal?.message ?? '', details) };
  }
  const origin = new URL(url).host;
  const why = refusal?.message || reason || (code === CLOSED_ABNORMALLY ? 'no answer' : `closed ${code}`);
  return { final: false, error: new GpuhubError('unreachable', `no hub at ${origin}: ${why}`, details) };
}

function isNode(): boolean {
  return typeof process !== 'undefined' && typeof process.versions?.node === 'string';
}

/** More of the body of a refused handshake is not read: it is one sentence. */
const REFUSAL_BYTES_MAX = 4096;

/** A wire over the `ws` package. Node's own WebSocket shows no pings, takes no headers and writes frame by frame. */
export const nodeWire: WireFactory = async (address, events) => {
  // A bundler for browsers puts the package's stub here, which is never reached.
  const { WebSocket } = await import('ws');
  const ws = new WebSocket(address.url, [SUBPROTOCOL], {
    perMessageDeflate: false,
    handshakeTimeout: address.timeout_ms,
    headers: address.token === undefined ? {} : { authorization: `Bearer ${address.token}` },
  });
  let refusal: Refusal | undefined;
  let texts: Outgoing | undefined;
  ws.on('upgrade', ({ socket }) => {
    socket.setNoDelay(true);
    texts = new Outgoing(frames => void (ws.readyState === ws.OPEN && socket.write(frames)));
  });
  // Binary frames are previews, which this SDK does not ask for.
  ws.on('message', (data, is_binary) =>
    is_binary ? events.sign() : events.message((data as Buffer).toString()),
  );
  ws.on('ping', () => events.sign());
  ws.on('pong', () => events.sign());
  ws.on('unexpected-response', (_request, response) => {
    readRefusal(response, read => {
      refusal = read;
      ws.terminate();
    });
  });
  ws.on('error', error => {
    refusal ??= { status: 0, message: plainMessage(error) };
  });
  ws.on('close', (code, reason) => events.close(code, reason.toString(), refusal));
  return {
    get buffered() {
      return ws.bufferedAmount + (texts?.length ?? 0);
    },
    send: text => texts?.add(text),
    close(code, reason) {
      texts?.flush();
      ws.close(code, reason);
    },
    terminate: () => ws.terminate(),
  };
};

/**
 * Holds texts back until the end of the turn, so that all of a turn leave in one write: the largest single gain
 * measured for small messages. Waiting for what the turn's promises say as well (setImmediate) joins the start and the
 * end of quick jobs and saves the hub a tenth of its commands, but everything then goes in larger pieces, with hub,
 * Redis and workers taking turns: 6,000 jobs/s instead of 6,600.
 */
class Outgoing {
  /** Of what waits, in UTF-16 units. */
  length = 0;
  #texts: string[] = [];
  readonly #write: (frames: Uint8Array) => void;
  readonly #flush = () => this.flush();

  constructor(write: (frames: Uint8Array) => void) {
    this.#write = write;
  }

  add(text: string): void {
    if (this.#texts.push(text) === 1) process.nextTick(this.#flush);
    this.length += text.length;
  }

  flush(): void {
    if (this.#texts.length === 0) return;
    const texts = this.#texts;
    this.#texts = [];
    this.length = 0;
    this.#write(maskedFrames(texts));
  }
}

/** Reads why a handshake was refused; the hub says it in its usual error body. */
function readRefusal(response: IncomingMessage, done: (refusal: Refusal) => void): void {
  const status = response.statusCode ?? 0;
  const retry_after_s = Number(response.headers['retry-after']);
  let body = '';
  response.on('data', (chunk: Buffer) => {
    if (body.length < REFUSAL_BYTES_MAX) body += chunk;
  });
  response.on('close', () =>
    done({
      status,
      message: refusalText(body) ?? `HTTP ${status} ${response.statusMessage ?? ''}`.trim(),
      retry_after_ms: retry_after_s > 0 ? retry_after_s * 1000 : undefined,
    }),
  );
  response.on('error', ignore);
}

/** For faults that are followed by `close`, which says them. */
function ignore(): void {}

/** Node's errors of several addresses have no message of their own. */
function plainMessage(error: Error & { code?: string; errors?: Error[] }): string {
  return error.errors?.[0]?.message || error.message || error.code || 'the connection failed';
}

function refusalText(body: string): string | undefined {
  try {
    const message = JSON.parse(body)?.error?.message;
    return typeof message === 'string' ? message : undefined;
  } catch {
    return undefined;
  }
}

/** A wire over the global WebSocket of a browser. A token goes as a subprotocol, the only place a page can put it. */
export const browserWire: WireFactory = (address, events) => {
  const protocols: string[] = [SUBPROTOCOL];
  if (address.token !== undefined)
    protocols.push(`bearer.${base64url(new TextEncoder().encode(address.token))}`);
  const ws = new WebSocket(address.url, protocols);
  let over = false;
  const close = (code: number, reason: string) => {
    if (over) return;
    over = true;
    events.close(code, reason);
  };
  ws.onmessage = event => {
    if (typeof event.data === 'string') events.message(event.data);
    else events.sign();
  };
  ws.onclose = event => close(event.code, event.reason);
  return {
    get buffered() {
      return ws.bufferedAmount;
    },
    send: text => ws.send(text),
    close: (code, reason) => ws.close(code, reason),
    terminate() {
      ws.close();
      // A browser waits for the answer of a hub that is not there.
      close(CLOSED_ABNORMALLY, '');
    },
  };
};

/** A message without its envelope. */
export function bodyOf({ type: _type, request_id: _id, ...body }: HubMessage): Record<string, unknown> {
  return body;
}

/** URL-safe base64 without padding, in Node and browsers. */
function base64url(bytes: Uint8Array): string {
  return btoa(String.fromCharCode(...bytes))
    .replaceAll('+', '-')
    .replaceAll('/', '_')
    .replaceAll('=', '');
}

/** The size of a text as the hub counts it; exact only when it may matter. */
export function isLarger(text: string, bytes_max: number): boolean {
  // A UTF-16 unit is at most 3 bytes of UTF-8.
  if (text.length * 3 <= bytes_max) return false;
  if (text.length > bytes_max) return true;
  return new TextEncoder().encode(text).length > bytes_max;
}
