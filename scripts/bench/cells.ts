import { onBroker, onFloor, onHub, onRedis } from './backend.ts';
import { startBeanstalkd } from './brokers/beanstalkd.ts';
import { ensureCelery } from './brokers/celery.ts';
import { startNats } from './brokers/nats.ts';
import { startRabbitMq } from './brokers/rabbitmq.ts';
import type { Cell } from './cell.ts';
import type { Bench, Durability } from './scenario.ts';

/** A cell of the usual kind: one machine, named as `--only` calls the system and after where its jobs are. */
function cell(system: string, durability: Durability, more: Pick<Cell, 'backend'> & Partial<Cell>): Cell {
  const name = durability === 'memory' ? system : `${system}, AOF`;
  return { name, system, file: system.replace('-', '_'), durability, machines: 1, ...more };
}

/** Ours, by the SDK or by the bare protocol. */
export function ours(system: 'gpuhub' | 'gpuhub-raw', durability: Durability, machines = 1): Cell {
  const several = machines === 1 ? {} : { name: `${system}, ${machines} machines`, machines };
  return cell(system, durability, { backend: onHub(durability), ...several });
}

export const bullmq = (durability: Durability): Cell =>
  cell('bullmq', durability, { backend: onRedis(durability) });

/** Always persistent, always on disk. */
export const rabbitmq = (): Cell =>
  cell('rabbitmq', 'everysec', {
    name: 'rabbitmq',
    ...onBroker('amqp', 'rabbitmq', startRabbitMq),
  });

export const beanstalkd = (durability: Durability): Cell =>
  cell(
    'beanstalkd',
    durability,
    onBroker('beanstalkd', `beanstalkd ${durability}`, () => startBeanstalkd(durability)),
  );

export const nats = (durability: Durability): Cell =>
  cell('nats', durability, onBroker('nats', 'nats', startNats));

/** A tenth of the others' jobs: it is that much slower. */
export const celery = (): Cell =>
  cell('celery', 'memory', { needs: ensureCelery, backend: onRedis('memory'), share: 0.1 });

/** What our shape costs at the least. */
export const floor = (name: 'mini-hub' | 'ws-script' | 'ws-echo'): Cell =>
  cell(name, 'memory', { backend: onFloor(name.replace('-', '_')) });

/** Those that `--only` leaves. */
export function chosen(cells: readonly Cell[], bench: Bench): Cell[] {
  return cells.filter(({ system }) => bench.only?.includes(system) ?? true);
}
