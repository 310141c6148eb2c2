import { link } from '../../net/hub_link.ts';
import type { LoadKind, LoadRun } from '../../net/load_run.ts';
import { useLive } from '../../state/live.ts';
import { count } from '../../text/format.ts';
import { Bar } from '../../ui/bar.tsx';
import { Card } from '../../ui/card.tsx';
import { Slider } from '../../ui/slider.tsx';
import { JOBS_MAX, load, newKind } from './load.ts';

const RATES = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000];
const SECONDS = [2, 5, 10, 30, 60, 120, 300, 600];
const KINDS_MAX = 6;

/** Jobs at a chosen rate and mix for a chosen time, and what becomes of them. */
export function LoadPanel() {
  useLive('mock', 'link');
  const { settings, run, isBusy, said } = load;
  const { perSecond, seconds, kinds } = settings;
  const tooMany = load.jobs > JOBS_MAX;
  return (
    <Card
      title="Load"
      class="load-panel"
      aside={
        isBusy ? (
          <span class="pair">
            {run?.sending === true && (
              <button type="button" onClick={() => load.stop()}>
                Stop
              </button>
            )}
            <button type="button" class="danger" onClick={() => load.cancelRest()}>
              Cancel the rest
            </button>
          </span>
        ) : (
          <button
            type="button"
            class="primary"
            disabled={link.state !== 'live' || tooMany}
            onClick={() => load.start()}
          >
            Submit {count(load.jobs)} jobs
          </button>
        )
      }
    >
      <div class="sliders">
        <Slider
          label="jobs a second"
          min={0}
          max={RATES.length - 1}
          step={1}
          value={RATES.indexOf(perSecond)}
          text={String(perSecond)}
          onValue={index => load.change({ perSecond: RATES[index] ?? 1 })}
        />
        <Slider
          label="for"
          min={0}
          max={SECONDS.length - 1}
          step={1}
          value={SECONDS.indexOf(seconds)}
          text={seconds < 60 ? `${seconds} s` : `${seconds / 60} min`}
          onValue={index => load.change({ seconds: SECONDS[index] ?? 1 })}
        />
      </div>
      <Mix kinds={kinds} />
      {tooMany && <p class="tone-waiting small">A tab sends at most {count(JOBS_MAX)} jobs.</p>}
      {run !== undefined && <Outcome run={run} />}
      {said !== '' && <p class="tone-bad small">{said}</p>}
    </Card>
  );
}

function Mix({ kinds }: { kinds: readonly LoadKind[] }) {
  return (
    <table class="mix">
      <thead>
        <tr>
          <th>type</th>
          <th title="how many of the sum of all shares are of this kind">share</th>
          <th title="priority, −100 to 100">pri</th>
          <th title="GPU memory it needs; 0: any">GB</th>
          <th title="seconds that a mock machine takes for it">sec</th>
          <th title="size of params">kB</th>
          <th />
        </tr>
      </thead>
      <tbody>
        {kinds.map((kind, i) => (
          <Kind key={`${i} of ${kinds.length}`} index={i} kind={kind} single={kinds.length === 1} />
        ))}
      </tbody>
      {kinds.length < KINDS_MAX && (
        <tfoot>
          <tr>
            <td colSpan={7}>
              <button
                type="button"
                class="quiet"
                onClick={() => load.change({ kinds: [...kinds, newKind()] })}
              >
                + another kind
              </button>
            </td>
          </tr>
        </tfoot>
      )}
    </table>
  );
}

function Kind({ index, kind, single }: { index: number; kind: LoadKind; single: boolean }) {
  const number = (
    field: Exclude<keyof LoadKind, 'job_type'>,
    label: string,
    min: number,
    max: number,
    scale = 1,
  ) => (
    <td>
      <input
        type="number"
        aria-label={`${label} of kind ${index + 1}`}
        min={min}
        max={max}
        step={field === 'priority' ? 1 : 'any'}
        value={kind[field] / scale}
        onInput={event => {
          const value = event.currentTarget.valueAsNumber * scale;
          if (value >= min * scale && value <= max * scale) load.changeKind(index, { [field]: value });
        }}
      />
    </td>
  );
  return (
    <tr>
      <td>
        <input
          class="mono"
          aria-label={`type of kind ${index + 1}`}
          maxLength={128}
          value={kind.job_type}
          onInput={event => load.changeKind(index, { job_type: event.currentTarget.value })}
        />
      </td>
      {number('share', 'share', 0.01, 1000)}
      {number('priority', 'priority', -100, 100)}
      {number('vramGb', 'GB', 0, 1000)}
      {number('durationMs', 'seconds', 0, 3600, 1000)}
      {number('paramsKb', 'kB', 0, 500)}
      <td>
        <button
          type="button"
          class="quiet"
          aria-label={`Remove kind ${index + 1}`}
          disabled={single}
          onClick={() => load.change({ kinds: load.settings.kinds.filter((_, i) => i !== index) })}
        >
          ✕
        </button>
      </td>
    </tr>
  );
}

function Outcome({ run }: { run: LoadRun }) {
  const { counts, refusals, open, total } = run;
  const took = Math.max(1, (run.until - run.from) / 1000);
  const behind = run.behind(performance.now());
  const ended = counts.completed + counts.failed + counts.cancelled;
  return (
    <div class="load-outcome" role="status">
      <Bar part={(ended + counts.refused) / total} label="jobs ended" />
      <dl>
        <Number name="sent" value={counts.sent} note={`${(counts.sent / took).toFixed(1)}/s`} />
        <Number name="accepted" value={counts.accepted} />
        <Number name="refused" value={counts.refused} tone="bad" note={[...refusals.keys()].join(', ')} />
        <Number name="wait or run" value={open.size} />
        <Number name="completed" value={counts.completed} tone="good" />
        <Number name="failed" value={counts.failed} tone="bad" />
        {counts.cancelled > 0 && <Number name="cancelled" value={counts.cancelled} />}
      </dl>
      {behind > run.settings.perSecond && (
        <p class="tone-waiting small">{count(behind)} behind: the hub is slower than this load.</p>
      )}
    </div>
  );
}

interface NumberProps {
  name: string;
  value: number;
  note?: string;
  tone?: 'good' | 'bad';
}

/** Coloured only when it is not zero. */
function Number({ name, value, note = '', tone }: NumberProps) {
  return (
    <div>
      <dt class="muted">{name}</dt>
      <dd class={value > 0 && tone !== undefined ? `tone-${tone}` : ''}>
        {count(value)} {note !== '' && <small class="muted">{note}</small>}
      </dd>
    </div>
  );
}
