import { join } from 'node:path';
import { findServer } from '../packages.ts';
import { Broker } from './broker.ts';

/** With JetStream; each stream says whether it is kept in memory or in files. */
export async function startNats(): Promise<Broker> {
  const { path, env } = await findServer('nats-server', 'usr/sbin/nats-server');
  return Broker.start((port, folder) => ({
    path,
    args: ['-a', '127.0.0.1', '-p', String(port), '-js', '-sd', join(folder, 'store')],
    env,
  }));
}
