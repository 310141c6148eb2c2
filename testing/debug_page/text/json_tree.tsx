import { useState } from 'preact/hooks';
import { imageIn } from './image_bytes.ts';
import { ImageValue } from './image_value.tsx';
import { JsonText } from './json_text.ts';
import { Text } from './text.tsx';

const ITEMS_STEP = 100;
const STRING_MAX = 2000;
/** Of a text of many lines so much stands in the tree. */
const LINE_HEAD = 200;
const LINES_MAX = 500;
const LINES_CHARS_MAX = 50_000;
/** Branches above this depth start open; deeper ones open on demand, so depth never recurses by itself. */
const OPEN_DEPTH = 2;
const OPEN_ITEMS_MAX = 30;
/** A short branch without branches of its own starts open at any depth. */
const OPEN_LEAVES_MAX = 6;

type Entry = [key: string | number, value: unknown];

/** A list or an object. */
const hasParts = (value: unknown): value is object =>
  typeof value === 'object' && value !== null && !(value instanceof JsonText);

/** A JSON value that folds. */
export function JsonTree({ value, folded = false }: { value: unknown; folded?: boolean }) {
  return (
    <div class="json mono">
      <Node label={undefined} value={value} depth={folded ? OPEN_DEPTH : 0} />
    </div>
  );
}

function Node({
  label,
  value,
  depth,
}: {
  label?: string | number | undefined;
  value: unknown;
  depth: number;
}) {
  if (hasParts(value)) return <Branch label={label} value={value} depth={depth} />;
  return (
    <div class="json-row">
      <Label label={label} />
      <Leaf value={value} />
    </div>
  );
}

function Label({ label }: { label: string | number | undefined }) {
  if (label === undefined) return null;
  return (
    <span class="json-key">
      <Text value={String(label)} />:{' '}
    </span>
  );
}

function Leaf({ value }: { value: unknown }) {
  if (typeof value === 'string') return <StringLeaf value={value} />;
  const kind = value === null ? 'null' : value instanceof JsonText ? 'number' : typeof value;
  return <span class={`json-${kind}`}>{String(value)}</span>;
}

/** Lines of a text as lines, for prompts, logs and transcripts. */
function Lines({ value }: { value: string }) {
  const [open, setOpen] = useState(false);
  const lines = value.slice(0, LINES_CHARS_MAX).split('\n', LINES_MAX);
  return (
    <>
      {' '}
      <button type="button" class="link" onClick={() => setOpen(!open)}>
        {open ? 'hide text' : 'show as text'}
      </button>
      {open && (
        <pre class="text-preview">
          {lines.map((line, i) => (
            <div key={i}>{line === '' ? ' ' : <Text value={line} />}</div>
          ))}
          {value.length > LINES_CHARS_MAX && <span class="muted">… copy the value for all of it</span>}
        </pre>
      )}
    </>
  );
}

function StringLeaf({ value }: { value: string }) {
  const image = imageIn(value);
  return (
    <>
      <span class="json-string">
        "
        <Text
          value={value}
          max={image === undefined ? (value.includes('\n') ? LINE_HEAD : STRING_MAX) : 32}
        />
        "
      </span>
      {image === undefined && value.includes('\n') && <Lines value={value} />}
      {image !== undefined && (
        <>
          {' '}
          <ImageValue image={image} />
        </>
      )}
    </>
  );
}

function Branch({
  label,
  value,
  depth,
}: {
  label: string | number | undefined;
  value: object;
  depth: number;
}) {
  const entries: Entry[] = Array.isArray(value) ? value.map((item, i) => [i, item]) : Object.entries(value);
  const [open, setOpen] = useState(startsOpen(entries, depth));
  const [most, setMost] = useState(ITEMS_STEP);
  const [left, right] = Array.isArray(value) ? '[]' : '{}';
  if (entries.length === 0) {
    return (
      <div class="json-row">
        <Label label={label} />
        <span class="muted">{`${left}${right}`}</span>
      </div>
    );
  }
  return (
    <div>
      <button type="button" class="json-fold" aria-expanded={open} onClick={() => setOpen(!open)}>
        <Label label={label} />
        <span class="muted">
          {open ? left : `${left} ${entries.length} ${noun(value, entries.length)} ${right}`}
        </span>
      </button>
      {open && (
        <div class="json-items">
          {entries.slice(0, most).map(([key, item]) => (
            <Node key={key} label={key} value={item} depth={depth + 1} />
          ))}
          {entries.length > most && (
            <button type="button" class="link" onClick={() => setMost(most + ITEMS_STEP)}>
              {entries.length - most} more
            </button>
          )}
        </div>
      )}
      {open && <span class="muted json-end">{right}</span>}
    </div>
  );
}

function startsOpen(entries: readonly Entry[], depth: number): boolean {
  if (depth < OPEN_DEPTH) return entries.length <= OPEN_ITEMS_MAX;
  // One level below those: deeper ones wait for a click, however short.
  if (depth > OPEN_DEPTH) return false;
  return entries.length <= OPEN_LEAVES_MAX && entries.every(([, value]) => !hasParts(value));
}

function noun(value: object, entries: number): string {
  if (Array.isArray(value)) return entries === 1 ? 'item' : 'items';
  return entries === 1 ? 'field' : 'fields';
}
