import { useState } from 'preact/hooks';
import { protocol } from '../../protocol/protocol.ts';
import type { WorkerState } from '../../../../core/messages/stats.ts';
import { hub } from '../../state/hub_state.ts';
import { useLive } from '../../state/live.ts';
import { count } from '../../text/format.ts';
import { WorkerStateWord } from '../../ui/state_word.tsx';
import { type Density, densityFor, machinesOf } from './groups.ts';
import { Inspector } from './inspector.tsx';
import { MachineGroup } from './machine_group.tsx';

function StateCounts() {
  const counts = new Map<string, number>();
  for (const worker of hub.workers.values()) counts.set(worker.status, (counts.get(worker.status) ?? 0) + 1);
  return (
    <span class="state-counts">
      {(protocol.workerStates as WorkerState[])
        .filter(state => counts.has(state))
        .map(state => (
          <span key={state}>
            <b>{count(counts.get(state))}</b> <WorkerStateWord state={state} />
          </span>
        ))}
    </span>
  );
}

export function MachinesView({ selected }: { selected: string }) {
  useLive('workers', 'jobs', 'second');
  const [filter, setFilter] = useState('');
  const [problemsOnly, setProblemsOnly] = useState(false);
  const [chosen, setChosen] = useState<Density | 'auto'>('auto');
  const machines = machinesOf(hub.workers.values(), filter, problemsOnly);
  const gpus = machines.reduce((sum, machine) => sum + machine.workers.length, 0);
  const density = chosen === 'auto' ? densityFor(gpus) : chosen;
  return (
    <>
      <div class="toolbar">
        <b>
          {count(hub.workers.size)} GPUs · {count(machines.length)} machines
        </b>
        <StateCounts />
        <span class="spacer" />
        <input
          data-filter
          type="search"
          placeholder="filter: name, GPU, label, job"
          aria-label="filter machines"
          value={filter}
          onInput={event => setFilter(event.currentTarget.value)}
        />
        <label>
          density{' '}
          <select value={chosen} onChange={event => setChosen(event.currentTarget.value as Density | 'auto')}>
            <option value="auto">auto ({densityFor(gpus)})</option>
            <option>large</option>
            <option>medium</option>
            <option>small</option>
          </select>
        </label>
        <label>
          <input
            type="checkbox"
            checked={problemsOnly}
            onChange={event => setProblemsOnly(event.currentTarget.checked)}
          />{' '}
          problems only
        </label>
      </div>
      <div class={`with-inspector ${selected === '' ? '' : 'open'}`}>
        <div class={`machines machines-${density}`}>
          {machines.map(machine => (
            <MachineGroup key={machine.machineId} machine={machine} density={density} selected={selected} />
          ))}
          {machines.length === 0 && <Empty filtered={filter !== '' || problemsOnly} />}
        </div>
        {selected !== '' && <Inspector workerId={selected} />}
      </div>
    </>
  );
}

function Empty({ filtered }: { filtered: boolean }) {
  if (hub.stats === undefined) return <p class="empty">No picture yet: the hub has not answered.</p>;
  if (filtered && hub.workers.size > 0)
    return <p class="empty">No GPU matches. {count(hub.workers.size)} are hidden.</p>;
  return (
    <p class="empty">
      No machine is connected. A machine dials <span class="mono">/ws/worker</span> of this hub and registers;
      the console can start a mock one in this tab.
    </p>
  );
}
