/** `gpuhub watch` with several jobs, and `gpuhub submit --watch`, against a real hub: in a pipe and on a pseudo-terminal. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Command } from './command.ts';
import { byHand, echoAndBroken, Fleet, until } from '../harness/fleet.ts';
import { OnTerminal, withoutTerminal } from './on_terminal.ts';

let fleet: Fleet;
let gpuhub: Command;
let folder: string;
const work = byHand();
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'gpuhub-watch-'));
  fleet = await Fleet.start();
  gpuhub = new Command(fleet.hub.httpUrl);
  await fleet.machine({
    machine_id: 'machine1',
    gpu_count: 4,
    handler: {
      ...echoAndBroken,
      hand: work.handler,
    },
  });
});
afterAll(async () => {
  await fleet[Symbol.asyncDispose]();
  await rm(folder, { recursive: true, force: true });
});

async function submit(job_type: string, ...job_ids: string[]): Promise<void> {
  const client = fleet.client();
  for (const job_id of job_ids) await client.submit({ job_type, job_id, params: {} });
}

const sorted = (text: string) => text.trim().split('\n').sort();
/** What a line says beside its time. */
const said = (text: string) => text.replace(/^\S+ +/gm, '').replace(/\+?\d+(\.\d)?m?s/g, 'TIME');

test('in a pipe: a line an event of each job, from its beginning, and exit 0 when all complete', async () => {
  await submit('echo', 'lines-a', 'lines-bb');
  const { code, text } = await gpuhub.run('watch', 'lines-a', 'lines-bb', 'lines-a');
  expect(code).toBe(0);
  for (const id of ['lines-a ', 'lines-bb']) {
    expect(said(text)).toContain(`${id}  ○ queued      submitted\n`);
    expect(said(text)).toMatch(new RegExp(`^${id} {2}▷ assigned {4}machine1:gpu\\d$`, 'm'));
    expect(said(text)).toContain(`${id}  ✓ completed   waited TIME, ran TIME\n`);
  }
  expect(text.match(/completed/g), 'an id that is given twice is one job').toHaveLength(2);
});

test('as JSON: the events of the wire, one a line', async () => {
  await submit('echo', 'json-a', 'json-b');
  const { code, text } = await gpuhub.run('watch', 'json-a', 'json-b', '--format', 'json');
  const events = text
    .trim()
    .split('\n')
    .map(line => JSON.parse(line) as { type: string; job_id: string });
  expect(code).toBe(0);
  for (const id of ['json-a', 'json-b']) {
    const types = events.filter(({ job_id }) => job_id === id).map(({ type }) => type);
    expect(types[0]).toBe('job_queued');
    expect(types.at(-1)).toBe('job_completed');
  }
});

test('the exit code is 1 when one does not complete, and 4 when one is not known; the others are followed all the same', async () => {
  await submit('echo', 'codes-good');
  await submit('broken', 'codes-bad');
  const failed = await gpuhub.run('watch', 'codes-good', 'codes-bad');
  expect(failed).toMatchObject({ code: 1, text: expect.stringContaining('bad_model: no such weights') });
  const unknown = await gpuhub.run('watch', 'codes-good', 'codes-none');
  expect(unknown.code).toBe(4);
  expect(unknown.text).toContain('gpuhub: the hub does not know the job "codes-none"');
  expect(unknown.text).toContain('✓ completed');
  const json = await gpuhub.run('watch', 'codes-none', 'codes-nor', '--format', 'json');
  expect(json.code).toBe(4);
  expect(sorted(json.text).map(line => JSON.parse(line))).toMatchObject([
    { job_id: 'codes-none', error: { code: 'not_found' } },
    { job_id: 'codes-nor', error: { code: 'not_found' } },
  ]);
});

test('submit --watch in a pipe tells each event and, at the end, the sum', async () => {
  const path = join(folder, 'two.ndjson');
  await writeFile(path, '{"job_id": "many-a"}\n{"job_id": "many-b"}\n');
  const { code, text } = await gpuhub.run('submit', '--file', path, '--type', 'echo', '--watch');
  expect(code).toBe(0);
  expect(said(text)).toContain('many-a  ✓ completed   waited TIME, ran TIME\n');
  expect(said(text)).toContain('many-b  ✓ completed   waited TIME, ran TIME\n');
  expect(text.endsWith('2 jobs taken · 2 completed\n')).toBe(true);
});

describe.skipIf(withoutTerminal())('on a terminal', () => {
  test('several jobs are a board of bars that moves, fits the screen, and stays at the end', async () => {
    await submit('hand', 'bar-1', 'bar-2');
    await submit('nobody', 'bar-3', 'bar-4');
    const [first, second] = [await work.run(0, 'bar-1'), await work.run(0, 'bar-2')];
    first.context.progress(0.25, 'frame 1 of 4');
    const ids = ['bar-1', 'bar-2', 'bar-3', 'bar-4'];
    await using terminal = await OnTerminal.start(fleet.hub.httpUrl, ['watch', ...ids], { columns: 80 });
    await until(
      'the bars',
      () => terminal.picture.includes('███░░░░░░░  25%') || terminal.picture.includes('25%'),
    );
    expect(terminal.picture).toMatch(
      /^► processing {2}bar-1 +\S+ {2}██░░░░░░░░ {2}25% {2}machine1:gpu\d {2}frame 1 of 4$/m,
    );
    expect(terminal.picture).toMatch(/^○ queued {6}bar-3 +\S+$/m);
    expect(terminal.picture).toMatch(/^4 jobs: 2 queued · .*processing/m);

    await terminal.resize(60, 4);
    await until('the narrow board', () => /… 3 more: /.test(terminal.process.output));
    await terminal.resize(80, 30);
    first.context.progress(0.75, 'frame 3 of 4');
    await until('the progress', () => terminal.process.output.includes('███████░░░  75%'));
    first.complete();
    second.fail(Object.assign(new Error('gone wrong'), { code: 'odd', retryable: false }));
    for (const id of ['bar-3', 'bar-4']) await gpuhub.run('cancel', id);
    expect(await terminal.ended()).toEqual({ code: 1, sameSettings: true });
    const end = terminal.picture;
    expect(end).toMatch(/^✓ completed {3}bar-1 +\S+ {2}on machine1:gpu\d$/m);
    expect(end).toMatch(/^✕ failed {6}bar-2 +\S+ {2}odd: gone wrong$/m);
    expect(end).toMatch(/^4 jobs: 1 completed · 1 failed · 2 cancelled$/m);
  });

  test('submit --watch has a bar for each of a few jobs, and one line for many', async () => {
    const few = join(folder, 'few.ndjson');
    await writeFile(few, '{"job_id": "few-a"}\n{"job_id": "few-b"}\n');
    const args = ['submit', '--type', 'hand', '--watch', '--file'];
    await using small = await OnTerminal.start(fleet.hub.httpUrl, [...args, few]);
    const runs = [await work.run(0, 'few-a'), await work.run(0, 'few-b')];
    runs[0]?.context.progress(0.5, 'half');
    await until('the bar', () => small.picture.includes('█████░░░░░  50%'));
    expect(small.picture).toMatch(/^2 jobs taken · 0 completed$/m);
    for (const run of runs) run.complete();
    expect((await small.ended()).code).toBe(0);
    expect(small.picture).toMatch(/^✓ completed {3}few-b/m);

    const many = join(folder, 'many.ndjson');
    await writeFile(many, Array.from({ length: 150 }, (_, i) => `{"job_id": "many-${i}"}\n`).join(''));
    await using large = await OnTerminal.start(fleet.hub.httpUrl, [
      'submit',
      '--type',
      'echo',
      '--watch',
      '--file',
      many,
    ]);
    expect((await large.ended()).code).toBe(0);
    expect(large.picture).toContain('150 jobs taken · 150 completed');
    expect(large.process.output).not.toContain('► processing');
  });

  test('a hub that is away is said, and the board goes on when it is back', async () => {
    await submit('hand', 'away-1', 'away-2');
    const runs = [await work.run(0, 'away-1'), await work.run(0, 'away-2')];
    await using terminal = await OnTerminal.start(fleet.hub.httpUrl, ['watch', 'away-1', 'away-2']);
    await until('the board', () => /2 jobs: .*processing$/m.test(terminal.picture));
    await fleet.hub.process.stop();
    await until('the loss', () => terminal.picture.includes('○ the hub is away for'));
    await fleet.restartHub();
    gpuhub = new Command(fleet.hub.httpUrl);
    await until('the return', () => !terminal.picture.includes('away for'));
    for (const run of runs) run.complete();
    expect((await terminal.ended()).code).toBe(0);
    expect(terminal.picture).toMatch(/^2 jobs: 2 completed$/m);
  });
});
