import { describe, expect, it } from 'vitest';
import { HubError } from '../errors.ts';
import { decode, parse, parseFrame, unknownFields } from './codec.ts';
import { Submission } from './job.ts';
import type { MessageSchema } from './message.ts';
import { RECEIVE } from './protocol.ts';
import { examples } from './reference/examples.ts';
import { type JsonSchema, SchemaSet } from './reference/json_schema.ts';
import { ROLES, type Role } from './shared.ts';

type Body = Record<string, unknown>;

/** A field of a message, by its path, with its schema. */
interface Field {
  path: string[];
  schema: JsonSchema;
  required: boolean;
}

interface Case {
  role: Role;
  tag: string;
  example: Body;
  fields: Field[];
}

const set = new SchemaSet('#/', 'draft-2020-12');
const shown = examples();
const cases: Case[] = ROLES.flatMap(role =>
  Object.entries<MessageSchema>(RECEIVE[role]).map(([tag, schema]) => {
    const example = shown.get(schema) as Body;
    return { role, tag, example, fields: fieldsOf(set.of(schema), example, []) };
  }),
);

/** The fields of an object, and of the objects that the example has inside it. */
function fieldsOf(schema: JsonSchema, example: unknown, path: string[]): Field[] {
  const part = resolve(schema);
  const required = new Set((part['required'] ?? []) as string[]);
  if (Array.isArray(example) && example.length > 0) {
    return fieldsOf((part['items'] ?? {}) as JsonSchema, example[0], [...path, '0']);
  }
  return Object.entries((part['properties'] ?? {}) as Record<string, JsonSchema>).flatMap(([name, field]) => {
    if (path.length === 0 && name === 'type') return [];
    const here = [...path, name];
    const found = { path: here, schema: resolve(field), required: required.has(name) };
    const inside = (example as Body | undefined)?.[name];
    return [found, ...(typeof inside === 'object' ? fieldsOf(field, inside, here) : [])];
  });
}

/** Submissions of a batch are no part of the set: they are checked later, each by itself. */
function resolve(schema: JsonSchema): JsonSchema {
  const name = (schema['$ref'] as string | undefined)?.slice('#/'.length);
  return name === undefined ? schema : (set.schemas[name] ?? {});
}

/** A copy with one field set, or taken away when the value is undefined. */
function withField(body: Body, path: string[], value: unknown): Body {
  const copy = structuredClone(body);
  let place: Body = copy;
  for (const name of path.slice(0, -1)) place = place[name] as Body;
  const last = path.at(-1) as string;
  if (value === undefined) delete place[last];
  else place[last] = value;
  return copy;
}

const received = (role: Role, body: Body) => decode(role, parseFrame(JSON.stringify(body)));

function refusalOf(role: Role, body: Body): HubError {
  try {
    received(role, body);
  } catch (error) {
    if (error instanceof HubError) return error;
    throw error;
  }
  throw new Error(`was taken: ${JSON.stringify(body)}`);
}

/** Values of each JSON type that the schema does not allow. */
function wrongValues(schema: JsonSchema): unknown[] {
  const kinds: [type: string, value: unknown][] = [
    ['string', 'text'],
    ['number', -0.5],
    ['boolean', true],
    ['array', [[]]],
    ['object', { a: 1 }],
    ['null', null],
  ];
  const allowed = typesOf(schema);
  if (allowed.size === 0) return []; // any JSON
  return kinds.filter(([type]) => !allowed.has(type)).map(([, value]) => value);
}

function typesOf(schema: JsonSchema): Set<string> {
  const union = schema['anyOf'] as JsonSchema[] | undefined;
  if (union) return new Set(union.flatMap(part => [...typesOf(resolve(part))]));
  const types = [schema['type']].flat().filter(type => type !== undefined) as string[];
  return new Set(types);
}

describe.each(cases)('$tag from a $role', ({ role, tag, example, fields }) => {
  it('is taken as the reference shows it', () => {
    expect(received(role, example)).toMatchObject({ type: tag });
  });

  it('is taken with fields that nobody knows, which are dropped', () => {
    expect(received(role, { ...example, no_such_field: [1] })).not.toHaveProperty('no_such_field');
  });

  it('is refused without a required field, and the path is named', () => {
    for (const { path } of fields.filter(field => field.required)) {
      const error = refusalOf(role, withField(example, path, undefined));
      expect(error.code).toBe('invalid_message');
      expect(error.details).toContainEqual({ path: path.join('.'), message: expect.any(String) });
      expect(error.message).toContain(`field "`);
    }
  });

  it('is refused with a field of another type, and the path is named', () => {
    for (const { path, schema } of fields) {
      for (const wrong of wrongValues(schema)) {
        const error = refusalOf(role, withField(example, path, wrong));
        const paths = (error.details as { path: string }[]).map(fault => fault.path);
        const named = paths.some(fault => `${fault}.`.startsWith(`${path.join('.')}.`));
        expect(named, `${path.join('.')} = ${JSON.stringify(wrong)}: ${paths}`).toBe(true);
      }
    }
  });

  it('is refused beyond a limit of a number, a text or a list', () => {
    for (const { path, schema } of fields) {
      for (const wrong of beyond(schema)) {
        expect(refusalOf(role, withField(example, path, wrong)).code, path.join('.')).toBe('invalid_message');
      }
    }
  });

  it('is refused by the count of a list or a map, before its entries are looked at', () => {
    for (const { path, schema } of fields) {
      for (const wrong of crowds(schema)) {
        const error = refusalOf(role, withField(example, path, wrong));
        const message = expect.stringMatching(/^5000 \w+, at most \d+ are taken$/);
        expect(error.details, path.join('.')).toEqual([{ path: path.join('.'), message }]);
      }
    }
  });
});

/** More entries than any list or map may have, none of them good. */
function crowds(schema: JsonSchema): unknown[] {
  const types = typesOf(schema);
  const crowd = Array.from({ length: 5000 }, () => [[]]);
  return [
    ...(types.has('array') ? [crowd] : []),
    ...(schema['additionalProperties'] === undefined ? [] : [{ ...crowd }]),
  ];
}

/** Values just outside of the limits of a schema. */
function beyond(schema: JsonSchema): unknown[] {
  const limit = (name: string) => schema[name] as number | undefined;
  const values: unknown[] = [];
  if (schema['type'] === 'integer') values.push(1.5, 2 ** 53);
  if (limit('minimum') !== undefined) values.push((limit('minimum') as number) - 1);
  if (limit('maximum') !== undefined) values.push((limit('maximum') as number) + 1);
  if (limit('maxLength') !== undefined) values.push('x'.repeat((limit('maxLength') as number) + 1));
  if (schema['pattern'] !== undefined) values.push('', '-x', 'a/b', `a${'b'.repeat(200)}`, 'a\n');
  if (schema['enum'] !== undefined) values.push('no_such_choice');
  if (limit('minItems') !== undefined) values.push([]);
  return values;
}

describe('a frame', () => {
  it.each(['', 'null', '7', '"x"', '[]', '{', '{"type":"ping"} x', '\u0000'])('%j is invalid_json', text => {
    expect(() => parseFrame(text)).toThrow(expect.objectContaining({ code: 'invalid_json' }));
  });

  it.each([{}, { type: 7 }, { type: null }, { type: '' }])('%j names the field type', body => {
    expect(refusalOf('client', body)).toMatchObject({
      code: 'invalid_message',
      details: [{ path: 'type', message: 'must be a string' }],
    });
  });

  it.each(
    ROLES.flatMap(role =>
      ['no_such_message', 'constructor', '__proto__', 'toString'].map(type => [role, type]),
    ),
  )('from a %s of type %s is unknown_type', (role, type) => {
    expect(refusalOf(role as Role, { type }).code).toBe('unknown_type');
  });

  it('of another role is unknown_type', () => {
    expect(refusalOf('worker', { type: 'submit_job', job_type: 'x', params: {} }).code).toBe('unknown_type');
    expect(refusalOf('client', { type: 'register_worker' }).code).toBe('unknown_type');
  });

  it('keeps its request_id when it is bad, unless that is bad too', () => {
    expect(parseFrame('{"type":"nope","request_id":"r1"}').request_id).toBe('r1');
    expect(parseFrame('{"type":"nope","request_id":7}').request_id).toBeUndefined();
    expect(parseFrame(`{"request_id":"${'x'.repeat(129)}"}`).request_id).toBeUndefined();
  });
});

describe('a submission', () => {
  const job = { job_type: 'x', params: {} };

  it('gets the defaults of the protocol', () => {
    expect(parse(Submission, job)).toEqual({
      ...job,
      priority: 0,
      max_attempts: 3,
      backoff_ms: 1000,
      watch: true,
    });
  });

  it('cannot have both delay_ms and run_at', () => {
    expect(() => parse(Submission, { ...job, delay_ms: 1, run_at: 1 })).toThrow(/run_at/);
  });

  it('keeps its params as they came', () => {
    const params = JSON.parse('{"__proto__":{"a":1},"b":[{}, null, 1e21, ""], "":0}');
    expect(JSON.stringify(parse(Submission, { ...job, params }).params)).toBe(JSON.stringify(params));
  });

  it.each(['a', 'A.b_c-1', 'x'.repeat(128), 'a:b:c'])('may be called %s', job_id => {
    expect(parse(Submission, { ...job, job_id }).job_id).toBe(job_id);
  });

  it.each(['', ':a', '.a', 'a b', 'ä', 'a/b', 'x'.repeat(129)])('cannot be called %j', job_id => {
    expect(() => parse(Submission, { ...job, job_id })).toThrow(/job_id/);
  });

  it('cannot ask for more than one GPU yet', () => {
    expect(() => parse(Submission, { ...job, requirements: { gpus: 2 } })).toThrow(/requirements\.gpus/);
  });

  it('is told which of its fields nobody knows, nested ones too', () => {
    const fields = { type: 'submit_job', request_id: 'r', ...job, priorty: 1 };
    expect(unknownFields({ ...fields, requirements: { vram: 1, gpus: 1 } })).toEqual([
      'unknown field "priorty" was ignored',
      'unknown field "requirements.vram" was ignored',
    ]);
    expect(unknownFields({ ...job, requirements: null })).toEqual([]);
    expect(unknownFields(job)).toEqual([]);
  });

  it('is told 20 of its faults and of its unknown fields at most, and how many more there are', () => {
    const bad = Object.fromEntries(Array.from({ length: 32 }, (_, i) => [`k${i}`, 1]));
    const error = refusalOf('client', { type: 'submit_job', ...job, metadata: bad });
    const details = error.details as { path: string; message: string }[];
    expect(details).toHaveLength(20);
    expect(details[0]?.path).toBe('metadata.k0');
    expect(details.at(-1)).toEqual({ path: '', message: 'and 13 more faults' });
    const warnings = unknownFields({ ...job, ...bad });
    expect(warnings).toHaveLength(20);
    expect(warnings.at(-1)).toBe('and 13 more unknown fields were ignored');
  });

  it('is told a name that it made up only as far as any good one goes', () => {
    const name = 'k'.repeat(100_000);
    const error = refusalOf('client', { type: 'submit_job', ...job, metadata: { [name]: 1 } });
    expect(JSON.stringify([error.message, error.details]).length).toBeLessThan(1000);
    expect(JSON.stringify(unknownFields({ ...job, [name]: 1 })).length).toBeLessThan(1000);
  });
});
