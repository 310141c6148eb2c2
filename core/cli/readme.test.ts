import { readdir, readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { DOCUMENTS } from './documents.ts';
import { helpOf, referenceParts, verbsBelow, withParts } from './reference.ts';

const FOLDER = fileURLToPath(new URL('.', import.meta.url));
const PAGE = `${FOLDER}README.md`;

it('the parts of the page that are made are fresh', async () => {
  const page = await readFile(PAGE, 'utf8');
  await expect(withParts(page, await referenceParts())).toMatchFileSnapshot(PAGE);
});

it('the page names every verb with an example, and every option', async () => {
  const page = await readFile(PAGE, 'utf8');
  const verbs = await verbsBelow();
  expect(verbs.length).toBeGreaterThan(15);
  for (const verb of verbs) {
    const below = await verbsBelow([verb]);
    for (const words of below.length === 0 ? [[verb]] : below.map(name => [verb, name])) {
      const [, section = ''] = page.split(`### gpuhub ${words.join(' ')}\n`);
      const own = section.split('\n### ')[0] as string;
      expect(own, words.join(' ')).toMatch(new RegExp(`Examples?:\n(.*\n)*? {2}.*gpuhub ${words.join(' ')}`));
      const options = (await helpOf(words)).match(/^ {2}(-\w, )?--[a-z-]+/gm) ?? [];
      for (const option of options) expect(page).toContain(option.replace(/.*--/, '--'));
    }
  }
});

it('the page names every variable of the environment that the command reads', async () => {
  const page = await readFile(PAGE, 'utf8');
  const names = new Set<string>();
  for (const path of await readdir(FOLDER)) {
    if (!path.endsWith('.ts') || path.endsWith('.test.ts')) continue;
    for (const [, name] of (await readFile(FOLDER + path, 'utf8')).matchAll(/env\['([A-Z_]+)'\]/g))
      names.add(name as string);
  }
  expect([...names].sort()).toEqual(['GPUHUB_TOKEN', 'HUB_HOST', 'HUB_PORT', 'HUB_URL', 'NO_COLOR', 'TERM']);
  for (const name of names) expect(page).toContain(`\`${name}\``);
});

it('each verb that writes JSON has a document', async () => {
  const written = new Set(
    DOCUMENTS.flatMap(({ written_by }) => written_by.map(verb => verb.split(' --')[0])),
  );
  for (const verb of await verbsBelow()) {
    if (verb === 'completion') continue;
    const below = await verbsBelow([verb]);
    for (const name of below.length === 0 ? [verb] : below.map(other => `${verb} ${other}`))
      expect(written).toContain(name);
  }
});
