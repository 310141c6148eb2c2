/** JobMonitor, WorkerMonitor and RedisMonitor on a real hub: every example of their documentation is run as it stands. */
import { readFile } from 'node:fs/promises';
import { runInNewContext } from 'node:vm';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { JobMonitor, RedisMonitor, WorkerMonitor } from '../testing_utils.ts';
import { byHand, Fleet, until } from '../harness/fleet.ts';

interface Example {
  /** The class and the method that it explains. */
  of: string;
  name: string;
  code: string;
}

/** The indented lines of the comment before each method. */
function examplesIn(source: string): Example[] {
  const found: Example[] = [];
  for (const part of source.split(/^export class /m).slice(1)) {
    const of = /^\w+/.exec(part)?.[0] as string;
    for (const [, comment, name] of part.matchAll(/\/\*\*\n((?: +\*.*\n)+) +(?:async )?(\w+)\(/g)) {
      const lines = (comment as string).split('\n').flatMap(line => /^ +\* {5}(.*)$/.exec(line)?.[1] ?? []);
      if (lines.length > 0) found.push({ of, name: name as string, code: lines.join('\n') });
    }
  }
  return found;
}

const MONITORS = { JobMonitor, WorkerMonitor, RedisMonitor };
const source = await readFile(new URL('../testing_utils.ts', import.meta.url), 'utf8');
const examples = examplesIn(source);

let fleet: Fleet;
beforeAll(async () => {
  fleet = await Fleet.start();
  const work = byHand();
  await fleet.machine({
    machine_id: 'machine1',
    gpu_count: 2,
    handler: { echo: job => job.params, 'video.render': work.handler },
  });
  const client = fleet.client();
  await (await client.submit({ job_type: 'echo', job_id: 'job-123456', params: { text: 'hello' } })).result();
  await client.submit({ job_type: 'video.render', job_id: 'job-running', params: {} });
  await client.submit({ job_type: 'nobody', job_id: 'job-waiting', params: {} });
  (await work.run(0)).context.progress(0.5);
  await until('the statistics', async () => {
    const { jobs } = await new RedisMonitor({ hub_url: fleet.hub.httpUrl }).getQueueStats();
    return jobs.completed === 1 && jobs.processing === 1 && jobs.queued === 1;
  });
});
afterAll(() => fleet[Symbol.asyncDispose]());

/** Runs an example. @returns what it printed, a line a call */
async function run({ of, code }: Example): Promise<string[]> {
  const printed: string[] = [];
  const console = { log: (...values: unknown[]) => void printed.push(values.map(String).join(' ')) };
  const monitor = new MONITORS[of as keyof typeof MONITORS]({ hub_url: fleet.hub.httpUrl });
  await (runInNewContext(`(async () => {${code}\n})()`, { monitor, console }) as Promise<void>);
  return printed;
}

/** What the examples print here; those that print nothing only have to run. */
const PRINTED: Record<string, string[]> = {
  'JobMonitor.getJobDetails': ['completed [object Object]'],
  'JobMonitor.explainJob': ['job_type 2 2 of 2 slots do not take jobs of type nobody'],
  'JobMonitor.getActiveJobs': ['job-running machine1:gpu0 0.5'],
  'JobMonitor.getCompletedJobs': [],
  'WorkerMonitor.getAllWorkers': [],
  'WorkerMonitor.getWorkerById': [],
  'WorkerMonitor.getWorkerStats': ['1 of 2 GPUs are busy'],
  'RedisMonitor.getQueueStats': ['1 wait, 1 videos are rendered'],
};

describe('the examples in the documentation of the monitors', () => {
  test('are there for every method', () => {
    const methods = Object.entries(MONITORS).flatMap(([of, { prototype }]) =>
      Object.getOwnPropertyNames(prototype)
        .filter(name => name !== 'constructor')
        .map(name => `${of}.${name}`),
    );
    expect(examples.map(({ of, name }) => `${of}.${name}`).sort()).toEqual(methods.sort());
    expect(Object.keys(PRINTED).sort()).toEqual(methods.sort());
  });

  test.each(examples)('$of.$name runs as it stands', async example => {
    const wanted = PRINTED[`${example.of}.${example.name}`];
    // Progress reaches the record with the next word of the hub.
    await until(`${example.of}.${example.name} to print ${JSON.stringify(wanted)}`, async () => {
      const printed = await run(example);
      return (
        JSON.stringify(printed.map(line => line.replace(/gpu1 0\.5$/, 'gpu0 0.5'))) === JSON.stringify(wanted)
      );
    });
  });
});

describe('the monitors', () => {
  const options = () => ({ hub_url: fleet.hub.httpUrl });

  test('give the whole record of a job, and null for one that is not there', async () => {
    const monitor = new JobMonitor(options());
    expect(await monitor.getJobDetails('job-123456')).toMatchObject({
      status: 'completed',
      result: { text: 'hello' },
    });
    for (const ask of [monitor.getJobDetails('job-none'), monitor.explainJob('job-none')]) {
      expect(await ask).toBeNull();
    }
    expect((await monitor.getCompletedJobs(5)).map(({ job_id }) => job_id)).toEqual(['job-123456']);
  });

  test('count workers', async () => {
    const monitor = new WorkerMonitor(options());
    expect(await monitor.getWorkerStats()).toMatchObject({
      total: 2,
      connected: 2,
      machines: 1,
      utilization: 0.5,
    });
    expect(await monitor.getWorkerById('machine1:gpu0')).toMatchObject({ machine_id: 'machine1', index: 0 });
    expect(await monitor.getWorkerById('machine9:gpu0')).toBeNull();
  });
});
