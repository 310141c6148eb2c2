import { inflateSync, crc32 } from 'node:zlib';
import { expect, test } from 'vitest';
import { imageIn } from '../text/image_bytes.ts';
import { mockResult } from './mock_work.ts';
import { tinyPng } from './tiny_png.ts';

test('the picture is a PNG whose sums are right and whose pixels come back', () => {
  const png = Buffer.from(tinyPng(4, [0, 0, 0, 255, 0, 0], (x, y) => (x === y ? 1 : 0)));
  const chunks = new Map<string, Buffer>();
  for (let at = 8; at < png.length; ) {
    const length = png.readUInt32BE(at);
    const body = png.subarray(at + 4, at + 8 + length);
    expect(png.readUInt32BE(at + 8 + length)).toBe(crc32(body));
    chunks.set(body.subarray(0, 4).toString('latin1'), body.subarray(4));
    at += 12 + length;
  }
  const rows = [...inflateSync(chunks.get('IDAT') as Buffer)];
  expect(rows).toEqual([0, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1]);
});

test('the result of an image job holds one that the page would show', () => {
  const result = mockResult({ job_id: 'j', lease_id: 'l', job_type: 'image', params: {} });
  expect(imageIn(String(result['image']))?.type).toBe('image/png');
});
