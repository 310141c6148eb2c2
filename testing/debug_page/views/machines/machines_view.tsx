import { useMemo, useRef, useState } from 'preact/hooks';
import { protocol } from '../../protocol/protocol.ts';
import type { WorkerState } from '../../../../core/messages/stats.ts';
import { hub } from '../../state/hub_state.ts';
import { useLive } from '../../state/live.ts';
import { count, counted } from '../../text/format.ts';
import { WorkerStateWord } from '../../ui/state_word.tsx';
import { GpuGrid } from './gpu_grid.tsx';
import {
  type Density,
  densityFor,
  type Group,
  type Grouping,
  GROUPINGS,
  groupsOf,
  type Machine,
  machinesOf,
  type TileDensity,
} from './groups.ts';
import { Inspector } from './inspector.tsx';
import { MachineGroup } from './machine_group.tsx';
import { type Measure, MEASURES } from './measures.ts';

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

interface Choices {
  filter: string;
  problemsOnly: boolean;
  density: Density | 'auto';
  group: Grouping;
  measure: Measure;
}

const START: Choices = {
  filter: '',
  problemsOnly: false,
  density: 'auto',
  group: 'GPU model',
  measure: 'progress',
};

export function MachinesView({ selected }: { selected: string }) {
  const second = useLive('second', 'link');
  const [choices, setChoices] = useState(START);
  const { filter, problemsOnly } = choices;
  const machines = useMemo(
    () => machinesOf(hub.workers.values(), filter, problemsOnly),
    [second, hub.workers.size, filter, problemsOnly],
  );
  const gpus = machines.reduce((sum, machine) => sum + machine.workers.length, 0);
  const density = choices.density === 'auto' ? densityFor(gpus) : choices.density;
  return (
    <>
      <Toolbar machines={machines.length} gpus={gpus} choices={choices} onChoices={setChoices} />
      {gpus === 0 && <Empty filtered={filter !== '' || problemsOnly} />}
      {density === 'small' ? (
        <Grid machines={machines} choices={choices} selected={selected} />
      ) : (
        <div class={`with-inspector ${selected === '' ? '' : 'open'}`}>
          <Tiles machines={machines} density={density} selected={selected} />
          {selected !== '' && <Inspector workerId={selected} />}
        </div>
      )}
    </>
  );
}

interface ToolbarProps {
  machines: number;
  gpus: number;
  choices: Choices;
  onChoices: (choices: Choices) => void;
}

function Toolbar({ machines, gpus, choices, onChoices }: ToolbarProps) {
  const auto = densityFor(gpus);
  const change = (part: Partial<Choices>) => onChoices({ ...choices, ...part });
  const isGrid = (choices.density === 'auto' ? auto : choices.density) === 'small';
  return (
    <div class="toolbar">
      <b>
        {counted(hub.workers.size, 'GPU')} · {counted(machines, 'machine')}
      </b>
      <StateCounts />
      <span class="spacer" />
      <input
        data-filter
        type="search"
        placeholder="name, GPU, label, job"
        aria-label="filter machines"
        value={choices.filter}
        onInput={event => change({ filter: event.currentTarget.value })}
      />
      {isGrid && (
        <>
          <Select label="group" value={choices.group} of={GROUPINGS} onValue={group => change({ group })} />
          <Select
            label="fill"
            value={choices.measure}
            of={MEASURES}
            onValue={measure => change({ measure })}
          />
        </>
      )}
      <Select
        label="density"
        value={choices.density}
        of={['auto', 'large', 'medium', 'small'] as const}
        say={value => (value === 'auto' ? `auto (${auto})` : value)}
        onValue={density => change({ density })}
      />
      <label>
        <input
          type="checkbox"
          checked={choices.problemsOnly}
          onChange={event => change({ problemsOnly: event.currentTarget.checked })}
        />{' '}
        problems only
      </label>
    </div>
  );
}

interface SelectProps<T extends string> {
  label: string;
  value: T;
  of: readonly T[];
  say?: (value: T) => string;
  onValue: (value: T) => void;
}

function Select<T extends string>({ label, value, of, say = String, onValue }: SelectProps<T>) {
  return (
    <label>
      {label}{' '}
      <select aria-label={label} value={value} onChange={event => onValue(event.currentTarget.value as T)}>
        {of.map(one => (
          <option key={one} value={one}>
            {say(one)}
          </option>
        ))}
      </select>
    </label>
  );
}

/** Tiles in the page itself, for fleets that a person can read. */
function Tiles({
  machines,
  density,
  selected,
}: {
  machines: Machine[];
  density: TileDensity;
  selected: string;
}) {
  useLive('workers', 'jobs');
  return (
    <div class={`machines machines-${density}`}>
      {machines.map(({ machineId, workers }) => {
        // The list is made once a second; what each does is newer.
        const machine = { machineId, workers: workers.map(one => hub.workers.get(one.worker_id) ?? one) };
        return <MachineGroup key={machineId} machine={machine} density={density} selected={selected} />;
      })}
    </div>
  );
}

/** The same groups as before while the same GPUs are in them: then nothing is laid out or drawn anew. */
function useSame(groups: Group[]): Group[] {
  const kept = useRef({ key: '', groups });
  const key = groups
    .flatMap(({ name, machines }) => [name, ...machines.map(one => `${one.machineId}*${one.workers.length}`)])
    .join();
  if (kept.current.key !== key) kept.current = { key, groups };
  return kept.current.groups;
}

/** One canvas for thousands; the GPU under the pointer, or the chosen one, in full beside it. */
function Grid({ machines, choices, selected }: { machines: Machine[]; choices: Choices; selected: string }) {
  const [hovered, setHovered] = useState('');
  const groups = useSame(groupsOf(machines, choices.group));
  const cursor = hovered === '' ? selected : hovered;
  return (
    <div class="with-inspector open">
      <GpuGrid groups={groups} measure={choices.measure} cursor={cursor} onHover={setHovered} />
      {cursor === '' ? (
        <aside class="card inspector wide-only muted">
          Point at a GPU to see it in full; click to keep it. Arrows move, <kbd>[</kbd> <kbd>]</kbd> go to the
          next problem.
        </aside>
      ) : (
        <Inspector workerId={cursor} />
      )}
    </div>
  );
}

function Empty({ filtered }: { filtered: boolean }) {
  if (hub.stats === undefined) return <p class="empty">No picture yet: the hub has not answered.</p>;
  if (filtered && hub.workers.size > 0)
    return <p class="empty">No GPU matches. {counted(hub.workers.size, 'GPU')} hidden.</p>;
  return (
    <p class="empty">
      No machine is connected. A machine dials <span class="mono">/ws/worker</span> of this hub and registers;
      the console can start a mock one in this tab.
    </p>
  );
}
