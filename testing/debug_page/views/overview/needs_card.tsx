import { link } from '../../net/hub_link.ts';
import { hub } from '../../state/hub_state.ts';
import { touch } from '../../state/live.ts';
import { offerUndo } from '../../state/undo.ts';
import { duration } from '../../text/format.ts';
import { Text } from '../../text/text.tsx';
import { Action } from '../../ui/action.tsx';
import { Card } from '../../ui/card.tsx';
import { Glyph } from '../../ui/glyph.tsx';
import { type Need, needsChanged, needsYou } from './needs_you.ts';

async function resume(need: Need): Promise<undefined> {
  await link.request({ type: 'resume_queue', job_type: need.resume?.job_type });
  offerUndo(need.title.replace('paused', 'resumed'), async () => {
    const { job_type, reason } = need.resume ?? {};
    await link.request({ type: 'pause_queue', job_type, reason });
    return need.title;
  });
  const type = need.resume?.job_type ?? null;
  // The hub has confirmed it; its next statistics, within a second, say so too.
  hub.paused = hub.paused.filter(pause => pause.job_type !== type);
  needsChanged();
  touch('stats');
}

export function NeedsCard() {
  const needs = needsYou();
  if (needs.length === 0) {
    const oldest = hub.stats?.oldest_queued_ms;
    return (
      <p class="calm">
        <span class="tone-good">
          <Glyph name="completed" />
        </span>{' '}
        Nothing needs you.{' '}
        <span class="muted">
          {oldest == null ? 'No job waits.' : `Oldest waiting job: ${duration(oldest)}.`}
        </span>
      </p>
    );
  }
  const tone = needs.some(need => need.tone === 'bad') ? 'bad' : 'waiting';
  return (
    <Card title={`Needs you · ${needs.length}`} tone={tone}>
      <ul class="needs">
        {needs.map(need => (
          <li key={need.key}>
            <span class={`tone-${need.tone}`}>
              <Glyph name={need.tone === 'bad' ? 'failed' : 'warning'} />
            </span>
            <span class="need-text">
              <b>
                <Text value={need.title} />
              </b>{' '}
              <span class="muted">
                <Text value={need.text} />
              </span>
            </span>
            {need.resume !== undefined && <Action run={() => resume(need)}>Resume</Action>}
            <a href={need.href}>{need.link} →</a>
          </li>
        ))}
      </ul>
    </Card>
  );
}
