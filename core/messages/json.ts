import { HubError } from '../errors.ts';

/** Deeper values are refused: `JSON.stringify` of some thousand levels throws, and nobody sends that in earnest. */
export const JSON_DEPTH_MAX = 128;

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}

function sorted(value: unknown, depth: number): unknown {
  if (!isObject(value)) return value;
  if (depth > JSON_DEPTH_MAX) throw new RangeError(`nested deeper than ${JSON_DEPTH_MAX} levels`);
  if (Array.isArray(value)) {
    let copy: unknown[] | undefined;
    for (let i = 0; i < value.length; i++) {
      const item = sorted(value[i], depth + 1);
      if (item !== value[i]) (copy ??= [...value])[i] = item;
    }
    return copy ?? value;
  }
  return sortedObject(value, depth);
}

/** Returns the same object when its keys are in order already: most are, and then nothing is copied. */
function sortedObject(object: Record<string, unknown>, depth: number): unknown {
  const keys = Object.keys(object);
  let changed = false;
  const values: unknown[] = [];
  for (let i = 0; i < keys.length; i++) {
    const key = keys[i] as string;
    if (i > 0 && (keys[i - 1] as string) > key) changed = true;
    const value = sorted(object[key], depth + 1);
    if (value !== object[key]) changed = true;
    values.push(value);
  }
  if (!changed) return object;
  const order = keys.map((_, i) => i).sort((a, b) => ((keys[a] as string) < (keys[b] as string) ? -1 : 1));
  // fromEntries defines keys, it does not assign them: "__proto__" stays an ordinary key.
  return Object.fromEntries(order.map(i => [keys[i] as string, values[i]]));
}

/**
 * The JSON text of a value with the keys of all objects sorted, so that equal values have equal texts
 * whatever the order their keys came in.
 *
 * @param path names the field in the error
 * @throws HubError `invalid_message` when the value is nested deeper than {@link JSON_DEPTH_MAX} levels
 */
export function canonicalJson(value: unknown, path: string): string {
  try {
    return JSON.stringify(sorted(value, 1));
  } catch (error) {
    const message = error instanceof RangeError ? error.message : 'cannot be written as JSON';
    throw new HubError('invalid_message', `field "${path}": ${message}`, [{ path, message }]);
  }
}
