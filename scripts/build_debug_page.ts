// Builds the debug page into the one committed file testing/ws_debug.html.
//
//   tsx scripts/build_debug_page.ts            writes it
//   tsx scripts/build_debug_page.ts --check    exits 1 if the committed file is not what the source gives

import { createHash } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { build, type Plugin } from 'vite';
import { viteSingleFile } from 'vite-plugin-singlefile';
import { protocolForPage } from '../testing/debug_page/protocol/generate.ts';

const SOURCE = fileURLToPath(new URL('../testing/debug_page', import.meta.url));
const TARGET = fileURLToPath(new URL('../testing/ws_debug.html', import.meta.url));
const REBUILD = 'npx tsx scripts/build_debug_page.ts';
const NOTE = `<!-- Built from testing/debug_page by \`${REBUILD}\`. Do not edit. -->`;

/** Gives the page the protocol as data: zod stays out of it. */
function protocolModule(): Plugin {
  const name = 'virtual:protocol';
  return {
    name: 'gpuhub-protocol',
    resolveId: id => (id === name ? `\0${name}` : null),
    load: id => (id === `\0${name}` ? `export default ${JSON.stringify(protocolForPage())}` : null),
  };
}

/** The hub's test of what fits is shared with the page; what stands beside it there and needs Node is left out. */
function withoutNode(): Plugin {
  const name = '\0without-node';
  return {
    name: 'gpuhub-without-node',
    enforce: 'pre',
    resolveId: id => (id === 'node:crypto' ? name : null),
    load: id => (id === name ? 'export const createHash = undefined;' : null),
  };
}

const hashOf = (text: string) => `'sha256-${createHash('sha256').update(text).digest('base64')}'`;

function contents(html: string, tag: 'script' | 'style'): string[] {
  return [...html.matchAll(new RegExp(`<${tag}[^>]*>([\\s\\S]*?)</${tag}>`, 'g'))].map(
    match => match[1] ?? '',
  );
}

/** Nothing but this file's own script and style may run, and nothing is fetched but from hubs. */
function policy(html: string): string {
  return [
    "default-src 'none'",
    `script-src ${contents(html, 'script').map(hashOf).join(' ')}`,
    `style-src ${contents(html, 'style').map(hashOf).join(' ')}`,
    'connect-src ws: wss: http: https:',
    // The mock machines run in a thread whose script is part of the one script above.
    'worker-src blob:',
    'img-src data: blob:',
    "base-uri 'none'",
    "form-action 'none'",
  ].join('; ');
}

async function bundle(): Promise<string> {
  const built = await build({
    root: SOURCE,
    configFile: false,
    envDir: false,
    logLevel: 'warn',
    mode: 'production',
    plugins: [protocolModule(), withoutNode(), viteSingleFile({ removeViteModuleLoader: true })],
    // From disk Chromium runs only classic scripts in a thread.
    worker: { format: 'iife' },
    build: { write: false, target: 'es2022', modulePreload: false, reportCompressedSize: false },
  });
  const outputs = (Array.isArray(built) ? built : [built]).flatMap(part =>
    'output' in part ? part.output : [],
  );
  const page = outputs.find(part => part.fileName === 'index.html');
  if (page?.type !== 'asset') throw new Error('vite gave no index.html');
  return page.source.toString();
}

async function makePage(): Promise<string> {
  const html = await bundle();
  if (contents(html, 'script').length !== 1) throw new Error('the page must hold exactly one script');
  const meta = `<meta http-equiv="Content-Security-Policy" content="${policy(html)}" />`;
  return html
    .replace('<!doctype html>', () => `<!doctype html>\n${NOTE}`)
    .replace('<meta charset="utf-8" />', charset => `${charset}\n    ${meta}`);
}

const page = await makePage();
const size = `${(Buffer.byteLength(page) / 1000).toFixed(1)} kB`;
if (process.argv.includes('--check')) {
  const committed = await readFile(TARGET, 'utf8').catch(() => '');
  if (committed !== page) {
    console.error(`testing/ws_debug.html is not what its source gives. Run: ${REBUILD}`);
    process.exit(1);
  }
  console.log(`testing/ws_debug.html is fresh (${size})`);
} else {
  await writeFile(TARGET, page);
  console.log(`wrote testing/ws_debug.html (${size})`);
}
