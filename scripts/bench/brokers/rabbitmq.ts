import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { freePort } from '../../redis_server.ts';
import { MissingServer, unpackedPackages } from '../packages.ts';
import type { Stoppable } from '../scenario.ts';
import type { Usage } from '../served.ts';
import { Broker } from './broker.ts';

/** What Debian's rabbitmq-server depends on, of Erlang. */
const ERLANG = [
  'asn1',
  'base',
  'crypto',
  'eldap',
  'inets',
  'mnesia',
  'os-mon',
  'parsetools',
  'public-key',
  'runtime-tools',
  'snmp',
  'ssl',
  'syntax-tools',
  'tools',
  'xmerl',
].map(name => `erlang-${name}`);

interface Files {
  /** Its start script. */
  server: string;
  erlang: string;
  /** Erlang's programs. */
  bin: string;
  env: Record<string, string>;
}

async function newest(folder: string, prefix: string): Promise<string> {
  const names = (await readdir(folder).catch(() => [])).filter(name => name.startsWith(prefix));
  const name = names.sort().at(-1);
  if (name === undefined) throw new MissingServer(`rabbitmq-server has no ${prefix} in ${folder}.`);
  return join(folder, name);
}

async function filesIn(root: string, env: Record<string, string>): Promise<Files> {
  const erlang = join(root, 'usr/lib/erlang');
  const server = await newest(join(root, 'usr/lib/rabbitmq/lib'), 'rabbitmq_server-');
  const erts = await newest(erlang, 'erts-');
  return { server: join(server, 'sbin/rabbitmq-server'), erlang, bin: join(erts, 'bin'), env };
}

/** Of the installed package, or else of the unpacked one. */
async function findFiles(): Promise<Files> {
  return filesIn('/', {}).catch(async () => {
    const packages = ['rabbitmq-server', ...ERLANG];
    const { root, env } = await unpackedPackages('rabbitmq-server', packages, 'usr/lib/rabbitmq');
    return filesIn(root, env);
  });
}

/** Debian's own `erl` looks for everything in /usr/lib. */
async function writeErl({ erlang, bin }: Files, folder: string): Promise<string> {
  const programs = join(folder, 'bin');
  await mkdir(programs);
  const lines = [
    '#!/bin/sh',
    `export ROOTDIR='${erlang}' BINDIR='${bin}' EMU=beam PROGNAME=erl`,
    'exec "$BINDIR/erlexec" "$@"',
  ];
  await writeFile(join(programs, 'erl'), `${lines.join('\n')}\n`, { mode: 0o755 });
  return programs;
}

/** The server, and the name service that Erlang wants beside it, of its own so that none is left behind. */
class RabbitMq implements Stoppable {
  readonly port: number;
  readonly #server: Broker;
  readonly #names: Broker;

  constructor(server: Broker, names: Broker) {
    this.port = server.port;
    this.#server = server;
    this.#names = names;
  }

  usage(): Promise<Usage> {
    return this.#server.usage();
  }

  async stop(): Promise<void> {
    await this.#server.stop();
    await this.#names.stop();
  }
}

/** As its package runs it, without plugins. */
export async function startRabbitMq(): Promise<RabbitMq> {
  const files = await findFiles();
  const names = await Broker.start(port => ({
    path: join(files.bin, 'epmd'),
    args: ['-port', String(port), '-address', '127.0.0.1'],
    env: files.env,
  }));
  const server = await Broker.start(async (port, folder) => {
    await writeFile(join(folder, 'rabbitmq.conf'), `listeners.tcp.1 = 127.0.0.1:${port}\n`);
    await writeFile(join(folder, 'plugins'), '[].\n');
    const programs = await writeErl(files, folder);
    return {
      path: files.server,
      args: [],
      env: {
        ...files.env,
        PATH: `${programs}:/usr/bin:/bin`,
        ERL_EPMD_PORT: String(names.port),
        RABBITMQ_DIST_PORT: String(await freePort()),
        RABBITMQ_NODENAME: 'bench@localhost',
        RABBITMQ_MNESIA_BASE: join(folder, 'mnesia'),
        RABBITMQ_LOG_BASE: join(folder, 'log'),
        RABBITMQ_CONFIG_FILE: join(folder, 'rabbitmq.conf'),
        RABBITMQ_ENABLED_PLUGINS_FILE: join(folder, 'plugins'),
        RABBITMQ_CONF_ENV_FILE: '/dev/null',
        RABBITMQ_PID_FILE: join(folder, 'pid'),
        // The script becomes the server instead of starting it.
        RUNNING_UNDER_SYSTEMD: 'true',
      },
    };
  }).catch(async (error: Error) => {
    await names.stop();
    throw error;
  });
  return new RabbitMq(server, names);
}
