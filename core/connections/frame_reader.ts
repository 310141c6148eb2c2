import { isUtf8 } from 'node:buffer';

/** The first byte of a frame (RFC 6455, section 5.2): the last of its message, and what it is. */
const FIN = 0x80;
const OPCODE = 0x0f;
const CONTROL = 0x08;
/** A whole text message. */
const TEXT = 0x81;
/** The second byte: whether it is masked, and its length, or how that is written. */
const MASKED = 0x80;
const LENGTH = 0x7f;
const LENGTH_16 = 126;
const LENGTH_64 = 127;
const MASK_BYTES = 4;

/** Where the payload of a frame lies in what was read; its end may be beyond that. */
interface Extent {
  begin: number;
  end: number;
}

/** Undefined when the header has not come as a whole. */
function extentOf(bytes: Buffer, at: number): Extent | undefined {
  if (bytes.length < at + 2) return undefined;
  const second = bytes[at + 1] as number;
  const code = second & LENGTH;
  const length_bytes = code === LENGTH_16 ? 2 : code === LENGTH_64 ? 8 : 0;
  const begin = at + 2 + length_bytes + (second & MASKED ? MASK_BYTES : 0);
  if (bytes.length < begin) return undefined;
  if (length_bytes === 0) return { begin, end: begin + code };
  if (length_bytes === 2) return { begin, end: begin + bytes.readUInt16BE(at + 2) };
  return { begin, end: begin + bytes.readUInt32BE(at + 2) * 2 ** 32 + bytes.readUInt32BE(at + 6) };
}

/** With fewer words, a view of them costs more than it saves. */
const WORDS_MIN = 12;
const key_bytes = new Uint8Array(MASK_BYTES);
const key_word = new Int32Array(key_bytes.buffer);

/** Takes the mask, which lies before the payload, off it in place: four bytes at a time, where they lie as words. */
function unmask(bytes: Buffer, { begin, end }: Extent): void {
  const aligned = begin + ((MASK_BYTES - ((bytes.byteOffset + begin) % MASK_BYTES)) % MASK_BYTES);
  const words = Math.floor((end - aligned) / MASK_BYTES);
  if (words < WORDS_MIN) return unmaskBytes(bytes, begin, begin, end);
  unmaskBytes(bytes, begin, begin, aligned);
  unmaskWords(bytes, begin, aligned, words);
  unmaskBytes(bytes, begin, aligned + words * MASK_BYTES, end);
}

const maskAt = (bytes: Buffer, begin: number, at: number) =>
  bytes[begin - MASK_BYTES + ((at - begin) % MASK_BYTES)] as number;

function unmaskBytes(bytes: Buffer, begin: number, from: number, to: number): void {
  for (let at = from; at < to; at++) bytes[at] = (bytes[at] as number) ^ maskAt(bytes, begin, at);
}

function unmaskWords(bytes: Buffer, begin: number, from: number, count: number): void {
  for (let i = 0; i < MASK_BYTES; i++) key_bytes[i] = maskAt(bytes, begin, from + i);
  const key = key_word[0] as number;
  const words = new Int32Array(bytes.buffer, bytes.byteOffset + from, count);
  for (let i = 0; i < count; i++) words[i] = (words[i] as number) ^ key;
}

/**
 * Reads what a client sends: nearly all of it are text messages in one frame, many to a read. Those are read here, where
 * they lie; all else goes on to `ws` as it came, which answers it, puts it together or refuses it: control frames,
 * fragments, what was cut by the end of a read, and whatever breaks the rules. `ws` alone takes three times as long for
 * the same, and 4 % of the hub's time in a flood.
 */
export class FrameReader {
  readonly #max_bytes: number;
  readonly #onText: (text: string) => void;
  readonly #pass: (bytes: Buffer) => boolean;
  /** Bytes of the present frame that are not read here. */
  #passing = 0;
  /** A message in fragments is under way. */
  #fragmented = false;
  /** The beginning of a header. */
  #rest: Buffer | undefined;

  /**
   * @param max_bytes of a message
   * @param pass what it is given is read elsewhere; false when nothing may follow
   */
  constructor(max_bytes: number, onText: (text: string) => void, pass: (bytes: Buffer) => boolean) {
    this.#max_bytes = max_bytes;
    this.#onText = onText;
    this.#pass = pass;
  }

  /** Bytes of the socket, in order. They are written to. */
  read(chunk: Buffer): void {
    const bytes = this.#rest === undefined ? chunk : Buffer.concat([this.#rest, chunk]);
    this.#rest = undefined;
    let at = 0;
    while (at < bytes.length) {
      if (this.#passing === 0) {
        const extent = extentOf(bytes, at);
        if (extent === undefined) {
          // A copy: it must not keep the whole of what was read.
          this.#rest = Buffer.from(bytes.subarray(at));
          return;
        }
        if (this.#readText(bytes, at, extent)) {
          at = extent.end;
          continue;
        }
        this.#passing = extent.end - at;
      }
      const end = Math.min(at + this.#passing, bytes.length);
      this.#passing -= end - at;
      if (!this.#pass(bytes.subarray(at, end))) return;
      at = end;
    }
  }

  /** False for a frame that is not read here. */
  #readText(bytes: Buffer, at: number, extent: Extent): boolean {
    const first = bytes[at] as number;
    const { begin, end } = extent;
    const is_whole = first === TEXT && !this.#fragmented && end <= bytes.length;
    if ((first & OPCODE) < CONTROL) this.#fragmented = (first & FIN) === 0;
    if (!is_whole || end - begin > this.#max_bytes || ((bytes[at + 1] as number) & MASKED) === 0)
      return false;
    unmask(bytes, extent);
    if (!isUtf8(bytes.subarray(begin, end))) {
      // Its mask is off: what refuses it must find none.
      bytes.fill(0, begin - MASK_BYTES, begin);
      return false;
    }
    this.#onText(bytes.toString('utf8', begin, end));
    return true;
  }
}
