/** What both ends write of a WebSocket text frame (RFC 6455, section 5.2). */

/** First byte of an unfragmented text frame. */
const TEXT = 0x81;

/** Of the two bytes that each frame begins with, and of a length that does not fit into them. */
export function headerBytes(length: number): number {
  return length < 126 ? 2 : length < 65_536 ? 4 : 10;
}

/**
 * @param masked 0x80 if a key follows, else 0
 * @returns where the header ends
 */
export function writeHeader(buffer: Buffer, at: number, length: number, masked: 0 | 0x80): number {
  buffer[at] = TEXT;
  if (length < 126) {
    buffer[at + 1] = masked | length;
    return at + 2;
  }
  if (length < 65_536) {
    buffer[at + 1] = masked | 126;
    return buffer.writeUInt16BE(length, at + 2);
  }
  buffer[at + 1] = masked | 127;
  return buffer.writeBigUInt64BE(BigInt(length), at + 2);
}

/** @param length of the text in bytes: if it has as many characters, all are ASCII and are copied as they are */
export function writeText(buffer: Buffer, at: number, text: string, length: number): number {
  return at + buffer.write(text, at, length, length === text.length ? 'latin1' : 'utf8');
}
