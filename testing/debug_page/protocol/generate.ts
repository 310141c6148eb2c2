// Runs at build time, in Node: turns the zod declarations of the protocol into plain data for the forms of
// the console. A message added to RECEIVE appears in the page by itself, with an example that zod accepts.

import { z } from 'zod';
import { JOB_STATES, STATE_GROUPS } from '../../../core/messages/job.ts';
import { RECEIVE, SUBPROTOCOL } from '../../../core/messages/protocol.ts';
import type { Role } from '../../../core/messages/shared.ts';
import { WORKER_STATES } from '../../../core/messages/stats.ts';
import { exampleFor } from './examples.ts';
import { type Field, inlineRefs } from './fields.ts';

export interface MessageForm {
  type: string;
  description: string;
  schema: Field;
  example: Record<string, unknown>;
}

export interface ProtocolForPage {
  subprotocol: string;
  jobStates: readonly string[];
  stateGroups: Record<string, readonly string[]>;
  workerStates: readonly string[];
  messages: Record<Role, MessageForm[]>;
}

function formOf(type: string, declared: z.ZodType): MessageForm {
  const schema = inlineRefs(z.toJSONSchema(declared, { io: 'input', unrepresentable: 'any' }) as Field);
  const { type: _tag, request_id: _id, ...properties } = schema.properties ?? {};
  const required = (schema.required ?? []).filter(name => name !== 'type');
  const form = { type: 'object' as const, properties, required };
  const example = { type, ...exampleFor(type, form) };
  const checked = declared.safeParse(example);
  if (!checked.success) throw new Error(`the example of ${type} is not valid: ${checked.error.message}`);
  return { type, description: schema.description ?? '', schema: form, example };
}

/** Everything the page knows about the protocol. */
export function protocolForPage(): ProtocolForPage {
  const messages = Object.entries(RECEIVE).map(([role, declared]) => [
    role,
    Object.entries(declared).map(([type, schema]) => formOf(type, schema)),
  ]);
  return {
    subprotocol: SUBPROTOCOL,
    jobStates: JOB_STATES,
    stateGroups: STATE_GROUPS,
    workerStates: WORKER_STATES,
    messages: Object.fromEntries(messages),
  };
}
