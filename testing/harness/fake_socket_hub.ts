/**
 * A fake of the hub's WebSocket for tests of the SDK: the test plays the hub of each connection, frame by frame.
 */
import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type WebSocket, WebSocketServer } from 'ws';

/** A frame of the SDK, or for it. */
// `any`: the tests judge it field by field.
export type Frame = { type: string; request_id?: string; [field: string]: any };

export const WELCOME = {
  type: 'welcome',
  protocol: 'gpuhub.v1',
  hub_id: 'h1',
  connection_id: 'c1',
  server_time: 1,
  ping_interval_ms: 15_000,
  limits: {
    max_message_bytes: 1_048_576,
    max_params_bytes: 786_432,
    max_result_bytes: 786_432,
    max_batch: 1000,
    max_watch: 1000,
    idempotency_ms: 600_000,
  },
};

/** What `worker_registered` says unless a test wants it shorter. */
const TIMES = { lease_ms: 60_000, heartbeat_interval_ms: 15_000, resend_ms: 10_000 };

/** One connection as the hub sees it. Frames wait until a test asks for them; `ping` is answered at once. */
export class FakePeer {
  readonly closed: Promise<number>;
  readonly request: IncomingMessage;
  readonly #socket: WebSocket;
  readonly #times: object;
  #frames: Frame[] = [];
  #wake: (() => void)[] = [];

  constructor(socket: WebSocket, request: IncomingMessage, times: object) {
    this.#socket = socket;
    this.#times = times;
    this.request = request;
    this.closed = once(socket, 'close').then(([code]) => code);
    socket.on('message', data => {
      const frame: Frame = JSON.parse((data as Buffer).toString());
      if (frame.type === 'ping') this.answer(frame, { type: 'pong', server_time: 1 });
      else this.#frames.push(frame);
      for (const wake of this.#wake.splice(0)) wake();
    });
  }

  send(...frames: object[]): void {
    for (const frame of frames) this.#socket.send(JSON.stringify(frame));
  }

  answer({ request_id }: Frame, answer: object): void {
    this.send({ ...answer, request_id });
  }

  /** Takes the next frame of that type, of those that came and of those to come. */
  async next(type: string): Promise<Frame> {
    for (;;) {
      const index = this.#frames.findIndex(frame => frame.type === type);
      if (index >= 0) return this.#frames.splice(index, 1)[0] as Frame;
      await new Promise<void>(resolve => this.#wake.push(resolve));
    }
  }

  /** The types of the frames that no test has taken. */
  get waiting(): string[] {
    return this.#frames.map(frame => frame.type);
  }

  /** Takes a machine's registration; `action` is for all leases it names. */
  async register(action = 'continue', next_output = 0): Promise<Frame> {
    const frame = await this.next('register_worker');
    const { machine_id, running } = frame;
    const jobs = running.map((lease: object) => ({ ...lease, action, next_output }));
    const worker_ids = [`${machine_id}:gpu0`];
    this.answer(frame, { type: 'worker_registered', machine_id, worker_ids, ...TIMES, ...this.#times, jobs });
    return frame;
  }

  /** Pushes a job to the machine. @returns its lease */
  assign(job_id: string, more: object = {}): string {
    const lease_id = `1-${job_id}`;
    this.send({
      type: 'job_assigned',
      job_id,
      lease_id,
      worker_id: 'm1:gpu0',
      gpus: [0],
      job_type: 'image',
      params: { prompt: job_id },
      attempt: 1,
      max_attempts: 3,
      run_timeout_ms: null,
      metadata: null,
      ...more,
    });
    return lease_id;
  }

  /** Takes a machine's word that it wants no more jobs, and answers it. */
  async drain(): Promise<Frame> {
    const frame = await this.next('worker_drain');
    this.answer(frame, { type: 'worker_draining', worker_ids: ['m1:gpu0'] });
    return frame;
  }

  ack({ job_id, lease_id, request_id }: Frame, accepted = true, code?: string): void {
    this.send({ type: 'job_ack', job_id, lease_id, request_id, accepted, code });
  }

  refuse(frame: Frame, code: string, details?: object): void {
    this.answer(frame, { type: 'error', code, message: `${code}!`, details });
  }

  close(code: number): void {
    this.#socket.close(code);
  }

  cut(): void {
    this.#socket.terminate();
  }
}

/** Takes connections, greets them, and hands them to the test one by one. */
export class FakeSocketHub implements AsyncDisposable {
  readonly url: string;
  readonly #server: WebSocketServer;
  #peers: FakePeer[] = [];
  #wake: (() => void)[] = [];
  /** How many there were in all. */
  connections = 0;

  private constructor(server: WebSocketServer, welcome: object, times: object) {
    this.#server = server;
    this.url = `ws://127.0.0.1:${(server.address() as AddressInfo).port}`;
    server.on('connection', (socket, request) => {
      this.connections += 1;
      const peer = new FakePeer(socket, request, times);
      peer.send({ ...WELCOME, ...welcome });
      this.#peers.push(peer);
      for (const wake of this.#wake.splice(0)) wake();
    });
  }

  /**
   * @param welcome fields of `welcome` that differ from {@link WELCOME}
   * @param times fields of `worker_registered` that differ from {@link TIMES}
   */
  static async start(welcome: object = {}, times: object = {}): Promise<FakeSocketHub> {
    const server = new WebSocketServer({ host: '127.0.0.1', port: 0, handleProtocols: () => 'gpuhub.v1' });
    await once(server, 'listening');
    return new FakeSocketHub(server, welcome, times);
  }

  /** The next connection. */
  async peer(): Promise<FakePeer> {
    while (this.#peers.length === 0) await new Promise<void>(resolve => this.#wake.push(resolve));
    return this.#peers.shift() as FakePeer;
  }

  /** How many connections are open now. */
  get open(): number {
    return this.#server.clients.size;
  }

  async stop(): Promise<void> {
    for (const socket of this.#server.clients) socket.terminate();
    await new Promise(resolve => this.#server.close(resolve));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }
}
