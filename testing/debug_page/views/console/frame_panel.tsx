import { useRef, useState } from 'preact/hooks';
import { type FrameEntry, frameLog } from '../../net/frame_log.ts';
import { useLive } from '../../state/live.ts';
import { count } from '../../text/format.ts';
import { CopyButton } from '../../ui/copy_button.tsx';
import { useNarrow } from '../../ui/use_narrow.ts';
import { VirtualList } from '../../ui/virtual_list.tsx';
import { FrameDetail } from './frame_detail.tsx';
import { type FrameFilter, matchesFilter } from './frame_filter.ts';
import { FrameRow } from './frame_row.tsx';

const ROW_PX = 24;
const ROW_NARROW_PX = 44;
const START: FrameFilter = { query: '', incoming: true, outgoing: true, progress: false, own: false };

/** Pausing stops the picture, not the capture. */
function usePaused(frames: FrameEntry[]): { shown: FrameEntry[]; paused: boolean; toggle: () => void } {
  const held = useRef<FrameEntry[] | undefined>(undefined);
  const [paused, setPaused] = useState(false);
  const toggle = () => {
    held.current = paused ? undefined : frames;
    setPaused(!paused);
  };
  return { shown: held.current ?? frames, paused, toggle };
}

export function FramePanel() {
  useLive('frames');
  const narrow = useNarrow();
  const [filter, setFilter] = useState(START);
  const [follow, setFollow] = useState(true);
  const [chosen, setChosen] = useState<number>();
  const { shown: frames, paused, toggle } = usePaused(frameLog.all());
  const shown = frames.filter(entry => matchesFilter(entry, filter));
  const entry = chosen === undefined ? undefined : frames.find(one => one.n === chosen);
  const height = narrow ? ROW_NARROW_PX : ROW_PX;
  return (
    <section class="card frames" aria-label="frames">
      <header class="card-head">
        <h2>
          Frames{' '}
          <span class="muted">
            {count(shown.length)} of {count(frames.length)}
            {frameLog.dropped > 0 && ` · ${count(frameLog.dropped)} older dropped`}
          </span>
        </h2>
        <div class="card-aside row">
          <button type="button" aria-pressed={paused} onClick={toggle}>
            {paused ? `‖ paused · ${count(frameLog.all().length - frames.length)} more` : '‖ pause'}
          </button>
          <CopyButton text={() => shown.map(one => one.raw).join('\n')} label="copy" />
          <button type="button" class="quiet" onClick={() => frameLog.clear()}>
            clear
          </button>
        </div>
      </header>
      <FilterRow filter={filter} onFilter={setFilter} />
      {shown.length === 0 && <Empty any={frames.some(one => !one.own)} />}
      <VirtualList
        label="frames"
        count={shown.length}
        rowHeight={height}
        follow={follow && !paused}
        onFollow={setFollow}
        row={index => {
          const one = shown[index];
          return one === undefined ? null : (
            <FrameRow
              key={one.n}
              entry={one}
              chosen={one.n === chosen}
              onChoose={() => setChosen(one.n === chosen ? undefined : one.n)}
            />
          );
        }}
      />
      {!follow && shown.length > 0 && (
        <button type="button" class="tail" onClick={() => setFollow(true)}>
          ↓ newest
        </button>
      )}
      {entry !== undefined && <FrameDetail entry={entry} onGo={setChosen} />}
    </section>
  );
}

function Empty({ any }: { any: boolean }) {
  const text = any
    ? 'No frame matches the filter.'
    : 'Every frame of your connections appears here, both ways.';
  return <p class="empty">{text}</p>;
}

function FilterRow({ filter, onFilter }: { filter: FrameFilter; onFilter: (filter: FrameFilter) => void }) {
  const box = (key: 'incoming' | 'outgoing' | 'progress' | 'own', label: string) => (
    <label>
      <input
        type="checkbox"
        checked={filter[key]}
        onChange={event => onFilter({ ...filter, [key]: event.currentTarget.checked })}
      />{' '}
      {label}
    </label>
  );
  return (
    <div class="filter-bar">
      <span class="filter-field">
        <input
          data-filter
          type="search"
          class="mono"
          aria-label="filter frames"
          placeholder="words, type:… job:… conn:… -type:…"
          value={filter.query}
          onInput={event => onFilter({ ...filter, query: event.currentTarget.value })}
        />
        <kbd>/</kbd>
      </span>
      {box('incoming', '← in')}
      {box('outgoing', '→ out')}
      {box('progress', 'progress and heartbeats')}
      {box('own', "this page's own")}
    </div>
  );
}
