import { parseKept } from './as_written.ts';
import { GpuhubError, type HubMessage, HubSocket } from '../sdk/socket.ts';
import { Requests } from '../sdk/requests.ts';
import type { ApiError, HubAddress } from './http.ts';
import { fromGpuhubError, reasonOf } from './hub_fault.ts';

/** A request takes milliseconds; after this the hub counts as gone. */
const TIMEOUT_MS = 10_000;
/** Somebody is looking: a hub that is back must be seen soon. */
const RETRY_MOST_MS = 5000;

/** What a monitor connection tells. A connection that was open comes back by itself. */
export interface MonitorListener {
  /** Every message that answers no request: `snapshot` first on each connection, then events, workers, `stats`. */
  message?(message: HubMessage): void;
  /** The connection was lost; the next try follows after so long. */
  down?(reason: string, retry_in_ms: number): void;
  /** Over for good, by a refusal that no retry can mend. */
  end?(error: ApiError): void;
}

/** A connection to the hub as a monitor (section 6 of the protocol), for what HTTP does not offer. */
export class Monitor implements AsyncDisposable {
  readonly #url: string;
  readonly #listener: MonitorListener;
  readonly #socket: HubSocket;
  readonly #requests: Requests;
  readonly #opened = new Deferred();
  #was_open = false;

  private constructor({ url, token }: HubAddress, listener: MonitorListener) {
    this.#url = url;
    this.#listener = listener;
    this.#socket = new HubSocket(
      {
        url,
        token,
        role: 'monitor',
        connect_timeout_ms: TIMEOUT_MS,
        backoff: { cap_ms: RETRY_MOST_MS },
        parse: parseKept,
      },
      {
        open: welcome => {
          this.#requests.opened(welcome.limits);
          this.#requests.sendAgain();
          this.#was_open = true;
          this.#opened.resolve();
        },
        message: message => {
          if (message.request_id !== undefined) this.#requests.answered(message);
          else this.#listener.message?.(message);
        },
        down: (error, retry_in_ms) => {
          this.#requests.wentDown(error);
          if (this.#was_open) this.#listener.down?.(reasonOf(error), retry_in_ms);
          else this.#fail(error);
        },
        end: fault => this.#ended(fault),
      },
    );
    this.#requests = new Requests(this.#socket, TIMEOUT_MS);
  }

  /**
   * @throws ApiError `no_hub` when none answers at the first try, or how the hub refused
   */
  static async open(address: HubAddress, listener: MonitorListener = {}): Promise<Monitor> {
    const monitor = new Monitor(address, listener);
    monitor.#socket.start();
    await monitor.#opened.promise;
    return monitor;
  }

  /**
   * Sends a request of an operator and returns its answer.
   *
   * @throws ApiError as the hub refused it; `no_hub` when no answer comes in time
   */
  async ask(
    message: { type: string } & Record<string, unknown>,
    timeout_ms = TIMEOUT_MS,
  ): Promise<HubMessage> {
    try {
      return await this.#requests.send(message, answer => answer, { timeout_ms });
    } catch (error) {
      throw error instanceof GpuhubError ? fromGpuhubError(error, this.#url) : error;
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#socket.close();
  }

  #fail(error: GpuhubError): void {
    this.#opened.reject(
      fromGpuhubError(
        error,
        this.#url,
        'Is the hub running? Start one with "npm start", or set --hub or HUB_URL.',
      ),
    );
    void this.#socket.close();
  }

  #ended(fault: GpuhubError | undefined): void {
    const error = fault ?? new GpuhubError('closed', 'the connection was closed');
    this.#requests.end(error);
    if (fault === undefined) return;
    if (this.#was_open) this.#listener.end?.(fromGpuhubError(fault, this.#url));
    else this.#fail(fault);
  }
}

/** A promise that others settle. */
export class Deferred<T = void> {
  readonly promise: Promise<T>;
  resolve!: (value: T) => void;
  reject!: (error: unknown) => void;

  constructor() {
    this.promise = new Promise((resolve, reject) => {
      this.resolve = resolve;
      this.reject = reject;
    });
  }
}
