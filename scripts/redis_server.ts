// Finds a Redis server, and runs private ones: for `npm start` and the demo without any set-up, and for tests.
//
// Looked for in this order: valkey-server or redis-server on the PATH; one unpacked earlier into the cache
// folder; on Debian and Ubuntu the distribution's own package, unpacked there without root and without
// installing anything. No npm package ships a server that works on all of these, so this is the shortest way.

import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  access,
  constants,
  lstat,
  mkdir,
  mkdtemp,
  open,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  symlink,
} from 'node:fs/promises';
import { connect, createServer } from 'node:net';
import { homedir, tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** Scripts with `#!lua flags=…` need Redis 7; every Valkey has them. */
const MIN_REDIS_MAJOR = 7;
const START_TIMEOUT_MS = 15_000;
const STOP_TIMEOUT_MS = 5_000;
const POLL_MS = 10;
/** Something else than a Redis may hold the port, and say nothing. */
const PROBE_TIMEOUT_MS = 300;
/** Each try takes another free port; losing the race for one even twice is rare. */
const PORT_TRIES = 5;
const LOG_TAIL_CHARS = 2_000;
const APT_TIMEOUT_MS = 180_000;
/** A library's package may need further libraries; Debian's and Ubuntu's need one round. */
const LIBRARY_ROUNDS = 4;
/** Unpack folders older than this were left by a crash. */
const LEFTOVER_MS = 3_600_000;

export interface RedisServerBinary {
  readonly path: string;
  /** What its process needs in the environment beside the usual (LD_LIBRARY_PATH for an unpacked one). */
  readonly env: Readonly<Record<string, string>>;
  readonly source: 'path' | 'cache' | 'unpacked';
}

export interface RedisOptions {
  /** Where data and log go; kept by stop(). By default a temporary folder, removed by stop(). */
  dir?: string;
  /** By default a free one. */
  port?: number;
  /** Further arguments of the server; they win over the defaults. */
  args?: readonly string[];
}

// ---------------------------------------------------------------------------------------------- finding

async function isExecutable(path: string): Promise<boolean> {
  try {
    await access(path, constants.X_OK);
    return (await stat(path)).isFile();
  } catch {
    return false;
  }
}

/** The first of `names` that is an executable file in a folder of the PATH. */
export async function findOnPath(...names: string[]): Promise<string | undefined> {
  for (const name of names) {
    for (const folder of (process.env.PATH ?? '').split(delimiter)) {
      const path = join(folder, name);
      if (folder !== '' && (await isExecutable(path))) return path;
    }
  }
  return undefined;
}

/** Whether the binary starts at all (libraries present, right CPU) and is new enough. */
async function isUsable(path: string, env: Record<string, string>): Promise<boolean> {
  try {
    const { stdout } = await run(path, ['--version'], { env: { ...process.env, ...env } });
    const major = Number(/\bv=(\d+)/.exec(stdout)?.[1] ?? 0);
    return stdout.startsWith('Valkey') || major >= MIN_REDIS_MAJOR;
  } catch {
    return false;
  }
}

export function cacheFolder(): string {
  const { GPUHUB_CACHE, XDG_CACHE_HOME } = process.env;
  return GPUHUB_CACHE || join(XDG_CACHE_HOME || join(homedir(), '.cache'), 'gpuhub');
}

/** Where a program is unpacked. One folder for each release and CPU: a home folder may be shared by machines that differ. */
export async function unpackFolder(program: string): Promise<string> {
  const release = await readFile('/etc/os-release', 'utf8').catch(() => '');
  const field = (name: string) => new RegExp(`^${name}="?([\\w.-]+)`, 'm').exec(release)?.[1] ?? '';
  return join(cacheFolder(), `${program}-${field('ID')}${field('VERSION_ID')}-${process.arch}`);
}

/** The environment in which a program unpacked under `root` finds the libraries unpacked beside it. */
export async function libraryEnv(root: string): Promise<Record<string, string>> {
  const folders: string[] = [];
  for (const base of [join(root, 'usr/lib'), join(root, 'lib')]) {
    const names = await readdir(base).catch(() => []);
    folders.push(...names.filter(name => name.includes('-linux-gnu')).map(name => join(base, name)), base);
  }
  return { LD_LIBRARY_PATH: folders.join(delimiter) };
}

async function usableUnpacked(root: string): Promise<Omit<RedisServerBinary, 'source'> | undefined> {
  const path = join(root, 'usr/bin/redis-server');
  if (!(await isExecutable(path))) return undefined;
  const env = await libraryEnv(root);
  return (await isUsable(path, env)) ? { path, env } : undefined;
}

let found: Promise<RedisServerBinary> | undefined;

/**
 * A Redis (7 or newer) or Valkey server that runs on this machine; fetched once, where that is possible.
 * The answer is kept for the life of the process.
 * @throws Error with one sentence that tells what to install.
 */
export function findRedisServer(): Promise<RedisServerBinary> {
  found ??= lookForRedisServer().catch(error => {
    found = undefined; // the next call may succeed: the user has installed one, the network is back
    throw error;
  });
  return found;
}

async function lookForRedisServer(): Promise<RedisServerBinary> {
  for (const name of ['valkey-server', 'redis-server']) {
    const path = await findOnPath(name);
    if (path && (await isUsable(path, {}))) return { path, env: {}, source: 'path' };
  }
  const root = await unpackFolder('redis');
  const cached = await usableUnpacked(root);
  if (cached) return { ...cached, source: 'cache' };

  const advice =
    'please install Redis 7 or newer, or Valkey (Debian, Ubuntu: apt-get install redis; macOS: brew install redis; ' +
    'Fedora: dnf install valkey), or set REDIS_URL to one that runs';
  if (!(await findOnPath('apt-get')) || !(await findOnPath('dpkg'))) {
    throw new Error(`No Redis server was found on the PATH: ${advice}.`);
  }
  try {
    return { ...(await unpackFromApt(root)), source: 'unpacked' };
  } catch (error) {
    const reason = (error as Error).message.trim().split('\n').at(-1);
    throw new Error(`No Redis server was found, and fetching one failed (${reason}): ${advice}.`, {
      cause: error,
    });
  }
}

// ------------------------------------------------------------------------------------------- unpacking

/** apt with folders of its own, so that it needs no root and changes nothing on the machine. */
export class PrivateApt {
  readonly #folder: string;
  readonly #options: readonly string[];

  constructor(folder: string) {
    this.#folder = folder;
    this.#options = [
      `Dir::State::lists=${folder}/lists`,
      `Dir::Cache=${folder}/cache`,
      `Dir::Cache::archives=${folder}/cache`,
      'Debug::NoLocking=1',
      'APT::Sandbox::User=',
    ].flatMap(option => ['-o', option]);
  }

  async update(): Promise<void> {
    await mkdir(join(this.#folder, 'lists/partial'), { recursive: true });
    await mkdir(join(this.#folder, 'cache/partial'), { recursive: true });
    await this.#apt('apt-get', '-qq', 'update');
  }

  /** The version that would be installed, without its epoch; undefined if the release has no such package. */
  async candidate(name: string): Promise<string | undefined> {
    const text = await this.#apt('apt-cache', 'policy', name);
    return /^ {2}Candidate: (?:\d+:)?(\d\S*)/m.exec(text)?.[1];
  }

  /** Library packages that these packages depend on and that this machine does not have. */
  async missingLibraries(names: readonly string[]): Promise<string[]> {
    const text = await this.#apt('apt-cache', 'depends', '--important', ...names);
    const libraries = [...text.matchAll(/^ *\|?(?:Pre)?Depends: (lib\S+)/gm)].map(
      match => match[1] as string,
    );
    const missing: string[] = [];
    for (const name of new Set(libraries)) {
      // Another C library than the one of the running system would break every program that loads it.
      if (name.startsWith('libc6') || (await isInstalled(name))) continue;
      if (await this.candidate(name)) missing.push(name);
    }
    return missing;
  }

  async unpack(names: readonly string[], root: string): Promise<void> {
    if (names.length === 0) return;
    await this.#apt('apt-get', '-qq', 'download', ...names);
    for (const file of await readdir(this.#folder)) {
      if (!file.endsWith('.deb')) continue;
      await run('dpkg', ['-x', join(this.#folder, file), root]);
      await rm(join(this.#folder, file));
    }
  }

  async #apt(program: string, ...args: string[]): Promise<string> {
    const { stdout } = await run(program, [...this.#options, ...args], {
      cwd: this.#folder,
      timeout: APT_TIMEOUT_MS,
      maxBuffer: 16 * 1024 * 1024,
      env: { ...process.env, LC_ALL: 'C', DEBIAN_FRONTEND: 'noninteractive' },
    });
    return stdout;
  }
}

async function isInstalled(name: string): Promise<boolean> {
  return run('dpkg-query', ['-W', '-f', '${Status}', name]).then(
    ({ stdout }) => stdout.endsWith(' installed'),
    () => false,
  );
}

async function choosePackage(apt: PrivateApt): Promise<string> {
  const redis = await apt.candidate('redis-tools');
  if (redis && Number.parseInt(redis, 10) >= MIN_REDIS_MAJOR) return 'redis-tools';
  if (await apt.candidate('valkey-tools')) return 'valkey-tools';
  throw new Error('this release of the distribution has none that is new enough');
}

/** Debian's server lives in the tools package, as redis-check-rdb: the name it is called by makes it a server. */
async function linkServer(root: string): Promise<string> {
  const bin = join(root, 'usr/bin');
  const server = join(bin, 'redis-server');
  for (const name of ['redis-server', 'valkey-server', 'redis-check-rdb', 'valkey-check-rdb']) {
    if (!(await lstat(join(bin, name)).catch(() => undefined))) continue;
    if (name !== 'redis-server') await symlink(name, server);
    return server;
  }
  throw new Error('the package has no server in it');
}

async function hasAllLibraries(server: string, root: string): Promise<boolean> {
  const { stdout } = await run('ldd', [server], { env: { ...process.env, ...(await libraryEnv(root)) } });
  return !stdout.includes('not found');
}

async function unpackWithLibraries(apt: PrivateApt, name: string, root: string): Promise<void> {
  const seen = new Set([name]);
  let level = [name];
  for (let round = 0; round < LIBRARY_ROUNDS; round++) {
    const libraries = (await apt.missingLibraries(level)).filter(library => !seen.has(library));
    for (const library of libraries) seen.add(library);
    await apt.unpack(round === 0 ? [name, ...libraries] : libraries, root);
    if (await hasAllLibraries(await linkServer(root), root)) return;
    level = libraries;
  }
  throw new Error('libraries that the server needs are not in the distribution');
}

/** Unpacks into a folder of its own and renames that: a second process at the same time does no harm. */
async function unpackFromApt(target: string): Promise<Omit<RedisServerBinary, 'source'>> {
  await mkdir(cacheFolder(), { recursive: true });
  await removeLeftovers();
  const folder = await mkdtemp(join(cacheFolder(), 'unpack-'));
  const root = join(folder, 'root');
  try {
    const apt = new PrivateApt(folder);
    await apt.update();
    await unpackWithLibraries(apt, await choosePackage(apt), root);
    if (!(await usableUnpacked(root))) throw new Error('the unpacked server does not run on this machine');
    return await moveIntoPlace(root, target);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** @returns the server at its final place, this one or that of a process that was faster. */
async function moveIntoPlace(root: string, target: string): Promise<Omit<RedisServerBinary, 'source'>> {
  for (;;) {
    try {
      await rename(root, target);
    } catch (error) {
      if (!['ENOTEMPTY', 'EEXIST'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error;
    }
    const usable = await usableUnpacked(target);
    if (usable) return usable;
    // What lies there does not run any more, for instance after an upgrade of the system.
    await rename(target, `${root}-broken`);
  }
}

async function removeLeftovers(): Promise<void> {
  for (const name of await readdir(cacheFolder())) {
    const path = join(cacheFolder(), name);
    if (!name.startsWith('unpack-')) continue;
    const age = Date.now() - (await stat(path).catch(() => ({ mtimeMs: Date.now() }))).mtimeMs;
    if (age > LEFTOVER_MS) await rm(path, { recursive: true, force: true });
  }
}

// --------------------------------------------------------------------------------------------- running

/** A port of the loopback interface that nobody listens on now. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  if (address === null || typeof address === 'string') throw new Error('no port was given');
  return address.port;
}

/** Waits for the end of this process's standard input, then ends process $1 and removes folder $2, if any. */
const WATCHDOG = `
while read -r _; do :; done
kill -9 "$1" 2>/dev/null
if [ -n "$2" ]; then
  tries=100
  while kill -0 "$1" 2>/dev/null && [ $tries -gt 0 ]; do tries=$((tries - 1)); sleep 0.02; done
  rm -rf -- "$2"
fi`;

/**
 * Ends process `pid` when this one ends, in whatever way: SIGKILL closes the pipe to the watchdog too.
 * `folder`, if given, is removed then. Call the answer as soon as `pid` has ended by itself: its number may
 * be given to another process.
 */
export function endWithParent(pid: number, folder = ''): () => void {
  const watchdog = spawn('/bin/sh', ['-c', WATCHDOG, 'watchdog', String(pid), folder], {
    stdio: ['pipe', 'ignore', 'ignore'],
    detached: true, // Ctrl-C goes to the whole group of the terminal, and must not end the watchdog first
    env: { PATH: '/usr/bin:/bin' },
  });
  watchdog.on('error', () => {}); // no /bin/sh: then there is no watchdog
  watchdog.stdin.on('error', () => {});
  watchdog.unref();
  (watchdog.stdin as unknown as { unref(): void }).unref();
  return () => watchdog.kill('SIGKILL');
}

/** Sends PING and INFO over a socket of its own; undefined if nobody answers. */
async function probe(port: number): Promise<{ ready: boolean; pid: number | undefined } | undefined> {
  const socket = connect(port, '127.0.0.1');
  socket.setTimeout(PROBE_TIMEOUT_MS, () => socket.destroy());
  let text = '';
  try {
    socket.write('PING\r\nINFO server\r\nQUIT\r\n');
    for await (const chunk of socket) text += chunk;
  } catch {
    return undefined;
  }
  const pid = /process_id:(\d+)/.exec(text)?.[1];
  // A server with a password is up when it asks for it.
  return { ready: /^(\+PONG|-NOAUTH)/.test(text), pid: pid === undefined ? undefined : Number(pid) };
}

/** A private Redis server on the loopback interface. It ends with this process, however this one ends. */
export class RedisProcess implements AsyncDisposable {
  readonly host = '127.0.0.1';
  readonly port: number;
  readonly dir: string;
  readonly #binary: RedisServerBinary;
  readonly #args: readonly string[];
  readonly #ownsDir: boolean;
  #child: ChildProcess | undefined;
  /** Where the running server's part of the log begins. */
  #logStart = 0;
  #stopped: Promise<void> | undefined;

  /** @internal Use startRedis(). */
  constructor(
    binary: RedisServerBinary,
    dir: string,
    port: number,
    ownsDir: boolean,
    args: readonly string[],
  ) {
    this.#binary = binary;
    this.dir = dir;
    this.port = port;
    this.#ownsDir = ownsDir;
    this.#args = args;
  }

  get url(): string {
    return `redis://${this.host}:${this.port}`;
  }

  /** The server's process, undefined while none runs. */
  get pid(): number | undefined {
    return this.#isRunning() ? this.#child?.pid : undefined;
  }

  /**
   * Sends a signal; one that ends the server is waited for. SIGSTOP makes it hang, SIGCONT go on.
   */
  async kill(signal: 'SIGKILL' | 'SIGTERM' | 'SIGINT' | 'SIGSTOP' | 'SIGCONT'): Promise<void> {
    const child = this.#child;
    if (!child || !this.#isRunning()) return;
    const exited = once(child, 'exit');
    child.ref();
    child.kill(signal);
    if (signal === 'SIGSTOP' || signal === 'SIGCONT') child.unref();
    else await exited;
  }

  /**
   * Starts a server again on the same port and folder; one that still runs is shut down first.
   * @throws Error if it does not answer in time, or after stop().
   */
  async restart(): Promise<void> {
    if (this.#stopped) throw new Error('this Redis server was stopped for good');
    await this.#shutDown();
    await this.launch();
  }

  /** Ends the server, and removes the folder if it is a temporary one. Calling it again is fine. */
  stop(): Promise<void> {
    this.#stopped ??= (async () => {
      await this.#shutDown();
      if (this.#ownsDir) await rm(this.dir, { recursive: true, force: true });
    })();
    return this.#stopped;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  /** @internal Starts the process and waits until it answers. */
  async launch(): Promise<void> {
    const log = await open(join(this.dir, 'redis.log'), 'a');
    this.#logStart = (await log.stat()).size;
    try {
      this.#child = spawn(this.#binary.path, this.#commandLine(), {
        cwd: this.dir,
        env: { ...process.env, ...this.#binary.env },
        stdio: ['ignore', log.fd, log.fd],
        detached: true, // Ctrl-C ends the hub, which still needs its Redis while it shuts down
      });
      await once(this.#child, 'spawn');
    } finally {
      await log.close();
    }
    const child = this.#child;
    const release = endWithParent(child.pid as number, this.#ownsDir ? this.dir : '');
    child.once('exit', release);
    child.unref(); // a program that has nothing else to do may end, and the server with it
    await this.#waitUntilReady(child);
  }

  #commandLine(): string[] {
    const settings: [string, string][] = [
      ['port', String(this.port)],
      ['bind', this.host],
      ['dir', this.dir],
      ['appendonly', 'yes'],
      ['maxmemory-policy', 'noeviction'],
      ['save', ''],
    ];
    return [...settings.flatMap(([name, value]) => [`--${name}`, value]), ...this.#args];
  }

  async #waitUntilReady(child: ChildProcess): Promise<void> {
    const deadline = Date.now() + START_TIMEOUT_MS;
    while (Date.now() < deadline) {
      if (child.exitCode !== null || child.signalCode !== null) {
        throw new Error(`the Redis server ended at once:\n${await this.#logTail()}`);
      }
      const answer = await probe(this.port);
      // Somebody else's server may hold the port: then ours is about to end.
      if (answer?.ready && (answer.pid === undefined || answer.pid === child.pid)) return;
      await sleep(POLL_MS);
    }
    const tail = await this.#logTail();
    await this.kill('SIGKILL');
    throw new Error(`the Redis server did not answer within ${START_TIMEOUT_MS} ms:\n${tail}`);
  }

  async #logTail(): Promise<string> {
    const log = await readFile(join(this.dir, 'redis.log')).catch(() => Buffer.alloc(0));
    return log.subarray(this.#logStart).toString().slice(-LOG_TAIL_CHARS);
  }

  #isRunning(): boolean {
    return this.#child !== undefined && this.#child.exitCode === null && this.#child.signalCode === null;
  }

  async #shutDown(): Promise<void> {
    if (!this.#isRunning()) return;
    const force = setTimeout(() => void this.kill('SIGKILL'), STOP_TIMEOUT_MS);
    await this.kill('SIGCONT'); // a hanging one would not see the next signal
    await this.kill('SIGTERM');
    clearTimeout(force);
  }
}

/**
 * Starts a private Redis server: loopback only, append-only file on, never evicting, no snapshots.
 * @throws Error with one sentence if there is no server to run, or with the end of its log if it fails.
 */
export async function startRedis(options: RedisOptions = {}): Promise<RedisProcess> {
  const binary = await findRedisServer();
  const dir = options.dir ?? (await mkdtemp(join(tmpdir(), 'gpuhub-redis-')));
  const ownsDir = options.dir === undefined;
  for (let tries = 1; ; tries++) {
    const port = options.port ?? (await freePort());
    const server = new RedisProcess(binary, dir, port, ownsDir, options.args ?? []);
    try {
      await server.launch();
      return server;
    } catch (error) {
      const portTaken = /address already in use/i.test((error as Error).message);
      if (portTaken && options.port === undefined && tries < PORT_TRIES) continue;
      await server.stop();
      throw error;
    }
  }
}

export interface RedisAddress {
  /** The REDIS_… variables for a process that shall use it; as they were, if the environment named a Redis. */
  readonly env: Readonly<Record<string, string>>;
  /** The same as a URL, with its password: not for logs. */
  readonly url: string;
  /** The private server; undefined if the environment named a Redis. */
  readonly server: RedisProcess | undefined;
  /** Stops the private server; leaves a Redis of the environment alone. */
  stop(): Promise<void>;
}

function urlOf(env: Record<string, string>): string {
  if (env.REDIS_URL) return env.REDIS_URL;
  const url = new URL(`redis://${env.REDIS_HOST}:${env.REDIS_PORT || 6379}/${env.REDIS_DB || 0}`);
  url.password = env.REDIS_PASSWORD ?? '';
  return url.href;
}

/**
 * The Redis that REDIS_URL or REDIS_HOST names, or else a private one, started now.
 * @throws Error as startRedis().
 */
export async function redisFromEnvOrLauncher(
  env: Readonly<Record<string, string | undefined>>,
  options: RedisOptions = {},
): Promise<RedisAddress> {
  if (env.REDIS_URL || env.REDIS_HOST) {
    const named = Object.entries(env).filter(
      ([name, value]) => name.startsWith('REDIS_') && value !== undefined,
    );
    const variables = Object.fromEntries(named) as Record<string, string>;
    return { env: variables, url: urlOf(variables), server: undefined, stop: async () => {} };
  }
  const server = await startRedis(options);
  return { env: { REDIS_URL: server.url }, url: server.url, server, stop: () => server.stop() };
}
