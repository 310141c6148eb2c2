import { visible, visibleParts } from './visible.ts';

/** Longer texts are cut; who wants all of it opens the raw value. */
const TEXT_MAX = 2000;

/** Text of a peer: always a text node, hidden characters shown, its direction kept to itself. */
export function Text({ value, max = TEXT_MAX }: { value: string; max?: number }) {
  const cut = value.length > max;
  const parts = visibleParts(cut ? value.slice(0, max) : value);
  return (
    <bdi>
      {parts.map(part => (part.token ? <span class="hidden-char">{part.text}</span> : part.text))}
      {cut && <span class="muted"> … {(value.length - max).toLocaleString('en')} more</span>}
    </bdi>
  );
}

const ID_MAX = 26;

/** An id: its middle is cut when it is long, as both ends tell ids apart. */
export function Id({ value, max = ID_MAX }: { value: string; max?: number }) {
  const head = Math.ceil(max / 2);
  const short = value.length > max ? `${value.slice(0, head)}…${value.slice(1 - (max - head))}` : value;
  return (
    <span class="mono" title={visible(value)}>
      <Text value={short} />
    </span>
  );
}
