/** The `gpuhub` command. All that touches the process is here; the rest is in program.ts. */
import { createReadStream } from 'node:fs';
import { readFile } from 'node:fs/promises';
import process from 'node:process';
import { run } from './program.ts';
import { ProcessTerminal, sizeOf } from './terminal.ts';

const { stdin, stdout, stderr, env } = process;
/** It cannot move its cursor. */
const dumb = env['TERM'] === 'dumb';

for (const stream of [stdout, stderr]) {
  stream.on('error', (error: NodeJS.ErrnoException) => {
    // Whoever reads has read enough (`gpuhub jobs | head`): that is no failure.
    if (error.code === 'EPIPE') process.exit(0);
    throw error;
  });
}

process.exitCode = await run(process.argv.slice(2), {
  out: text => stdout.write(text),
  err: text => stderr.write(text),
  screen: {
    color: stdout.isTTY === true && !env['NO_COLOR'] && !dumb,
    width: stdout.isTTY === true ? stdout.columns || 80 : null,
  },
  env,
  read: path => readFile(path, 'utf8'),
  pieces: path => (path === '-' ? stdin.setEncoding('utf8') : createReadStream(path, 'utf8')),
  piped: stdin.isTTY !== true,
  terminal: stdout.isTTY === true && !dumb ? new ProcessTerminal() : null,
  notes: stderr.isTTY === true && !dumb ? () => sizeOf(stderr) : null,
});
