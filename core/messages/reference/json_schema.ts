import { z } from 'zod';
import { Submission } from '../job.ts';
import type { MessageSchema } from '../message.ts';
import { RECEIVE, SEND, SUBPROTOCOL } from '../protocol.ts';
import { ROLES, type Role } from '../shared.ts';

export type JsonSchema = { [keyword: string]: unknown };
export type Dialect = 'draft-07' | 'draft-2020-12';

/**
 * JSON Schemas that share their named parts (the declarations with an `id`) in one place of a document.
 *
 * All are made from the input side: there, defaulted fields may be left out, and unknown fields are not
 * forbidden, which is what a reader of the hub's own messages must expect as well. (No message that the hub
 * sends has defaults: a test watches over that.)
 */
export class SchemaSet {
  /** The named parts so far, by name. */
  readonly schemas: Record<string, JsonSchema> = {};
  readonly #place: string;
  readonly #dialect: Dialect;

  /** @param place where the document keeps the parts, e.g. `#/components/schemas/` */
  constructor(place: string, dialect: Dialect) {
    this.#place = place;
    this.#dialect = dialect;
  }

  /**
   * The schema of a declaration; its named parts join the set.
   *
   * @param io `output` for what is read from text and has no named parts: its schema is what it is read as
   */
  of(declaration: z.ZodType, io: 'input' | 'output' = 'input'): JsonSchema {
    const made = z.toJSONSchema(declaration, { io, target: this.#dialect }) as JsonSchema;
    const { $schema: _, $defs, definitions, ...root } = made;
    for (const [name, part] of Object.entries({ ...($defs as object), ...(definitions as object) })) {
      this.#keep(name, this.#tidy(part as JsonSchema));
    }
    return this.#tidy(root);
  }

  /** Gives a declaration without an `id` a name, and returns the reference to it. */
  named(name: string, declaration: z.ZodType): JsonSchema {
    this.#keep(name, this.of(declaration));
    return this.ref(name);
  }

  ref(name: string): JsonSchema {
    return { $ref: this.#place + name };
  }

  #keep(name: string, schema: JsonSchema): void {
    const known = this.schemas[name];
    if (known !== undefined && JSON.stringify(known) !== JSON.stringify(schema)) {
      throw new Error(`two different declarations are called ${name}`);
    }
    this.schemas[name] = schema;
  }

  /** References point into this document, and limits that every JSON integer has are left out. */
  #tidy(schema: JsonSchema): JsonSchema {
    const tidy: JsonSchema = {};
    for (const [key, value] of Object.entries(schema)) {
      if (key === 'maximum' && value === Number.MAX_SAFE_INTEGER) continue;
      if (key === '$ref') tidy[key] = this.#place + String(value).split('/').at(-1);
      else if (key === 'properties') tidy[key] = mapValues(value as Record<string, JsonSchema>, this.#tidied);
      else if (Array.isArray(value) && /^(anyOf|allOf|oneOf)$/.test(key)) tidy[key] = value.map(this.#tidied);
      else if (/^(items|additionalProperties|propertyNames|not)$/.test(key) && isSchema(value)) {
        tidy[key] = this.#tidy(value);
      } else tidy[key] = value;
    }
    return tidy;
  }

  readonly #tidied = (schema: JsonSchema): JsonSchema => this.#tidy(schema);
}

const isSchema = (value: unknown): value is JsonSchema => typeof value === 'object' && value !== null;

function mapValues<A, B>(object: Record<string, A>, change: (value: A) => B): Record<string, B> {
  return Object.fromEntries(Object.entries(object).map(([key, value]) => [key, change(value)]));
}

/** The `type` of a message. */
export function tagOf(schema: MessageSchema): string {
  const { type } = schema.shape as { type: z.ZodLiteral };
  return String(type.value);
}

/** The messages of a role, by the direction seen from the hub. */
export function messagesOf(role: Role, direction: 'receive' | 'send'): readonly MessageSchema[] {
  return direction === 'receive' ? Object.values<MessageSchema>(RECEIVE[role]) : SEND[role];
}

/**
 * A name for each message of the protocol: its tag. Where two messages share a tag, as the `job_progress` of
 * a worker and the event made from it, the worker's is called `worker_…`.
 */
export function messageNames(): Map<MessageSchema, string> {
  const names = new Map<MessageSchema, string>();
  const taken = new Set<string>();
  for (const role of ['client', 'monitor', 'worker'] as const) {
    for (const schema of [...messagesOf(role, 'receive'), ...messagesOf(role, 'send')]) {
      if (names.has(schema)) continue;
      const tag = tagOf(schema);
      const name = taken.has(tag) ? `${role}_${tag}` : tag;
      if (taken.has(name)) throw new Error(`three different messages are called ${tag}`);
      names.set(schema, name);
      taken.add(name);
    }
  }
  return names;
}

/** Puts every message of the protocol into a set, each under its name. */
export function addMessages(set: SchemaSet): void {
  for (const [schema, name] of messageNames()) set.named(name, schema);
  set.of(Submission); // submit_jobs names it, though each job is checked by itself
}

/**
 * The whole protocol as one JSON Schema (2020-12): `$defs` has every message and every shared part, and for
 * each role `from_ROLE` (what the hub reads) and `to_ROLE` (what it sends).
 */
export function jsonSchema(): JsonSchema {
  const set = new SchemaSet('#/$defs/', 'draft-2020-12');
  addMessages(set);
  const names = messageNames();
  const groups: Record<string, JsonSchema> = {};
  for (const role of ROLES) {
    const refs = (direction: 'receive' | 'send') => ({
      oneOf: messagesOf(role, direction).map(schema => set.ref(names.get(schema) as string)),
    });
    groups[`from_${role}`] = refs('receive');
    groups[`to_${role}`] = refs('send');
  }
  return {
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    title: SUBPROTOCOL,
    description: 'The messages of gpuhub. Unknown fields are ignored.',
    anyOf: Object.keys(groups).map(name => set.ref(name)),
    $defs: { ...groups, ...set.schemas },
  };
}
