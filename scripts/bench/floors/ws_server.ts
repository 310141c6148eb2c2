// What the floors share: a WebSocket server that welcomes, reads JSON and writes all frames of one turn at once.

import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { WebSocketServer } from 'ws';
import { corkedSend } from '../ws_peer.ts';

export type Send = (message: unknown) => void;

/**
 * @param meet called for each connection with its path; what it returns is called with each message
 * @returns the port
 */
export async function listen<Message>(
  meet: (path: string, send: Send) => (message: Message) => void,
): Promise<number> {
  const server = new WebSocketServer({ host: '127.0.0.1', port: 0, perMessageDeflate: false });
  server.on('connection', (ws, request: IncomingMessage) => {
    const send = corkedSend(ws, request.socket);
    const read = meet(request.url ?? '/', send);
    ws.on('message', data => read(JSON.parse((data as Buffer).toString())));
    send({ type: 'welcome' });
  });
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
}
