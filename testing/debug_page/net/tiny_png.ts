// The smallest PNG that can be written without a library: 256 colours, not compressed.

const SIGNATURE = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a];
const INDEXED_8_BIT = [8, 3, 0, 0, 0];
const STORED_MAX = 65_535;

const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, n) => {
  for (let bit = 0; bit < 8; bit++) n = n & 1 ? 0xedb88320 ^ (n >>> 1) : n >>> 1;
  return n;
});

const bigEndian = (value: number) => [value >>> 24, (value >>> 16) & 255, (value >>> 8) & 255, value & 255];

function crc(bytes: readonly number[]): number {
  let sum = 0xffffffff;
  for (const byte of bytes) sum = (CRC_TABLE[(sum ^ byte) & 255] as number) ^ (sum >>> 8);
  return ~sum >>> 0;
}

function adler(bytes: readonly number[]): number {
  let [a, b] = [1, 0];
  for (const byte of bytes) {
    a = (a + byte) % 65_521;
    b = (b + a) % 65_521;
  }
  return ((b << 16) | a) >>> 0;
}

function chunk(name: string, data: readonly number[]): number[] {
  const body = [...[...name].map(char => char.charCodeAt(0)), ...data];
  return [...bigEndian(data.length), ...body, ...bigEndian(crc(body))];
}

/** One stored block of zlib. */
function stored(data: readonly number[]): number[] {
  if (data.length > STORED_MAX) throw new Error('one stored block holds at most 65,535 bytes');
  const [low, high] = [data.length & 255, data.length >>> 8];
  return [0x78, 0x01, 1, low, high, ~low & 255, ~high & 255, ...data, ...bigEndian(adler(data))];
}

/** @param palette RGB, up to 256 colours
 *  @param colourAt the number of a pixel's colour */
export function tinyPng(
  size: number,
  palette: readonly number[],
  colourAt: (x: number, y: number) => number,
): Uint8Array {
  const rows: number[] = [];
  for (let y = 0; y < size; y++) {
    rows.push(0);
    for (let x = 0; x < size; x++) rows.push(colourAt(x, y));
  }
  return Uint8Array.from([
    ...SIGNATURE,
    ...chunk('IHDR', [...bigEndian(size), ...bigEndian(size), ...INDEXED_8_BIT]),
    ...chunk('PLTE', palette),
    ...chunk('IDAT', stored(rows)),
    ...chunk('IEND', []),
  ]);
}
