import { useState } from 'preact/hooks';
import { link } from '../../net/hub_link.ts';
import { useLive } from '../../state/live.ts';
import { count } from '../../text/format.ts';
import { Bar } from '../../ui/bar.tsx';
import { Card } from '../../ui/card.tsx';
import { Glyph } from '../../ui/glyph.tsx';
import { Play, SCENARIOS } from './scenarios.ts';

let play: Play | undefined;

/** Plays that say what will be seen, and check it. */
export function ScenarioPanel() {
  useLive('mock', 'link');
  const [chosen, setChosen] = useState(0);
  const scenario = SCENARIOS[chosen];
  const running = play?.state === 'running';
  return (
    <Card title="Scenarios" class="scenarios">
      <div class="row">
        <select
          aria-label="scenario"
          value={chosen}
          onChange={event => setChosen(Number(event.currentTarget.value))}
        >
          {SCENARIOS.map(({ name }, i) => (
            <option key={name} value={i}>
              {name}
            </option>
          ))}
        </select>
        <button
          type="button"
          class="primary"
          disabled={running || link.state !== 'live' || scenario === undefined}
          onClick={() => {
            if (scenario !== undefined) play = new Play(scenario);
          }}
        >
          Play
        </button>
        {running && (
          <button type="button" onClick={() => play?.stop()}>
            Stop
          </button>
        )}
      </div>
      <p class="muted small">{scenario?.claim}</p>
      {play !== undefined && <Verdict play={play} />}
    </Card>
  );
}

function Verdict({ play: { scenario, state, said, ends, jobs } }: { play: Play }) {
  const tones = {
    running: 'muted',
    'as claimed': 'tone-good',
    'not as claimed': 'tone-bad',
    stopped: 'muted',
  };
  const glyphs = {
    running: 'processing',
    'as claimed': 'completed',
    'not as claimed': 'failed',
    stopped: 'cancelled',
  };
  return (
    <p class="verdict" role="status">
      <Bar part={jobs === 0 ? 0 : ends.size / jobs} label="jobs ended" />
      <span class={tones[state]}>
        <Glyph name={glyphs[state] as 'processing'} /> {scenario.name}: {state}
        {said !== '' && `, ${said}`}
      </span>{' '}
      <span class="muted">
        {count(ends.size)} of {count(jobs)} ended
      </span>
    </p>
  );
}
