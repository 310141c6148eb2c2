import type { JobRecord } from '../../../../core/messages/job.ts';
import { hubNow } from '../../state/hub_clock.ts';
import { clock, duration, fullTime } from '../../text/format.ts';
import { Text } from '../../text/text.tsx';
import { oneLine, visible } from '../../text/visible.ts';
import { Card } from '../../ui/card.tsx';
import { Glyph } from '../../ui/glyph.tsx';
import { AttemptList } from './attempt_list.tsx';
import { type Phase, phasesOf } from './timeline.ts';

const TICKS = 5;
/** A label needs this part of the width to stand inside its bar. */
const INSIDE_PART = 0.3;

interface Axis {
  from: number;
  span: number;
  now: number;
  /** Something is planned for later than now. */
  ahead: boolean;
}

const place = (axis: Axis, at: number) => Math.min(100, Math.max(0, ((at - axis.from) / axis.span) * 100));

function PhaseBar({ phase, axis }: { phase: Phase; axis: Axis }) {
  const left = place(axis, phase.from);
  const width = Math.max(0, place(axis, phase.to ?? axis.now) - left);
  const length = (phase.to ?? axis.now) - phase.from;
  const label = [phase.text, duration(length)].filter(Boolean).join(' · ');
  const inside = width / 100 > INSIDE_PART;
  const look = `phase phase-${phase.kind} ${phase.to === null ? 'phase-live' : ''} outcome-${phase.outcome ?? 'none'}`;
  // A label that would run over the right edge stands left of its bar.
  const side = inside
    ? { left: `${left}%` }
    : left > 60
      ? { right: `${100 - left}%` }
      : { left: `${left + width}%` };
  return (
    <>
      <span class={look} style={{ left: `${left}%`, width: `max(2px, ${width}%)` }} title={visible(label)} />
      {(phase.kind !== 'dispatch' || phase.outcome !== undefined) && (
        <span
          class={`phase-label ${inside ? `inside-${phase.kind}` : ''} outcome-${phase.outcome ?? 'none'}`}
          style={side}
        >
          {phase.outcome === 'failed' && <Glyph name="failed" />}
          {phase.outcome === 'completed' && <Glyph name="completed" />}
          {phase.outcome === 'cancelled' && <Glyph name="cancelled" />}
          <Text value={oneLine(label)} max={120} />
        </span>
      )}
    </>
  );
}

function axisOf(phases: Phase[], ended: boolean, now: number): Axis {
  const from = Math.min(...phases.map(phase => phase.from));
  const last = Math.max(...phases.map(phase => phase.to ?? now));
  const to = ended ? last : Math.max(last, now);
  return { from, span: Math.max(1, to - from), now, ahead: !ended && last > now };
}

export function TimelineCard({ job, ended }: { job: JobRecord; ended: boolean }) {
  const phases = phasesOf(job);
  if (phases.length === 0) return null;
  const axis = axisOf(phases, ended, hubNow());
  const rows = [...new Set(phases.map(phase => phase.row))];
  const ticks = Array.from({ length: TICKS }, (_, i) => axis.from + (axis.span * i) / (TICKS - 1));
  return (
    <Card
      title="Timeline"
      aside={
        ended ? `${duration(axis.span)} from submit to end` : `${duration(axis.now - axis.from)} since submit`
      }
    >
      <div class="timeline">
        <span />
        <div class="timeline-ticks muted">
          {ticks.map((at, i) => (
            <time key={at} title={fullTime(at)}>
              {i === TICKS - 1 && !ended && !axis.ahead ? 'now' : clock(at, axis.span < 5000)}
            </time>
          ))}
        </div>
        {rows.map((row, i) => [
          <span key={row} class="muted">
            {row}
          </span>,
          <div key={`${row} ${i}`} class="timeline-row">
            {phases
              .filter(phase => phase.row === row)
              .map(phase => (
                <PhaseBar key={phase.kind} phase={phase} axis={axis} />
              ))}
            {axis.ahead && (
              <i class="timeline-now" title="now" style={{ left: `${place(axis, axis.now)}%` }} />
            )}
          </div>,
        ])}
      </div>
      <AttemptList job={job} />
    </Card>
  );
}
