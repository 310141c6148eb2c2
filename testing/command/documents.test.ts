/** What `--format json` writes, held against the documents that the command declares, with a real hub. */
import { createReadStream } from 'node:fs';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { DOCUMENTS } from '../../core/cli/documents.ts';
import { run } from '../../core/cli/program.ts';
import { echoAndBroken, Fleet, until } from '../harness/fleet.ts';

let fleet: Fleet;
const input = join(tmpdir(), `gpuhub-documents-${process.pid}.ndjson`);
beforeAll(async () => {
  fleet = await Fleet.start();
  await fleet.machine({
    machine_id: 'machine1',
    gpus: [{ index: 0, name: 'NVIDIA RTX 4090', vram_mb: 24_576 }],
    labels: { region: 'eu' },
    handler: echoAndBroken,
  });
  const client = fleet.client();
  for (const job_id of ['a', 'b'])
    await (await client.submit({ job_type: 'echo', job_id, params: {} })).result();
  for (const job_id of ['bad', 'worse'])
    await (await client.submit({ job_type: 'broken', job_id, params: {} })).result().catch(() => {});
  for (const job_id of ['waits', 'waits-too'])
    await client.submit({ job_type: 'nobody', job_id, params: {}, requirements: { min_vram_mb: 1 } });
  await writeFile(input, '{"params": {"n": 1}}\n{"params": 7}\n');
  await until('the statistics', async () => (await fleet.api.stats()).jobs.queued === 2);
});
afterAll(async () => {
  await fleet[Symbol.asyncDispose]();
  await rm(input, { force: true });
});

/** What the command writes to both streams. In this process: each start of another would take a second. */
async function written(...args: string[]): Promise<string> {
  let text = '';
  const write = (more: string) => {
    text += more;
  };
  await run(args, {
    out: write,
    err: write,
    screen: { color: false, width: null },
    env: { HUB_URL: fleet.hub.httpUrl },
    read: path => readFile(path, 'utf8'),
    pieces: path => createReadStream(path, 'utf8'),
    piped: false,
    notes: null,
    terminal: null,
  });
  return text;
}

/** In this order: some change what those after them find. */
const ASKED: [document: string, ...args: string[]][] = [
  ['Stats', 'summary'],
  ['Stats', 'stats', '--every', '500ms', '--count', '2'],
  ['Top', 'top'],
  ['Jobs', 'jobs'],
  ['Job', 'job', 'a'],
  ['Job', 'job', 'bad'],
  ['Explanation', 'explain', 'waits'],
  ['Workers', 'workers'],
  ['Worker', 'worker', 'machine1:gpu0'],
  ['JobAccepted', 'submit', '--type', 'echo'],
  ['Job', 'submit', '--type', 'echo', '--wait'],
  ['Submitted', 'submit', '--file', input, '--type', 'echo'],
  ['Submitted', 'submit', '--file', input, '--type', 'echo', '--wait'],
  ['Event', 'watch', 'a'],
  ['Event', 'watch', 'a', 'b'],
  ['Unknown', 'watch', 'none', 'nor'],
  ['JobCancelAccepted', 'cancel', 'waits'],
  ['JobAccepted', 'retry', 'a'],
  ['WorkerIds', 'drain', 'machine1:gpu0'],
  ['WorkerIds', 'resume', 'machine1:gpu0'],
  ['Paused', 'pause', 'nobody', '--reason', 'why'],
  ['Pauses', 'pause', '--list'],
  ['Explanation', 'explain', 'waits-too'],
  ['Stats', 'summary'],
  ['Paused', 'resume-queue', 'nobody'],
  ['DeadLetters', 'dead', 'list'],
  ['Retried', 'dead', 'retry', 'bad', 'none'],
  ['Purged', 'dead', 'purge', '--yes'],
  ['Error', 'job', 'none'],
];

test('every document that is written is as it is declared, without fields that are not', async () => {
  const seen = new Set<string>();
  for (const [name, ...args] of ASKED) {
    const declared = DOCUMENTS.find(document => document.name === name);
    const text = await written(...args, '--format', 'json');
    const lines = text.trim().split('\n');
    expect(lines.length, args.join(' ')).toBeGreaterThan(0);
    if (declared?.a_line !== true) expect(lines, args.join(' ')).toHaveLength(1);
    for (const line of lines) {
      const document = JSON.parse(line);
      const parsed = declared?.schema.safeParse(document);
      expect(parsed?.error, `${args.join(' ')}: ${line}`).toBeUndefined();
      // What the schema does not name, it leaves out.
      expect(document, args.join(' ')).toEqual(parsed?.data);
    }
    seen.add(name);
  }
  const others = DOCUMENTS.filter(({ name }) => !seen.has(name)).map(({ name }) => name);
  expect(others, 'the audit needs Redis, and has tests of its own').toEqual(['Audit']);
});
