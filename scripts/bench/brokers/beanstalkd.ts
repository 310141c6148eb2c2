import { findServer } from '../packages.ts';
import type { Durability } from '../scenario.ts';
import { Broker } from './broker.ts';

/** In memory, or with its log, synced every second as Redis's append-only file is. */
export async function startBeanstalkd(kind: Durability): Promise<Broker> {
  const { path, env } = await findServer('beanstalkd', 'usr/bin/beanstalkd');
  return Broker.start((port, folder) => {
    const listen = ['-l', '127.0.0.1', '-p', String(port)];
    return { path, args: [...listen, ...(kind === 'everysec' ? ['-b', folder, '-f', '1000'] : [])], env };
  });
}
