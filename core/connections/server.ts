import { randomBytes } from 'node:crypto';
import {
  createServer,
  type IncomingMessage,
  type Server,
  type ServerResponse,
  STATUS_CODES,
} from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { type WebSocket, WebSocketServer } from 'ws';
import type { Config } from '../config.ts';
import { CLOSE, ERRORS, HubError } from '../errors.ts';
import type { Log } from '../log.ts';
import { NAME } from '../messages/fields.ts';
import { SUBPROTOCOL } from '../messages/protocol.ts';
import type { Role } from '../messages/shared.ts';
import { Connection, type Wire } from './connection.ts';
import { framesOf } from './frames.ts';
import { Registry } from './registry.ts';

const PATHS: Record<string, Role> = {
  '/ws/client': 'client',
  '/ws/worker': 'worker',
  '/ws/monitor': 'monitor',
};
/** A request line and its headers: room for a token, not for abuse. */
const HEADER_BYTES_MAX = 16 * 1024;
const HEADERS_TIMEOUT_MS = 10_000;
/** Fragments are for streams; nobody sends one message in thousands. */
const FRAGMENTS_MAX = 64;

export interface ServerEvents {
  /** A peer is there; its frames follow. */
  connected(connection: Connection): void;
  /** A text frame. */
  frame(connection: Connection, text: string): void;
  /** An HTTP request that is no upgrade. */
  request(request: IncomingMessage, response: ServerResponse): void;
}

/** The one port for HTTP and WebSocket: takes upgrades, refuses what must not come in, keeps peers alive. */
export class GateServer {
  readonly connections = new Registry();
  readonly #config: Config;
  readonly #log: Log;
  readonly #events: ServerEvents;
  readonly #http: Server;
  readonly #ws: WebSocketServer;
  #alive: NodeJS.Timeout | undefined;
  #stopping = false;

  constructor(config: Config, log: Log, events: ServerEvents) {
    this.#config = config;
    this.#log = log;
    this.#events = events;
    this.#http = createServer(
      { maxHeaderSize: HEADER_BYTES_MAX, headersTimeout: HEADERS_TIMEOUT_MS, noDelay: true },
      (request, response) => events.request(request, response),
    );
    this.#http.on('upgrade', (request, socket, head) => this.#upgrade(request, socket as Socket, head));
    this.#ws = new WebSocketServer({
      noServer: true,
      clientTracking: false,
      perMessageDeflate: false,
      maxPayload: config.MAX_MESSAGE_BYTES,
      maxFragments: FRAGMENTS_MAX,
      // Without this ws answers the first protocol offered, which may be a token.
      handleProtocols: () => SUBPROTOCOL,
    });
  }

  /** Where it listens, after start. */
  get port(): number {
    return (this.#http.address() as AddressInfo).port;
  }

  async start(): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      this.#http.once('error', reject);
      this.#http.listen(this.#config.HUB_PORT, this.#config.HUB_HOST, () => {
        this.#http.off('error', reject);
        resolve();
      });
    });
    const interval_ms = this.#config.PING_INTERVAL_MS;
    this.#alive = setInterval(() => {
      for (const connection of this.connections.all()) connection.checkAlive(interval_ms);
    }, interval_ms / 2);
  }

  /** Takes no more peers; those that are there stay until `stop`. */
  closeGate(): void {
    this.#stopping = true;
    this.#http.close();
  }

  /** Tells every peer to come back later (1012) and ends what is left after a moment. */
  async stop(): Promise<void> {
    this.closeGate();
    clearInterval(this.#alive);
    for (const connection of this.connections.all()) connection.close(CLOSE.restart, 'the hub stops');
    await new Promise<void>(resolve => {
      const cut = setTimeout(() => this.#http.closeAllConnections(), 500);
      this.#http.closeIdleConnections();
      this.#http.close(() => {
        clearTimeout(cut);
        resolve();
      });
    });
  }

  #upgrade(request: IncomingMessage, socket: Socket, head: Buffer): void {
    socket.on('error', () => socket.destroy());
    let entry: { role: Role; client_id: string | undefined };
    try {
      entry = this.#admit(request);
    } catch (error) {
      return refuse(socket, error as HubError);
    }
    this.#ws.handleUpgrade(request, socket, head, ws => this.#connected(ws, socket, entry));
  }

  /** @throws HubError when the request must not become a WebSocket */
  #admit(request: IncomingMessage): { role: Role; client_id: string | undefined } {
    const url = new URL(request.url ?? '/', 'http://hub');
    // The raw path must be one of ours as it stands: no dots, no escapes.
    const role = PATHS[(request.url ?? '').split('?')[0] as string];
    if (role === undefined)
      throw new HubError('not_found', 'WebSocket paths are /ws/client, /ws/worker and /ws/monitor');
    if (this.#stopping) throw new HubError('unavailable', 'the hub is stopping', { retry_after_ms: 1000 });
    checkOrigin(request, this.#config.ALLOWED_ORIGINS);
    checkSubprotocol(request);
    if (url.searchParams.has('token'))
      throw new HubError('unauthorized', 'a token in a URL is refused: it ends up in logs');
    if (this.connections.size >= this.#config.MAX_CONNECTIONS) {
      throw new HubError('unavailable', 'this hub has all the connections it can take', {
        retry_after_ms: 5000,
      });
    }
    const client_id = url.searchParams.get('client_id') ?? undefined;
    if (role !== 'client') return { role, client_id: undefined };
    if (client_id !== undefined && !NAME.test(client_id)) {
      throw new HubError('invalid_message', `query "client_id" must match ${NAME.source}`);
    }
    return {
      role,
      client_id: client_id ?? `c_${randomBytes(9).toString('base64url').replace(/^[-_]/, '0')}`,
    };
  }

  #connected(
    ws: WebSocket,
    socket: Socket,
    { role, client_id }: { role: Role; client_id: string | undefined },
  ): void {
    socket.setNoDelay(true);
    const bounds = { soft_bytes: this.#config.OUTBOX_SOFT_BYTES, hard_bytes: this.#config.OUTBOX_HARD_BYTES };
    const id = randomBytes(8).toString('hex');
    const connection = new Connection(id, role, client_id, wireOf(ws, socket), bounds);
    this.connections.add(connection);
    socket.on('drain', () => connection.drained());
    ws.on('pong', () => connection.heard());
    ws.on('ping', () => connection.heard());
    ws.on('message', (data, binary) => {
      connection.heard();
      if (connection.closed) return;
      if (binary) return connection.close(CLOSE.unsupported_data, 'binary frames have no place here');
      this.#events.frame(connection, (data as Buffer).toString());
    });
    ws.on('close', () => connection.ended());
    // ws closes a bad peer by itself, with the right code; the cause is for the log only.
    ws.on('error', error => this.#log.debug({ connection_id: id, err: error.message }, 'bad frame'));
    this.#events.connected(connection);
  }
}

function wireOf(ws: WebSocket, socket: Socket): Wire {
  return {
    write: texts => void (ws.readyState === ws.OPEN && socket.write(framesOf(texts))),
    buffered: () => socket.writableLength,
    ping: () => ws.readyState === ws.OPEN && ws.ping(),
    close: (code, reason) => ws.close(code, reason),
    terminate: () => ws.terminate(),
  };
}

/** A page of another site must not reach a hub on the visitor's machine. Programs send no Origin. */
function checkOrigin(request: IncomingMessage, allowed: string[]): void {
  const { origin, host } = request.headers;
  if (origin === undefined) return;
  if (origin === `http://${host}` || origin === `https://${host}` || allowed.includes(origin)) return;
  throw new HubError(
    'forbidden',
    `the origin ${origin.slice(0, 200)} may not connect; ALLOWED_ORIGINS can list it`,
  );
}

function checkSubprotocol(request: IncomingMessage): void {
  const offered = request.headers['sec-websocket-protocol'];
  if (offered === undefined) return;
  if (offered.split(',').some(name => name.trim() === SUBPROTOCOL)) return;
  throw new HubError('invalid_message', `this hub speaks the subprotocol ${SUBPROTOCOL}`);
}

function refuse(socket: Socket, error: HubError): void {
  const status = error instanceof HubError ? error.http : ERRORS.invalid_message.http;
  const code = error instanceof HubError ? error.code : 'invalid_message';
  const message = error instanceof HubError ? error.message : 'a bad request';
  const body = JSON.stringify({ error: { code, message } });
  socket.end(
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\nConnection: close\r\nContent-Type: application/json\r\n` +
      `Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
    () => socket.destroy(),
  );
}
