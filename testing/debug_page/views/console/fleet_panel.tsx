import { useLive } from '../../state/live.ts';
import { count } from '../../text/format.ts';
import { Card } from '../../ui/card.tsx';
import { type FleetMachine, fleet } from './fleet.ts';

interface SliderProps {
  label: string;
  value: number;
  min: number;
  max: number;
  step: number;
  text: string;
  onValue: (value: number) => void;
}

function Slider({ label, value, min, max, step, text, onValue }: SliderProps) {
  return (
    <label class="slider">
      <span class="muted">{label}</span>
      <input
        type="range"
        aria-label={label}
        min={min}
        max={max}
        step={step}
        value={value}
        onInput={event => onValue(Number(event.currentTarget.value))}
      />
      <output>{text}</output>
    </label>
  );
}

function Sliders() {
  const { gpuCount, speed, failRate, durationMs } = fleet.settings;
  return (
    <div class="sliders">
      <Slider
        label="GPUs each"
        value={gpuCount}
        min={1}
        max={16}
        step={1}
        text={String(gpuCount)}
        onValue={value => fleet.change({ gpuCount: value })}
      />
      <Slider
        label="a job takes"
        value={durationMs / 1000}
        min={1}
        max={60}
        step={1}
        text={`${durationMs / 1000} s`}
        onValue={value => fleet.change({ durationMs: value * 1000 })}
      />
      <Slider
        label="speed"
        value={Math.log2(speed)}
        min={-2}
        max={5}
        step={1}
        text={`× ${speed}`}
        onValue={value => fleet.change({ speed: 2 ** value })}
      />
      <Slider
        label="fails"
        value={failRate * 100}
        min={0}
        max={100}
        step={5}
        text={`${Math.round(failRate * 100)} %`}
        onValue={value => fleet.change({ failRate: value / 100 })}
      />
    </div>
  );
}

function MachineRow({ entry }: { entry: FleetMachine }) {
  const { machine, word } = entry;
  return (
    <tr>
      <td class="mono">{machine.machineId}</td>
      <td>
        {machine.busy}/{machine.settings.gpuCount} busy
      </td>
      <td class="num">{count(machine.completed)} done</td>
      <td class={`num ${machine.failed > 0 ? 'tone-bad' : 'muted'}`}>{count(machine.failed)} failed</td>
      <td class="muted">{machine.unacknowledged > 0 ? `${machine.unacknowledged} unacknowledged` : word}</td>
      <td class="num">
        <button
          type="button"
          class="quiet"
          onClick={() => fleet.stop(entry)}
          aria-label={`Stop ${machine.machineId}`}
        >
          stop
        </button>
      </td>
    </tr>
  );
}

/** Machines in this tab that really work: they register, take jobs, tell progress and finish. */
export function FleetPanel() {
  useLive('mock');
  return (
    <Card
      title="Mock machines in this tab"
      aside={
        <button type="button" class="primary" onClick={() => fleet.start(1)}>
          Start a machine
        </button>
      }
    >
      <Sliders />
      {fleet.machines.length > 0 && (
        <table class="fleet">
          <tbody>
            {fleet.machines.map(entry => (
              <MachineRow key={entry.machine.machineId} entry={entry} />
            ))}
          </tbody>
        </table>
      )}
      <p class="muted small">
        A job may say how long it takes: <span class="mono">params.duration_ms</span>. A hidden tab works
        slower.
      </p>
    </Card>
  );
}
