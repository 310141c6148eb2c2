import { randomBytes } from 'node:crypto';
import {
  createServer,
  type IncomingMessage,
  type Server,
  type ServerResponse,
  STATUS_CODES,
} from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { type WebSocket, WebSocketServer } from 'ws';
import { monotonic } from '../clock.ts';
import type { Config } from '../config.ts';
import { CLOSE, ERRORS, HubError } from '../errors.ts';
import type { Log } from '../log.ts';
import { NAME } from '../messages/fields.ts';
import { SUBPROTOCOL } from '../messages/protocol.ts';
import type { Role } from '../messages/shared.ts';
import { inSlices } from '../slices.ts';
import { Connection, type Wire } from './connection.ts';
import { Admission } from './admission.ts';
import { framesOf } from './frames.ts';
import { mayUse } from './origin.ts';
import { Registry } from './registry.ts';

const PATHS: Record<string, Role> = {
  '/ws/client': 'client',
  '/ws/worker': 'worker',
  '/ws/monitor': 'monitor',
};
/** A request line and its headers: room for a token, not for abuse. */
const HEADER_BYTES_MAX = 16 * 1024;
const HEADERS_TIMEOUT_MS = 10_000;
/** Goodbyes leave in slices, and no faster than one a so many ms: a few peers need not be spread. */
const GOODBYE_SLICES = 20;
const GOODBYE_MS = 5;
/** Peers that are pinged, if all are silent, before others have a turn. */
const PEERS_A_TURN = 50;
/** Answers of requests that came before the end may take so long before their sockets are cut. */
const LAST_ANSWERS_MS = 500;
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

/**
 * Sockets that the kernel holds for us until we take them: all peers of a large fleet may come back at once. Beyond it
 * (511 if nobody says) each would try again only after a second; the kernel's own bound (`somaxconn`) may be lower.
 */
const BACKLOG = 4096;

/** The one port for HTTP and WebSocket: takes upgrades, refuses what must not come in, keeps peers alive. */
export class GateServer {
  readonly connections = new Registry();
  /** Counted since the start. */
  readonly frames = { received: 0, sent: 0 };
  readonly #sockets = new Set<Socket>();
  readonly #config: Config;
  readonly #log: Log;
  readonly #events: ServerEvents;
  readonly #http: Server;
  readonly #ws: WebSocketServer;
  readonly #admission: Admission;
  #alive: NodeJS.Timeout | undefined;
  #stopping = false;

  constructor(config: Config, log: Log, events: ServerEvents) {
    this.#config = config;
    this.#log = log;
    this.#events = events;
    this.#admission = new Admission(config.CONNECT_RATE);
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

  /** Bytes written to peers that the kernel has not taken yet. */
  get buffered_bytes(): number {
    let bytes = 0;
    for (const socket of this.#sockets) bytes += socket.writableLength;
    return bytes;
  }

  /** Where it listens, after start. */
  get port(): number {
    return (this.#http.address() as AddressInfo).port;
  }

  async start(): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      this.#http.once('error', reject);
      const { HUB_PORT: port, HUB_HOST: host } = this.#config;
      this.#http.listen({ port, host, backlog: BACKLOG }, () => {
        this.#http.off('error', reject);
        resolve();
      });
    });
    const interval_ms = this.#config.PING_INTERVAL_MS;
    this.#alive = setInterval(() => {
      void inSlices(this.connections.all(), PEERS_A_TURN, peer => peer.checkAlive(interval_ms));
    }, interval_ms / 2);
  }

  /** Takes no more peers; those that are there stay until `stop`, and whoever asks over HTTP is told. */
  closeGate(): void {
    this.#stopping = true;
    this.#admission.close();
  }

  /**
   * Tells every peer to come back later (1012): slice by slice with a random pause between, so that they do not all come
   * to the next hub at once. Ends what is left after a moment.
   *
   * @param settled resolves when the answers in flight are there: each peer gets its own before the end
   */
  async stop(settled: () => Promise<void>): Promise<void> {
    this.closeGate();
    clearInterval(this.#alive);
    await this.#sayGoodbye(settled);
    await new Promise<void>(resolve => {
      const cut = setTimeout(() => this.#http.closeAllConnections(), LAST_ANSWERS_MS);
      this.#http.closeIdleConnections();
      this.#http.close(() => {
        clearTimeout(cut);
        resolve();
      });
    });
  }

  async #sayGoodbye(settled: () => Promise<void>): Promise<void> {
    const peers = [...this.connections.all()];
    const size = Math.ceil(peers.length / GOODBYE_SLICES);
    const spread_ms = Math.min(this.#config.STOP_SPREAD_MS, peers.length * GOODBYE_MS);
    let patient = true;
    for (let i = 0; i < peers.length; i += size) {
      const began = monotonic();
      // A Redis that hangs is waited for once.
      if (patient) patient = await Promise.race([settled().then(() => true), sleep(LAST_ANSWERS_MS, false)]);
      for (const connection of peers.slice(i, i + size)) connection.close(CLOSE.restart, 'the hub stops');
      // From half a pause to one and a half: together they are the whole.
      const pause_ms = (spread_ms / GOODBYE_SLICES) * (0.5 + Math.random());
      if (i + size < peers.length) await sleep(Math.max(0, pause_ms - (monotonic() - began)));
    }
  }

  #upgrade(request: IncomingMessage, socket: Socket, head: Buffer): void {
    socket.on('error', cut);
    let entry: { role: Role; client_id: string | undefined };
    try {
      entry = this.#admit(request);
    } catch (error) {
      return refuse(socket, error as HubError);
    }
    const enter = () => {
      if (this.#stopping) return refuse(socket, stopping());
      this.#ws.handleUpgrade(request, socket, head, ws => this.#connected(ws, socket, entry));
    };
    const retry_after_ms = this.#admission.enter(enter);
    if (retry_after_ms !== null)
      refuse(
        socket,
        new HubError('unavailable', 'too many connections at once: come back later', { retry_after_ms }),
      );
  }

  /** @throws HubError when the request must not become a WebSocket */
  #admit(request: IncomingMessage): { role: Role; client_id: string | undefined } {
    const url = new URL(request.url ?? '/', 'http://hub');
    // The raw path must be one of ours as it stands: no dots, no escapes.
    const role = PATHS[(request.url ?? '').split('?')[0] as string];
    if (role === undefined)
      throw new HubError('not_found', 'WebSocket paths are /ws/client, /ws/worker and /ws/monitor');
    if (this.#stopping) throw stopping();
    checkOrigin(request, this.#config);
    checkSubprotocol(request);
    if (url.searchParams.has('token'))
      throw new HubError('unauthorized', 'a token in a URL is refused: it ends up in logs');
    if (this.connections.size + this.#admission.waiting >= this.#config.MAX_CONNECTIONS) {
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
    const connection = new Connection(id, role, client_id, wireOf(ws, socket, this.frames), bounds);
    this.#sockets.add(socket);
    this.connections.add(connection);
    socket.on('drain', () => connection.drained());
    ws.on('pong', () => connection.heard());
    ws.on('ping', () => connection.heard());
    ws.on('message', (data, binary) => {
      this.frames.received += 1;
      connection.heard();
      if (connection.closed) return;
      if (binary) return connection.close(CLOSE.unsupported_data, 'binary frames have no place here');
      this.#events.frame(connection, (data as Buffer).toString());
    });
    ws.on('close', () => {
      this.#sockets.delete(socket);
      connection.ended();
    });
    // ws closes a bad peer by itself, with the right code; the cause is for the log only.
    ws.on('error', error => this.#log.debug({ connection_id: id, err: error.message }, 'bad frame'));
    this.#events.connected(connection);
  }
}

/** No closure: it lives as long as the socket, and would keep the request with it (1.7 KiB). */
function cut(this: Socket): void {
  this.destroy();
}

const stopping = () => new HubError('unavailable', 'the hub is stopping', { retry_after_ms: 1000 });

function wireOf(ws: WebSocket, socket: Socket, frames: { sent: number }): Wire {
  return {
    write: texts => {
      if (ws.readyState !== ws.OPEN) return;
      frames.sent += texts.length;
      socket.write(framesOf(texts));
    },
    buffered: () => socket.writableLength,
    ping: () => ws.readyState === ws.OPEN && ws.ping(),
    pause: () => ws.pause(),
    resume: () => ws.resume(),
    close: (code, reason) => ws.close(code, reason),
    terminate: () => ws.terminate(),
  };
}

/** @throws HubError `forbidden` */
function checkOrigin({ headers }: IncomingMessage, config: Config): void {
  if (mayUse(headers, config)) return;
  throw new HubError(
    'forbidden',
    `the origin ${headers.origin?.slice(0, 200)} may not connect; ALLOWED_ORIGINS can list it`,
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
  const { retry_after_ms } = (error.details ?? {}) as { retry_after_ms?: number };
  const later = retry_after_ms === undefined ? '' : `Retry-After: ${Math.ceil(retry_after_ms / 1000)}\r\n`;
  socket.end(
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\nConnection: close\r\nContent-Type: application/json\r\n${later}` +
      `Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
    () => socket.destroy(),
  );
}
