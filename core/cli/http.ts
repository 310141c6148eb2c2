import type { Explanation } from '../messages/client.ts';
import type {
  CancelAcceptedBody,
  JobAcceptedBody,
  JobsBody,
  WorkerIdsBody,
  WorkersBody,
} from '../messages/http_api.ts';
import { type JobRecord, type Submission, TERMINAL_EVENTS } from '../messages/job.ts';
import type { Stats } from '../messages/stats.ts';
import type { WorkerRecord } from '../messages/worker.ts';
import { type JsonText, objectJson } from '../sdk/json_text.ts';
import { parseKept } from './as_written.ts';
import { readEvents, type ServerEvent } from './sse.ts';

export const HUB_URL_DEFAULT = 'http://127.0.0.1:8000';
/** An answer takes milliseconds; after this the hub counts as gone. */
const TIMEOUT_MS_DEFAULT = 10_000;
/** The hub sends a comment every 15 s on a stream: silence of three of them means that the connection is dead. */
const STREAM_SILENCE_MS = 45_000;
/** How often a broken stream is taken up again before the hub counts as gone; the waits add up to half a minute. */
const RECONNECTS_MAX = 6;
const RECONNECT_FIRST_MS = 500;
const RECONNECT_MOST_MS = 8000;

/**
 * The hub refused a request (`code` and `details` are its own), or could not be reached: `no_hub`, with
 * `details.outcome` as for `unavailable`: `none` when the request cannot have been taken, else `unknown`.
 */
export class ApiError extends Error {
  readonly code: string;
  /** The HTTP status, or null when no hub answered. */
  readonly status: number | null;
  readonly details: unknown;

  constructor(code: string, message: string, status: number | null = null, details?: unknown) {
    super(message);
    this.name = 'ApiError';
    this.code = code;
    this.status = status;
    this.details = details;
  }
}

/** The wire's fields of a submission; only these two are needed. */
export type SubmitFields = { job_type: string; params: Submission['params'] | JsonText } & Partial<
  Omit<Submission, 'job_type' | 'params'>
>;

export interface JobsFilter {
  status?: string | undefined;
  job_type?: string | undefined;
  client_id?: string | undefined;
  worker_id?: string | undefined;
  limit?: number | undefined;
  cursor?: string | undefined;
}

/** An event of a job as the wire has it: `type`, `job_id`, `seq`, `at`, `attempt`, and the fields of its type. */
export type JobEvent = { type: string; job_id: string; seq: number; at: number; attempt: number } & Record<
  string,
  unknown
>;

/** Where a hub is, and what to show there. */
export interface HubAddress {
  /** http or https, without a slash at the end. */
  url: string;
  /** A credential. It goes into a header only: never into an address, a message or a log. */
  token?: string;
}

export interface HubApiOptions {
  /** The hub's address, http or https; ws and wss are read as these. */
  url?: string | undefined;
  /** Sent as `Authorization: Bearer`. */
  token?: string | undefined;
  timeout_ms?: number | undefined;
  /** The first wait before a broken event stream is taken up again. */
  reconnect_ms?: number | undefined;
}

/**
 * The HTTP API of a hub (section 8 of the protocol). Every method throws {@link ApiError}.
 *
 *     const hub = new HubApi({ url: 'http://127.0.0.1:8000' });
 *     const { job_id } = await hub.submit({ job_type: 'echo', params: { text: 'hello' } });
 *     for await (const event of hub.events(job_id)) console.log(event.type);
 */
export class HubApi {
  /** Where the hub is, without a slash at the end. */
  readonly url: string;
  readonly #authorization: Record<string, string>;
  readonly #timeout_ms: number;
  readonly #reconnect_ms: number;

  /** @throws TypeError when the address is none */
  constructor(options: HubApiOptions = {}) {
    this.url = hubUrl(options.url ?? HUB_URL_DEFAULT);
    this.#authorization = options.token === undefined ? {} : { authorization: `Bearer ${options.token}` };
    this.#timeout_ms = options.timeout_ms ?? TIMEOUT_MS_DEFAULT;
    this.#reconnect_ms = options.reconnect_ms ?? RECONNECT_FIRST_MS;
  }

  stats(): Promise<Stats> {
    return this.#json('GET', '/stats');
  }

  /** A page of jobs, newest first. */
  jobs(filter: JobsFilter = {}): Promise<JobsBody> {
    const query = new URLSearchParams();
    for (const [name, value] of Object.entries(filter))
      if (value !== undefined) query.set(name, String(value));
    return this.#json('GET', query.size === 0 ? '/jobs' : `/jobs?${query}`);
  }

  job(job_id: string): Promise<JobRecord> {
    return this.#json('GET', `/jobs/${segment(job_id)}`);
  }

  /** Why a job waits. */
  explain(job_id: string): Promise<Explanation> {
    return this.#json('GET', `/jobs/${segment(job_id)}/explain`);
  }

  submit(job: SubmitFields): Promise<JobAcceptedBody> {
    return this.#json('POST', '/jobs', job);
  }

  cancel(job_id: string, reason?: string): Promise<CancelAcceptedBody> {
    return this.#json('POST', `/jobs/${segment(job_id)}/cancel`, { ...(reason !== undefined && { reason }) });
  }

  /** Submits an ended job as a new one. */
  retry(job_id: string): Promise<JobAcceptedBody> {
    return this.#json('POST', `/jobs/${segment(job_id)}/retry`, {});
  }

  async workers(): Promise<WorkerRecord[]> {
    const { workers } = await this.#json<WorkersBody>('GET', '/workers');
    return workers;
  }

  worker(worker_id: string): Promise<WorkerRecord> {
    return this.#json('GET', `/workers/${segment(worker_id)}`);
  }

  drain(worker_id: string, reason?: string): Promise<WorkerIdsBody> {
    return this.#json('POST', `/workers/${segment(worker_id)}/drain`, {
      ...(reason !== undefined && { reason }),
    });
  }

  resume(worker_id: string): Promise<WorkerIdsBody> {
    return this.#json('POST', `/workers/${segment(worker_id)}/resume`, {});
  }

  /**
   * The events of a job from its beginning to its end. A broken stream is taken up where it broke; when that fails
   * for half a minute, `no_hub` is thrown.
   */
  async *events(job_id: string): AsyncGenerator<JobEvent> {
    let last: string | undefined;
    for (let failures = 0; ; failures++) {
      try {
        for await (const event of this.#stream(job_id, last)) {
          failures = 0;
          if (event.id !== '') last = event.id;
          const read = jobEvent(event);
          if (read === undefined) continue;
          yield read;
          if (TERMINAL_EVENTS.has(read.type)) return;
        }
      } catch (error) {
        if (last === undefined || failures >= RECONNECTS_MAX || !mayPass(error)) throw error;
      }
      if (failures >= RECONNECTS_MAX)
        throw this.#unreachable({ reason: 'the stream of events ends too early', outcome: 'unknown' });
      await sleep(Math.min(this.#reconnect_ms * 2 ** failures, RECONNECT_MOST_MS));
    }
  }

  async *#stream(job_id: string, after: string | undefined): AsyncGenerator<ServerEvent> {
    const silence = new AbortController();
    const noise = () => setTimeout(() => silence.abort(timedOut(STREAM_SILENCE_MS)), STREAM_SILENCE_MS);
    let timer = noise();
    const heard = () => {
      clearTimeout(timer);
      timer = noise();
    };
    try {
      const headers: Record<string, string> = { accept: 'text/event-stream' };
      if (after !== undefined) headers['last-event-id'] = after;
      const answer = await this.#fetch(`/jobs/${segment(job_id)}/events`, { headers }, silence.signal);
      if (!answer.ok) throw await this.#refusal(answer);
      if (!answer.headers.get('content-type')?.startsWith('text/event-stream') || answer.body === null) {
        throw this.#notAHub(answer);
      }
      yield* readEvents(answer.body, heard);
    } catch (error) {
      throw error instanceof ApiError ? error : this.#unreachable(failureOf(error));
    } finally {
      clearTimeout(timer);
      silence.abort();
    }
  }

  async #json<T>(method: string, path: string, body?: object): Promise<T> {
    const signal = AbortSignal.timeout(this.#timeout_ms);
    const init: FetchInit = { method, headers: { accept: 'application/json' } };
    if (body !== undefined) {
      init.headers = { ...init.headers, 'content-type': 'application/json' };
      init.body = objectJson(body);
    }
    const answer = await this.#fetch(path, init, signal);
    if (!answer.ok) throw await this.#refusal(answer);
    const read = await this.#body(answer);
    if (typeof read !== 'object' || read === null) throw this.#notAHub(answer);
    return read as T;
  }

  async #fetch(path: string, init: FetchInit, signal: AbortSignal): Promise<Response> {
    try {
      const headers = { ...init.headers, ...this.#authorization };
      return await fetch(this.url + path, { ...init, headers, signal });
    } catch (error) {
      throw this.#unreachable(failureOf(error, this.#timeout_ms));
    }
  }

  /** The body as JSON; undefined when it is something else. */
  async #body(answer: Response): Promise<unknown> {
    let text: string;
    try {
      text = await answer.text();
    } catch (error) {
      throw this.#unreachable(failureOf(error, this.#timeout_ms));
    }
    try {
      return parseKept(text);
    } catch {
      return undefined;
    }
  }

  async #refusal(answer: Response): Promise<ApiError> {
    const body = (await this.#body(answer)) as {
      error?: { code?: unknown; message?: unknown; details?: unknown };
    };
    const error = body?.error;
    if (typeof error?.code !== 'string' || typeof error.message !== 'string') return this.#notAHub(answer);
    return new ApiError(error.code, error.message, answer.status, error.details);
  }

  #notAHub(answer: Response): ApiError {
    const media = answer.headers.get('content-type') ?? 'no content type';
    return new ApiError(
      'no_hub',
      `${this.url} answers, but not as a hub does (HTTP ${answer.status}, ${media}). Set --hub or HUB_URL to the hub's address.`,
      null,
      // Behind a proxy that gave up waiting there may be a hub that did not.
      { outcome: answer.status >= 500 ? 'unknown' : 'none' },
    );
  }

  #unreachable({ reason, outcome }: Failure): ApiError {
    return new ApiError(
      'no_hub',
      `cannot reach ${this.url} (${reason}). Is the hub running? Start one with "npm start", or set --hub or HUB_URL.`,
      null,
      { outcome },
    );
  }
}

type FetchInit = { method?: string; headers: Record<string, string>; body?: string };

/** Whether trying again may help: the hub is away, or away from Redis. */
function mayPass(error: unknown): boolean {
  return error instanceof ApiError && (error.status === null || error.status >= 500);
}

function jobEvent(event: ServerEvent): JobEvent | undefined {
  try {
    const data = parseKept(event.data);
    return typeof data?.type === 'string' ? data : undefined;
  } catch {
    return undefined;
  }
}

/** A part of a path; the colon of ids may stay as it is. */
function segment(id: string): string {
  return encodeURIComponent(id).replaceAll('%3A', ':');
}

/**
 * The address as fetch needs it: a scheme is added, ws becomes http, slashes at the end go.
 *
 * @throws TypeError when it is no address
 */
export function hubUrl(text: string): string {
  const withScheme = /^[a-z][a-z0-9+.-]*:\/\//i.test(text) ? text : `http://${text}`;
  const url = URL.parse?.(withScheme) ?? parseUrl(withScheme);
  const scheme = url?.protocol.replace(/^ws/, 'http');
  if (url == null || !/^https?:$/.test(scheme ?? '') || url.search !== '' || url.username !== '') {
    throw new TypeError(
      `"${withoutSecrets(text)}" is not the address of a hub; it looks like ${HUB_URL_DEFAULT}`,
    );
  }
  return `${scheme}//${url.host}${url.pathname.replace(/\/+$/, '')}`;
}

/** An address may hold a password or a token, where neither belongs. */
function withoutSecrets(text: string): string {
  return text.replace(/[?#].*$/s, '?…').replace(/\/\/[^/]*@/, '//…@');
}

function parseUrl(text: string): URL | undefined {
  try {
    return new URL(text);
  } catch {
    return undefined;
  }
}

/** Where the environment says that the hub is: HUB_URL, or HUB_HOST and HUB_PORT. */
export function urlFromEnv(env: Record<string, string | undefined>): string {
  if (env['HUB_URL']) return env['HUB_URL'];
  const host = env['HUB_HOST'] || '127.0.0.1';
  // What a hub listens on everywhere is not where one connects to.
  const target = host === '0.0.0.0' ? '127.0.0.1' : host === '::' ? '::1' : host;
  return `http://${target.includes(':') ? `[${target}]` : target}:${env['HUB_PORT'] || '8000'}`;
}

/** Why no answer came, and whether the request may have been taken all the same. */
interface Failure {
  reason: string;
  outcome: 'none' | 'unknown';
}

/** What fails before anything is sent. */
const NO_CONNECTION: Record<string, string> = {
  ECONNREFUSED: 'connection refused',
  ENOTFOUND: 'no such host',
  EAI_AGAIN: 'the name of the host cannot be looked up now',
  EHOSTUNREACH: 'no route to the host',
  ENETUNREACH: 'no route to the network',
  UND_ERR_CONNECT_TIMEOUT: 'no connection in time',
};

const BROKEN: Record<string, string> = {
  ECONNRESET: 'the connection was closed',
  EPIPE: 'the connection was closed',
  UND_ERR_SOCKET: 'the connection was closed',
  ETIMEDOUT: 'the connection is dead',
};

const timedOut = (ms: number) =>
  new DOMException(`no answer within ${Math.round(ms / 1000)} s`, 'TimeoutError');

/** What made fetch fail: it hides the reason in `cause`, or in one of several. */
function failureOf(error: unknown, timeout_ms = STREAM_SILENCE_MS): Failure {
  const { name, message, cause } = error as Error & { cause?: unknown };
  if (name === 'TimeoutError') return { reason: timedOut(timeout_ms).message, outcome: 'unknown' };
  const { code, errors } = (cause ?? {}) as { code?: string; errors?: { code?: string }[] };
  const known = code ?? errors?.[0]?.code ?? '';
  if (Object.hasOwn(NO_CONNECTION, known)) return { reason: NO_CONNECTION[known] as string, outcome: 'none' };
  return { reason: BROKEN[known] ?? (cause as Error | undefined)?.message ?? message, outcome: 'unknown' };
}

const sleep = (ms: number) => new Promise(resolve => setTimeout(resolve, ms));
