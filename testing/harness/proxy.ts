// A TCP proxy on the loopback interface for fault tests: stands in front of Redis or of the hub and makes the
// network slow, one-sided, silent or broken. What one side received is always a prefix of what the other
// sent: a fault holds bytes back or cuts the connection, and never skips or reorders any.

import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';

/** `up`: from the one who connected to the server behind the proxy; `down`: back. */
export type Direction = 'up' | 'down';

type Mode =
  | { kind: 'pass' }
  | { kind: 'delay'; ms: number; direction: Direction | 'both' }
  | { kind: 'stall'; direction: Direction; connection: number | undefined }
  | { kind: 'black_hole' }
  | { kind: 'throttle'; bytesPerSecond: number }
  | { kind: 'cut_after'; bytes: number; direction: Direction; done: () => void };

/** A sender is paused while this much of it waits in the proxy, as a real path holds only so much. */
const MAX_WAITING_BYTES = 4 * 1024 * 1024;
/** A throttled stream flows in pieces of this length of time. */
const THROTTLE_SLICE_MS = 20;

/**
 * Cuts a socket off. One whose end is just being sent cannot be reset: Node 20 would say so and then never close it, and
 * whoever stops the proxy would wait for that.
 */
function reset(socket: Socket): void {
  if (socket.writableEnded && !socket.writableFinished) socket.destroy();
  else socket.resetAndDestroy();
}

/** One direction of one connection: what was read and not yet passed on. */
class Stream {
  readonly #from: Socket;
  readonly #to: Socket;
  readonly #direction: Direction;
  readonly #proxy: TcpProxy;
  readonly #connection: number;
  readonly #waiting: { bytes: Buffer; dueAt: number }[] = [];
  #waitingBytes = 0;
  #ending: 'end' | 'reset' | undefined;
  #timer: NodeJS.Timeout | undefined;
  #nextSliceAt = 0;
  #blocked = false;

  /** @param connection its number at the proxy */
  constructor(from: Socket, to: Socket, direction: Direction, proxy: TcpProxy, connection: number) {
    this.#connection = connection;
    this.#from = from;
    this.#to = to;
    this.#direction = direction;
    this.#proxy = proxy;
    from.on('data', bytes => this.#receive(bytes));
    from.on('end', () => this.#end('end'));
    from.on('close', hadError => this.#end(hadError || this.#ending === undefined ? 'reset' : 'end'));
    to.on('drain', () => {
      this.#blocked = false;
      this.flow();
    });
    to.on('close', () => clearTimeout(this.#timer));
  }

  /** Passes on what the present mode lets through. Called again whenever that may have changed. */
  flow(): void {
    clearTimeout(this.#timer);
    while (!this.#to.destroyed && !this.#blocked && !this.#isHeld()) {
      const head = this.#waiting[0];
      if (head === undefined) return this.#passEnding();
      const now = performance.now();
      const waitMs = Math.max(head.dueAt, this.#nextSliceAt) - now;
      if (waitMs > 0) {
        this.#timer = setTimeout(() => this.flow(), waitMs);
        return;
      }
      this.#send(this.#take(this.#allowance(now)));
    }
  }

  #receive(bytes: Buffer): void {
    const mode = this.#proxy.mode;
    const delayed =
      mode.kind === 'delay' && (mode.direction === 'both' || mode.direction === this.#direction);
    this.#waiting.push({ bytes, dueAt: performance.now() + (delayed ? mode.ms : 0) });
    this.#waitingBytes += bytes.length;
    if (this.#waitingBytes > MAX_WAITING_BYTES) this.#from.pause();
    this.flow();
  }

  #end(how: 'end' | 'reset'): void {
    this.#ending = how;
    this.flow();
  }

  #isHeld(): boolean {
    const mode = this.#proxy.mode;
    if (mode.kind !== 'stall') return mode.kind === 'black_hole';
    return mode.direction === this.#direction && [undefined, this.#connection].includes(mode.connection);
  }

  /** How many bytes may go now. */
  #allowance(now: number): number {
    const mode = this.#proxy.mode;
    if (mode.kind === 'cut_after' && mode.direction === this.#direction) return mode.bytes;
    if (mode.kind !== 'throttle') return Number.POSITIVE_INFINITY;
    const bytes = Math.max(1, Math.floor((mode.bytesPerSecond * THROTTLE_SLICE_MS) / 1_000));
    this.#nextSliceAt = now + (bytes * 1_000) / mode.bytesPerSecond;
    return bytes;
  }

  #take(most: number): Buffer {
    const head = this.#waiting[0] as { bytes: Buffer; dueAt: number };
    const bytes = head.bytes.subarray(0, most);
    head.bytes = head.bytes.subarray(bytes.length);
    if (head.bytes.length === 0) this.#waiting.shift();
    this.#waitingBytes -= bytes.length;
    if (this.#waitingBytes <= MAX_WAITING_BYTES && this.#from.isPaused()) this.#from.resume();
    return bytes;
  }

  #send(bytes: Buffer): void {
    const mode = this.#proxy.mode;
    if (mode.kind === 'cut_after' && mode.direction === this.#direction) {
      mode.bytes -= bytes.length;
      if (mode.bytes <= 0) return this.#cutBehind(bytes);
    }
    this.#blocked = !this.#to.write(bytes);
  }

  /** The receiver gets these bytes and then the end; the sender gets a reset. */
  #cutBehind(bytes: Buffer): void {
    this.#to.end(bytes, () => this.#to.destroy());
    reset(this.#from);
    this.#proxy.cutIsDone();
  }

  #passEnding(): void {
    if (this.#ending === 'end') this.#to.end();
    if (this.#ending === 'reset') reset(this.#to);
  }
}

interface Link {
  readonly client: Socket;
  readonly server: Socket;
  readonly streams: readonly Stream[];
}

export class TcpProxy implements AsyncDisposable {
  readonly host = '127.0.0.1';
  readonly #target: { host: string; port: number };
  readonly #server: Server;
  readonly #links = new Set<Link>();
  /** Connections made while nothing gets through: the server behind hears of them when that is over. */
  readonly #undialled = new Set<Socket>();
  #mode: Mode = { kind: 'pass' };
  #dialled = 0;

  /** @internal Use startProxy(). */
  constructor(target: { host: string; port: number }) {
    this.#target = target;
    // Half-open sockets: one side's end is passed on in its turn, and the other may go on sending.
    this.#server = createServer({ allowHalfOpen: true, noDelay: true }, client => this.#accept(client));
  }

  /** @internal */
  async listen(): Promise<void> {
    this.#server.listen(0, this.host);
    await once(this.#server, 'listening');
  }

  get port(): number {
    return (this.#server.address() as { port: number }).port;
  }

  /** Connections that are open on either side. */
  get connections(): number {
    return this.#links.size + this.#undialled.size;
  }

  /** @internal */
  get mode(): Mode {
    return this.#mode;
  }

  /** Ends every fault. What was held back flows, in its order. */
  pass(): void {
    this.#change({ kind: 'pass' });
  }

  /** What arrives from now on is passed on `ms` later, in each direction or in one. */
  delay(ms: number, direction: Direction | 'both' = 'both'): void {
    this.#change({ kind: 'delay', ms, direction });
  }

  /**
   * Holds one direction back, ends of connections included; the other flows.
   * @param connection only of this one, by the order in which they were made, from 0
   */
  stall(direction: Direction, connection?: number): void {
    this.#change({ kind: 'stall', direction, connection });
  }

  /** Nothing gets through: no byte, no end of a connection, no new connection. Nobody is told. */
  blackHole(): void {
    this.#change({ kind: 'black_hole' });
  }

  /** At most so many bytes a second, in each direction of each connection. */
  throttle(bytesPerSecond: number): void {
    this.#change({ kind: 'throttle', bytesPerSecond });
  }

  /**
   * Lets exactly so many further bytes through in one direction, of all connections together, and cuts the
   * connection that carried the last. Then everything passes again.
   * @returns settles when it is cut.
   */
  cutAfter(bytes: number, direction: Direction): Promise<void> {
    if (!(bytes > 0)) throw new RangeError('cutAfter needs at least one byte: cutNow() cuts at once');
    return new Promise(done => this.#change({ kind: 'cut_after', bytes, direction, done }));
  }

  /** Resets all connections on both sides at once. @returns how many. */
  cutNow(): number {
    const count = this.connections;
    for (const socket of this.#sockets()) reset(socket);
    return count;
  }

  /** @internal */
  cutIsDone(): void {
    if (this.#mode.kind !== 'cut_after') return;
    const { done } = this.#mode;
    this.pass();
    done();
  }

  /** Resets all connections and listens no more. Calling it again is fine. */
  async stop(): Promise<void> {
    // One side of a connection may have closed already, which it says once.
    const open = this.#sockets().filter(socket => !socket.closed);
    const closed = open.map(socket => new Promise(resolve => socket.once('close', resolve)));
    this.cutNow();
    await Promise.all(closed);
    if (!this.#server.listening) return;
    this.#server.close();
    await once(this.#server, 'close');
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  #sockets(): Socket[] {
    return [...this.#undialled, ...[...this.#links].flatMap(link => [link.client, link.server])];
  }

  #change(mode: Mode): void {
    this.#mode = mode;
    if (mode.kind !== 'black_hole') for (const client of [...this.#undialled]) this.#dial(client);
    for (const link of this.#links) for (const stream of link.streams) stream.flow();
  }

  #accept(client: Socket): void {
    client.on('error', () => {}); // 'close' follows, and is passed on in its turn
    this.#undialled.add(client);
    client.once('close', () => this.#undialled.delete(client));
    if (this.#mode.kind !== 'black_hole') this.#dial(client);
  }

  #dial(client: Socket): void {
    this.#undialled.delete(client);
    const server = connect({ ...this.#target, allowHalfOpen: true, noDelay: true });
    server.on('error', () => {});
    const number = this.#dialled++;
    const streams = [
      new Stream(client, server, 'up', this, number),
      new Stream(server, client, 'down', this, number),
    ];
    const link = { client, server, streams };
    this.#links.add(link);
    for (const socket of [client, server]) {
      socket.once('close', () => {
        if (client.destroyed && server.destroyed) this.#links.delete(link);
      });
    }
  }
}

/** Starts a proxy in front of `port` (of this machine, unless `host` says otherwise); it passes everything. */
export async function startProxy(port: number, host = '127.0.0.1'): Promise<TcpProxy> {
  const proxy = new TcpProxy({ host, port });
  await proxy.listen();
  return proxy;
}
