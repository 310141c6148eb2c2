// Which hub: the one that served the page, or `#hub=ws://host:port` of the fragment, or the default one.

import type { Role } from '../../../core/messages/shared.ts';

const DEFAULT_HUB = 'ws://127.0.0.1:8000';

export const fromDisk = location.protocol === 'file:';

/** What is tried when the fragment names no hub. */
export const ownHub = fromDisk
  ? DEFAULT_HUB
  : `${location.protocol === 'https:' ? 'wss' : 'ws'}://${location.host}`;

/** A hub's address from what a person typed: scheme added, path cut off. Undefined if it is none. */
export function readAddress(typed: string): string | undefined {
  const text = typed.trim().replace(/^http/, 'ws');
  try {
    const url = new URL(/^wss?:\/\//.test(text) ? text : `ws://${text}`);
    // A token in a URL would end in histories and logs: only the place is kept.
    return url.host === '' ? undefined : `${url.protocol}//${url.host}`;
  } catch {
    return undefined;
  }
}

export function socketUrl(hub: string, role: Role, clientId?: string): string {
  const query = clientId === undefined || clientId === '' ? '' : `?client_id=${encodeURIComponent(clientId)}`;
  return `${hub}/ws/${role}${query}`;
}

export function httpUrl(hub: string, path: string): string {
  return hub.replace(/^ws/, 'http') + path;
}
