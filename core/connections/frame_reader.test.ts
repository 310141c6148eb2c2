import type { Writable } from 'node:stream';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import * as ws from 'ws';
import { FrameReader } from './frame_reader.ts';

const { Receiver } = ws as unknown as { Receiver: new (options: object) => Writable };
const MAX_BYTES = 2000;

interface Sent {
  /** The first byte of its frame. */
  first: number;
  payload: Buffer;
  mask: Buffer | null;
}

/** A frame as the standard has it (RFC 6455, section 5.2). */
function encode({ first, payload, mask }: Sent): Buffer {
  const { length } = payload;
  const extended = Buffer.alloc(length < 126 ? 0 : length < 65_536 ? 2 : 8);
  if (extended.length === 2) extended.writeUInt16BE(length);
  if (extended.length === 8) extended.writeBigUInt64BE(BigInt(length));
  const code = extended.length === 0 ? length : extended.length === 2 ? 126 : 127;
  const head = Buffer.from([first, code | (mask === null ? 0 : 0x80)]);
  if (mask === null) return Buffer.concat([head, extended, payload]);
  const masked = payload.map((byte, i) => byte ^ (mask[i % 4] as number));
  return Buffer.concat([head, extended, mask, masked]);
}

/** The receiver of `ws`, and what it told. */
function receiver() {
  const told: unknown[][] = [];
  const one = new Receiver({ isServer: true, maxPayload: MAX_BYTES, maxFragments: 64 });
  one.on('message', (data: Buffer, binary: boolean) =>
    told.push(binary ? ['binary', data.toString('hex')] : ['text', data.toString()]),
  );
  for (const kind of ['ping', 'pong'])
    one.on(kind, (data: Buffer) => told.push([kind, data.toString('hex')]));
  one.on('conclude', (code: number) => told.push(['close', code]));
  one.on('error', (error: Error & { code: string }) => told.push(['error', error.code]));
  return { one, told };
}

/** What `ws` by itself makes of the pieces. */
async function readByWs(pieces: Buffer[]): Promise<unknown[][]> {
  const { one, told } = receiver();
  for (const piece of pieces) if (one.writable) one.write(Buffer.from(piece));
  await new Promise(resolve => setImmediate(resolve));
  return told;
}

/** A copy at an address of any remainder by four. */
function copyAt(remainder: number, piece: Buffer): Buffer {
  const copy = Buffer.alloc(piece.length + remainder).subarray(remainder);
  piece.copy(copy);
  return copy;
}

/** What both make of them together, and how many texts the reader read. */
async function readByBoth(pieces: Buffer[]): Promise<{ told: unknown[][]; own: number }> {
  const { one, told } = receiver();
  let own = 0;
  const reader = new FrameReader(
    MAX_BYTES,
    text => {
      own += 1;
      told.push(['text', text]);
    },
    bytes => {
      one.write(bytes);
      return one.writable;
    },
  );
  for (const [i, piece] of pieces.entries()) if (one.writable) reader.read(copyAt(i % 4, piece));
  await new Promise(resolve => setImmediate(resolve));
  return { told, own };
}

/** The bytes of all frames, cut at these places. */
function cut(frames: Sent[], at: number[]): Buffer[] {
  const bytes = Buffer.concat(frames.map(encode));
  const places = [0, ...at.map(place => place % (bytes.length + 1)).sort((a, b) => a - b), bytes.length];
  return places.slice(1).map((end, i) => bytes.subarray(places[i], end));
}

const mask = fc.uint8Array({ minLength: 4, maxLength: 4 }).map(bytes => Buffer.from(bytes));
const text = fc
  .oneof(
    fc.string({ unit: 'grapheme', maxLength: 400 }),
    fc.string({ maxLength: 90 }),
    fc.integer({ min: 0, max: MAX_BYTES + 2 }).map(length => 'x'.repeat(length)),
  )
  .map(words => Buffer.from(words));
const textFrame = fc.record({ first: fc.constant(0x81), payload: text, mask });
const anyFrame = fc.record({
  // Whole and parts of texts and binaries, what goes on, control frames, and codes that mean nothing.
  first: fc.constantFrom(0x81, 0x01, 0x00, 0x80, 0x82, 0x02, 0x89, 0x8a, 0x88, 0x09, 0xc1, 0x83, 0x91),
  payload: fc.oneof(
    text,
    fc.uint8Array({ maxLength: 200 }).map(bytes => Buffer.from(bytes)),
    // A code to close with.
    fc.constant(Buffer.from([0x03, 0xe8])),
  ),
  mask: fc.option(mask, { freq: 50 }),
});
const places = fc.array(fc.nat(20_000), { maxLength: 8 });

test('whatever comes, in whatever pieces, is read as ws by itself would read it', async () => {
  const frames = fc.array(fc.oneof({ weight: 3, arbitrary: textFrame }, anyFrame), { maxLength: 12 });
  await fc.assert(
    fc.asyncProperty(frames, places, async (sent, at) => {
      const pieces = cut(sent, at);
      expect((await readByBoth(pieces)).told).toEqual(await readByWs(pieces));
    }),
    { numRuns: 1500 },
  );
});

test('texts that came whole do not go through ws', async () => {
  const whole = textFrame.filter(({ payload }) => payload.length <= MAX_BYTES);
  await fc.assert(
    fc.asyncProperty(fc.array(whole, { minLength: 1, maxLength: 30 }), async sent => {
      expect((await readByBoth(cut(sent, []))).own).toBe(sent.length);
    }),
  );
});

test.each([
  ['bytes that are no UTF-8', { first: 0x81, payload: Buffer.from([0xc3, 0x28]) }, 'WS_ERR_INVALID_UTF8'],
  [
    'a text that is too long',
    { first: 0x81, payload: Buffer.alloc(MAX_BYTES + 1, 0x61) },
    'WS_ERR_UNSUPPORTED_MESSAGE_LENGTH',
  ],
  [
    'a text of 64 KiB and more',
    { first: 0x81, payload: Buffer.alloc(70_000, 0x61) },
    'WS_ERR_UNSUPPORTED_MESSAGE_LENGTH',
  ],
  ['a text without a mask', { first: 0x81, payload: Buffer.from('{}'), mask: null }, 'WS_ERR_EXPECTED_MASK'],
])('%s is left to ws, which refuses it, and nothing after it is read', async (_, bad, code) => {
  const good = { first: 0x81, payload: Buffer.from('good'), mask: Buffer.from('mask') };
  const { told } = await readByBoth(cut([good, { mask: good.mask, ...bad }, good], []));
  expect(told).toEqual([
    ['text', 'good'],
    ['error', code],
  ]);
});

test('nothing is read after the goodbye of the peer', async () => {
  const key = Buffer.from('mask');
  const good = { first: 0x81, payload: Buffer.from('good'), mask: key };
  const goodbye = { first: 0x88, payload: Buffer.from([0x03, 0xe8]), mask: key };
  expect((await readByBoth(cut([good, goodbye, good], []))).told).toEqual([
    ['text', 'good'],
    ['close', 1000],
  ]);
});
