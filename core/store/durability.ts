import type { Config } from '../config.ts';
import { HubError } from '../errors.ts';
import { RETRY_AFTER_MS } from './redis_link.ts';

type Call = (command: string, ...args: (string | number)[]) => Promise<unknown>;

/** What the server can do and how it is set up, as far as it says. */
interface Server {
  has_waitaof: boolean;
  /** Null when the server does not let hubs read its settings. */
  appendonly: string | null;
  appendfsync: string | null;
}

/**
 * How sure an acknowledgement is (`DURABILITY`). `memory`: Redis has it, and its own settings decide what a power cut
 * loses. `fsync`: it is on the disk of Redis. `replica`: at least one replica has it too.
 *
 * The waiting is done once for all acknowledgements of a turn. It blocks the hub's connection to Redis meanwhile, as it
 * must: only the connection that wrote can ask whether its writes are safe.
 */
export class Durability {
  readonly #mode: Config['DURABILITY'];
  readonly #timeout_ms: number;
  readonly #call: Call;
  #wait: (string | number)[] | null = null;
  #fault: string | null = null;
  #settling: Promise<void> | undefined;

  constructor(config: Pick<Config, 'DURABILITY' | 'DURABILITY_TIMEOUT_MS'>, call: Call) {
    this.#mode = config.DURABILITY;
    this.#timeout_ms = config.DURABILITY_TIMEOUT_MS;
    this.#call = call;
  }

  /** Must anything be waited for? If not, it costs nothing. */
  get waits(): boolean {
    return this.#wait !== null || this.#fault !== null;
  }

  /** Why the promise cannot be kept now, as a sentence. */
  get fault(): string | null {
    return this.#fault;
  }

  /** Another server answers: the same as `prepare`, but the hub goes on and keeps its word by acknowledging nothing. */
  async again(): Promise<void> {
    if (this.#mode === 'fsync')
      this.#fault = 'it is not known yet whether this Redis can keep DURABILITY=fsync';
    try {
      await this.prepare();
      this.#fault = null;
    } catch (error) {
      this.#fault = (error as Error).message;
    }
  }

  /**
   * Finds out how this server keeps the promise.
   *
   * @throws Error with a sentence when it cannot
   */
  async prepare(): Promise<void> {
    if (this.#mode === 'replica') this.#wait = ['WAIT', 1, this.#timeout_ms];
    if (this.#mode === 'fsync') this.#wait = await this.#waitForDisk();
  }

  /** The command to wait with, or null if every reply comes after the fsync by itself. @throws Error with a sentence */
  async #waitForDisk(): Promise<(string | number)[] | null> {
    const server = await readServer(this.#call);
    if (server.appendonly === 'yes' && server.appendfsync === 'always') return null;
    if (server.has_waitaof && server.appendonly !== 'no') return ['WAITAOF', 1, 0, this.#timeout_ms];
    throw new Error(
      server.appendfsync === null
        ? 'DURABILITY=fsync needs Redis 7.2 or newer, or one with "appendonly yes" and "appendfsync always"; this one is older and does not let hubs read its settings'
        : `DURABILITY=fsync needs "appendonly yes", and "appendfsync always" before Redis 7.2; this Redis has appendonly ${server.appendonly} and appendfsync ${server.appendfsync}`,
    );
  }

  /**
   * Everything this connection wrote before is as safe as the mode says when this resolves.
   *
   * @throws HubError `unavailable`, outcome unknown: Redis has it, but not as safe as promised
   */
  settle(): Promise<void> {
    this.#settling ??= new Promise<void>((resolve, reject) => {
      process.nextTick(() => {
        this.#settling = undefined;
        this.#ask().then(resolve, reject);
      });
    });
    return this.#settling;
  }

  async #ask(): Promise<void> {
    if (this.#fault !== null) throw this.#doubt();
    if (this.#wait === null) return;
    const [command, ...args] = this.#wait as [string, ...(string | number)[]];
    let reply: unknown;
    try {
      reply = await this.#call(command, ...args);
    } catch {
      throw this.#doubt();
    }
    // WAIT answers how many replicas have it, WAITAOF how many disks here and there.
    const reached = Array.isArray(reply) ? reply[0] : reply;
    if (Number(reached) < 1) throw this.#doubt();
  }

  #doubt(): HubError {
    const where = this.#mode === 'replica' ? 'no replica has confirmed it' : 'the disk has not confirmed it';
    return new HubError(
      'unavailable',
      `Redis has it, but ${where} within ${this.#timeout_ms} ms (DURABILITY=${this.#mode}): send it again under the same id`,
      { outcome: 'unknown', retry_after_ms: RETRY_AFTER_MS },
    );
  }
}

async function readServer(call: Call): Promise<Server> {
  const [known] = (await call('COMMAND', 'INFO', 'WAITAOF')) as unknown[];
  return {
    has_waitaof: known != null,
    appendonly: await setting(call, 'appendonly'),
    appendfsync: await setting(call, 'appendfsync'),
  };
}

/** A setting of Redis; null when it may not be read, as on many managed servers. */
async function setting(call: Call, name: string): Promise<string | null> {
  const reply = await call('CONFIG', 'GET', name).catch(() => []);
  const pair = Array.isArray(reply) ? reply : Object.entries(reply as object).flat();
  return (pair[1] as string | undefined) ?? null;
}

/** A remark on how Redis is set up; `quiet` ones are no fault. */
export interface Advice {
  text: string;
  quiet: boolean;
}

/** What about this Redis may lose jobs: each a line for the log. */
export async function adviseOn(call: Call): Promise<Advice[]> {
  const [policy, appendonly, appendfsync, save] = await Promise.all(
    ['maxmemory-policy', 'appendonly', 'appendfsync', 'save'].map(name => setting(call, name)),
  );
  if (policy == null || appendonly == null) {
    const text =
      'Redis does not let hubs read its settings: make sure of maxmemory-policy noeviction and of persistence';
    return [{ text, quiet: true }];
  }
  const advice: Advice[] = [];
  const warn = (text: string) => advice.push({ text, quiet: false });
  if (policy !== 'noeviction')
    warn(
      `Redis has maxmemory-policy ${policy}: it will throw jobs away when memory is short; set noeviction`,
    );
  if (appendonly !== 'yes' && (save ?? '') === '')
    warn(
      'Redis keeps nothing on disk (appendonly no, no save): a restart loses all jobs; set appendonly yes',
    );
  else if (appendonly !== 'yes')
    warn(
      `Redis has appendonly no: a crash loses what came since its last snapshot (save ${save}); set appendonly yes`,
    );
  else if (appendfsync === 'no')
    warn('Redis has appendfsync no: a power cut may lose the last half minute; set everysec or always');
  return advice;
}
