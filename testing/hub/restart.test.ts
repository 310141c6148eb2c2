/** Hubs, machines and clients that die and come back: nothing is lost, nothing runs twice. */
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, test } from 'vitest';
import type { JobHandle } from '../../core/sdk/client.ts';
import { startScript } from '../harness/processes.ts';
import { all, byHand, ears, Fleet, inGoodOrder, type Run, types, until } from '../harness/fleet.ts';

const LEASE_MS = 1500;
const REAP_INTERVAL_MS = 100;
const PROGRESS_TIMEOUT_MS = 2000;
/** From the death of a machine to its job on another one. */
const TAKEN_OVER_WITHIN_MS = LEASE_MS + REAP_INTERVAL_MS + 2000;

let fleet: Fleet;
afterEach(() => fleet?.[Symbol.asyncDispose]());

describe('a hub that is killed', () => {
  test('and started again: every job completes, each handler ran once, no event came twice', async () => {
    fleet = await Fleet.start();
    const client = fleet.client();
    const work = byHand();
    for (const machine_id of ['m1', 'm2']) {
      await fleet.machine({ machine_id, gpu_count: 4, handler: { work: work.handler } });
    }
    const end = (run: Run, text: string) => {
      run.context.output(`${text} b`);
      run.complete(run.job.params['i']);
    };
    const jobs = Array.from({ length: 24 }, (_, i) => ({
      job_type: 'work',
      params: { i },
      watch: 'all' as const,
    }));
    const handles = (await client.submitMany(jobs)) as JobHandle[];
    const followed = handles.map(all);
    await work.run(7);
    for (const { context } of work.runs) context.output('before a');

    // Four end while the hub lives, and four others take their places.
    for (const run of work.runs.slice(0, 4)) end(run, 'before');
    const done = work.runs.slice(0, 4).map(({ job }) => handles[job.params['i'] as number] as JobHandle);
    await Promise.all(done.map(handle => handle.result()));
    await work.run(11);

    fleet.hub.process.kill('SIGKILL');
    await fleet.hub.process.exited;
    // Four end while there is no hub, and a job is submitted.
    for (const run of work.runs.slice(4, 8)) end(run, 'meanwhile');
    const late = client.submit({ job_type: 'work', params: { i: 24 } });

    await fleet.restartHub();
    let next = 8;
    const pump = async () => {
      for (; next < 25; next++) end(await work.run(next), 'after');
    };
    await pump();
    const events = await Promise.all([...followed, all(await late)]);

    const runs = work.runs.map(({ job }) => job.params['i'] as number);
    expect([...runs].sort((a, b) => a - b)).toEqual(Array.from({ length: 25 }, (_, i) => i));
    for (const [i, story] of events.entries()) {
      expect(inGoodOrder(story), JSON.stringify(story)).toBe(true);
      expect(story.at(-1)).toMatchObject({ type: 'job_completed', result: i, attempt: 1 });
      const outputs = story.filter(event => event.type === 'job_output');
      expect(outputs.map(({ index }) => index)).toEqual(outputs.map((_, index) => index));
      expect(outputs.at(-1)?.data).toMatch(/ b$/);
    }
    // Statistics are up to a second old.
    const counts = await until('the count of all', async () => {
      const of = (await fleet.api.stats()).by_type['work'];
      return of?.completed === 25 && of;
    });
    expect(counts).toMatchObject({ failed: 0, queued: 0, active: 0 });
  });

  test('and is away for longer than a progress timeout: who was at work all the while goes on', async () => {
    fleet = await Fleet.start({ LEASE_MS: '20000' });
    const work = byHand();
    await fleet.machine({ machine_id: 'busy', handler: { work: work.handler } });
    const job = await fleet.client().submit({
      job_type: 'work',
      params: {},
      progress_timeout_ms: PROGRESS_TIMEOUT_MS,
      max_attempts: 1,
    });
    const run = await work.run(0);
    const telling = setInterval(() => run.context.progress(Math.random()), PROGRESS_TIMEOUT_MS / 10);
    fleet.hub.process.kill('SIGKILL');
    await fleet.hub.process.exited;
    await sleep(2 * PROGRESS_TIMEOUT_MS);
    await fleet.restartHub();
    // The reaper looks as often as statistics are told.
    const monitor = await fleet.monitor();
    await monitor.next(frame => frame.type === 'stats', { timeout_ms: 2 * PROGRESS_TIMEOUT_MS });
    clearInterval(telling);
    expect(run.context.signal.aborted).toBe(false);
    run.complete('done');
    expect(await job.result()).toBe('done');
  });

  test.each([
    { first: 'the client', backoff: { machine: 400, client: 5 } },
    { first: 'the machine', backoff: { machine: 5, client: 400 } },
  ])('leaves a cancel to the next one, also when $first is back first', async ({ backoff }) => {
    fleet = await Fleet.start();
    const always = (ms: number) => ({ base_ms: ms, cap_ms: ms, random: () => 1 });
    const work = byHand();
    const { on_event, heard } = ears();
    const handler = { work: work.handler };
    await fleet.machine({ machine_id: 'm1', handler, on_event, backoff: always(backoff.machine) });
    const client = fleet.client({ backoff: always(backoff.client) });
    const job = await client.submit({ job_type: 'work', params: {} });
    const run = await work.run(0);
    fleet.hub.process.kill('SIGKILL');
    await heard('down');
    const cancelled = client.cancel(job.id, 'changed my mind');
    await fleet.restartHub();
    expect((await cancelled).status).toBe('cancelling');
    await expect(job.result()).rejects.toMatchObject({ code: 'cancelled' });
    expect(run.context.signal.reason).toMatchObject({ code: 'cancelled' });
    expect(work.runs).toHaveLength(1);
  });
});

describe('a machine', () => {
  test('killed in the middle of a job: it runs again on another one within the lease and the reaper’s interval', async () => {
    fleet = await Fleet.start({ LEASE_MS: String(LEASE_MS), REAP_INTERVAL_MS: String(REAP_INTERVAL_MS) });
    const client = fleet.client();
    const doomed = fleet.owns(
      startScript('testing/mock_worker.ts', [
        ...['--machine-id', 'doomed', '--url', fleet.hub.wsUrl, '--job-types', 'long'],
        ...['--duration-ms', '600000'],
      ]),
    );
    await doomed.waitFor(/registered doomed:gpu0/);
    const job = await client.submit({ job_type: 'long', params: { prompt: 'a fox' } });
    const events = all(job);
    await doomed.waitFor(/started/);
    await until('the sign of life', async () => (await client.getJob(job.id)).status === 'processing');
    await fleet.machine({ machine_id: 'heir', handler: { long: () => 'made' } });
    const killed_at = performance.now();
    doomed.kill('SIGKILL');
    expect(await job.result()).toBe('made');
    expect(performance.now() - killed_at).toBeLessThan(TAKEN_OVER_WITHIN_MS);
    const record = await client.getJob(job.id);
    expect(record).toMatchObject({ status: 'completed', attempt: 2, worker_id: 'heir:gpu0' });
    expect(record.attempts).toMatchObject([
      { attempt: 1, worker_id: 'doomed:gpu0', outcome: 'lease_expired', error: { code: 'lease_expired' } },
      { attempt: 2, worker_id: 'heir:gpu0', outcome: 'completed', error: null },
    ]);
    expect(types(await events)).not.toContain('job_retrying');
  });

  test('whose process stands still for longer than a lease keeps its job if nobody else took it', async () => {
    fleet = await Fleet.start({ LEASE_MS: String(LEASE_MS), REAP_INTERVAL_MS: String(REAP_INTERVAL_MS) });
    const client = fleet.client();
    const halted = fleet.owns(
      startScript('testing/mock_worker.ts', [
        ...['--machine-id', 'halted', '--url', fleet.hub.wsUrl, '--job-types', 'long'],
        ...['--duration-ms', '10', '--result', 'text'],
      ]),
    );
    await halted.waitFor(/registered/);
    // Slow enough that it is halted in the middle, fast enough to end soon after.
    const job = await client.submit({
      job_type: 'long',
      params: { prompt: 'a fox', duration_ms: 1500 },
      watch: 'all',
    });
    const events = all(job);
    await halted.waitFor(/started/);
    await until('the sign of life', async () => (await client.getJob(job.id)).status === 'processing');
    halted.kill('SIGSTOP');
    await until('the lease to run out', async () => (await client.getJob(job.id)).status === 'queued');
    halted.kill('SIGCONT');
    expect(await job.result()).toMatchObject({ prompt: 'a fox' });
    expect(halted.output.match(/started/g)).toHaveLength(1);
    expect(inGoodOrder(await events)).toBe(true);
    expect(await client.getJob(job.id)).toMatchObject({ attempt: 1, worker_id: 'halted:gpu0' });
  });

  test('that gets SIGTERM takes no new job, finishes its own, and exits with 0', async () => {
    fleet = await Fleet.start();
    const client = fleet.client();
    const mock = fleet.owns(
      startScript('testing/mock_worker.ts', [
        ...['--machine-id', 'leaver', '--ws-host', '127.0.0.1', '--ws-port', String(fleet.hub.port)],
        ...['--job-types', 'short', '--result', 'text'],
      ]),
    );
    await mock.waitFor(/registered leaver:gpu0/);
    const [running, waiting] = (await client.submitMany([
      { job_type: 'short', params: { prompt: 'first', duration_ms: 700 } },
      { job_type: 'short', params: { prompt: 'second', duration_ms: 10 } },
    ])) as [JobHandle, JobHandle];
    await mock.waitFor(/started/);
    mock.kill('SIGTERM');
    expect(await running.result()).toMatchObject({ prompt: 'first', content_type: 'text/plain' });
    expect(await mock.exited).toEqual({ code: 0, signal: null });
    expect(await client.getJob(running.id)).toMatchObject({ attempt: 1, worker_id: 'leaver:gpu0' });
    expect(await client.getJob(waiting.id)).toMatchObject({ status: 'queued', attempt: 0 });
  });
});
