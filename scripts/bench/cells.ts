import { onFloor, onHub, onRedis } from './backend.ts';
import type { Cell } from './cell.ts';
import type { Bench, Durability } from './scenario.ts';

const onDisk = (name: string, kind: Durability) => (kind === 'memory' ? name : `${name}, AOF`);

export function gpuhub(kind: Durability, machines = 1): Cell {
  const name = machines === 1 ? 'gpuhub' : `gpuhub, ${machines} machines`;
  return { name: onDisk(name, kind), system: 'gpuhub', file: 'gpuhub', backend: onHub(kind), machines };
}

export function gpuhubRaw(kind: Durability, machines = 1): Cell {
  const name = machines === 1 ? 'gpuhub-raw' : `gpuhub-raw, ${machines} machines`;
  return {
    name: onDisk(name, kind),
    system: 'gpuhub-raw',
    file: 'gpuhub_raw',
    backend: onHub(kind),
    machines,
  };
}

export function bullmq(kind: Durability): Cell {
  return {
    name: onDisk('bullmq', kind),
    system: 'bullmq',
    file: 'bullmq',
    backend: onRedis(kind),
    machines: 1,
  };
}

/** What our shape costs at the least. */
export function floor(name: 'mini-hub' | 'ws-script' | 'ws-echo'): Cell {
  const file = name.replace('-', '_');
  return { name, system: name, file, backend: onFloor(file), machines: 1 };
}

/** Those that `--only` leaves. */
export function chosen(cells: readonly Cell[], bench: Bench): Cell[] {
  return cells.filter(({ system }) => bench.only?.includes(system) ?? true);
}
