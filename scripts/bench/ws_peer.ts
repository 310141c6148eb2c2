// JSON over a WebSocket with nothing around it: what a client in any language could do at the least cost.

import { once } from 'node:events';
import type { Socket } from 'node:net';
import WebSocket from 'ws';

/** Writes all frames of one turn of the event loop at once, as the SDK and the hub do. */
export function corkedSend(ws: WebSocket, socket: Socket): (message: unknown) => void {
  socket.setNoDelay(true);
  let corked = false;
  const uncork = () => {
    corked = false;
    socket.uncork();
  };
  return message => {
    if (!corked) {
      corked = true;
      socket.cork();
      process.nextTick(uncork);
    }
    ws.send(JSON.stringify(message));
  };
}

/** Connects, and waits for the server's first frame, its welcome; all later ones go to `read`. */
export async function connectPeer<Frame>(
  url: string,
  protocol: string,
  read: (frame: Frame) => void,
): Promise<{ send(message: unknown): void }> {
  const ws = new WebSocket(url, [protocol], { perMessageDeflate: false });
  const [[response]] = await Promise.all([once(ws, 'upgrade'), once(ws, 'message')]);
  ws.on('message', data => read(JSON.parse((data as Buffer).toString())));
  return { send: corkedSend(ws, (response as { socket: Socket }).socket) };
}
