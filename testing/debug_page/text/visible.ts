// Characters that change how text looks without being seen: controls, zero-width and direction marks. A job
// id or a prompt comes from anybody, so these are shown by their code and never take effect.

const HIDDEN = /[\u0000-\u001f\u007f-\u009f\u00ad\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/;
const HIDDEN_ALL = new RegExp(HIDDEN.source, 'g');

export interface TextPart {
  text: string;
  /** Stands for a character that would not be seen. */
  token: boolean;
}

const tokenOf = (char: string) => `‹U+${char.charCodeAt(0).toString(16).toUpperCase().padStart(4, '0')}›`;

/** Cuts a text into what is shown as it is and what is shown by its code. */
export function visibleParts(text: string): TextPart[] {
  if (!HIDDEN.test(text)) return [{ text, token: false }];
  const parts: TextPart[] = [];
  let from = 0;
  for (const match of text.matchAll(HIDDEN_ALL)) {
    if (match.index > from) parts.push({ text: text.slice(from, match.index), token: false });
    parts.push({ text: tokenOf(match[0]), token: true });
    from = match.index + 1;
  }
  if (from < text.length) parts.push({ text: text.slice(from), token: false });
  return parts;
}

/** For places of one line: a line break is a sign in the text, not a character that is shown by its code. */
export function oneLine(text: string): string {
  return text.trim().replaceAll(/\s*[\r\n]\s*/g, ' ⏎ ');
}

/** What is shown as one string, for attributes such as `title`. */
export function visible(text: string): string {
  return visibleParts(text)
    .map(part => part.text)
    .join('');
}
