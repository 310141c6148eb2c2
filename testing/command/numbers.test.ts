/** The command hands on JSON as it was written, and shows it so: seeds of 64 bits, 7.0 that is no 7. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Fleet } from '../harness/fleet.ts';
import { MachinePeer } from '../harness/peer.ts';
import { Command } from './command.ts';

const PARAMS = '{"seed": 9223372036854775807, "f": 7.0}';
const RESULT = '{"seed":18446744073709551615,"score":0.10}';

let fleet: Fleet;
let gpuhub: Command;
let folder: string;
let machine: MachinePeer;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'gpuhub-numbers-'));
  fleet = await Fleet.start();
  gpuhub = new Command(fleet.hub.httpUrl);
  machine = await MachinePeer.register(fleet.hub.wsUrl, { machine_id: 'm1', job_types: ['image'] });
});
afterAll(async () => {
  await machine.terminate();
  await fleet[Symbol.asyncDispose]();
  await rm(folder, { recursive: true, force: true });
});

/** What the hub holds of a job, as text. */
const held = async (job_id: string) => (await fetch(`${fleet.hub.httpUrl}/jobs/${job_id}`)).text();

/** The machine takes the job and ends it with bytes of its own. */
async function work(job_id: string): Promise<void> {
  // A process starts first, on a busy machine not soon.
  const { lease_id } = await machine.assigned(job_id, { timeout_ms: 20_000 });
  const names = `"job_id":"${job_id}","lease_id":"${lease_id}"`;
  machine.peer.sendRaw(`{"type":"job_output",${names},"index":0,"data":${RESULT}}`);
  machine.peer.sendRaw(`{"type":"job_completed",${names},"request_id":"end-${job_id}","result":${RESULT}}`);
  await machine.peer.next(({ request_id }) => request_id === `end-${job_id}`);
}

async function file(name: string, text: string): Promise<string> {
  const path = join(folder, name);
  await writeFile(path, text);
  return path;
}

test('params go as they were written: from an option, a file of them, lines, and a document', async () => {
  const params = await file('params.json', PARAMS);
  for (const [id, given] of [
    ['option', PARAMS],
    ['file', `@${params}`],
  ] as const)
    await gpuhub.run('submit', '--type', 'nobody', '--job-id', id, '--params', given);
  const job = (id: string) => `{"job_id":"${id}","job_type":"nobody","params":${PARAMS}}`;
  await gpuhub.piped(`cat ${await file('lines', job('line'))}`, 'submit');
  await gpuhub.run('submit', '--file', await file('document', `[\n7,\n${job('item')}]`));
  for (const id of ['option', 'file', 'line', 'item']) expect(await held(id)).toContain(`"params":${PARAMS}`);
}, 60_000);

test('params and results are shown as they were written, as JSON and for people', async () => {
  const args = ['submit', '--type', 'image', '--params', PARAMS, '--wait'];
  const ended = Promise.all([
    gpuhub.run(...args, '--job-id', 'a'),
    gpuhub.run(...args, '--job-id', 'b', '--format', 'json'),
  ]);
  await Promise.all([work('a'), work('b')]);
  const [told, record] = await ended;
  const RESULT_LINES = '{\n  "seed": 18446744073709551615,\n  "score": 0.10\n}\n';
  expect(told.text).toContain(`#0 ${RESULT}\n`);
  expect(told.text.endsWith(RESULT_LINES)).toBe(true);
  expect(record.text).toBe(`${await held('b')}\n`);
  expect((await gpuhub.run('job', 'b', '--format', 'json')).text).toBe(record.text);
  const page = (await gpuhub.run('job', 'b')).text;
  expect(page).toContain('params\n{\n  "seed": 9223372036854775807,\n  "f": 7.0\n}');
  expect(page).toContain(`result\n${RESULT_LINES}`);
}, 60_000);

test('events and the ends of an input are as they were written', async () => {
  const line = '{"job_id":"c","job_type":"image"}\n';
  const ended = gpuhub.piped(`printf '${line}'`, 'submit', '--wait', '--format', 'json');
  await work('c');
  expect((await ended).text).toContain(`"status":"completed","result":${RESULT}}`);
  for (const ids of [['c'], ['c', 'b']]) {
    const { text } = await gpuhub.run('watch', ...ids, '--format', 'json');
    expect(text).toContain(`"result":${RESULT}`);
    expect(text).toContain(`"data":${RESULT}`);
  }
  const { text } = await gpuhub.run('watch', 'c', 'b');
  expect(text).toContain(`#0 ${RESULT}\n`);
}, 60_000);
