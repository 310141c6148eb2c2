import type { MachineState } from '../../net/mock_thread.ts';
import { useLive } from '../../state/live.ts';
import { count } from '../../text/format.ts';
import { Card } from '../../ui/card.tsx';
import { Slider } from '../../ui/slider.tsx';
import { fleet } from './fleet.ts';

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
        step={1}
        text={`${Math.round(failRate * 100)} %`}
        onValue={value => fleet.change({ failRate: value / 100 })}
      />
    </div>
  );
}

function MachineRow({ state }: { state: MachineState }) {
  const { machineId, busy, gpuCount, completed, failed, unacknowledged, word } = state;
  return (
    <tr>
      <td class="mono">{machineId}</td>
      <td>
        {busy}/{gpuCount} busy
      </td>
      <td class="num">{count(completed)} done</td>
      <td class={`num ${failed > 0 ? 'tone-bad' : 'muted'}`}>{count(failed)} failed</td>
      <td class="muted">{unacknowledged > 0 ? `${unacknowledged} unacknowledged` : word}</td>
      <td class="num">
        <button
          type="button"
          class="quiet"
          onClick={() => fleet.stop(machineId)}
          aria-label={`Stop ${machineId}`}
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
        <span class="pair">
          <button type="button" class="quiet" onClick={() => fleet.start(8)}>
            start 8
          </button>
          <button type="button" class="primary" onClick={() => fleet.start(1)}>
            Start a machine
          </button>
        </span>
      }
    >
      <Sliders />
      {fleet.machines.length > 0 && (
        <table class="fleet">
          <tbody>
            {fleet.machines.map(state => (
              <MachineRow key={state.machineId} state={state} />
            ))}
          </tbody>
        </table>
      )}
      <p class="muted small">
        A job may say how long it takes, <span class="mono">params.duration_ms</span>, and what it tells on
        the way, <span class="mono">params.output</span>, a list. They run in a thread of their own: a busy
        page does not stop their heartbeats.
      </p>
    </Card>
  );
}
