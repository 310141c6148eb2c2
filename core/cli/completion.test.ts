import { execFile, execFileSync } from 'node:child_process';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { FakeHub, jobRecord, workerRecord } from '../../testing/harness/fake_hub.ts';
import { run } from './program.ts';

const execute = promisify(execFile);

/** Stands for the command where a shell asks it for ids; each start of node would take a second. */
const STUB = `#!/bin/sh
case "$*" in
  'complete-ids open') printf 'render-2291:shot-7\\nrender-2291:shot-8\\nasr-118\\n' ;;
  'complete-ids open --hub http://other:8000') echo asr-other ;;
  'complete-ids workers') printf 'machine1:gpu0\\nm2:gpu0\\n' ;;
  'complete-ids types') printf 'video.render\\nimage.generate\\n' ;;
  *) echo 'no hub' >&2; exit 3 ;;
esac
`;

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'gpuhub-completion-'));
  const command = join(folder, 'gpuhub');
  await writeFile(command, STUB);
  await chmod(command, 0o755);
  for (const shell of ['bash', 'zsh', 'fish']) await writeFile(join(folder, shell), await script(shell));
  await writeFile(join(folder, 'jobs.ndjson'), '');
});
afterAll(async () => {
  await rm(folder, { recursive: true, force: true });
});

/** What a command writes; it must succeed. */
async function said(args: string[], env: Record<string, string> = {}): Promise<string> {
  let out = '';
  const exit = await run(args, {
    out: text => {
      out += text;
    },
    err: () => {},
    screen: { color: false, width: null },
    env,
    read: () => Promise.reject(new Error('nothing is read')),
    pieces: () => {
      throw new Error('nothing is read');
    },
    piped: false,
    notes: null,
    terminal: null,
  });
  expect(exit).toBe(0);
  return out;
}

const script = (shell: string) => said(['completion', shell]);

/** What a shell says to a script of its own, with the hub and the command at hand. */
async function shellSays(shell: string, args: readonly string[], text: string): Promise<string[]> {
  const path = join(folder, `probe-${Math.random()}`);
  await writeFile(path, text);
  const { stdout } = await execute(shell, [...args, path], {
    cwd: folder,
    env: { ...process.env, PATH: `${folder}:${process.env['PATH']}` },
    timeout: 15_000,
  });
  return stdout.split('\n').filter(line => line !== '');
}

/** What each shell offers for the end of a line. A line that ends with a blank asks for the next word. */
const SHELLS: Record<string, (line: string) => Promise<string[]>> = {
  // As readline calls it, which has broken the words at colons.
  bash: line =>
    shellSays(
      'bash',
      ['--norc'],
      `source '${folder}/bash'
COMP_LINE='gpuhub ${line}'; COMP_POINT=\${#COMP_LINE}
_gpuhub
printf '%s\\n' "\${COMPREPLY[@]}"
`,
    ),
  // An interactive zsh on a terminal of zsh's own; instead of showing what it found, it writes it between marks.
  zsh: async line => {
    const lines = await shellSays(
      'zsh',
      ['-f'],
      `zmodload zsh/zpty
zpty z TERM=dumb zsh -f -i
zpty -w z 'PROMPT=; stty -echo; unsetopt zle_bracketed_paste; autoload -Uz compinit; compinit -u -d ${folder}/zcompdump; source ${folder}/zsh'
zpty -w z "mark() { print -r -- '<<''<' }; compprefuncs=(mark); over() { print -r -- '>>''>'; exit }; comppostfuncs=(over); bindkey '^I' complete-word"
zpty -w z 'compadd() {
  if [[ \${@[1,(i)(-|--)]} == *-(O|A|D)\\ * ]]; then builtin compadd "$@"; return $?; fi
  local -a hits; builtin compadd -A hits "$@"; (( $#hits )) && print -rl -- $hits; builtin compadd "$@"
}; print re''ady'
zpty -r z out '*ready*'
zpty -n -w z $'gpuhub ${line}\\t'
zpty -r z out '*>>>*'
print -r -- "$out"
`,
    );
    const clean = lines.map(text => text.replaceAll('\r', '').trim());
    return clean.slice(
      clean.findIndex(text => text.includes('<<<')) + 1,
      clean.findIndex(text => text.includes('>>>')),
    );
  },
  fish: async line => {
    const lines = await shellSays(
      'fish',
      ['--no-config'],
      `source '${folder}/fish'\ncomplete -C 'gpuhub ${line}'\n`,
    );
    return lines.map(text => text.split('\t')[0] as string);
  },
};

/** Without its colons a word is what readline puts in its place. */
const afterColon = (shell: string, id: string) => (shell === 'bash' ? id.slice(id.indexOf(':') + 1) : id);

describe.each(Object.keys(SHELLS))('in %s', shell => {
  const reason = missing(shell);
  if (reason !== undefined) console.warn(`left out: ${reason}`);
  const offered = async (line: string) => [...new Set(await SHELLS[shell]?.(line))].sort();

  it.skipIf(reason !== undefined)('verbs are offered, also behind options of all verbs', async () => {
    expect(await offered('su')).toEqual(['submit', 'summary']);
    expect(await offered('--hub http://other:8000 --format json work')).toEqual(['worker', 'workers']);
    expect(await offered('dead ')).toEqual(expect.arrayContaining(['list', 'purge', 'retry']));
    expect(await offered('comp'), 'what only the scripts ask is not shown').toEqual(['completion']);
    expect(await offered('completion ')).toEqual(expect.arrayContaining(['bash', 'fish', 'zsh']));
  });

  it.skipIf(reason !== undefined)(
    'the options of the verb at hand, and what may follow an option',
    async () => {
      expect(await offered('dead purge --o')).toEqual(['--older-than']);
      expect(await offered('submit --type dead --id')).toEqual(['--id-prefix']);
      expect(await offered('watch --fo')).toEqual(['--format']);
      expect(await offered('--format json jobs --status c')).toEqual(['cancelled', 'completed']);
      expect(await offered('completion --format ')).toEqual(['json', 'table']);
      expect(await offered('submit --file jobs.nd')).toEqual(['jobs.ndjson']);
    },
  );

  it.skipIf(reason !== undefined)(
    'ids that the hub knows, also with colons',
    async () => {
      expect(await offered('cancel as')).toEqual(['asr-118']);
      expect(await offered('watch render-2291:')).toEqual(
        ['render-2291:shot-7', 'render-2291:shot-8'].map(id => afterColon(shell, id)),
      );
      expect(await offered('watch asr-118 render-2291:shot-8')).toEqual([
        afterColon(shell, 'render-2291:shot-8'),
      ]);
      expect(await offered('drain mach')).toEqual(['machine1:gpu0']);
      expect(await offered('pause im')).toEqual(['image.generate']);
      expect(await offered('jobs --type vid')).toEqual(['video.render']);
      expect(await offered('--hub http://127.0.0.1:1 cancel as'), 'no hub, no ids, no noise').toEqual([]);
    },
    60_000,
  );
});

it('ids come from the lists of the hub; what is none is left out, and without a hub there are none', async () => {
  await using hub = await FakeHub.start();
  hub.on('GET /jobs', 200, { jobs: [jobRecord({ job_id: '$(id) x' }), jobRecord()], next_cursor: null });
  hub.on('GET /workers', 200, { workers: [workerRecord(), workerRecord({ worker_id: 'm2:gpu0' })] });
  const ids = (kind: string, url = hub.url) => said(['complete-ids', kind], { HUB_URL: url });
  expect(await ids('workers')).toBe('machine1:gpu0\nm2:gpu0\n');
  expect(await ids('types')).toBe('video.render\nimage.generate\n');
  expect(await ids('failed')).toBe('j1\n');
  await ids('open');
  await ids('jobs');
  expect(hub.asked.map(({ path }) => path)).toEqual([
    '/workers',
    '/stats',
    '/jobs?status=failed&limit=500',
    '/jobs?status=active&limit=500',
    '/jobs?status=waiting&limit=500',
    '/jobs?limit=500',
  ]);
  expect(await ids('jobs', 'http://127.0.0.1:1')).toBe('');
});

it('another shell is bad usage', async () => {
  await expect(script('tcsh')).rejects.toThrow();
});

/** Why a shell cannot be tried here; undefined when it can. */
function missing(shell: string): string | undefined {
  try {
    execFileSync('sh', ['-c', `command -v ${shell}`], { stdio: 'pipe' });
    return undefined;
  } catch {
    return `${shell} is not installed, so its completion is not tried`;
  }
}
