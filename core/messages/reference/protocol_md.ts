import { readConfig } from '../../config.ts';
import { CLOSE, ERRORS, type ErrorCode } from '../../errors.ts';
import { FINISHED_STATES, JOB_STATES, STATE_GROUPS } from '../job.ts';
import type { MessageSchema } from '../message.ts';
import { SUBPROTOCOL } from '../protocol.ts';
import { ROLES, type Role } from '../shared.ts';
import { answerTo } from './answers.ts';
import { examples } from './examples.ts';
import { prettyJson } from './pretty_json.ts';
import { addMessages, type JsonSchema, messagesOf, SchemaSet, tagOf } from './json_schema.ts';

const INTRO = `# The gpuhub protocol, ${SUBPROTOCOL}

Generated from the declarations in this folder by \`scripts/generate.ts\`: do not edit it.
\`asyncapi.json\` and \`openapi.json\` beside it say the same to machines.

Connect a WebSocket to \`/ws/client\`, \`/ws/worker\` or \`/ws/monitor\` and send text frames with one JSON object
each, whose field \`type\` names the message. The first frame that comes is \`welcome\`. Any request may carry
\`request_id\`, which its answer, or the \`error\` in its place, carries back. Times (\`…_at\`) are milliseconds since
1970 UTC by the clock of Redis, durations (\`…_ms\`) are milliseconds. Fields that a reader does not know are ignored.
`;

/** The reference of the protocol as Markdown: PROTOCOL.md. */
export function protocolMd(): string {
  const set = new SchemaSet('#/', 'draft-2020-12');
  addMessages(set);
  const shown = examples();
  const sections = [
    INTRO,
    states(),
    ...ROLES.flatMap(role => [
      `## ${title(role)} → hub\n`,
      ...messagesOf(role, 'receive').map(schema => messageSection(set, role, schema, shown)),
      `## Hub → ${role}\n`,
      ...messagesOf(role, 'send').map(schema => sentSection(set, role, schema, shown)),
    ]),
    parts(set),
    errors(),
    closeCodes(),
    settings(),
  ];
  return `${sections.join('\n').trimEnd()}\n`;
}

const title = (role: Role) => role[0]?.toUpperCase() + role.slice(1);
const code = (text: unknown) => `\`${String(text)}\``;

/** Columns are padded as the project's formatter has them. */
function table(head: string[], rows: string[][]): string {
  const cells = [head, ...rows].map(row => row.map(cell => cell.replaceAll('|', '\\|')));
  const widths = head.map((_, i) => Math.max(3, ...cells.map(row => [...(row[i] ?? '')].length)));
  const line = (row: string[]) => `| ${row.map((cell, i) => cell.padEnd(widths[i] as number)).join(' | ')} |`;
  const [first, ...others] = cells.map(line);
  return `${[first, line(widths.map(width => '-'.repeat(width))), ...others].join('\n')}\n`;
}

function states(): string {
  const final = new Set<string>(FINISHED_STATES);
  const group = (state: string) =>
    Object.entries(STATE_GROUPS).find(([, members]) => (members as readonly string[]).includes(state))?.[0];
  return `## States of a job

\`\`\`
submit -> [scheduled] --due--> [queued] --claim--> [assigned] --first sign--> [processing]
              ^                  ^ ^                   |                          |
              |                  | +--- lease ran out, released, rejected --------+
              +--- failed, attempts left (back-off) ------------------------------+
any of these -> one of [completed] [failed] [cancelled] [expired], and that is final
\`\`\`

${table(
  ['state', 'group in lists', 'final'],
  JOB_STATES.map(state => [code(state), code(group(state)), final.has(state) ? 'yes' : '']),
)}`;
}

type Shown = ReturnType<typeof examples>;

function messageSection(set: SchemaSet, role: Role, schema: MessageSchema, shown: Shown): string {
  const answer = answerTo(role, tagOf(schema));
  const answered = answer === undefined ? 'No answer.' : `Answer: ${code(answer)}.`;
  return section(set, schema, shown, ` ${answered}`);
}

/** What all roles get is told once, with the first of them. */
function sentSection(set: SchemaSet, role: Role, schema: MessageSchema, shown: Shown): string {
  const first = ROLES.find(other => messagesOf(other, 'send').includes(schema)) as Role;
  if (first === role) return section(set, schema, shown, '');
  return `### ${tagOf(schema)}\n\nAs for a ${first}.\n`;
}

function section(set: SchemaSet, schema: MessageSchema, shown: Shown, more: string): string {
  const description = schema.meta()?.description ?? '';
  const example = prettyJson(shown.get(schema)).trimEnd();
  return [
    `### ${tagOf(schema)}\n`,
    `${description}${more}\n`,
    fieldTable(set.of(schema)),
    `\`\`\`json\n${example}\n\`\`\`\n`,
  ].join('\n');
}

function fieldTable(schema: JsonSchema): string {
  const required = new Set((schema['required'] ?? []) as string[]);
  const fields = Object.entries((schema['properties'] ?? {}) as Record<string, JsonSchema>).filter(
    ([name]) => name !== 'type' && name !== 'request_id',
  );
  if (fields.length === 0) return 'No fields of its own.\n';
  return table(
    ['field', 'type', 'when absent', 'limits', 'meaning'],
    fields.map(([name, field]) => [
      code(name),
      typeText(field),
      required.has(name) ? '**required**' : 'default' in field ? code(JSON.stringify(field['default'])) : '–',
      limitsText(field),
      String(field['description'] ?? ''),
    ]),
  );
}

/** A type in words; a named part is a link to `#name`. */
export function typeText(schema: JsonSchema): string {
  if (typeof schema['$ref'] === 'string') {
    const name = schema['$ref'].slice('#/'.length);
    return `[${name}](#${name.toLowerCase()})`;
  }
  if ('const' in schema) return code(JSON.stringify(schema['const']));
  if (Array.isArray(schema['enum'])) return schema['enum'].map(v => code(JSON.stringify(v))).join(' | ');
  const union = schema['anyOf'] ?? schema['oneOf'];
  if (Array.isArray(union)) return (union as JsonSchema[]).map(typeText).join(' | ');
  const types = [schema['type']].flat() as (string | undefined)[];
  return types.map(type => plainType(type, schema)).join(' | ');
}

function plainType(type: string | undefined, schema: JsonSchema): string {
  if (type === undefined) return 'any JSON';
  if (type === 'array') return `list of ${typeText((schema['items'] ?? {}) as JsonSchema)}`;
  if (type !== 'object') return type;
  const values = schema['additionalProperties'];
  if (typeof values === 'object' && values !== null) return `object of ${typeText(values as JsonSchema)}`;
  const fields = schema['properties'];
  if (fields === undefined) return 'object';
  const required = new Set((schema['required'] ?? []) as string[]);
  const inside = Object.entries(fields as Record<string, JsonSchema>).map(
    ([name, field]) => `${name}${required.has(name) ? '' : '?'}: ${typeText(field)}`,
  );
  return `{ ${inside.join(', ')} }`;
}

function limitsText(schema: JsonSchema): string {
  const union = schema['anyOf'];
  if (Array.isArray(union)) {
    return [...new Set((union as JsonSchema[]).map(limitsText))].filter(text => text !== '').join('; ');
  }
  const limits: string[] = [];
  const range = (least: unknown, most: unknown, what: string) => {
    if (least === undefined && most === undefined) return;
    if (most === undefined) limits.push(`≥ ${least}${what}`);
    else limits.push(least === undefined ? `≤ ${most}${what}` : `${least} … ${most}${what}`);
  };
  range(schema['minimum'], schema['maximum'], '');
  range(schema['minLength'], schema['maxLength'], ' characters');
  range(schema['minItems'], schema['maxItems'], ' entries');
  if (schema['pattern'] !== undefined) limits.push(code(schema['pattern']));
  return limits.join('; ');
}

/** The shared parts that have names of their own, and only these. */
function parts(set: SchemaSet): string {
  const made = ['## Shared parts\n'];
  for (const [name, schema] of Object.entries(set.schemas)) {
    if (!/^[A-Z]/.test(name)) continue;
    made.push(`### ${name}\n`);
    if (schema['description'] !== undefined) made.push(`${String(schema['description'])}\n`);
    made.push(schema['properties'] === undefined ? `${typeText(schema)}\n` : fieldTable(schema));
  }
  return made.join('\n');
}

const ERROR_TEXTS: { readonly [C in ErrorCode]?: string } = {
  invalid_json: 'not a JSON object',
  unknown_type: 'no such message for this role',
  invalid_message: 'a field is missing, mistyped or out of range; `details` is a list of `{path, message}`',
  unauthorized: 'no credentials, or bad ones',
  forbidden: 'credentials without the right',
  not_found: 'no such job, worker or watch that this peer may see',
  method_not_allowed: 'HTTP only: the path has no such method',
  conflict: 'the state does not allow it, or the `job_id` has other content',
  payload_too_large: '`params` or `result` over its limit',
  unworkable: 'no connected worker could ever run it',
  stale_lease: 'the lease is not the present one',
  not_registered: 'a worker must register first',
  queue_full: 'a limit is reached; `details` has `limit` and `retry_after_ms`',
  rate_limited: 'a limit is reached; `details` has `limit` and `retry_after_ms`',
  internal: 'a bug of the hub; logged there',
  unavailable: 'Redis cannot be reached or refuses writes; `details.outcome` is `"none"` or `"unknown"`',
};

function errors(): string {
  const rows = Object.entries(ERRORS).map(([name, { http }]) => [
    code(name),
    String(http),
    ERROR_TEXTS[name as ErrorCode] ?? '',
  ]);
  return `## Errors\n\nAn \`error\` leaves the connection open. Over HTTP it is \`{"error": {"code", "message", "details"?}}\`.\n\n${table(['code', 'HTTP', 'when'], rows)}`;
}

const CLOSE_TEXTS: { readonly [C in keyof typeof CLOSE]?: string } = {
  unsupported_data: 'binary where none belongs',
  restart: 'the hub stops or restarts: come back after a random delay',
  overloaded: 'come back with exponential back-off',
  bad_frames: 'too many bad frames in a row',
  unauthorized: 'no credentials, or bad ones',
  forbidden: 'credentials of another role',
  timeout: 'the registration of a worker was owed and did not come in time',
  replaced: 'the same machine registered again, and the newest wins: do not come back by yourself',
  slow_reader: 'too slow a reader',
  too_many: 'too many connections or messages',
};

function closeCodes(): string {
  const rows = Object.entries(CLOSE).map(([name, number]) => [
    String(number),
    CLOSE_TEXTS[name as keyof typeof CLOSE] ?? name.replaceAll('_', ' '),
  ]);
  return `## Close codes\n\n${table(['code', 'when'], rows)}`;
}

function settings(): string {
  const rows = Object.entries(readConfig({})).map(([name, value]) => [
    code(name),
    Array.isArray(value) || value === '' ? '' : code(value),
  ]);
  return `## Settings\n\nEnvironment variables of the hub that have a default. Durations are in milliseconds, sizes in bytes.\n\n${table(['variable', 'default'], rows)}`;
}
