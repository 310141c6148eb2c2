import { Argument, type Command } from 'commander';
import { type Cli, exampleHelp } from './context.ts';

const SHELLS = ['bash', 'zsh', 'fish'] as const;
type Shell = (typeof SHELLS)[number];

/** A verb as completion knows it; `dead list` is one of two words. */
interface Verb {
  words: string[];
  description: string;
  options: Flag[];
  /** The verbs below it. */
  verbs: string[];
}

interface Flag {
  name: string;
  description: string;
  /** What may follow; empty when that is not known, null when nothing follows. */
  values: readonly string[] | null;
}

export function addCompletion(cli: Cli): void {
  cli.program
    .command('completion')
    .description('write the script that completes verbs, options and their values in a shell')
    .addArgument(new Argument('<shell>', 'of this shell').choices(SHELLS))
    .addHelpText(
      'after',
      exampleHelp(
        'gpuhub completion bash > ~/.local/share/bash-completion/completions/gpuhub',
        'gpuhub completion zsh > "${fpath[1]}/_gpuhub"',
        'gpuhub completion fish > ~/.config/fish/completions/gpuhub.fish',
        'source <(gpuhub completion bash)    # for this shell only',
      ),
    )
    .action(
      cli.action(async (context, shell: Shell) => {
        const verbs = verbsOf(cli.program, []);
        const text = { bash, zsh, fish }[shell](verbs);
        context.io.out(text);
        return undefined;
      }),
    );
}

/** The program itself first, with no word. */
function verbsOf(command: Command, words: string[]): Verb[] {
  const help = command.createHelp();
  const options = [...help.visibleOptions(command), ...help.visibleGlobalOptions(command)];
  const verb: Verb = {
    words,
    description: command.description(),
    options: options.map(({ long, short, description, argChoices, required, optional }) => ({
      name: long ?? short ?? '',
      description,
      values: required || optional ? (argChoices ?? []) : null,
    })),
    verbs: command.commands.map(child => child.name()),
  };
  return [verb, ...command.commands.flatMap(child => verbsOf(child, [...words, child.name()]))];
}

/** In single quotes, whatever it holds. */
const quoted = (text: string) => `'${text.replaceAll("'", "'\\''")}'`;

function bash(verbs: readonly Verb[]): string {
  const cases = verbs.map(
    ({ words, options, verbs: below }) =>
      `    ${quoted(words.join(' '))}) words=${quoted([...below, ...options.map(({ name }) => name)].join(' '))} ;;`,
  );
  return `# bash completion for gpuhub; written by: gpuhub completion bash
_gpuhub() {
  local cur=\${COMP_WORDS[COMP_CWORD]} prev=\${COMP_WORDS[COMP_CWORD-1]} verb='' words='' i word
  COMPREPLY=()
  case "$prev" in
${valueCases(verbs, (name, values) => `    ${name}) COMPREPLY=($(compgen -W ${quoted(values)} -- "$cur")); return ;;`)}
    --file) COMPREPLY=($(compgen -f -- "$cur")); return ;;
  esac
  for ((i = 1; i < COMP_CWORD; i++)); do
    word=\${COMP_WORDS[i]}
    case "$verb $word" in
${verbCases(verbs)}
    esac
  done
  case "$verb" in
${cases.join('\n')}
  esac
  COMPREPLY=($(compgen -W "$words" -- "$cur"))
}
complete -F _gpuhub gpuhub
`;
}

/** A line of a case for each option whose values are known. */
function valueCases(verbs: readonly Verb[], line: (name: string, values: string) => string): string {
  const known = new Map<string, string>();
  for (const { name, values } of verbs.flatMap(({ options }) => options)) {
    if (values !== null && values.length > 0) known.set(name, values.join(' '));
  }
  return [...known].map(([name, values]) => line(name, values)).join('\n');
}

/** The lines of a case that go from a verb to the one below it. */
function verbCases(verbs: readonly Verb[]): string {
  return verbs
    .filter(({ words }) => words.length > 0)
    .map(({ words }) => {
      const above = words.slice(0, -1).join(' ');
      return `      ${quoted(`${above} ${words.at(-1)}`)}) verb=${quoted(words.join(' '))} ;;`;
    })
    .join('\n');
}

function zsh(verbs: readonly Verb[]): string {
  // What _describe shows: a colon parts the word from its text.
  const item = (word: string, text: string) => quoted(`${word.replaceAll(':', '\\:')}:${text}`);
  const described = (words: string[]) =>
    verbs.find(verb => verb.words.join(' ') === words.join(' '))?.description ?? '';
  const cases = verbs.map(({ words, options, verbs: below }) => {
    const items = [
      ...below.map(name => item(name, described([...words, name]))),
      ...options.map(({ name, description }) => item(name, description)),
    ];
    return `    ${quoted(words.join(' '))}) items=(${items.join(' ')}) ;;`;
  });
  return `#compdef gpuhub
# zsh completion for gpuhub; written by: gpuhub completion zsh
_gpuhub() {
  local verb='' word prev=\${words[CURRENT-1]}
  local -a items
  case "$prev" in
${valueCases(verbs, (name, values) => `    ${name}) compadd -- ${values}; return ;;`)}
    --file) _files; return ;;
  esac
  for word in \${words[2,CURRENT-1]}; do
    case "$verb $word" in
${verbCases(verbs)}
    esac
  done
  case "$verb" in
${cases.join('\n')}
  esac
  _describe gpuhub items
}
if [ "$funcstack[1]" = _gpuhub ]; then _gpuhub "$@"; else compdef _gpuhub gpuhub; fi
`;
}

function fish(verbs: readonly Verb[]): string {
  const lines = verbs.flatMap(({ words, options, verbs: below }) => {
    const here =
      words.length === 0
        ? '__fish_use_subcommand'
        : words.map(word => `__fish_seen_subcommand_from ${word}`).join('; and ');
    const nested = below.length > 0 && words.length > 0;
    const first = nested ? `${here}; and not __fish_seen_subcommand_from ${below.join(' ')}` : here;
    return [
      ...below.map(name => {
        const child = verbs.find(verb => verb.words.join(' ') === [...words, name].join(' '));
        return `complete -c gpuhub -f -n ${fishQuoted(first)} -a ${name} -d ${fishQuoted(child?.description ?? '')}`;
      }),
      ...options.map(({ name, description, values }) => {
        const value =
          values === null ? '' : values.length > 0 ? ` -x -a ${fishQuoted(values.join(' '))}` : ' -r';
        return `complete -c gpuhub -n ${fishQuoted(here)} -l ${name.slice(2)}${value} -d ${fishQuoted(description)}`;
      }),
    ];
  });
  return `# fish completion for gpuhub; written by: gpuhub completion fish\n${lines.join('\n')}\n`;
}

const fishQuoted = (text: string) => `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;
