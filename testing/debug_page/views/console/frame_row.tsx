import type { FrameEntry } from '../../net/frame_log.ts';
import { bytes, clock } from '../../text/format.ts';
import { Text } from '../../text/text.tsx';

const RAW_MAX = 240;

interface FrameRowProps {
  entry: FrameEntry;
  chosen: boolean;
  onChoose: () => void;
}

/** The type has a column of its own: the room is for what follows it. */
const withoutType = (raw: string) => raw.slice(0, RAW_MAX).replace(/^\{"type":"[^"]*",?/, '{');

export function FrameRow({ entry, chosen, onChoose }: FrameRowProps) {
  const bad = entry.type === 'error' || entry.note !== '';
  return (
    <button type="button" class={`frame ${chosen ? 'chosen' : ''}`} data-frame={entry.n} onClick={onChoose}>
      <time class="muted">{clock(entry.at, true)}</time>
      <span class={entry.out ? 'frame-out' : 'frame-in'}>{entry.out ? '→' : '←'}</span>
      <span class="frame-conn muted">{entry.connection}</span>
      <span class={`frame-type ${bad ? 'tone-bad' : ''}`}>
        <Text value={entry.type} max={40} />
      </span>
      <span class="frame-trip muted">
        {entry.roundTrip === undefined ? entry.request : `↩ ${entry.roundTrip} ms`}
      </span>
      <span class="frame-size muted">{bytes(entry.raw.length)}</span>
      <span class={`frame-raw ${bad ? 'tone-bad' : ''}`}>
        <Text value={entry.note.slice(0, RAW_MAX) || withoutType(entry.raw)} />
      </span>
    </button>
  );
}
