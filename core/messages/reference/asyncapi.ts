import { Name } from '../fields.ts';
import type { MessageSchema } from '../message.ts';
import { SUBPROTOCOL } from '../protocol.ts';
import { ROLES, type Role } from '../shared.ts';
import { answerTo } from './answers.ts';
import { examples } from './examples.ts';
import { addMessages, type JsonSchema, messageNames, messagesOf, SchemaSet, tagOf } from './json_schema.ts';

const ROLE_TEXTS: Record<Role, string> = {
  client: 'Applications: submit jobs and watch them.',
  worker: 'GPU machines: one connection a machine, one worker a GPU.',
  monitor: 'Debug pages and operators: everything that happens.',
};

let document: JsonSchema | undefined;

/**
 * The WebSocket side of the protocol as an AsyncAPI 3.0 document, seen from the hub: it *receives* requests and
 * *sends* answers and events. Made once, at the first call. The same object every time: do not change it.
 */
export function asyncapi(): JsonSchema {
  document ??= build();
  return document;
}

function build(): JsonSchema {
  const set = new SchemaSet('#/components/schemas/', 'draft-07');
  addMessages(set);
  return {
    asyncapi: '3.0.0',
    info: {
      title: 'gpuhub',
      version: '1.0.0',
      description:
        'A WebSocket priority-queue hub for GPU machines. The first frame on every connection is `welcome`; ' +
        'any request may carry `request_id`, which its answer carries back, and may be answered by `error`. ' +
        'Unknown fields are ignored. The HTTP API is in openapi.json.',
    },
    defaultContentType: 'application/json',
    servers: {
      local: { host: '127.0.0.1:8000', protocol: 'ws', description: 'HUB_HOST and HUB_PORT' },
    },
    channels: Object.fromEntries(ROLES.map(role => [role, channel(role, set)])),
    operations: Object.assign({}, ...ROLES.map(operations)),
    components: { messages: messages(set), schemas: set.schemas },
  };
}

function channel(role: Role, set: SchemaSet): JsonSchema {
  const names = messageNames();
  const all = new Set([...messagesOf(role, 'receive'), ...messagesOf(role, 'send')]);
  const query = {
    type: 'object',
    properties: {
      client_id: { ...set.of(Name), description: 'names an owner; the hub makes one up when absent' },
    },
  };
  const ws = role === 'client' ? { method: 'GET', query } : { method: 'GET' };
  return {
    address: `/ws/${role}`,
    description: `${ROLE_TEXTS[role]} Subprotocol ${SUBPROTOCOL}.`,
    messages: Object.fromEntries(
      [...all].map(schema => {
        const name = names.get(schema) as string;
        return [name, { $ref: `#/components/messages/${name}` }];
      }),
    ),
    bindings: { ws },
  };
}

/** One operation for each request, with its answer; and one for all that the hub sends unasked. */
function operations(role: Role): JsonSchema {
  const names = messageNames();
  const ref = (schema: MessageSchema) => ({
    $ref: `#/channels/${role}/messages/${names.get(schema) as string}`,
  });
  const sent = messagesOf(role, 'send');
  const made: JsonSchema = {};
  for (const schema of messagesOf(role, 'receive')) {
    const tag = tagOf(schema);
    const reply = sent.filter(answer => [answerTo(role, tag), 'error'].includes(tagOf(answer)));
    made[`${role}_${tag}`] = {
      action: 'receive',
      channel: { $ref: `#/channels/${role}` },
      summary: schema.meta()?.description,
      messages: [ref(schema)],
      reply: { channel: { $ref: `#/channels/${role}` }, messages: reply.map(ref) },
    };
  }
  made[`tell_${role}`] = {
    action: 'send',
    channel: { $ref: `#/channels/${role}` },
    summary: 'What the hub sends: events, and the answers named by the operations above.',
    messages: sent.map(ref),
  };
  return made;
}

function messages(set: SchemaSet): JsonSchema {
  const shown = examples();
  return Object.fromEntries(
    [...messageNames()].map(([schema, name]) => [
      name,
      {
        name: tagOf(schema),
        title: name,
        summary: schema.meta()?.description,
        payload: set.ref(name),
        examples: [{ payload: shown.get(schema) }],
      },
    ]),
  );
}
