// The glyphs of states: inline shapes, as characters such as ▶ or ⌛ become colour emoji on some systems.

import type { JSX } from 'preact';

export type GlyphName =
  | 'scheduled'
  | 'queued'
  | 'assigned'
  | 'processing'
  | 'completed'
  | 'failed'
  | 'cancelled'
  | 'expired'
  | 'paused'
  | 'warning'
  | 'idle'
  | 'away';

const line = { fill: 'none', stroke: 'currentColor', 'stroke-width': 1.5 } as const;
const bold = { ...line, 'stroke-width': 2, 'stroke-linecap': 'round', 'stroke-linejoin': 'round' } as const;

const SHAPES: Record<GlyphName, JSX.Element> = {
  scheduled: (
    <g {...line}>
      <circle cx="6" cy="6" r="4.5" />
      <path d="M6 3.5V6l1.8 1.2" />
    </g>
  ),
  queued: (
    <g>
      <circle cx="6" cy="6" r="4.5" {...line} />
      <path d="M6 6V1.5A4.5 4.5 0 0 1 10.5 6Z" fill="currentColor" />
    </g>
  ),
  assigned: <path d="M3 2.2 9.5 6 3 9.8Z" {...line} stroke-linejoin="round" />,
  processing: <path d="M2.5 1.5 10.5 6l-8 4.5Z" fill="currentColor" />,
  completed: <path d="m2 6.5 2.8 2.8L10 3" {...bold} />,
  failed: <path d="m2.5 2.5 7 7m0-7-7 7" {...bold} />,
  cancelled: (
    <g {...line}>
      <circle cx="6" cy="6" r="4.5" />
      <path d="m2.9 9.1 6.2-6.2" />
    </g>
  ),
  expired: <path d="M3 1.5h6v1L6.7 6 9 9.5v1H3v-1L5.3 6 3 2.5Z" fill="currentColor" />,
  paused: <path d="M4 2v8M8 2v8" {...bold} />,
  warning: <path d="M6 1.8v5.4M6 10v.2" {...bold} />,
  idle: <rect x="2" y="2" width="8" height="8" rx="1.5" {...line} />,
  away: <rect x="2" y="2" width="8" height="8" rx="1.5" {...line} stroke-dasharray="2 2" />,
};

export function Glyph({ name }: { name: GlyphName }) {
  return (
    <svg class="glyph" viewBox="0 0 12 12" width="12" height="12" aria-hidden="true">
      {SHAPES[name]}
    </svg>
  );
}
