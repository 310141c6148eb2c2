/**
 * A raw WebSocket peer that misses nothing, for suites that speak the protocol frame by frame.
 *
 * Every frame is kept twice: in `frames` (the whole log, in order of arrival) and in a queue from which `next`
 * takes the first match and leaves the others where they are. So a test asks for the messages it cares about,
 * in the order it cares about, and a frame that came early is never lost.
 */
import type { IncomingMessage } from 'node:http';
import WebSocket from 'ws';

/** One frame as it came.  */
// `any`: a frame of an untrusted peer, which the suite judges field by field.
export type Frame = { type: string; [field: string]: any };
export type Matcher = string | ((frame: Frame) => boolean);
export type Path = '/ws/client' | '/ws/worker' | '/ws/monitor';

export interface ConnectOptions {
  path: Path;
  query?: Record<string, string>;
  headers?: Record<string, string>;
  protocols?: string[];
  /** Answer the hub's WebSocket pings (default true). */
  answer_pings?: boolean;
  /** How long the handshake and `welcome` may take. */
  timeout_ms?: number;
}

const DEFAULT_TIMEOUT_MS = 5000;
/** How many frames an error message shows; more would hide the reason. */
const SHOWN_FRAMES = 40;

/** The hub answered the upgrade with plain HTTP instead of 101. */
export class HandshakeRefused extends Error {
  readonly status: number;
  readonly body: string;
  constructor(status: number, body: string) {
    super(`the upgrade was refused with HTTP ${status}: ${body.slice(0, 300)}`);
    this.status = status;
    this.body = body;
  }
}

interface Waiter {
  matches: (frame: Frame) => boolean;
  take: (frame: Frame) => void;
  fail: (reason: string) => void;
}

export interface Closing {
  code: number;
  reason: string;
}

let request_count = 0;

export class Peer {
  /** Every text frame since the connection opened, in order, also those that `next` took. */
  readonly frames: Frame[] = [];
  /** When each frame of `frames` came, by this process's monotonic clock. */
  readonly received_ms: number[] = [];
  /** How many WebSocket pings the hub sent. */
  pings = 0;
  /** The subprotocol the hub chose, '' if none. */
  readonly protocol: string;
  readonly socket: WebSocket;
  #queue: Frame[] = [];
  #waiters = new Set<Waiter>();
  #closing: Closing | undefined;
  #closed: Promise<Closing>;
  #welcome: Frame | undefined;

  /** `Peer.connect` is the way in; the constructor takes a socket that has just opened. */
  private constructor(socket: WebSocket) {
    this.socket = socket;
    this.protocol = socket.protocol;
    socket.on('message', (data, is_binary) => {
      if (is_binary) this.#receive({ type: '(binary)', bytes: data });
      else this.#receive(JSON.parse(String(data)) as Frame);
    });
    socket.on('ping', () => {
      this.pings++;
    });
    socket.on('error', () => {
      // Whatever broke the socket ends it, and `closed()` tells.
    });
    this.#closed = new Promise(resolve => {
      socket.on('close', (code, reason) => {
        this.#closing = { code, reason: String(reason) };
        resolve(this.#closing);
        for (const waiter of [...this.#waiters]) waiter.fail(`the connection closed with ${code} ${reason}`);
      });
    });
  }

  /** Opens a connection and waits for `welcome`, which must be the first frame. */
  static async connect(url: string, options: ConnectOptions): Promise<Peer> {
    const timeout_ms = options.timeout_ms ?? DEFAULT_TIMEOUT_MS;
    const address = new URL(options.path, url.replace(/^http/, 'ws'));
    for (const [name, value] of Object.entries(options.query ?? {})) address.searchParams.set(name, value);
    const socket = new WebSocket(address, options.protocols ?? [], {
      headers: options.headers ?? {},
      perMessageDeflate: false,
      autoPong: options.answer_pings ?? true,
      handshakeTimeout: timeout_ms,
    });
    const peer = await new Promise<Peer>((resolve, reject) => {
      // The peer listens from the moment of opening, so that a frame sent together with the 101 is not missed.
      socket.once('open', () => resolve(new Peer(socket)));
      socket.once('unexpected-response', (_request, response: IncomingMessage) => {
        let body = '';
        response.setEncoding('utf8');
        response.on('data', (chunk: string) => {
          body += chunk;
        });
        response.on('close', () => {
          reject(new HandshakeRefused(response.statusCode ?? 0, body));
          socket.terminate();
        });
      });
      socket.on('error', reject);
    });
    const first = await peer.next(() => true, { timeout_ms });
    if (first.type !== 'welcome') throw new Error(`the first frame is not welcome: ${show(first)}`);
    peer.#welcome = first;
    return peer;
  }

  /** The first frame of the connection. */
  get welcome(): Frame {
    if (!this.#welcome) throw new Error('no welcome yet');
    return this.#welcome;
  }

  send(message: object): void {
    this.socket.send(JSON.stringify(message));
  }

  /** Sends bytes as they are; a Buffer goes as a binary frame unless `binary: false`. */
  sendRaw(data: string | Buffer, options: { binary?: boolean } = {}): void {
    this.socket.send(data, { binary: options.binary ?? typeof data !== 'string' });
  }

  /** Takes the first frame that matches, of those received and not taken yet, or else of those to come. */
  next(matcher: Matcher, options: { timeout_ms?: number } = {}): Promise<Frame> {
    const matches = typeof matcher === 'string' ? (frame: Frame) => frame.type === matcher : matcher;
    const at = this.#queue.findIndex(matches);
    if (at >= 0) return Promise.resolve(this.#queue.splice(at, 1)[0] as Frame);
    const wanted = typeof matcher === 'string' ? matcher : `a frame with ${matcher.toString()}`;
    const timeout_ms = options.timeout_ms ?? DEFAULT_TIMEOUT_MS;
    // Made here, so that its stack shows the test and not a timer.
    const error = new Error();
    return new Promise((resolve, reject) => {
      const end = () => {
        clearTimeout(timer);
        this.#waiters.delete(waiter);
      };
      const fail = (reason: string) => {
        end();
        error.message = `waited for ${wanted}, but ${reason}. ${this.#told()}`;
        reject(error);
      };
      const timer = setTimeout(() => fail(`nothing came in ${timeout_ms} ms`), timeout_ms);
      const waiter: Waiter = {
        matches,
        take: frame => {
          end();
          resolve(frame);
        },
        fail,
      };
      if (this.#closing) fail(`the connection is closed (${this.#closing.code} ${this.#closing.reason})`);
      else this.#waiters.add(waiter);
    });
  }

  /** Sends a request with a `request_id` of its own and takes the answer that carries it, an `error` included. */
  request(message: object, options: { timeout_ms?: number } = {}): Promise<Frame> {
    const request_id = (message as Frame)['request_id'] ?? `r${++request_count}`;
    this.send({ ...message, request_id });
    return this.next(frame => frame['request_id'] === request_id, options);
  }

  /** Asserts that no such frame has come, nor comes before a round trip to the hub and `quiet_ms` are over. */
  async none(matcher: Matcher, quiet_ms = 0): Promise<void> {
    if (quiet_ms > 0) await new Promise(resolve => setTimeout(resolve, quiet_ms));
    const pong = await this.request({ type: 'ping' });
    if (pong.type !== 'pong') throw new Error(`ping was answered ${show(pong)}`);
    const matches = typeof matcher === 'string' ? (frame: Frame) => frame.type === matcher : matcher;
    const found = this.#queue.find(matches);
    if (found) throw new Error(`a frame came that should not have: ${show(found)}. ${this.#told()}`);
  }

  /** The events of one job in order of arrival, also those that `next` took. */
  events(job_id: string): Frame[] {
    return this.frames.filter(
      frame => EVENTS.has(frame.type) && frame['job_id'] === job_id && frame['seq'] !== undefined,
    );
  }

  /** How the connection ended, now or in the time given. */
  async closed(options: { timeout_ms?: number } = {}): Promise<Closing> {
    const timeout_ms = options.timeout_ms ?? DEFAULT_TIMEOUT_MS;
    const error = new Error();
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_resolve, reject) => {
      timer = setTimeout(() => {
        error.message = `the connection did not close in ${timeout_ms} ms. ${this.#told()}`;
        reject(error);
      }, timeout_ms);
    });
    try {
      return await Promise.race([this.#closed, late]);
    } finally {
      clearTimeout(timer);
    }
  }

  get is_open(): boolean {
    return this.socket.readyState === WebSocket.OPEN;
  }

  /** Closes in good form and waits for the end. */
  async close(code = 1000): Promise<void> {
    if (this.#closing) return;
    this.socket.close(code);
    const timer = setTimeout(() => this.socket.terminate(), 1000);
    await this.#closed;
    clearTimeout(timer);
  }

  /** Cuts the connection without a word, as a machine that loses its network does. */
  async terminate(): Promise<void> {
    this.socket.terminate();
    await this.#closed;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.terminate();
  }

  #receive(frame: Frame): void {
    this.frames.push(frame);
    this.received_ms.push(performance.now());
    for (const waiter of this.#waiters) {
      if (!waiter.matches(frame)) continue;
      waiter.take(frame);
      return;
    }
    this.#queue.push(frame);
  }

  #told(): string {
    const shown = this.frames.slice(-SHOWN_FRAMES).map(frame => `\n    ${show(frame)}`);
    const left_out = this.frames.length - shown.length;
    const head = left_out > 0 ? `${left_out} earlier frames, then` : 'all frames';
    return `Received (${head}):${shown.join('') || ' nothing'}`;
  }
}

/** Every event of a job that the protocol names. */
export const EVENTS: ReadonlySet<string> = new Set([
  'job_queued',
  'job_scheduled',
  'job_assigned',
  'job_started',
  'job_progress',
  'job_output',
  'job_output_gap',
  'job_retrying',
  'job_cancelling',
  'job_completed',
  'job_failed',
  'job_cancelled',
  'job_expired',
]);

/** The types of `frames`, in order: what most tests compare. */
export const types = (frames: Frame[]): string[] => frames.map(frame => frame.type);

function show(frame: Frame): string {
  const text = JSON.stringify(frame);
  return text.length > 300 ? `${text.slice(0, 300)}…` : text;
}

/** A lease as the worker holds it: what every message about a job must name. */
export interface Lease {
  job_id: string;
  lease_id: string;
}

export interface MachineFields {
  machine_id: string;
  job_types: string[];
  gpu_count?: number;
  gpus?: { index: number; name?: string; vram_mb?: number }[];
  models?: string[];
  labels?: Record<string, string>;
  version?: string;
  draining?: boolean;
  running?: Lease[];
}

const lease_of = ({ job_id, lease_id }: Lease): Lease => ({ job_id, lease_id });

/**
 * A GPU machine played by hand. It does nothing by itself, not even heartbeats, unless told to: a test decides
 * what a machine says and when. `complete`, `fail`, … wait for the hub's answer (`job_ack`, or `error`).
 */
export class MachinePeer {
  readonly peer: Peer;
  fields: MachineFields;
  /** The last `worker_registered`. */
  registered: Frame;
  #beat: NodeJS.Timeout | undefined;

  constructor(peer: Peer, fields: MachineFields, registered: Frame) {
    this.peer = peer;
    this.fields = fields;
    this.registered = registered;
  }

  static async register(url: string, fields: MachineFields): Promise<MachinePeer> {
    const peer = await Peer.connect(url, { path: '/ws/worker' });
    const registered = await peer.request({ type: 'register_worker', ...fields });
    if (registered.type !== 'worker_registered')
      throw new Error(`register_worker was answered ${show(registered)}`);
    return new MachinePeer(peer, fields, registered);
  }

  /** Says `register_worker` again on the same socket. */
  async register_again(changes: Partial<MachineFields>): Promise<Frame> {
    this.fields = { ...this.fields, ...changes };
    this.registered = await this.peer.request({ type: 'register_worker', ...this.fields });
    return this.registered;
  }

  /** The next job pushed to this machine, or the one with that id. */
  assigned(job_id?: string, options: { timeout_ms?: number } = {}): Promise<Frame & Lease> {
    return this.peer.next(
      frame => frame.type === 'job_assigned' && (job_id === undefined || frame['job_id'] === job_id),
      options,
    ) as Promise<Frame & Lease>;
  }

  heartbeat(running: Lease[] = [], workers: object[] = []): Promise<Frame> {
    return this.peer.request({ type: 'worker_heartbeat', workers, running: running.map(lease_of) });
  }

  /** Heartbeats for these leases until `stop_beating` or the end of the peer. */
  keep_beating(every_ms: number, running: () => Lease[]): void {
    this.stop_beating();
    this.#beat = setInterval(() => {
      if (this.peer.is_open)
        this.peer.send({ type: 'worker_heartbeat', workers: [], running: running().map(lease_of) });
    }, every_ms);
  }

  stop_beating(): void {
    clearInterval(this.#beat);
  }

  started(lease: Lease): void {
    this.peer.send({ type: 'job_started', ...lease_of(lease) });
  }

  progress(lease: Lease, progress: number, more: { message?: string; data?: unknown } = {}): void {
    this.peer.send({ type: 'job_progress', ...lease_of(lease), progress, ...more });
  }

  output(lease: Lease, index: number, data: unknown): void {
    this.peer.send({ type: 'job_output', ...lease_of(lease), index, data });
  }

  complete(lease: Lease, result: unknown = {}): Promise<Frame> {
    return this.peer.request({ type: 'job_completed', ...lease_of(lease), result });
  }

  fail(
    lease: Lease,
    error: { code: string; message: string; retryable?: boolean; details?: unknown } = {
      code: 'boom',
      message: 'It broke.',
    },
  ): Promise<Frame> {
    return this.peer.request({ type: 'job_failed', ...lease_of(lease), error });
  }

  cancelled(lease: Lease): Promise<Frame> {
    return this.peer.request({ type: 'job_cancelled', ...lease_of(lease) });
  }

  release(lease: Lease, reason?: string): Promise<Frame> {
    return this.peer.request({ type: 'job_released', ...lease_of(lease), ...(reason ? { reason } : {}) });
  }

  reject(lease: Lease, more: { reason?: string; retry_after_ms?: number } = {}): Promise<Frame> {
    return this.peer.request({ type: 'job_rejected', reason: 'no room', ...lease_of(lease), ...more });
  }

  /** Runs this job to its end: the shortest life of a job that a watcher can see. */
  async run(job_id: string, result: unknown = {}): Promise<Frame> {
    const lease = await this.assigned(job_id);
    this.started(lease);
    return this.complete(lease, result);
  }

  async terminate(): Promise<void> {
    this.stop_beating();
    await this.peer.terminate();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.terminate();
  }
}
