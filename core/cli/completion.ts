import { Argument, type Command } from 'commander';
import { addCompleteIds, type IdKind } from './complete_ids.ts';
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
  /** What may stand as its argument. */
  choices: string[];
  /** What its arguments name; null when it takes none that a hub knows. */
  ids: IdKind | null;
}

interface Flag {
  name: string;
  description: string;
  /** What may follow; empty when that is not known, null when nothing follows. */
  values: readonly string[] | null;
}

/** What the arguments of a verb name. */
const VERB_IDS: Record<string, IdKind> = {
  job: 'jobs',
  explain: 'waiting',
  watch: 'open',
  cancel: 'open',
  retry: 'finished',
  'dead retry': 'failed',
  worker: 'workers',
  drain: 'workers',
  resume: 'workers',
  pause: 'types',
  'resume-queue': 'types',
};
/** And the values of options, on whatever verb. */
const FLAG_IDS: Record<string, IdKind> = { '--type': 'types', '--job': 'jobs' };

export function addCompletion(cli: Cli): void {
  addCompleteIds(cli);
  cli.program
    .command('completion')
    .description(
      'write the script that completes verbs, options, their values, and ids that the hub knows in a shell',
    )
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
  // Not the verb `help`, which says what --help says.
  const below = help.visibleCommands(command).filter(child => command.commands.includes(child));
  const verb: Verb = {
    words,
    description: command.description(),
    options: options.map(({ long, short, description, argChoices, required, optional }) => ({
      name: long ?? short ?? '',
      description,
      values: required || optional ? (argChoices ?? []) : null,
    })),
    verbs: below.map(child => child.name()),
    choices: command.registeredArguments.flatMap(({ argChoices }) => argChoices ?? []),
    ids: VERB_IDS[words.join(' ')] ?? null,
  };
  return [verb, ...below.flatMap(child => verbsOf(child, [...words, child.name()]))];
}

/** In single quotes, whatever it holds. */
const quoted = (text: string) => `'${text.replaceAll("'", "'\\''")}'`;

function bash(verbs: readonly Verb[]): string {
  const cases = verbs.map(({ words, options, verbs: below, choices, ids }) => {
    const list = [...below, ...choices, ...options.map(({ name }) => name)].join(' ');
    return `    ${quoted(words.join(' '))}) words=${quoted(list)} ids=${ids ?? "''"} ;;`;
  });
  // The line is taken apart anew: bash itself breaks words also at colons, which ids have.
  return `# bash completion for gpuhub; written by: gpuhub completion bash
_gpuhub_ids() {
  local id
  while IFS= read -r id; do
    [[ $id == "$2"* ]] && COMPREPLY+=("$id")
  done < <(gpuhub complete-ids "$1" "\${hub[@]}" 2>/dev/null)
}
_gpuhub() {
  local line=\${COMP_LINE:0:COMP_POINT} verb='' words='' ids='' word prev='' cur
  local -a typed hub=()
  read -ra typed <<< "$line"
  cur=''
  [[ $line == *[[:space:]] ]] || { cur=\${typed[-1]}; unset 'typed[-1]'; }
  COMPREPLY=()
  for word in "\${typed[@]:1}"; do
    [[ $prev == --hub ]] && hub=(--hub "$word")
    prev=$word
    case "$verb $word" in
${verbCases(verbs)}
    esac
  done
  case "$verb" in
${cases.join('\n')}
  esac
  case "$prev" in
${valueCases(verbs, (name, values) => `    ${name}) COMPREPLY=($(compgen -W ${quoted(values)} -- "$cur")) words='' ids='' ;;`)}
${idFlags(verbs, (name, ids) => `    ${name}) words='' ids=${ids} ;;`)}
    --file) COMPREPLY=($(compgen -f -- "$cur")) words='' ids='' ;;
  esac
  [[ -n $words ]] && COMPREPLY=($(compgen -W "$words" -- "$cur"))
  [[ -n $ids && $cur != -* ]] && _gpuhub_ids "$ids" "$cur"
  if [[ $cur == *:* && $COMP_WORDBREAKS == *:* ]]; then
    COMPREPLY=("\${COMPREPLY[@]#"\${cur%"\${cur##*:}"}"}")
  fi
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

/** A line of a case for each option that takes an id. */
function idFlags(verbs: readonly Verb[], line: (name: string, ids: IdKind) => string): string {
  const names = new Set(verbs.flatMap(({ options }) => options.map(({ name }) => name)));
  return Object.entries(FLAG_IDS)
    .filter(([name]) => names.has(name))
    .map(([name, ids]) => line(name, ids))
    .join('\n');
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
  const cases = verbs.map(({ words, options, verbs: below, choices, ids }) => {
    const items = [
      ...choices.map(quoted),
      ...below.map(name => item(name, described([...words, name]))),
      ...options.map(({ name, description }) => item(name, description)),
    ];
    return `    ${quoted(words.join(' '))}) items=(${items.join(' ')}) ids=${ids ?? "''"} ;;`;
  });
  return `#compdef gpuhub
# zsh completion for gpuhub; written by: gpuhub completion zsh
_gpuhub_ids() {
  local -a found
  found=(\${(f)"$(gpuhub complete-ids $1 $hub 2>/dev/null)"})
  compadd -a found
}
_gpuhub() {
  local verb='' ids='' word before='' prev=\${words[CURRENT-1]}
  local -a items hub
  for word in \${words[2,CURRENT-1]}; do
    [[ $before == --hub ]] && hub=(--hub $word)
    before=$word
    case "$verb $word" in
${verbCases(verbs)}
    esac
  done
  case "$prev" in
${valueCases(verbs, (name, values) => `    ${name}) compadd -- ${values}; return ;;`)}
${idFlags(verbs, (name, ids) => `    ${name}) _gpuhub_ids ${ids}; return ;;`)}
    --file) _files; return ;;
  esac
  case "$verb" in
${cases.join('\n')}
  esac
  [[ -n $ids && \${words[CURRENT]} != -* ]] && _gpuhub_ids $ids
  _describe gpuhub items
}
if [ "$funcstack[1]" = _gpuhub ]; then _gpuhub "$@"; else compdef _gpuhub gpuhub; fi
`;
}

function fish(verbs: readonly Verb[]): string {
  const when = (words: readonly string[]) => fishQuoted(`test (__gpuhub_verb) = ${quoted(words.join(' '))}`);
  const live = (ids: IdKind) => ` -a ${fishQuoted(`(__gpuhub_ids ${ids})`)}`;
  const lines = verbs.flatMap(({ words, options, verbs: below, choices, ids }) => [
    ...choices.map(choice => `complete -c gpuhub -n ${when(words)} -a ${choice}`),
    ...below.map(name => {
      const child = verbs.find(verb => verb.words.join(' ') === [...words, name].join(' '));
      return `complete -c gpuhub -n ${when(words)} -a ${name} -d ${fishQuoted(child?.description ?? '')}`;
    }),
    ...(ids === null ? [] : [`complete -c gpuhub -n ${when(words)}${live(ids)}`]),
    ...options.map(flag => {
      const flag_ids = FLAG_IDS[flag.name];
      const values = flag.values === null ? '' : flag.name === '--file' ? ' -r -F' : ' -x';
      const known =
        flag_ids !== undefined
          ? live(flag_ids)
          : (flag.values ?? []).length > 0
            ? ` -a ${fishQuoted((flag.values ?? []).join(' '))}`
            : '';
      return `complete -c gpuhub -n ${when(words)} -l ${flag.name.slice(2)}${values}${known} -d ${fishQuoted(flag.description)}`;
    }),
  ]);
  const cases = verbs
    .filter(({ words }) => words.length > 0)
    .map(({ words }) => {
      const above = words.slice(0, -1).join(' ');
      return `      case ${fishQuoted(`${above} ${words.at(-1)}`)}\n        set verb ${fishQuoted(words.join(' '))}`;
    });
  return `# fish completion for gpuhub; written by: gpuhub completion fish
function __gpuhub_verb
  set -l verb ''
  for word in (commandline -opc)[2..-1]
    switch "$verb $word"
${cases.join('\n')}
    end
  end
  echo $verb
end
function __gpuhub_ids
  command -q gpuhub; or return
  set -l words (commandline -opc)
  set -l at (contains -i -- --hub $words)
  set -l hub
  if test -n "$at"; and test $at -lt (count $words)
    set hub --hub $words[(math $at + 1)]
  end
  gpuhub complete-ids $argv[1] $hub 2>/dev/null
end
complete -c gpuhub -f
${lines.join('\n')}
`;
}

const fishQuoted = (text: string) => `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;
