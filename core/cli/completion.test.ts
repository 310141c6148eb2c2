import { execFileSync } from 'node:child_process';
import { expect, it } from 'vitest';
import { run } from './program.ts';

/** The script for a shell. */
async function script(shell: string): Promise<string> {
  let out = '';
  const exit = await run(['completion', shell], {
    out: text => {
      out += text;
    },
    err: () => {},
    screen: { color: false, width: null },
    env: {},
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

/** What bash offers for the last of these words. */
async function offered(...words: string[]): Promise<string[]> {
  const line = words.map(word => `'${word}'`).join(' ');
  const probe = `COMP_WORDS=(gpuhub ${line}); COMP_CWORD=${words.length}; _gpuhub; printf '%s\\n' "\${COMPREPLY[@]}"`;
  const input = `${await script('bash')}\n${probe}\n`;
  return execFileSync('bash', ['--norc'], { input, encoding: 'utf8' }).trim().split('\n');
}

it('bash offers verbs, the options of the verb at hand, and what may follow an option', async () => {
  expect(await offered('su')).toEqual(['summary', 'submit']);
  expect(await offered('dead', '')).toEqual(expect.arrayContaining(['list', 'retry', 'purge']));
  expect(await offered('dead', 'purge', '--o')).toEqual(['--older-than']);
  expect(await offered('submit', '--type', 'dead', '--id')).toEqual(['--id-prefix']);
  expect(await offered('--format', 'json', 'jobs', '--status', 'c')).toEqual(['completed', 'cancelled']);
  expect(await offered('watch', '--fo')).toEqual(['--format']);
  expect(await offered('completion', '--format', '')).toEqual(['table', 'json']);
});

it('zsh and fish are told every verb with its description', async () => {
  const [zsh, fish] = await Promise.all([script('zsh'), script('fish')]);
  expect(zsh).toMatch(/^#compdef gpuhub\n/);
  for (const verb of ['top', 'events', 'dead', 'resume-queue', 'completion']) {
    expect(zsh).toContain(`'${verb}:`);
    expect(fish).toContain(`-a ${verb} -d '`);
  }
  expect(zsh).toContain("' dead') verb='dead'");
  expect(fish).toContain("-l status -x -a 'scheduled queued assigned");
});

it('another shell is bad usage', async () => {
  await expect(script('tcsh')).rejects.toThrow();
});
