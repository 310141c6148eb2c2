import { useEffect, useLayoutEffect, useMemo, useRef, useState } from 'preact/hooks';
import { link } from '../../net/hub_link.ts';
import { OutputWatch } from '../../net/output_watch.ts';
import { useLive } from '../../state/live.ts';
import { gapText, type OutputEntry } from '../../state/output_log.ts';
import { bytes, count } from '../../text/format.ts';
import { JsonText } from '../../text/json_text.ts';
import { JsonTree } from '../../text/json_tree.tsx';
import { Text } from '../../text/text.tsx';
import { Card } from '../../ui/card.tsx';
import { CopyButton } from '../../ui/copy_button.tsx';

const NEAR_END_PX = 40;
const STATES = { connecting: 'connecting…', live: '● live', away: 'lost, coming back…', over: '' };

function useOutput(jobId: string): OutputWatch | undefined {
  useLive('output');
  const [watch, setWatch] = useState<OutputWatch>();
  useEffect(() => {
    const made = new OutputWatch(jobId);
    setWatch(made);
    return () => made.stop();
  }, [jobId, link.hub]);
  return watch;
}

/** What the job says while it runs, as it comes; nothing when it says nothing. */
export function OutputCard({ jobId }: { jobId: string }) {
  const watch = useOutput(jobId);
  if (watch === undefined || watch.log.entries.length === 0) return null;
  const { log, state } = watch;
  const { dropped } = log;
  return (
    <Card
      title={
        <>
          output{' '}
          <span class="muted">
            of attempt {log.attempt} · {count(log.pieces)} {log.pieces === 1 ? 'piece' : 'pieces'} ·{' '}
            {bytes(log.chars + dropped.chars)}
          </span>
        </>
      }
      aside={
        <>
          <span class={`small ${state === 'live' ? 'tone-running' : 'muted'}`}>{STATES[state]}</span>{' '}
          <CopyButton text={() => log.text()} label="copy" />
        </>
      }
    >
      {dropped.chars > 0 && (
        <p class="muted small">
          The first {count(dropped.pieces)} pieces ({bytes(dropped.chars)}) are not held here any more.
        </p>
      )}
      <Output entries={log.entries} />
    </Card>
  );
}

/** Stays at the end while the reader does. */
function Output({ entries }: { entries: readonly OutputEntry[] }) {
  const box = useRef<HTMLDivElement>(null);
  const [follow, setFollow] = useState(true);
  useLayoutEffect(() => {
    if (follow && box.current !== null) box.current.scrollTop = box.current.scrollHeight;
  });
  const scrolled = () => {
    const element = box.current;
    if (element === null) return;
    setFollow(element.scrollHeight - element.scrollTop - element.clientHeight < NEAR_END_PX);
  };
  return (
    <div class="output-place">
      <div
        class="output mono"
        ref={box}
        onScroll={scrolled}
        role="log"
        aria-live="off"
        aria-label="output"
        tabIndex={0}
      >
        {entries.map(entry => (
          <Entry key={entry.n} entry={entry} />
        ))}
      </div>
      {!follow && (
        <button type="button" class="tail" onClick={() => setFollow(true)}>
          ↓ newest
        </button>
      )}
    </div>
  );
}

function Entry({ entry }: { entry: OutputEntry }) {
  // Only the last one still grows: the others are not looked at again.
  return useMemo(() => {
    if (entry.kind === 'text') return <Lines text={entry.text} />;
    if (entry.kind === 'json') return <Piece {...entry} />;
    return <div class="output-gap tone-waiting">⋯ {gapText(entry)} ⋯</div>;
  }, [entry.chars]);
}

/** A line break and a tab are what they are; all else that would not be seen is shown by its code. */
function Lines({ text }: { text: string }) {
  const parts = text.split(/(\r?\n|\t)/);
  return (
    <>
      {parts.map((part, i) => {
        if (i % 2 === 1) return part === '\t' ? '\t' : '\n';
        return part === '' ? null : <Text key={i} value={part} max={part.length} />;
      })}
    </>
  );
}

/** One piece of JSON in a line; what has parts unfolds. */
function Piece({ index, line, value }: { index: number; line: string; value: unknown }) {
  const [open, setOpen] = useState(false);
  const shown = (
    <>
      <span class="muted">#{index}</span> <Text value={line} />
    </>
  );
  const isNumber = typeof value === 'number' || value instanceof JsonText;
  if (isNumber || typeof value === 'boolean') return <div class="output-json">{shown}</div>;
  return (
    <details class="output-json" onToggle={event => setOpen(event.currentTarget.open)}>
      <summary>{shown}</summary>
      {open && <JsonTree value={value} />}
    </details>
  );
}
