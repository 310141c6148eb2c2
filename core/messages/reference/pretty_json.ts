/** Wide enough for most lists, as the formatter of the project has it. */
const LINE_WIDTH = 110;

/**
 * JSON as the project's formatter writes it: objects one field a line, lists of plain values on one line where
 * they fit.
 */
export function prettyJson(value: unknown): string {
  return `${write(value, '', 0)}\n`;
}

/** @param used how much of the first line is taken by what stands before the value, and a comma behind it */
function write(value: unknown, indent: string, used: number): string {
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  const inner = `${indent}  `;
  const [open, close] = Array.isArray(value) ? '[]' : '{}';
  const parts = Array.isArray(value)
    ? value.map(item => write(item, inner, inner.length + 1))
    : Object.entries(value)
        .filter(([, field]) => field !== undefined)
        .map(([key, field]) => {
          const label = `${JSON.stringify(key)}: `;
          return label + write(field, inner, inner.length + label.length + 1);
        });
  if (parts.length === 0) return `${open}${close}`;
  const line = `[${parts.join(', ')}]`;
  if (Array.isArray(value) && !line.includes('\n') && used + line.length <= LINE_WIDTH) return line;
  return `${open}\n${parts.map(part => inner + part).join(',\n')}\n${indent}${close}`;
}
