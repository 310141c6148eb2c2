/**
 * Writes the references that are made from the declarations in core/messages, beside them: PROTOCOL.md,
 * asyncapi.json and openapi.json. With --check it writes nothing, names the stale ones and exits 1.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { generatedFiles } from '../core/messages/reference/files.ts';

const FOLDER = new URL('../core/messages/', import.meta.url);

function current(name: string): string | undefined {
  try {
    return readFileSync(new URL(name, FOLDER), 'utf8');
  } catch {
    return undefined;
  }
}

const stale = Object.entries(generatedFiles()).filter(([name, text]) => current(name) !== text);

if (process.argv.includes('--check')) {
  for (const [name] of stale) process.stderr.write(`stale: core/messages/${name}\n`);
  if (stale.length > 0) {
    process.stderr.write('run "npm run generate" and commit the result\n');
    process.exitCode = 1;
  }
} else {
  for (const [name, text] of stale) {
    writeFileSync(fileURLToPath(new URL(name, FOLDER)), text);
    process.stdout.write(`written: core/messages/${name}\n`);
  }
}
