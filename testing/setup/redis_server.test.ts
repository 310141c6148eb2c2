import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, readdir, rm, symlink } from 'node:fs/promises';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { findOnPath, redisFromEnvOrLauncher, startRedis } from '../../scripts/redis_server.ts';
import { startProcess, stopAll, type TestProcess } from '../harness/processes.ts';
import { testRedis } from '../harness/redis.ts';

/** The first start on a machine may fetch a package. */
const FETCH_TIMEOUT_MS = 180_000;

const folders: string[] = [];

async function temporaryFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'gpuhub-test-'));
  folders.push(folder);
  return folder;
}

afterAll(async () => {
  await stopAll();
  for (const folder of folders) await rm(folder, { recursive: true, force: true });
});

/** Runs code that may use the launcher's exports, in a process of its own. */
function startModule(code: string, env: Record<string, string> = {}): TestProcess {
  const module = `import * as launcher from './scripts/redis_server.ts';\n${code}`;
  return startProcess(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', module], { env });
}

describe('startRedis', { timeout: FETCH_TIMEOUT_MS }, () => {
  test('starts a server that answers, appends every write to a file, and never evicts', async () => {
    await using server = await startRedis();
    await using redis = await testRedis();
    for (const port of [server.port, redis.port]) {
      const client = redis.client({ port });
      expect(await client.ping()).toBe('PONG');
      expect(await client.config('GET', 'appendonly')).toEqual(['appendonly', 'yes']);
      expect(await client.config('GET', 'maxmemory-policy')).toEqual(['maxmemory-policy', 'noeviction']);
      expect(await client.config('GET', 'bind')).toEqual(['bind', '127.0.0.1']);
      expect(await client.config('GET', 'save')).toEqual(['save', '']);
    }
    expect(server.url).toBe(`redis://127.0.0.1:${server.port}`);
  });

  test('stop ends the server and removes its temporary folder, also when it hangs, and twice is fine', async () => {
    const server = await startRedis();
    expect(existsSync(server.dir)).toBe(true);
    await server.kill('SIGSTOP');
    await Promise.all([server.stop(), server.stop()]);
    await server.stop();
    expect(server.pid).toBeUndefined();
    expect(existsSync(server.dir)).toBe(false);
    await expect(server.restart()).rejects.toThrow('stopped for good');
  });

  test('stop keeps a folder that the caller gave, and the next server finds the data in it', async () => {
    const dir = await temporaryFolder();
    await using redis = await testRedis();
    {
      await using server = await startRedis({ dir });
      await redis.client({ port: server.port }).set('kept', 'yes');
    }
    await using server = await startRedis({ dir });
    expect(await redis.client({ port: server.port }).get('kept')).toBe('yes');
  });

  test('restart after a crash keeps port and data', async () => {
    await using redis = await testRedis();
    await redis.client().set('kept', 'yes');
    const { pid } = redis.server;
    await redis.server.kill('SIGKILL');
    expect(redis.server.pid).toBeUndefined();
    await redis.server.restart();
    expect(redis.server.pid).not.toBe(pid);
    expect(await redis.client().get('kept')).toBe('yes');
    await redis.flush();
    expect(await redis.client().dbsize()).toBe(0);
  });

  test('a port that is taken is an error that shows why', async () => {
    const other = createServer().listen(0, '127.0.0.1');
    await once(other, 'listening');
    const { port } = other.address() as { port: number };
    await expect(startRedis({ port })).rejects.toThrow(/already in use/i);
    other.close();
  });

  test('the server dies with a parent that is killed, and its temporary folder goes too', async () => {
    const parent = startModule(`
      const { port, dir } = await launcher.startRedis();
      console.log('started', port, dir);
      setInterval(() => {}, 1e6);`);
    const [, port, dir] = await parent.waitFor(/started (\d+) (\S+)\n/, FETCH_TIMEOUT_MS);
    const socket = connect(Number(port), '127.0.0.1');
    await once(socket, 'connect');
    socket.on('error', () => {}); // a reset is as good an end as any
    const closed = new Promise(resolve => socket.once('close', resolve));
    parent.kill('SIGKILL');
    await closed;
    await expect.poll(() => existsSync(dir as string), { timeout: 10_000 }).toBe(false);
  });

  test('a parent that has nothing else to do may end', async () => {
    const parent = startModule('console.log(`started ${(await launcher.startRedis()).port}`);');
    await parent.waitFor(/started/, FETCH_TIMEOUT_MS);
    expect(await parent.exited).toEqual({ code: 0, signal: null });
  });
});

describe('redisFromEnvOrLauncher', { timeout: FETCH_TIMEOUT_MS }, () => {
  test('leaves a Redis that the environment names as it is', async () => {
    const byUrl = await redisFromEnvOrLauncher({ REDIS_URL: 'redis://elsewhere:7000/3', HOME: '/' });
    expect(byUrl).toMatchObject({
      env: { REDIS_URL: 'redis://elsewhere:7000/3' },
      url: 'redis://elsewhere:7000/3',
    });
    const byHost = await redisFromEnvOrLauncher({
      REDIS_HOST: 'elsewhere',
      REDIS_DB: '2',
      REDIS_PASSWORD: 'a b',
    });
    expect(byHost.env).toEqual({ REDIS_HOST: 'elsewhere', REDIS_DB: '2', REDIS_PASSWORD: 'a b' });
    expect(byHost.url).toBe('redis://:a%20b@elsewhere:6379/2');
    expect(byHost.server).toBeUndefined();
    await byHost.stop();
  });

  test('starts one if the environment names none', async () => {
    const redis = await redisFromEnvOrLauncher({});
    expect(redis.env).toEqual({ REDIS_URL: redis.server?.url });
    await redis.stop();
    expect(redis.server?.pid).toBeUndefined();
  });
});

describe('findRedisServer', () => {
  const FIND = `
    const { source } = await launcher.findRedisServer().catch(error => ({ source: error.message }));
    console.log('found:', source);
    if (source.startsWith('No Redis')) process.exit(1);
    const server = await launcher.startRedis();
    console.log('answers on', server.port);
    await server.stop();`;

  /** A folder with everything of the system's own PATH but the servers. */
  async function pathWithoutRedis(): Promise<string> {
    const folder = await temporaryFolder();
    for (const source of ['/usr/local/sbin', '/usr/local/bin', '/usr/sbin', '/usr/bin', '/sbin', '/bin']) {
      for (const name of await readdir(source).catch(() => [])) {
        if (/^(redis|valkey)/.test(name) || existsSync(join(folder, name))) continue;
        await symlink(join(source, name), join(folder, name)).catch(() => {});
      }
    }
    return folder;
  }

  test(
    'unpacks the package of the distribution without installing it, also twice at once',
    async context => {
      const path = await findOnPath('apt-get');
      if (!path) context.skip('there is no apt-get on this system');
      const env = { PATH: await pathWithoutRedis(), GPUHUB_CACHE: await temporaryFolder() };
      const both = [startModule(FIND, env), startModule(FIND, env)];
      for (const process of both) {
        await process.waitFor(/found: unpacked\nanswers on \d+\n/, FETCH_TIMEOUT_MS);
        expect(await process.exited).toEqual({ code: 0, signal: null });
      }
      const third = startModule(FIND, env);
      await third.waitFor(/found: cache\nanswers on \d+\n/);
      await third.exited;
      expect((await readdir(env.GPUHUB_CACHE)).filter(name => name.startsWith('unpack-'))).toEqual([]);
    },
    FETCH_TIMEOUT_MS,
  );

  test('says in one sentence what to install where there is neither a server nor apt', async () => {
    const empty = await temporaryFolder();
    const process = startModule(FIND, {
      PATH: [empty, join(empty, 'none')].join(delimiter),
      GPUHUB_CACHE: empty,
    });
    const [line] = await process.waitFor(/found: .*\n/);
    expect(line).toMatch(
      /^found: No Redis server was found on the PATH: please install .* or set REDIS_URL[^.]*\.\n$/,
    );
    await process.exited;
  });
});
