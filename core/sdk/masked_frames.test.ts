import { expect, it } from 'vitest';
import { maskedFrames } from './masked_frames.ts';

/** The frames of a buffer, read byte by byte as RFC 6455 says. */
function framesIn(buffer: Buffer): { key: string; text: string }[] {
  const frames: { key: string; text: string }[] = [];
  for (let at = 0; at < buffer.length; ) {
    expect(buffer[at]).toBe(0x81);
    const short = buffer.readUInt8(at + 1);
    expect(short & 0x80).toBe(0x80);
    at += 2;
    let length = short & 0x7f;
    if (length === 126) {
      length = buffer.readUInt16BE(at);
      at += 2;
    } else if (length === 127) {
      length = Number(buffer.readBigUInt64BE(at));
      at += 8;
    }
    const key = buffer.subarray(at, at + 4);
    at += 4;
    const bytes = buffer.subarray(at, at + length).map((byte, i) => byte ^ key.readUInt8(i % 4));
    frames.push({ key: key.toString('hex'), text: Buffer.from(bytes).toString() });
    at += length;
  }
  return frames;
}

const textsOf = (texts: string[]) => framesIn(maskedFrames(texts)).map(({ text }) => text);

it('says every text with its length, wherever it lies in the buffer', () => {
  const lengths = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 124, 125, 126, 127, 1000, 65_535, 65_536, 65_541];
  const texts = lengths.map(length => 'abcdefghij'.repeat(6555).slice(0, length));
  expect(textsOf(texts)).toEqual(texts);
  for (const text of texts) expect(textsOf([text])).toEqual([text]);
});

it('counts in bytes of UTF-8, not in characters', () => {
  const texts = ['ä'.repeat(63), '雪'.repeat(42), '🦊'.repeat(16_384), `${'a'.repeat(500)}é`];
  expect(textsOf(texts)).toEqual(texts);
});

it('masks each frame with a key of its own', () => {
  const frames = framesIn(maskedFrames(Array.from({ length: 3000 }, () => 'the same')));
  expect(new Set(frames.map(({ key }) => key)).size).toBeGreaterThan(2990);
});
