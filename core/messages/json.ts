import { HubError } from '../errors.ts';

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}

function sorted(value: unknown): unknown {
  if (!isObject(value)) return value;
  if (Array.isArray(value)) {
    let copy: unknown[] | undefined;
    for (let i = 0; i < value.length; i++) {
      const item = sorted(value[i]);
      if (item !== value[i]) (copy ??= [...value])[i] = item;
    }
    return copy ?? value;
  }
  return sortedObject(value);
}

/** Returns the same object when its keys are in order already: most are, and then nothing is copied. */
function sortedObject(object: Record<string, unknown>): unknown {
  const keys = Object.keys(object);
  let changed = false;
  const values: unknown[] = [];
  for (let i = 0; i < keys.length; i++) {
    const key = keys[i] as string;
    if (i > 0 && (keys[i - 1] as string) > key) changed = true;
    const value = sorted(object[key]);
    if (value !== object[key]) changed = true;
    values.push(value);
  }
  if (!changed) return object;
  const order = keys.map((_, i) => i).sort((a, b) => ((keys[a] as string) < (keys[b] as string) ? -1 : 1));
  // fromEntries defines keys, it does not assign them: "__proto__" stays an ordinary key.
  return Object.fromEntries(order.map(i => [keys[i] as string, values[i]]));
}

/** How many bytes of a frame a value takes. */
export const jsonBytes = (value: unknown): number => Buffer.byteLength(JSON.stringify(value));

/**
 * The JSON text of a value that was parsed from JSON.
 *
 * @param path names the field in the error
 * @throws HubError `invalid_message` when it is nested so deeply that it cannot be written again
 */
export function jsonText(value: unknown, path: string): string {
  try {
    return JSON.stringify(value);
  } catch {
    throw tooDeep(path);
  }
}

const tooDeep = (path: string) => {
  const message = 'nested too deeply';
  return new HubError('invalid_message', `field "${path}": ${message}`, [{ path, message }]);
};

/**
 * The JSON text of a value with the keys of all objects sorted, so that equal values have equal texts
 * whatever the order their keys came in.
 *
 * @param path names the field in the error
 * @throws HubError `invalid_message` when the value is nested deeper than the stack allows
 */
export function canonicalJson(value: unknown, path: string): string {
  try {
    return JSON.stringify(sorted(value));
  } catch {
    throw tooDeep(path);
  }
}
