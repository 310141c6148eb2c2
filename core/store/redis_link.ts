import { EventEmitter } from 'node:events';
import { Command, Redis, type RedisOptions } from 'ioredis';
import { monotonic } from '../clock.ts';
import type { Config } from '../config.ts';
import { HubError } from '../errors.ts';
import { FAST_MS, Histogram } from '../histogram.ts';
import { shardTag } from './keys.ts';
import { killPoint } from './kill_points.ts';
import type { Script } from './scripts.ts';

type Options = RedisOptions & { replyMapping?: 'legacy' };
type Argument = string | number;

/** Scripts name one key: what routes them on Redis Cluster. */
const TAG = shardTag(0);

/** Asked of peers whose request met a Redis that could not answer. */
export const RETRY_AFTER_MS = 1000;

/** Replies that say that nothing was written: Redis refused before it began. */
const REFUSED =
  /^(OOM|MISCONF|READONLY|LOADING|NOREPLICAS|CLUSTERDOWN|MASTERDOWN|BUSY|NOAUTH|WRONGPASS|TRYAGAIN)\b/;
/** What it means that Redis refuses all work, for people. */
const TROUBLES: Record<string, string> = {
  OOM: 'Redis is out of memory: running jobs go on and end, new ones are refused',
  MISCONF: 'Redis cannot save to its disk and refuses writes',
  READONLY: 'Redis is read-only: it is a replica now',
  LOADING: 'Redis is loading its data',
  NOREPLICAS: 'Redis has too few replicas and refuses writes',
  BUSY: 'Redis is busy with a script of somebody else',
};
const NOT_SENT = /enableOfflineQueue|Stream isn't writeable|Connection is closed\.$/;

function unavailable(outcome: 'none' | 'unknown', why: string): HubError {
  const message =
    outcome === 'none'
      ? `Redis cannot take this now (${why}); nothing was stored`
      : `Redis did not answer (${why}); it is unknown whether this was stored: send it again under the same id`;
  return new HubError('unavailable', message, { outcome, retry_after_ms: RETRY_AFTER_MS });
}

/** Did Redis refuse before it began, so that the same may be asked again? */
export const nothingStored = (error: Error): boolean =>
  error instanceof HubError && (error.details as { outcome?: unknown } | undefined)?.outcome === 'none';

/** What a failed command means to the peer that asked for it. */
function toHubError(error: Error): Error {
  if (error instanceof HubError) return error;
  if (REFUSED.test(error.message)) return unavailable('none', error.message.split(' ')[0] as string);
  // A script error is a bug of ours, not an outage.
  if (error.name === 'ReplyError') return error;
  if (NOT_SENT.test(error.message)) return unavailable('none', 'not connected');
  return unavailable('unknown', 'no reply');
}

/**
 * ioredis by default runs a script twice when the link breaks before the reply, and holds commands back while it is
 * away. Here a command is sent once or not at all, and fails after a bounded time.
 */
function options(config: Config): Options {
  return {
    lazyConnect: true,
    maxRetriesPerRequest: 0,
    autoResendUnfulfilledCommands: false,
    enableOfflineQueue: false,
    commandTimeout: config.REDIS_COMMAND_TIMEOUT_MS,
    socketTimeout: config.REDIS_COMMAND_TIMEOUT_MS * 2,
    connectTimeout: config.REDIS_COMMAND_TIMEOUT_MS,
    retryStrategy: times => Math.min(50 * times, 1000),
    noDelay: true,
  };
}

/** Nobody waits for the listener's replies, so it may take its own time to reconnect. */
const LISTENER = {
  maxRetriesPerRequest: null,
  commandTimeout: undefined,
  autoResubscribe: false,
} as unknown as Options;

/** How long a Redis that is there but could not be made ready is left alone. */
const READY_AGAIN_MS = 1000;

function connect(config: Config, more: Options): Redis {
  const all: Options = { ...options(config), ...more };
  if (config.REDIS_URL !== undefined) return new Redis(config.REDIS_URL, all);
  const { REDIS_HOST: host, REDIS_PORT: port, REDIS_DB: db, REDIS_PASSWORD: password } = config;
  return new Redis({ ...all, host, port, db, ...(password === undefined ? {} : { password }) });
}

/**
 * A script call. ioredis looks through all arguments for lists among them, and puts its text together from six pieces an
 * argument; here some hundred texts come in one list as they are, in half the time.
 */
class ScriptCall extends Command {
  constructor(name: 'evalsha' | 'eval', script: string, args: Argument[]) {
    super(name, [], { replyEncoding: 'utf8' });
    this.args = [script, 1, TAG, ...args];
  }

  override toWritable(): string {
    let text = `*${this.args.length + 1}\r\n$${this.name.length}\r\n${this.name}`;
    for (const arg of this.args as Argument[]) {
      const value = typeof arg === 'string' ? arg : String(arg);
      text += `\r\n$${Buffer.byteLength(value)}\r\n${value}`;
    }
    return `${text}\r\n`;
  }
}

/**
 * The two connections of a hub: one for commands, one that listens.
 *
 * Events: `up` and `down` (commands can, cannot be served), `message` (channel, text), `resubscribed` (hints may have
 * been missed), `changed` (another server process or another master answers: comes before `up`).
 */
export class RedisLink extends EventEmitter<{
  up: [];
  down: [string];
  message: [string, string];
  resubscribed: [];
  changed: [];
}> {
  readonly #data: Redis;
  readonly #listener: Redis;
  readonly #scripts: Map<string, Script>;
  #up = false;
  #why = 'not connected yet';
  /** Which process with which history answers; it is another one after a restart or a failover. */
  #identity: string | null = null;

  constructor(config: Config, scripts: Map<string, Script>) {
    super();
    this.#scripts = scripts;
    this.#data = connect(config, {});
    this.#listener = connect(config, LISTENER);
    this.#data.on('error', (error: Error) => this.#fail(error.message));
    // It comes back by itself and what was missed is looked up then; commands are served meanwhile.
    this.#listener.on('error', () => {});
    this.#data.on('close', () => this.#fail('connection closed'));
    this.#data.on('ready', () => void this.#ready());
    this.#data.on('connect', () => {
      if (!this.#up) this.#why = 'connected, but not ready: it may be loading its data';
    });
    this.#listener.on('message', (channel: string, text: string) => this.emit('message', channel, text));
  }

  /** Script calls until their reply, and those that failed. */
  readonly round_trips = new Histogram(FAST_MS);
  failed_trips = 0;

  get up(): boolean {
    return this.#up;
  }

  /** Why commands cannot be served now. */
  get why(): string {
    return this.#why;
  }

  /** @throws Error when Redis cannot be reached, or not be made ready */
  async open(channels: string[]): Promise<void> {
    await this.#data.connect();
    await this.#ready();
    if (!this.#up) throw new Error(this.#why);
    if (channels.length === 0) return;
    await this.#listener.connect();
    await this.#listener.subscribe(...channels);
    this.#listener.on('ready', () => void this.#subscribeAgain(channels));
  }

  /** Only what happens from the reply on is heard, and what happened before it is to be looked up after it. */
  async #subscribeAgain(channels: string[]): Promise<void> {
    try {
      await this.#listener.subscribe(...channels);
      this.emit('resubscribed');
    } catch {
      // The connection is gone again: the next one subscribes.
    }
  }

  /**
   * Asks the listening connection for a sign of life. ioredis ends one that owes a reply for longer than `socketTimeout`;
   * one that is silent and owes none may be dead behind a proxy that still acknowledges.
   */
  probeListener(): void {
    if (this.#listener.status === 'ready') this.#listener.ping().catch(() => undefined);
  }

  close(): void {
    this.removeAllListeners();
    this.#data.disconnect();
    this.#listener.disconnect();
  }

  /** Runs a script. @throws HubError `unavailable` when Redis did not do it, or did not say so */
  async run(name: string, args: Argument[]): Promise<unknown> {
    return this.#evaluate(name, args);
  }

  /**
   * Runs a script that Redis refuses as it refuses all work.
   *
   * @returns why it is refused, as a sentence; null if it is not
   */
  async trouble(name: string, args: Argument[]): Promise<string | null> {
    try {
      await this.#evaluateRaw(name, args);
      return null;
    } catch (error) {
      const { message } = error as Error;
      const code = REFUSED.exec(message)?.[1];
      if (code === undefined) return `Redis does not answer: ${message}`;
      return TROUBLES[code] ?? `Redis refuses all work (${code})`;
    }
  }

  /** A plain command. @throws HubError `unavailable` */
  async call(command: string, ...args: Argument[]): Promise<unknown> {
    return this.#data.call(command, ...args).catch(rethrow);
  }

  /** Plain commands, named in lowercase, at one moment. @returns their replies @throws HubError `unavailable` */
  async atomically(commands: string[][]): Promise<unknown[]> {
    const replies = await this.#data.multi(commands).exec().catch(rethrow);
    return (replies ?? []).map(([error, reply]) => (error === null ? reply : rethrow(error)));
  }

  /** What is written between both calls leaves in one piece. */
  cork(): void {
    this.#data.stream?.cork?.();
  }

  uncork(): void {
    this.#data.stream?.uncork?.();
  }

  async #evaluate(name: string, args: Argument[]): Promise<unknown> {
    const began = monotonic();
    try {
      const reply = await this.#evaluateRaw(name, args);
      this.round_trips.observe(monotonic() - began);
      return reply;
    } catch (error) {
      this.failed_trips += 1;
      return rethrow(error as Error);
    }
  }

  async #evaluateRaw(name: string, args: Argument[]): Promise<unknown> {
    const script = this.#scripts.get(name) as Script;
    const call = (command: 'evalsha' | 'eval', what: string) =>
      this.#data.sendCommand(new ScriptCall(command, what, args));
    killPoint(name, 'before');
    try {
      const coming = call('evalsha', script.sha);
      killPoint(name, 'sent');
      const reply = await coming;
      killPoint(name, 'replied');
      killPoint(name, 'told');
      return reply;
    } catch (error) {
      if (!(error as Error).message.startsWith('NOSCRIPT')) throw error;
      return call('eval', script.text);
    }
  }

  /** Redis is there: give it the scripts first, so that a restarted one does not meet unknown hashes. */
  async #ready(): Promise<void> {
    if (this.#up) return;
    let identity: string;
    try {
      const loads = [...this.#scripts.values()].map(script => this.#data.script('LOAD', script.text));
      [identity] = await Promise.all([this.#readIdentity(), ...loads]);
    } catch (error) {
      this.#fail((error as Error).message);
      // A new connection would come by itself; this one stands, and nobody else would try again.
      if (this.#data.status === 'ready') setTimeout(() => void this.#ready(), READY_AGAIN_MS).unref();
      return;
    }
    if (this.#up || this.#data.status !== 'ready') return;
    this.#up = true;
    const changed = this.#identity !== null && this.#identity !== identity;
    this.#identity = identity;
    if (changed) this.emit('changed');
    this.emit('up');
  }

  async #readIdentity(): Promise<string> {
    const [server, replication] = await Promise.all([
      this.#data.info('server'),
      this.#data.info('replication'),
    ]);
    const field = (text: string, name: string) => new RegExp(`^${name}:(\\S*)`, 'm').exec(text)?.[1] ?? '';
    return `${field(server, 'run_id')} ${field(replication, 'master_replid')}`;
  }

  #fail(why: string): void {
    this.#why = why;
    if (!this.#up) return;
    this.#up = false;
    this.emit('down', why);
  }
}

function rethrow(error: Error): never {
  throw toHubError(error);
}
