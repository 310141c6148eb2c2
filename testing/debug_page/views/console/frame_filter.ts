import type { FrameEntry } from '../../net/frame_log.ts';

export interface FrameFilter {
  query: string;
  incoming: boolean;
  outgoing: boolean;
  progress: boolean;
  own: boolean;
}

const NOISE: ReadonlySet<string> = new Set([
  'job_progress',
  'worker_heartbeat',
  'heartbeat_ack',
  'stats',
  'worker_updated',
]);

function fieldOf(entry: FrameEntry, key: string): string | undefined {
  if (key === 'type') return entry.type;
  if (key === 'job') return entry.subject;
  return key === 'conn' ? entry.connection : undefined;
}

/** `word`, `type:job_acked`, `job:j_8f`, `conn:client`, each with `-` before it for what is not wanted. */
function fits(entry: FrameEntry, word: string): boolean {
  const negated = word.startsWith('-') && word.length > 1;
  const text = negated ? word.slice(1) : word;
  const colon = text.indexOf(':');
  const field = colon > 0 ? fieldOf(entry, text.slice(0, colon)) : undefined;
  const found =
    field === undefined
      ? entry.raw.toLowerCase().includes(text)
      : field.toLowerCase().includes(text.slice(colon + 1));
  return found !== negated;
}

export function matchesFilter(entry: FrameEntry, filter: FrameFilter): boolean {
  if (entry.own && !filter.own) return false;
  if (entry.out ? !filter.outgoing : !filter.incoming) return false;
  if (!filter.progress && NOISE.has(entry.type)) return false;
  const words = filter.query.toLowerCase().split(/\s+/).filter(Boolean);
  return words.every(word => fits(entry, word));
}
