// The part of JSON Schema that forms are made of.

export interface Field {
  type?: string | string[];
  description?: string;
  properties?: Record<string, Field>;
  required?: string[];
  items?: Field;
  anyOf?: Field[];
  enum?: unknown[];
  const?: unknown;
  default?: unknown;
  minimum?: number;
  maximum?: number;
  pattern?: string;
  minLength?: number;
  maxLength?: number;
  additionalProperties?: Field | boolean;
  $ref?: string;
  $defs?: Record<string, Field>;
}

/** Beyond this depth a reference is left out: no message of the protocol is recursive. */
const DEPTH_MAX = 12;

/** Replaces references by what they point to, so that a form can be drawn from one field alone. */
export function inlineRefs(schema: Field): Field {
  const defs = schema.$defs ?? {};
  const inline = (value: unknown, depth: number): unknown => {
    if (depth > DEPTH_MAX || typeof value !== 'object' || value === null) return value;
    if (Array.isArray(value)) return value.map(item => inline(item, depth + 1));
    const { $ref, $defs: _defs, $schema: _schema, ...rest } = value as Field & { $schema?: string };
    const target = $ref === undefined ? undefined : defs[$ref.split('/').at(-1) ?? ''];
    const merged = target === undefined ? rest : { ...target, ...rest };
    return Object.fromEntries(Object.entries(merged).map(([key, item]) => [key, inline(item, depth + 1)]));
  };
  return inline(schema, 0) as Field;
}

/** The values a field may have, when they can be listed: an enum, a boolean, or a union of those. */
export function choicesOf(field: Field): unknown[] | undefined {
  if (field.enum !== undefined) return field.enum;
  if (field.const !== undefined) return [field.const];
  if (field.type === 'boolean') return [true, false];
  if (field.type === 'null') return [null];
  if (field.anyOf === undefined) return undefined;
  const parts = field.anyOf.map(choicesOf);
  return parts.every(part => part !== undefined) ? parts.flat() : undefined;
}

export type Control = 'choice' | 'number' | 'text' | 'group' | 'json';

/** Which control edits a field. What has no control of its own is written as JSON. */
export function controlOf(field: Field): Control {
  if (choicesOf(field) !== undefined) return 'choice';
  if (field.type === 'integer' || field.type === 'number') return 'number';
  if (field.type === 'string') return 'text';
  if (field.type === 'object' && field.properties !== undefined) return 'group';
  return 'json';
}

/** `−100…100`, or nothing when the field has no narrow range. */
export function rangeOf(field: Field): string {
  const { minimum, maximum } = field;
  if (minimum === undefined || maximum === undefined || maximum > 1_000_000) return '';
  return `${minimum}…${maximum}`.replaceAll('-', '−');
}
