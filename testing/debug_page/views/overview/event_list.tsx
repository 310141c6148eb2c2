import type { LogEvent } from '../../state/hub_state.ts';
import { hub } from '../../state/hub_state.ts';
import { useLive } from '../../state/live.ts';
import { errorText } from '../../state/waiting_reason.ts';
import { clock, duration } from '../../text/format.ts';
import { Id, Text } from '../../text/text.tsx';
import { oneLine } from '../../text/visible.ts';
import { Card } from '../../ui/card.tsx';
import { Glyph, type GlyphName } from '../../ui/glyph.tsx';
import { hrefOf } from '../../ui/route.ts';
import type { Tone } from '../../ui/state_word.tsx';

const SHOWN = 20;

const LOOKS: Record<string, [GlyphName, Tone]> = {
  job_queued: ['queued', 'waiting'],
  job_scheduled: ['scheduled', 'planned'],
  job_assigned: ['assigned', 'running'],
  job_started: ['processing', 'running'],
  job_retrying: ['scheduled', 'planned'],
  job_cancelling: ['cancelled', 'closed'],
  job_completed: ['completed', 'good'],
  job_failed: ['failed', 'bad'],
  job_cancelled: ['cancelled', 'closed'],
  job_expired: ['expired', 'closed'],
  worker_connected: ['idle', 'good'],
  worker_disconnected: ['away', 'closed'],
};

function detailOf({ type, fields }: LogEvent): string {
  const text = (name: string) => (typeof fields[name] === 'string' ? fields[name] : '');
  if (type === 'job_completed') return `ran ${duration(Number(fields['run_ms']))} on ${text('worker_id')}`;
  if (type === 'job_failed' || type === 'job_retrying') return errorText(fields['error']);
  return text('worker_id') === '' || type.startsWith('worker_') ? text('reason') : `→ ${text('worker_id')}`;
}

export function EventList() {
  useLive('events');
  const events = hub.events.newest(SHOWN);
  return (
    <Card title={`Last ${SHOWN} events`} class="events">
      {events.length === 0 && <p class="muted">None since this page connected.</p>}
      <ol>
        {events.map((event, i) => {
          const [glyph, tone] = LOOKS[event.type] ?? ['warning', 'plain'];
          const page = event.type.startsWith('worker_') ? 'worker' : 'job';
          return (
            <li key={hub.events.dropped + i}>
              <time class="mono muted">{clock(event.at)}</time>
              <span class={`event-type tone-${tone}`}>
                <Glyph name={glyph} />
                {event.type.replace(/^job_/, '').replaceAll('_', ' ')}
              </span>
              <a href={hrefOf(page, event.subject)}>
                <Id value={event.subject} max={22} />
              </a>
              <span class="event-detail muted">
                <Text value={oneLine(detailOf(event))} max={120} />
              </span>
            </li>
          );
        })}
      </ol>
    </Card>
  );
}
