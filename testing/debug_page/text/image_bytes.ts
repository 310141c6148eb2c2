// Which base64 texts are shown as images: only formats that cannot carry script, told by their first bytes,
// never by what the sender calls them.

const IMAGE_MAX_BYTES = 8 * 1024 * 1024;
const HEAD_CHARS = 32;
const DATA_URL = /^data:[\w.+/-]{1,64};base64,/;
const BASE64 = /^[A-Za-z0-9+/]+={0,2}$/;

function formatOf(head: string): string | undefined {
  if (head.startsWith('\x89PNG\r\n\x1a\n')) return 'image/png';
  if (head.startsWith('\xff\xd8\xff')) return 'image/jpeg';
  if (head.startsWith('GIF87a') || head.startsWith('GIF89a')) return 'image/gif';
  if (head.startsWith('RIFF') && head.slice(8, 12) === 'WEBP') return 'image/webp';
  if (head.slice(4, 12) === 'ftypavif') return 'image/avif';
  return undefined;
}

export interface ImageText {
  type: string;
  bytes: number;
  base64: string;
}

/** What image a text holds, as a data URL or as bare base64; undefined when it holds none that may be shown. */
export function imageIn(text: string): ImageText | undefined {
  const base64 = text.replace(DATA_URL, '');
  const head = base64.slice(0, HEAD_CHARS);
  if (head.length < HEAD_CHARS || !BASE64.test(head)) return undefined;
  const type = formatOf(atob(head));
  const bytes = Math.floor((base64.length * 3) / 4);
  return type === undefined || bytes > IMAGE_MAX_BYTES ? undefined : { type, bytes, base64 };
}

/** The image as a blob; undefined when the rest of the text is not base64. */
export function toBlob(image: ImageText): Blob | undefined {
  try {
    const binary = atob(image.base64);
    return new Blob([Uint8Array.from(binary, char => char.charCodeAt(0))], { type: image.type });
  } catch {
    return undefined;
  }
}
