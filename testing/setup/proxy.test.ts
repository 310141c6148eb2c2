import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { startProxy, type TcpProxy } from '../harness/proxy.ts';
import { testRedis } from '../harness/redis.ts';

/** One end of a connection, with what it received so far and ways to wait for more. */
class Peer {
  readonly socket: Socket;
  received = Buffer.alloc(0);
  ended = false;

  constructor(socket: Socket) {
    this.socket = socket;
    socket.on('error', () => {});
    socket.on('data', bytes => {
      this.received = Buffer.concat([this.received, bytes]);
    });
    socket.on('end', () => {
      this.ended = true;
    });
  }

  async has(length: number): Promise<string> {
    while (this.received.length < length) await once(this.socket, 'data');
    return this.received.toString();
  }

  async end(): Promise<void> {
    if (!this.ended) await once(this.socket, 'end');
  }

  async closed(): Promise<void> {
    if (!this.socket.closed) await new Promise(resolve => this.socket.once('close', resolve));
  }
}

let server: Server;
let proxy: TcpProxy;
let accepted: Peer[];
let peers: Peer[];

beforeEach(async () => {
  accepted = [];
  peers = [];
  server = createServer({ allowHalfOpen: true }, socket => accepted.push(new Peer(socket)));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  proxy = await startProxy((server.address() as { port: number }).port);
});

afterEach(async () => {
  await proxy.stop();
  for (const peer of [...peers, ...accepted]) peer.socket.destroy();
  server.close();
  await once(server, 'close');
  expect(proxy.connections).toBe(0);
});

async function openClient(): Promise<Peer> {
  const socket = connect({ port: proxy.port, host: proxy.host, allowHalfOpen: true });
  const peer = new Peer(socket);
  peers.push(peer);
  await once(socket, 'connect');
  return peer;
}

async function openPair(): Promise<{ client: Peer; behind: Peer }> {
  const arrived = once(server, 'connection');
  const client = await openClient();
  await arrived;
  return { client, behind: accepted.at(-1) as Peer };
}

test('passes bytes both ways, and the end of one side while the other goes on', async () => {
  const { client, behind } = await openPair();
  const large = randomBytes(3_000_000);
  client.socket.end(large);
  await behind.has(large.length);
  expect(behind.received.equals(large)).toBe(true);
  await behind.end();
  behind.socket.end('still here');
  expect(await client.has(10)).toBe('still here');
  await Promise.all([client.closed(), behind.closed()]);
});

test('a reset of one side reaches the other, also after an orderly end of one direction', async () => {
  const first = await openPair();
  first.client.socket.resetAndDestroy();
  await first.behind.closed();
  const second = await openPair();
  second.client.socket.end('no more');
  await second.behind.end();
  second.client.socket.destroy();
  second.behind.socket.write(randomBytes(1_000_000));
  await expect.poll(() => proxy.connections).toBe(0);
  expect(second.behind.received.toString()).toBe('no more');
});

test('a server that cannot be reached resets the client', async () => {
  await using orphan = await startProxy(1);
  const socket = connect(orphan.port, orphan.host);
  socket.on('error', () => {});
  await new Promise(resolve => socket.once('close', resolve));
});

test('delay: each way takes so long, in order', async () => {
  const { client, behind } = await openPair();
  behind.socket.on('data', bytes => behind.socket.write(bytes));
  proxy.delay(40);
  const started = performance.now();
  for (const word of ['one ', 'two ', 'three']) client.socket.write(word);
  expect(await client.has(13)).toBe('one two three');
  expect(performance.now() - started).toBeGreaterThanOrEqual(79);
  proxy.delay(30, 'down');
  client.socket.write(' four');
  proxy.pass();
  client.socket.write(' five');
  expect(await client.has(23)).toBe('one two three four five');
});

test('stall: one direction is held back and the other flows', async () => {
  const { client, behind } = await openPair();
  proxy.stall('down');
  behind.socket.end('an answer');
  client.socket.write('a question');
  expect(await behind.has(10)).toBe('a question');
  client.socket.write(', another');
  await behind.has(19);
  expect(client.received.length).toBe(0);
  expect(client.ended).toBe(false);
  proxy.stall('up');
  expect(await client.has(9)).toBe('an answer');
  client.socket.write('!');
  await nextTurn();
  proxy.pass();
  expect(await behind.has(20)).toBe('a question, another!');
});

test('black hole: bytes, ends and new connections are not heard of, and arrive when it is over', async () => {
  const { client, behind } = await openPair();
  const { client: leaving, behind: left } = await openPair();
  proxy.blackHole();
  client.socket.write('hello');
  behind.socket.write('hello back');
  leaving.socket.resetAndDestroy();
  const late = await openClient();
  late.socket.write('late');
  // A round trip past the proxy: all that could arrive has arrived.
  const direct = connect((server.address() as { port: number }).port, '127.0.0.1');
  await once(server, 'connection');
  direct.destroy();
  expect(accepted.length).toBe(3);
  expect(behind.received.length + client.received.length).toBe(0);
  expect(left.socket.closed).toBe(false);

  const arrived = once(server, 'connection');
  proxy.pass();
  expect(await behind.has(5)).toBe('hello');
  expect(await client.has(10)).toBe('hello back');
  await left.closed();
  await arrived;
  expect(await (accepted.at(-1) as Peer).has(4)).toBe('late');
});

test('cutAfter: exactly so many bytes arrive, both sides learn it, and the next connection works', async () => {
  const { client, behind } = await openPair();
  const cut = proxy.cutAfter(7, 'down');
  client.socket.write('questions may be long');
  await behind.has(21);
  behind.socket.write('12345');
  behind.socket.write('67890');
  await Promise.all([cut, client.end(), behind.closed()]);
  expect(client.received.toString()).toBe('1234567');
  const next = await openPair();
  next.behind.socket.write('1234567890');
  expect(await next.client.has(10)).toBe('1234567890');
  expect(() => proxy.cutAfter(0, 'up')).toThrow(RangeError);
});

test('cutNow: resets every connection on both sides', async () => {
  const pairs = [await openPair(), await openPair()];
  expect(proxy.cutNow()).toBe(2);
  await Promise.all(pairs.flatMap(({ client, behind }) => [client.closed(), behind.closed()]));
  expect(proxy.connections).toBe(0);
});

test('it stops also in the moment in which it passes an end on', async () => {
  const { client, behind } = await openPair();
  proxy.stall('up');
  client.socket.end('goodbye');
  // The proxy has read that when an answer sent after it is here.
  await new Promise(resolve => setTimeout(resolve, 50));
  behind.socket.write('hello');
  await client.has(5);
  proxy.pass();
  await proxy.stop();
  expect(proxy.connections).toBe(0);
  await client.closed();
});

test('throttle: no more than so many bytes a second', async () => {
  const { client, behind } = await openPair();
  proxy.throttle(200_000);
  const started = performance.now();
  const bytes = randomBytes(40_000);
  client.socket.write(bytes);
  await behind.has(bytes.length);
  // 200 ms less the first slice, which leaves at once.
  expect(performance.now() - started).toBeGreaterThanOrEqual(170);
  expect(behind.received.equals(bytes)).toBe(true);
});

test('no byte is skipped or moved, however the modes change', async () => {
  const { client, behind } = await openPair();
  behind.socket.pipe(behind.socket);
  const bytes = randomBytes(8_000_000);
  client.socket.write(bytes);
  const modes = [
    () => proxy.delay(3),
    () => proxy.stall('up'),
    () => proxy.throttle(1_000_000),
    () => proxy.blackHole(),
    () => proxy.stall('down'),
    () => proxy.delay(1, 'up'),
    () => proxy.pass(),
  ];
  for (let round = 0; round < 100; round++) {
    (modes[round % modes.length] as () => void)();
    await nextTurn();
  }
  proxy.pass();
  await client.has(bytes.length);
  expect(client.received.equals(bytes)).toBe(true);
});

test('in front of Redis: a black hole makes commands time out, and afterwards they work again', async () => {
  await using redis = await testRedis();
  await using front = await startProxy(redis.port);
  const client = redis.client({ port: front.port, commandTimeout: 100 });
  expect(await client.ping()).toBe('PONG');
  front.blackHole();
  await expect(client.ping()).rejects.toThrow(/timed out/i);
  front.pass();
  expect(await client.ping()).toBe('PONG');
}, 60_000);
