// A refused WebSocket tells a page only "1006, no reason", so the page asks HTTP as well and says in words
// which part is away.

import { fromDisk, httpUrl } from './hub_address.ts';

const PROBE_TIMEOUT_MS = 2000;

export interface Probe {
  /** Whether anybody answered HTTP at all. */
  health: boolean;
  ready: boolean;
  reason: string;
}

async function ask(url: string): Promise<{ ok: boolean; reason: string } | undefined> {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(PROBE_TIMEOUT_MS) });
    const body = (await response.json().catch(() => ({}))) as { reason?: unknown };
    return { ok: response.ok, reason: typeof body?.reason === 'string' ? body.reason : '' };
  } catch {
    return undefined;
  }
}

export async function probe(hub: string): Promise<Probe> {
  const [health, ready] = await Promise.all([ask(httpUrl(hub, '/healthz')), ask(httpUrl(hub, '/readyz'))]);
  return {
    health: health?.ok === true,
    ready: ready?.ok === true,
    reason: ready?.reason ?? '',
  };
}

const CLOSE_WORDS: Record<number, string> = {
  1012: 'The hub is restarting.',
  1013: 'The hub is overloaded.',
  4401: 'The hub wants a token, or this one is not known to it.',
  4403: 'This token does not give the right to monitor.',
  4413: 'This tab read too slowly and was dropped.',
  4429: 'The hub has too many connections or messages.',
};

export interface Closed {
  code: number;
  reason: string;
  wasOpen: boolean;
}

export interface AwayText {
  /** Which part is away. */
  part: 'hub' | 'redis' | 'websocket' | 'link';
  text: string;
  hint: string;
}

function refused(): AwayText {
  const disk =
    'This page was opened from disk, so its origin is “null”. The hub must allow it: start it with ALLOWED_ORIGINS=null, or open the page at /debug of the hub.';
  const web = `The hub may not allow this page's origin (ALLOWED_ORIGINS), may want a token, or a proxy in between does not pass WebSockets on.`;
  return {
    part: 'websocket',
    text: 'The hub answers HTTP but refuses the WebSocket.',
    hint: fromDisk ? disk : web,
  };
}

/** In words: what is away, and what to do about it. */
export function explainAway(hub: string, closed: Closed, found: Probe): AwayText {
  const said = CLOSE_WORDS[closed.code];
  if (said !== undefined) return { part: 'link', text: said, hint: closed.reason };
  if (!found.health) {
    return {
      part: 'hub',
      text: `Nobody answers at ${hub}.`,
      hint: 'Is the hub running, and is this its address?',
    };
  }
  if (!found.ready) {
    const why = found.reason === '' ? 'It says it is not ready.' : `It says: ${found.reason}`;
    return {
      part: 'redis',
      text: 'The hub runs but is not ready.',
      hint: `${why} Running jobs go on; nothing new is taken.`,
    };
  }
  if (!closed.wasOpen) return refused();
  return { part: 'link', text: `The connection was lost (${closed.code}).`, hint: closed.reason };
}
