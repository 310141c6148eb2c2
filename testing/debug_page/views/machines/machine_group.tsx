import { Text } from '../../text/text.tsx';
import { DrainButtons } from './drain.tsx';
import { GpuTile } from './gpu_tile.tsx';
import type { Machine, TileDensity } from './groups.ts';

interface MachineGroupProps {
  machine: Machine;
  density: TileDensity;
  selected: string;
}

function gpuNames(machine: Machine): string {
  const names = new Set(machine.workers.map(worker => worker.gpu_name ?? 'GPU'));
  return [...names].map(name => `${machine.workers.length} × ${name}`).join(', ');
}

function Heading({ machine }: { machine: Machine }) {
  const [first] = machine.workers;
  const labels = Object.entries(first?.labels ?? {}).map(([key, value]) => `${key}=${value}`);
  return (
    <header class="machine-head">
      <h3 class="mono">
        <Text value={machine.machineId} />
      </h3>
      <span class="muted">
        <Text value={[gpuNames(machine), ...labels].join(' · ')} max={160} />
      </span>
      <span class="spacer" />
      <DrainButtons target={{ machine_id: machine.machineId }} workers={machine.workers} />
    </header>
  );
}

export function MachineGroup({ machine, density, selected }: MachineGroupProps) {
  const away = machine.workers.every(worker => worker.status === 'offline');
  return (
    <section class={`machine machine-${density} ${away ? 'away' : ''}`} aria-label={machine.machineId}>
      <Heading machine={machine} />
      <div class={`gpus gpus-${density}`}>
        {machine.workers.map(worker => (
          <GpuTile
            key={worker.worker_id}
            worker={worker}
            density={density}
            selected={worker.worker_id === selected}
          />
        ))}
      </div>
    </section>
  );
}
