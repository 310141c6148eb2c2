import { once } from 'node:events';
import type { Socket } from 'node:net';
import WebSocket from 'ws';
import { corkedSend } from '../ws_peer.ts';

/** One of many sockets of a load process. */
export interface LoadSocket {
  send(message: unknown): void;
  /** As when a cable is pulled. */
  cut(): void;
}

/**
 * Connects to a hub and waits for its welcome; all later frames go to `read`, as text in a buffer.
 *
 * @param closed called with the code when the hub closes it; by default that ends the process
 * @throws Error when the hub refuses it
 */
export async function openSocket(
  url: string,
  read: (data: Buffer) => void,
  closed: (code: number) => void = code => {
    throw new Error(`the hub closed a socket with ${code}`);
  },
): Promise<LoadSocket> {
  const ws = new WebSocket(url, ['gpuhub.v1'], { perMessageDeflate: false });
  const [[response]] = await Promise.all([once(ws, 'upgrade'), once(ws, 'message')]);
  let cut = false;
  ws.on('message', data => read(data as Buffer));
  ws.on('error', () => {}); // a close follows
  ws.on('close', code => {
    if (!cut) closed(code);
  });
  return {
    send: corkedSend(ws, (response as { socket: Socket }).socket),
    cut: () => {
      cut = true;
      ws.terminate();
    },
  };
}

/** Handshakes under way while many sockets are opened one after the other. */
const OPENING = 64;

/** Opens so many, a bounded number at a time. */
export async function openMany<T>(count: number, open: (i: number) => Promise<T>): Promise<T[]> {
  const opened = new Array<T>(count);
  let next = 0;
  const opener = async () => {
    while (next < count) {
      const i = next++;
      opened[i] = await open(i);
    }
  };
  await Promise.all(Array.from({ length: OPENING }, opener));
  return opened;
}
