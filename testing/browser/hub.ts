// A hub for the browser suite: a process of its own on a Redis of its own. With GPUHUB_URL set, that hub is used
// as it is; tests that need a setting or a restart are skipped then.

import { freePort, type HubProcess, startHub } from '../harness/processes.ts';
import { startRedis } from '../../scripts/redis_server.ts';

/** The hub of somebody else, as `http://host:port`. */
export const givenHub = process.env['GPUHUB_URL']?.replace(/\/$/, '');

export class PageHub implements AsyncDisposable {
  httpUrl = givenHub ?? '';
  readonly #env: Record<string, string>;
  #redis: Awaited<ReturnType<typeof startRedis>> | undefined;
  #hub: HubProcess | undefined;

  private constructor(env: Record<string, string>) {
    this.#env = env;
  }

  static async start(env: Record<string, string> = {}): Promise<PageHub> {
    const hub = new PageHub({ HUB_PORT: String(await freePort()), LOG_LEVEL: 'warn', ...env });
    if (givenHub !== undefined) return hub;
    hub.#redis = await startRedis();
    await hub.up();
    return hub;
  }

  get wsUrl(): string {
    return this.httpUrl.replace(/^http/, 'ws');
  }

  /** Starts the process again after down(): the same port, the same Redis. */
  async up(): Promise<void> {
    this.#hub = await startHub({ ...this.#env, REDIS_URL: this.#redis?.url });
    this.httpUrl = this.#hub.httpUrl;
  }

  async down(): Promise<void> {
    await this.#hub?.process.stop();
    this.#hub = undefined;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.down();
    await this.#redis?.stop();
  }
}
