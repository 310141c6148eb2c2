import type { z } from 'zod';
import { type FieldFault, HubError, invalidMessage } from '../errors.ts';
import { REQUEST_ID_MAX, Requirements } from './fields.ts';
import { submissionFields } from './job.ts';
import { ObjectText } from './object_text.ts';
import { RECEIVE } from './protocol.ts';
import type { Role } from './shared.ts';

/** A JSON object from outside: its members, and the texts that they were written with. */
export interface Source {
  body: Record<string, unknown>;
  text: ObjectText;
}

/** What could be read of a frame even if it is bad, so that the error can carry the request's id back. */
export interface Frame extends Source {
  type: string;
  request_id: string | undefined;
}

/**
 * Reads a frame as far as its envelope.
 *
 * @throws HubError `invalid_json` when it is not one JSON object, `invalid_message` when it has no string `type`
 */
export function parseFrame(text: string): Frame {
  let body: unknown;
  try {
    body = JSON.parse(text);
  } catch {
    throw new HubError('invalid_json', 'the frame is not valid JSON');
  }
  if (typeof body !== 'object' || body === null || Array.isArray(body)) {
    throw new HubError('invalid_json', 'the frame must be one JSON object');
  }
  const { type, request_id } = body as Record<string, unknown>;
  const id = typeof request_id === 'string' && request_id.length <= REQUEST_ID_MAX ? request_id : undefined;
  return {
    type: typeof type === 'string' ? type : '',
    request_id: id,
    body: body as Record<string, unknown>,
    text: new ObjectText(text),
  };
}

const schemas = Object.fromEntries(
  Object.entries(RECEIVE).map(([role, messages]) => [
    role,
    new Map<string, z.ZodType>(Object.entries(messages)),
  ]),
) as Record<Role, Map<string, z.ZodType>>;

/**
 * Checks a frame against what its role may send.
 *
 * @throws HubError `unknown_type`, or `invalid_message` with `details: [{path, message}]`
 */
export function decode(role: Role, frame: Frame): { type: string; request_id?: string } {
  const schema = schemas[role].get(frame.type);
  if (schema === undefined) {
    if (frame.type === '') throw invalidMessage([{ path: 'type', message: 'must be a string' }]);
    throw new HubError('unknown_type', `there is no message "${frame.type.slice(0, 64)}" for a ${role}`);
  }
  return parse(schema, frame.body) as { type: string; request_id?: string };
}

/** The parsed value, or HubError `invalid_message`. */
export function parse<T>(schema: z.ZodType<T>, value: unknown): T {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  throw invalidMessage(faultsOf(parsed.error.issues));
}

/** An answer must not be larger than the question: of many faults the first are named. */
const FAULTS_MAX = 20;
const WARNINGS_MAX = 20;
/** Names that were made up by a peer are cut: no good one is as long. */
const PATH_MAX = 200;

function faultsOf(issues: z.core.$ZodIssue[]): FieldFault[] {
  if (issues.length <= FAULTS_MAX) return issues.map(toFault);
  const more = issues.length - FAULTS_MAX + 1;
  return [...issues.slice(0, FAULTS_MAX - 1).map(toFault), { path: '', message: `and ${more} more faults` }];
}

function toFault(issue: z.core.$ZodIssue): FieldFault {
  return { path: issue.path.map(String).join('.').slice(0, PATH_MAX), message: issue.message };
}

const SUBMISSION_FIELDS = new Set([...Object.keys(submissionFields), 'type', 'request_id']);
const REQUIREMENT_FIELDS = new Set(Object.keys(Requirements.shape));

/** A sentence for each of the first fields of a submission that the hub does not know, nested ones too. */
export function unknownFields(body: Record<string, unknown>): string[] {
  const unknown = Object.keys(body).filter(key => !SUBMISSION_FIELDS.has(key));
  const requirements = body['requirements'];
  if (typeof requirements === 'object' && requirements !== null) {
    for (const key of Object.keys(requirements)) {
      if (!REQUIREMENT_FIELDS.has(key)) unknown.push(`requirements.${key}`);
    }
  }
  const warnings = unknown
    .slice(0, unknown.length > WARNINGS_MAX ? WARNINGS_MAX - 1 : WARNINGS_MAX)
    .map(path => `unknown field "${path.slice(0, PATH_MAX)}" was ignored`);
  const more = unknown.length - warnings.length;
  return more > 0 ? [...warnings, `and ${more} more unknown fields were ignored`] : warnings;
}
