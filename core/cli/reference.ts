/** The parts of the command's page that are made from the program and from the declarations of its documents. */
import { type JsonSchema, SchemaSet } from '../messages/reference/json_schema.ts';
import { typeText } from '../messages/reference/protocol_md.ts';
import { EXIT_TEXTS, type Io } from './context.ts';
import { DOCUMENTS, type Document } from './documents.ts';
import { run } from './program.ts';

/** As wide as a page is read. */
const HELP_WIDTH = 100;

/** The made parts by the name that the page marks them with. */
export async function referenceParts(): Promise<Record<string, string>> {
  return { commands: await commands(), documents: documents(), 'exit codes': exitCodes() };
}

/** Puts the made parts in place of what stands between their marks. @throws Error when a mark is missing */
export function withParts(page: string, parts: Record<string, string>): string {
  return Object.entries(parts).reduce((text, [name, part]) => {
    const begin = `<!-- made: ${name} -->`;
    const end = `<!-- end: ${name} -->`;
    const from = text.indexOf(begin);
    const to = text.indexOf(end);
    if (from < 0 || to < from) throw new Error(`the page has no marks "${begin}" and "${end}"`);
    return `${text.slice(0, from + begin.length)}\n\n${part.trim()}\n\n${text.slice(to)}`;
  }, page);
}

/** The help of a command as it is shown, without the options that all have. */
export async function helpOf(words: readonly string[]): Promise<string> {
  let text = '';
  const io: Io = {
    out: more => {
      text += more;
    },
    err: () => {},
    screen: { color: false, width: HELP_WIDTH },
    env: {},
    read: () => Promise.reject(new Error('help reads nothing')),
    pieces: () => {
      throw new Error('help reads nothing');
    },
    piped: false,
    notes: null,
    terminal: null,
  };
  await run([...words, '--help'], io);
  return text;
}

/** The names below a command, as its help lists them. */
export async function verbsBelow(words: readonly string[] = []): Promise<string[]> {
  const [, list = ''] = (await helpOf(words)).split('\nCommands:\n');
  const names = [...(list.split('\n\n')[0] as string).matchAll(/^ {2}([a-z][a-z-]*)/gm)].map(
    ([, name]) => name as string,
  );
  return names.filter(name => name !== 'help');
}

async function commands(): Promise<string> {
  const sections: string[] = [];
  for (const verb of await verbsBelow()) {
    const below = await verbsBelow([verb]);
    for (const words of below.length === 0 ? [[verb]] : below.map(name => [verb, name])) {
      sections.push(`### gpuhub ${words.join(' ')}\n\n\`\`\`text\n${ownHelp(await helpOf(words))}\n\`\`\``);
    }
  }
  return sections.join('\n\n');
}

function ownHelp(help: string): string {
  const own = help.replace(/^Global Options:\n(?: .*\n)*\n?/m, '').replace(/^ {2}-h, --help .*\n/m, '');
  return own
    .replace(/^Options:\n(?=\n|$)/m, '')
    .replaceAll(/\n{3,}/g, '\n\n')
    .trim();
}

function documents(): string {
  const set = new SchemaSet('#/', 'draft-2020-12');
  const made = DOCUMENTS.map(document => documentSection(set, document));
  const names = new Set(DOCUMENTS.map(({ name }) => name));
  const parts = Object.entries(set.schemas)
    .filter(([name]) => !names.has(name))
    .map(([name, schema]) => `### ${name}\n\n${fieldList(schema)}`);
  return [...made, ...parts].join('\n\n');
}

function documentSection(set: SchemaSet, { name, written_by, a_line, schema }: Document): string {
  const verbs = written_by.map(verb => (verb.includes(',') ? verb : `\`${verb}\``)).join(', ');
  return `### ${name}\n\nWritten by ${verbs}${a_line ? ', one a line' : ''}.\n\n${fieldList(resolved(set, set.of(schema)))}`;
}

/** What a reference stands for. */
function resolved(set: SchemaSet, schema: JsonSchema): JsonSchema {
  const ref = schema['$ref'];
  return typeof ref === 'string' ? (set.schemas[ref.slice('#/'.length)] as JsonSchema) : schema;
}

function fieldList(schema: JsonSchema): string {
  const fields = schema['properties'] as Record<string, JsonSchema> | undefined;
  if (fields === undefined) return typeText(schema);
  const required = new Set((schema['required'] ?? []) as string[]);
  return Object.entries(fields)
    .map(([name, field]) => {
      const meaning = field['description'] === undefined ? '' : ` – ${String(field['description'])}`;
      return `- \`${name}\`${required.has(name) ? '' : ' (may be absent)'}: ${typeText(field)}${meaning}`;
    })
    .join('\n');
}

function exitCodes(): string {
  return EXIT_TEXTS.map(([code, text]) => `- **${code}** ${text}`).join('\n');
}
