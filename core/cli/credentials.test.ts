import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { FakeHub, refusal } from '../../testing/harness/fake_hub.ts';
import { FakeSocketHub } from '../../testing/harness/fake_socket_hub.ts';
import { run } from './program.ts';

const SECRET = 's3cret-Token.1';

let hub: FakeHub;
beforeEach(async () => {
  hub = await FakeHub.start();
});
afterEach(() => hub[Symbol.asyncDispose]());

/** @param url of the hub, by default of the fake one */
async function gpuhub(args: string[], env: Record<string, string> = {}, url = hub.url) {
  let text = '';
  const write = (more: string) => {
    text += more;
  };
  const exit = await run(args, {
    out: write,
    err: write,
    screen: { color: false, width: null },
    env: { HUB_URL: url, ...env },
    read: () => Promise.reject(new Error('nothing is read')),
    pieces: () => {
      throw new Error('nothing is read');
    },
    piped: false,
    notes: null,
    terminal: null,
  });
  return { exit, text };
}

const sent = () => hub.asked.map(({ headers }) => headers.authorization);

it('a token goes as a header with each request over HTTP, never into the address', async () => {
  expect((await gpuhub(['summary'])).exit).toBe(0);
  expect((await gpuhub(['summary'], { GPUHUB_TOKEN: SECRET })).exit).toBe(0);
  expect((await gpuhub(['summary', '--token', 'other'], { GPUHUB_TOKEN: SECRET })).exit).toBe(0);
  expect((await gpuhub(['summary'], { GPUHUB_TOKEN: '' })).exit).toBe(0);
  await gpuhub(['watch', 'j1'], { GPUHUB_TOKEN: SECRET });
  const bearer = `Bearer ${SECRET}`;
  expect(sent()).toEqual([undefined, bearer, 'Bearer other', undefined, bearer]);
  for (const { path } of hub.asked) expect(path).not.toContain(SECRET);
});

it('and with the connection of a monitor', async () => {
  await using sockets = await FakeSocketHub.start();
  const running = gpuhub(['resume-queue'], { GPUHUB_TOKEN: SECRET }, sockets.url);
  const peer = await sockets.peer();
  peer.answer(await peer.next('resume_queue'), { type: 'ok' });
  expect((await running).exit).toBe(0);
  expect(peer.request.headers.authorization).toBe(`Bearer ${SECRET}`);
  expect(peer.request.url).toBe('/ws/monitor');
});

it.each([
  ['unauthorized', 401, 'Set GPUHUB_TOKEN, or --token, to a token that this hub knows.'],
  ['forbidden', 403, 'The token has no right to this: set GPUHUB_TOKEN, or --token, to one that has.'],
])('%s says over HTTP what to do, and not the token', async (code, status, advice) => {
  hub.on('GET /stats', status, refusal(code, 'the credentials are not known'));
  const { exit, text } = await gpuhub(['summary'], { GPUHUB_TOKEN: SECRET });
  expect({ exit, text }).toEqual({ exit: 1, text: `gpuhub: the credentials are not known. ${advice}\n` });
});

it('a handshake that is refused says the same', async () => {
  const body = JSON.stringify(refusal('unauthorized', 'the token is not known'));
  const server = createServer();
  server.on('upgrade', (_request, socket) => {
    socket.end(
      `HTTP/1.1 401 Unauthorized\r\nContent-Length: ${body.length}\r\nConnection: close\r\n\r\n${body}`,
    );
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const { exit, text } = await gpuhub(['pause', 'video'], { GPUHUB_TOKEN: SECRET }, url);
  server.close();
  expect(exit).toBe(1);
  expect(text).toBe(
    'gpuhub: the token is not known. Set GPUHUB_TOKEN, or --token, to a token that this hub knows.\n',
  );
});

it.each([
  ['a line break at the end', ['summary'], { GPUHUB_TOKEN: `${SECRET}\n` }, undefined],
  ['a token in the address', ['summary'], {}, `http://hub:8000/?token=${SECRET}`],
  ['a password in the address', ['summary'], {}, `http://me:${SECRET}@hub:8000`],
  ['an unknown option beside it', ['summary', '--token', SECRET, '--nothing'], {}, undefined],
  ['a hub that is not there', ['summary', '--token', SECRET], {}, 'http://127.0.0.1:1'],
])('is not shown with %s', async (_, args, env: Record<string, string>, url) => {
  const { exit, text } = await gpuhub(args, env, url);
  expect([2, 3]).toContain(exit);
  expect(text).toMatch(/^gpuhub: .+\n$/);
  expect(text).not.toContain(SECRET);
  expect(hub.asked).toEqual([]);
});
