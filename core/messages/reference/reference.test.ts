import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { Ajv } from 'ajv';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { describe, expect, it } from 'vitest';
import { ERRORS } from '../../errors.ts';
import type { MessageSchema } from '../message.ts';
import { ROLES } from '../shared.ts';
import { ANSWERS } from './answers.ts';
import { asyncapi } from './asyncapi.ts';
import { examples } from './examples.ts';
import { generatedFiles } from './files.ts';
import { jsonSchema, messageNames, messagesOf, tagOf } from './json_schema.ts';
import { openapi } from './openapi.ts';

const require = createRequire(import.meta.url);
// biome-ignore lint/suspicious/noExplicitAny: a document is walked through freely
type Any = any;

const names = [...messageNames().values()];
const shown = examples();

/** What a reference inside of a document points to. */
function target(document: Any, ref: string): unknown {
  const parts = ref.replace('#/', '').split('/');
  return parts.reduce((place: Any, part) => place?.[part.replaceAll('~1', '/')], document);
}

function refs(value: unknown): string[] {
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([key, inner]) =>
    key === '$ref' && typeof inner === 'string' ? [inner] : refs(inner),
  );
}

describe.each([
  ['asyncapi.json', asyncapi()],
  ['openapi.json', openapi()],
  ['the JSON Schema', jsonSchema()],
])('%s', (_, document: Any) => {
  it('has no reference that leads nowhere', () => {
    const all = refs(document);
    expect(all.length).toBeGreaterThan(50);
    expect(all.filter(ref => target(document, ref) === undefined)).toEqual([]);
  });

  it('forbids no field that a later version may bring', () => {
    expect(JSON.stringify(document)).not.toContain('"additionalProperties":false');
  });
});

describe('the AsyncAPI document', () => {
  const document: Any = asyncapi();

  it('is valid AsyncAPI 3.0', () => {
    const ajv = new Ajv({ strict: false, allErrors: true, validateFormats: false });
    const validate = ajv.compile(require('@asyncapi/specs/schemas/3.0.0-without-$id.json'));
    expect(validate(JSON.parse(JSON.stringify(document))) ? [] : validate.errors).toEqual([]);
  });

  it('is made once', () => {
    expect(asyncapi()).toBe(document);
  });

  it('has every message of the protocol, and in each channel those of its role', () => {
    expect(Object.keys(document.components.messages).sort()).toEqual([...names].sort());
    for (const role of ROLES) {
      const all = new Set([...messagesOf(role, 'receive'), ...messagesOf(role, 'send')]);
      expect(Object.keys(document.channels[role].messages)).toHaveLength(all.size);
      expect(document.channels[role].address).toBe(`/ws/${role}`);
    }
  });

  it('has an operation for each request, with its answer', () => {
    for (const role of ROLES) {
      for (const schema of messagesOf(role, 'receive')) {
        const operation = document.operations[`${role}_${tagOf(schema)}`];
        expect(operation).toMatchObject({ action: 'receive' });
        expect(operation.reply.messages.length).toBeGreaterThan(0);
      }
    }
  });

  it('has examples that its own schemas accept', () => {
    const ajv = new Ajv({ strict: false });
    ajv.addSchema({ $id: 'doc', components: document.components });
    for (const name of names) {
      const [{ payload }] = document.components.messages[name].examples;
      const validate = ajv.compile({ $ref: `doc#/components/schemas/${name}` });
      expect(validate(payload) ? [] : validate.errors, name).toEqual([]);
    }
  });
});

describe('the OpenAPI document', () => {
  const document: Any = openapi();
  const METHODS = ['get', 'put', 'post', 'delete'];
  const operations: { path: string; method: string; operation: Any }[] = Object.entries<Any>(
    document.paths,
  ).flatMap(([path, methods]) =>
    Object.entries<Any>(methods).map(([method, operation]) => ({ path, method, operation })),
  );

  it('is OpenAPI 3.1 in its outline', () => {
    expect(document.openapi).toMatch(/^3\.1\.\d$/);
    expect(document.info).toMatchObject({ title: expect.any(String), version: expect.any(String) });
    for (const name of Object.keys(document.components.schemas)) expect(name).toMatch(/^[\w.-]+$/);
  });

  it('has every request of section 8', () => {
    expect(operations.map(({ path, method }) => `${method.toUpperCase()} ${path}`).sort()).toEqual([
      'GET /asyncapi.json',
      'GET /debug',
      'GET /healthz',
      'GET /jobs',
      'GET /jobs/{job_id}',
      'GET /jobs/{job_id}/events',
      'GET /jobs/{job_id}/explain',
      'GET /metrics',
      'GET /openapi.json',
      'GET /readyz',
      'GET /stats',
      'GET /workers',
      'GET /workers/{worker_id}',
      'POST /jobs',
      'POST /jobs/{job_id}/cancel',
      'POST /jobs/{job_id}/retry',
      'POST /workers/{worker_id}/drain',
      'POST /workers/{worker_id}/resume',
      'PUT /jobs/{job_id}',
    ]);
  });

  it('describes each operation as the specification asks', () => {
    const ids = operations.map(({ operation }) => operation.operationId);
    expect(new Set(ids).size).toBe(ids.length);
    for (const { path, method, operation } of operations) {
      expect(METHODS).toContain(method);
      const inPath = [...path.matchAll(/\{(\w+)\}/g)].map(match => match[1]);
      const parameters: Any[] = operation.parameters ?? [];
      expect(parameters.filter(({ in: place }) => place === 'path').map(({ name }) => name)).toEqual(inPath);
      for (const parameter of parameters) {
        expect(parameter).toMatchObject({ required: parameter.in === 'path', schema: expect.any(Object) });
      }
      expect(Object.keys(operation.responses).length).toBeGreaterThan(0);
      for (const [status, response] of Object.entries<Any>(operation.responses)) {
        expect(status).toMatch(/^[1-5]\d\d$/);
        expect(response.description).toEqual(expect.any(String));
      }
    }
  });

  it('has parameters with the types they are read as', () => {
    const { parameters } = document.paths['/jobs'].get;
    const limit = parameters.find(({ name }: Any) => name === 'limit');
    expect(limit.schema).toEqual({ type: 'integer', minimum: 1, maximum: 500, default: 50 });
  });

  it('names for each status the codes that have it', () => {
    const codes = new Set(Object.keys(ERRORS));
    for (const { operation } of operations) {
      for (const [status, response] of Object.entries<Any>(operation.responses)) {
        for (const [, code = ''] of response.description.matchAll(/`(\w+)`/g)) {
          if (codes.has(code)) expect(ERRORS[code as keyof typeof ERRORS].http).toBe(Number(status));
        }
      }
    }
  });

  it('has schemas that compile', () => {
    const ajv = new Ajv2020({ strict: false });
    ajv.addSchema({ $id: 'doc', components: document.components });
    for (const name of Object.keys(document.components.schemas)) {
      expect(() => ajv.compile({ $ref: `doc#/components/schemas/${name}` }), name).not.toThrow();
    }
  });
});

describe('the JSON Schema', () => {
  const document: Any = jsonSchema();
  const ajv = new Ajv2020({ strict: false });
  ajv.addSchema({ ...document, $id: 'gpuhub' });

  it.each(ROLES)('tells the messages of a %s apart', role => {
    for (const direction of ['receive', 'send'] as const) {
      const group = `${direction === 'receive' ? 'from' : 'to'}_${role}`;
      const validate = ajv.compile({ $ref: `gpuhub#/$defs/${group}` });
      for (const schema of messagesOf(role, direction)) {
        expect(validate(shown.get(schema)) ? [] : validate.errors, tagOf(schema)).toEqual([]);
      }
      expect(validate({ type: 'no_such_message' })).toBe(false);
    }
  });
});

describe('the declarations', () => {
  const sent = new Set<MessageSchema>(ROLES.flatMap(role => [...messagesOf(role, 'send')]));

  it('accept the example of each message', () => {
    for (const [schema, example] of shown) {
      const parsed = schema.safeParse(example);
      expect(parsed.success ? [] : parsed.error.issues, JSON.stringify(example)).toEqual([]);
    }
  });

  it('give what the hub sends no defaults: the references could not show them', () => {
    const parts = jsonSchema()['$defs'] as Any;
    for (const schema of sent) {
      expect(JSON.stringify(parts[messageNames().get(schema) as string]), tagOf(schema)).not.toContain(
        '"default"',
      );
    }
  });

  it('describe each message in a sentence', () => {
    for (const [schema, name] of messageNames()) expect(schema.meta()?.description, name).toMatch(/\.$/);
  });

  it('have the answers that the references name', () => {
    for (const role of ROLES) {
      const tags = messagesOf(role, 'send').map(tagOf);
      for (const answer of Object.values(ANSWERS[role])) expect(tags).toContain(answer);
    }
  });
});

describe('the generated files', () => {
  it.each(Object.entries(generatedFiles()))(
    '%s is what the declarations say (else: npm run generate)',
    (name, text) => {
      expect(readFileSync(new URL(`../${name}`, import.meta.url), 'utf8')).toBe(text);
    },
  );

  it('PROTOCOL.md has every message, error and state', () => {
    const text = generatedFiles()['PROTOCOL.md'] as string;
    for (const schema of messageNames().keys()) expect(text).toContain(`\n### ${tagOf(schema)}\n`);
    for (const code of Object.keys(ERRORS)) expect(text).toContain(`\`${code}\``);
    expect(text).not.toContain('undefined');
  });
});
