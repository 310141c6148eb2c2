// A private Redis server for a test file:
//
//   const redis = await testRedis();
//   afterAll(() => redis.stop());
//   beforeEach(() => redis.flush());
//
// or, for one test that breaks it, `await using redis = await testRedis()`.

import { Redis, type RedisOptions } from 'ioredis';
import { type RedisProcess, startRedis } from '../../scripts/redis_server.ts';

export interface TestRedisOptions {
  /** Sync the append-only file every second, as in production. By default not at all: a crash of the Redis
   * process loses nothing either way, only one of the machine does. */
  durable?: boolean;
  /** Further arguments of the server. */
  args?: readonly string[];
}

/** One private server, the connections that a test made to it, and what a test does to it. */
export class TestRedis implements AsyncDisposable {
  readonly server: RedisProcess;
  readonly #clients = new Set<Redis>();

  constructor(server: RedisProcess) {
    this.server = server;
  }

  get url(): string {
    return this.server.url;
  }

  get host(): string {
    return this.server.host;
  }

  get port(): number {
    return this.server.port;
  }

  /** A new connection, through a proxy if `port` is given; stop() closes it. */
  client(options: Omit<RedisOptions, 'replyMapping'> = {}): Redis {
    const client = new Redis({ host: this.host, port: this.port, ...options });
    client.on('error', () => {}); // each failing command tells its caller; a broken link is often the test
    this.#clients.add(client);
    client.once('end', () => this.#clients.delete(client));
    return client;
  }

  /** Removes all keys of all databases, and waits for that. */
  async flush(): Promise<void> {
    const client = this.client({ lazyConnect: true, maxRetriesPerRequest: 0, retryStrategy: () => null });
    try {
      await client.connect();
      await client.flushall('SYNC');
    } finally {
      client.disconnect();
    }
  }

  /** Closes the connections of client() and ends the server. Calling it again is fine. */
  async stop(): Promise<void> {
    for (const client of this.#clients) client.disconnect();
    await this.server.stop();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }
}

/** Starts a private server; it ends with the process that runs the tests at the latest. */
export async function testRedis(options: TestRedisOptions = {}): Promise<TestRedis> {
  const fsync = options.durable ? 'everysec' : 'no';
  return new TestRedis(
    await startRedis({ args: ['--appendfsync', fsync, '--loglevel', 'warning', ...(options.args ?? [])] }),
  );
}
