import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Config } from '../../config.ts';
import { mayUse } from '../../connections/origin.ts';
import { HubError, invalidMessage } from '../../errors.ts';
import type { Log } from '../../log.ts';
import type { Source } from '../../messages/codec.ts';
import { ObjectText } from '../../messages/object_text.ts';
import { errorBody } from '../peer.ts';

/** One request as a handler sees it. */
export interface Exchange {
  request: IncomingMessage;
  response: ServerResponse;
  /** The parts of the path that the route names, decoded. */
  params: Record<string, string>;
  query: Record<string, string>;
  /** The body as a JSON object. @param fallback for an absent one @throws HubError `invalid_json`, `payload_too_large` */
  body(fallback?: string): Promise<Source>;
  /** @param body an object, or JSON text */
  send(status: number, body: object | string, headers?: Record<string, string>): void;
  /** For an answer that waits for something. @param end called when it must wait no longer: the hub stops, or whoever asked is gone */
  onOver(end: () => void): void;
}

export interface Route {
  method: 'GET' | 'POST' | 'PUT';
  /** Segments; `:name` matches one. */
  path: string;
  /** May any page read it? Only what carries nothing secret. */
  open?: boolean;
  /** Is it answered also by a hub that stops? */
  last?: boolean;
  handle(exchange: Exchange): void | Promise<void>;
}

const SECURITY = {
  'X-Content-Type-Options': 'nosniff',
  'Referrer-Policy': 'no-referrer',
  'Cache-Control': 'no-store',
};
const PREFLIGHT_S = 600;
/** So much of a refused body is read on and dropped, for so long at most. */
const DROPPED_BYTES_MAX = 64 * 1024 * 1024;
const DROPPED_MS_MAX = 10_000;

/** Finds the route of a request, and turns what it throws into an answer. */
export class HttpRouter {
  readonly #routes: (Route & { segments: string[] })[];
  readonly #config: Config;
  readonly #log: Log;
  readonly #stopping: () => boolean;
  /** Ends the answers that wait for something. */
  readonly #ends = new Set<() => void>();

  constructor(routes: Route[], config: Config, log: Log, stopping: () => boolean) {
    this.#routes = routes.map(route => ({ ...route, segments: route.path.split('/') }));
    this.#config = config;
    this.#log = log;
    this.#stopping = stopping;
  }

  handle(request: IncomingMessage, response: ServerResponse): void {
    response.on('error', () => response.destroy());
    this.#answer(request, response).catch((error: unknown) => {
      const body = errorBody(error, this.#log);
      const status = error instanceof HubError ? error.http : 500;
      if (response.headersSent) return void response.end();
      if (status === 413 && !request.complete) return refuseRest(request, response, { error: body });
      sendJson(response, status, { error: body }, retryAfter(status, body.details));
    });
  }

  /** Ends what waits: whoever were cut off without an answer would not know what became of the request. */
  stop(): void {
    for (const end of this.#ends) end();
  }

  #onOver(response: ServerResponse, end: () => void): void {
    if (this.#stopping() || response.destroyed) return end();
    this.#ends.add(end);
    response.on('close', () => {
      this.#ends.delete(end);
      end();
    });
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = parseUrl(request.url ?? '/');
    const { found, params, allowed } = this.#find(request.method ?? '', url.pathname);
    this.#checkOrigin(request, response, found?.open ?? false);
    if (request.method === 'OPTIONS' && allowed.length > 0) {
      response.writeHead(204, {
        'Access-Control-Allow-Methods': allowed.join(', '),
        'Access-Control-Max-Age': String(PREFLIGHT_S),
      });
      return void response.end();
    }
    if (!found) {
      if (allowed.length === 0)
        throw new HubError('not_found', `there is nothing at ${url.pathname.slice(0, 200)}`);
      response.setHeader('Allow', allowed.join(', '));
      throw new HubError(
        'method_not_allowed',
        `${request.method} is not for this path; ${allowed.join(', ')} is`,
      );
    }
    if (url.searchParams.has('token'))
      throw new HubError('unauthorized', 'a token in a URL is refused: it ends up in logs');
    if (this.#stopping() && !found.last)
      throw new HubError('unavailable', 'the hub is stopping: ask another', { outcome: 'none' });
    await found.handle({
      request,
      response,
      params,
      query: Object.fromEntries(url.searchParams),
      body: fallback => readBody(request, this.#config.MAX_MESSAGE_BYTES, fallback),
      send: (status, body, headers) => sendJson(response, status, body, headers),
      onOver: end => this.#onOver(response, end),
    });
  }

  #find(method: string, path: string) {
    const segments = path.split('/');
    const allowed: string[] = [];
    let found: Route | undefined;
    let params: Record<string, string> = {};
    for (const route of this.#routes) {
      const match = matchPath(route.segments, segments);
      if (match === null) continue;
      allowed.push(route.method);
      if (route.method !== method) continue;
      found = route;
      params = match;
    }
    return { found, params, allowed };
  }

  /** @throws HubError `forbidden` */
  #checkOrigin(request: IncomingMessage, response: ServerResponse, open: boolean): void {
    const { origin } = request.headers;
    if (open) response.setHeader('Access-Control-Allow-Origin', '*');
    if (open || origin === undefined) return;
    if (!mayUse(request.headers, this.#config)) {
      throw new HubError(
        'forbidden',
        `the origin ${origin.slice(0, 200)} may not use this hub; ALLOWED_ORIGINS can list it`,
      );
    }
    response.setHeader('Access-Control-Allow-Origin', origin);
    response.setHeader(
      'Access-Control-Allow-Headers',
      'authorization, content-type, idempotency-key, last-event-id',
    );
    response.setHeader('Vary', 'Origin');
  }
}

function parseUrl(target: string): URL {
  try {
    return new URL(target, 'http://hub');
  } catch {
    throw invalidMessage([{ path: 'url', message: 'is not a valid request target' }]);
  }
}

function matchPath(route: string[], path: string[]): Record<string, string> | null {
  if (route.length !== path.length) return null;
  const params: Record<string, string> = {};
  for (let i = 0; i < route.length; i++) {
    const [want, have] = [route[i] as string, path[i] as string];
    if (!want.startsWith(':')) {
      if (want !== have) return null;
      continue;
    }
    try {
      params[want.slice(1)] = decodeURIComponent(have);
    } catch {
      return null;
    }
  }
  return params;
}

/** What was sent, to its end. @throws HubError `payload_too_large`, `invalid_json` when its sender left before the end */
async function readText(request: IncomingMessage, most: number): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  try {
    for await (const chunk of request.iterator({ destroyOnReturn: false })) {
      bytes += (chunk as Buffer).length;
      if (bytes > most) throw new HubError('payload_too_large', `the body is larger than ${most} bytes`);
      chunks.push(chunk as Buffer);
    }
  } catch (error) {
    throw error instanceof HubError ? error : new HubError('invalid_json', 'the body was cut off');
  }
  return Buffer.concat(chunks).toString();
}

async function readBody(request: IncomingMessage, most: number, fallback?: string): Promise<Source> {
  const sent = await readText(request, most);
  const text = fallback !== undefined && sent.trim() === '' ? fallback : sent;
  let body: unknown;
  try {
    body = JSON.parse(text);
  } catch {
    throw new HubError('invalid_json', 'the body is not valid JSON');
  }
  if (typeof body !== 'object' || body === null || Array.isArray(body))
    throw new HubError('invalid_json', 'the body must be one JSON object');
  return { body: body as Record<string, unknown>, text: new ObjectText(text) };
}

/**
 * Answers a body too large before all of it is there. What still comes is read and dropped for a while: many clients read
 * no answer before they have sent everything, and a socket closed on unread bytes is reset, and the answer lost.
 */
function refuseRest(request: IncomingMessage, response: ServerResponse, body: object): void {
  const text = JSON.stringify(body);
  writeHead(response, 413, text, { Connection: 'close' });
  response.write(text);
  const end = () => {
    clearTimeout(timer);
    response.end();
  };
  const timer = setTimeout(end, DROPPED_MS_MAX);
  let bytes = 0;
  request.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
    if (bytes > DROPPED_BYTES_MAX) end();
  });
  request.on('end', end);
  request.on('close', end);
}

function sendJson(
  response: ServerResponse,
  status: number,
  body: object | string,
  headers: Record<string, string> = {},
): void {
  if (response.destroyed || response.headersSent) return;
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  writeHead(response, status, text, headers);
  response.end(text);
}

function writeHead(
  response: ServerResponse,
  status: number,
  text: string,
  headers: Record<string, string>,
): void {
  response.writeHead(status, {
    ...SECURITY,
    'Content-Type': 'application/json',
    'Content-Length': Buffer.byteLength(text),
    ...headers,
  });
}

function retryAfter(status: number, details: unknown): Record<string, string> {
  if (status !== 429 && status !== 503) return {};
  const ms = (details as { retry_after_ms?: number } | undefined)?.retry_after_ms ?? 1000;
  return { 'Retry-After': String(Math.max(1, Math.ceil(ms / 1000))) };
}
