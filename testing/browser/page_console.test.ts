import type { Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { JobRecord } from '../../core/messages/job.ts';
import { givenHub, PageHub } from './hub.ts';
import { pageTests, START_TIMEOUT_MS, startMock, TEST_TIMEOUT_MS, unique } from './page_tests.ts';

const { newPage, debugPage, hubUrl } = pageTests();

describe('the page: console', { timeout: TEST_TIMEOUT_MS }, () => {
  test('runs a job from the form on a mock machine of its own', async () => {
    await using watched = await newPage();
    const page = await watched.openLive(debugPage('#/console'));
    await startMock(page);
    await page.getByRole('button', { name: '+ client' }).click();
    const jobId = unique('form');
    await page.getByText('optional fields').click();
    await page.getByLabel('job_id', { exact: true }).fill(jobId);
    await page.getByRole('button', { name: /^Send/ }).click();
    await page.getByRole('status').getByText(`job_accepted ${jobId}`).waitFor();

    await page.getByLabel('filter frames').fill(`conn:console job:${jobId}`);
    const frames = page.getByRole('log', { name: 'frames' });
    await frames.getByText('job_completed').waitFor();
    // The answer is paired with its request: both say the round trip.
    await expect.poll(() => frames.getByText(/↩ \d+ ms/).count()).toBe(2);

    await page.goto(debugPage(`#/jobs?q=${jobId}`));
    await page.locator('tr', { hasText: jobId }).getByText('completed').waitFor();
  });

  test('sends and shows params as they were written, and submits them again so', async () => {
    await using watched = await newPage();
    const page = await watched.openLive(debugPage('#/console'));
    await page.getByRole('button', { name: '+ client' }).click();
    const jobId = unique('digits');
    const params = '{"seed": 9223372036854775807, "f": 7.0, "text": "7.0"}';
    await page.getByText('optional fields').click();
    await page.getByLabel('job_id', { exact: true }).fill(jobId);
    await page.getByLabel('params*', { exact: true }).fill(params);
    await page.getByRole('button', { name: /^Send/ }).click();
    await page.getByRole('status').getByText(`job_accepted ${jobId}`).waitFor();
    const textOf = async (id: string) => (await fetch(`${hubUrl()}/jobs/${id}`)).text();
    expect(await textOf(jobId)).toContain(params);

    await page.goto(debugPage(`#/job/${jobId}`));
    for (const line of ['seed: 9223372036854775807', 'f: 7.0'])
      await page.locator('.json-row', { hasText: line }).first().waitFor();
    await page.getByRole('button', { name: 'Resubmit as new' }).click();
    await page.waitForURL(url => url.hash.startsWith('#/job/') && !url.hash.includes(jobId));
    const copy = decodeURIComponent(new URL(page.url()).hash.replace('#/job/', ''));
    expect(await textOf(copy)).toContain('"seed":9223372036854775807,"f":7.0,"text":"7.0"');
  });

  test('says one thing of params that are no JSON, and shows all lines of them', async () => {
    await using watched = await newPage();
    const page = await watched.openLive(debugPage('#/console'));
    await page.getByRole('button', { name: '+ client' }).click();
    const params = page.getByLabel('params*', { exact: true });
    await params.fill('{"a": 1,\n\n\n\n\n"b": }');
    await page.getByRole('button', { name: /^Send/ }).click();
    await page.locator('.field.wrong', { has: params }).waitFor();
    const hints = page.locator('.field', { has: params }).locator('small');
    expect(await hints.allInnerTexts()).toEqual([expect.stringContaining('Not JSON')]);
    expect(await params.evaluate(box => box.scrollHeight - box.clientHeight)).toBeLessThan(2);
    await params.fill('{}');
    await hints.getByText('Not JSON').waitFor({ state: 'detached' });
  });

  test('a message added to the protocol is in the list by itself, with an example', async () => {
    await using watched = await newPage();
    const page = await watched.openLive(debugPage('#/console'));
    await page.getByRole('button', { name: '+ monitor' }).click();
    const { RECEIVE } = await import('../../core/messages/protocol.ts');
    const choices = page.getByLabel('message', { exact: true }).locator('option');
    await expect.poll(() => choices.allInnerTexts()).toEqual(Object.keys(RECEIVE.monitor));
  });

  test('shows at the field what the hub found wrong with it', async () => {
    await using watched = await newPage();
    const page = await watched.openLive(debugPage('#/console'));
    await page.getByRole('button', { name: '+ client' }).click();
    await page.getByLabel('priority', { exact: true }).fill('1000');
    await page.getByRole('button', { name: /^Send/ }).click();
    await page.locator('.field.wrong', { hasText: 'priority' }).waitFor();
  });

  // At once, as they mostly wait.
  describe.concurrent('scenarios and loads', () => {
    let short: PageHub;
    beforeAll(async () => {
      short = await PageHub.start({ LEASE_MS: '2000', REAP_INTERVAL_MS: '100' });
    }, START_TIMEOUT_MS);
    afterAll(async () => {
      await short?.[Symbol.asyncDispose]();
    });

    /** Plays one to its end; its jobs as the hub has them, in the order of their submission. */
    async function play(name: string): Promise<JobRecord[]> {
      await using watched = await newPage();
      const page = await watched.openLive(`${short.httpUrl}/debug#/console`);
      await page.getByLabel('scenario', { exact: true }).selectOption(name);
      await page.getByRole('button', { name: 'Play', exact: true }).click();
      const verdict = page.locator('.verdict');
      await verdict.getByText(`${name}: as claimed`).waitFor({ timeout: 40_000 });
      await page.getByLabel('filter frames').fill('conn:scenario type:job_completed');
      const frame = page.getByRole('log', { name: 'frames' }).getByText('"play-').first();
      const job_type = /play-\w+/.exec(await frame.innerText())?.[0];
      const answer = await fetch(`${short.httpUrl}/jobs?job_type=${job_type}&limit=100&full=true`);
      const { jobs } = (await answer.json()) as { jobs: JobRecord[] };
      const numberOf = ({ job_id }: JobRecord) => Number(job_id.split(':')[1]);
      return jobs.sort((a, b) => numberOf(a) - numberOf(b));
    }

    test.skipIf(givenHub !== undefined)(
      'a machine dies at work, and urgent work comes; leases are short here',
      async ({ expect }) => {
        const [died, urgent] = await Promise.all([play('A machine dies at work'), play('Urgent work')]);

        expect(died.map(job => job.status)).toEqual(Array(16).fill('completed'));
        const lost = died.filter(job => job.attempt > 1);
        expect(lost.length).toBeGreaterThan(0);
        expect(lost.length).toBeLessThanOrEqual(4);
        for (const { attempts } of lost) {
          const workers = new Set(attempts?.map(one => one.worker_id?.split(':')[0]));
          expect(attempts?.[0]?.error).toMatchObject({ code: 'lease_expired' });
          expect(workers.size).toBe(2);
        }

        expect(urgent.map(job => job.status)).toEqual(Array(28).fill('completed'));
        const [late, before] = [urgent.slice(24), urgent.slice(0, 24)];
        expect(late.map(job => job.priority)).toEqual([100, 100, 100, 100]);
        const came = Math.max(...late.map(job => job.created_at));
        const started = Math.max(...late.map(job => job.assigned_at ?? Number.POSITIVE_INFINITY));
        const waited = before.filter(job => (job.assigned_at ?? 0) > came);
        expect(waited.length).toBeGreaterThan(10);
        expect(waited.filter(job => (job.assigned_at ?? 0) < started)).toEqual([]);
      },
    );

    test('a scenario plays on machines of its own and checks its claim', async ({ expect }) => {
      await using watched = await newPage();
      const page = await watched.openLive(debugPage('#/console'));
      await page.getByLabel('scenario', { exact: true }).selectOption('A job that nobody can run');
      await page.getByRole('button', { name: 'Play', exact: true }).click();
      await page
        .locator('.verdict')
        .getByText('A job that nobody can run: as claimed')
        .waitFor({ timeout: 30_000 });
      // Its machines are gone with it.
      await expect.poll(() => page.locator('.fleet tr').count()).toBe(0);
    });

    const numberOf = async (page: Page, name: string) => {
      const number = page.locator('.load-outcome div', { has: page.getByText(name, { exact: true }) });
      return Number((await number.locator('dd').innerText()).split(' ')[0]);
    };
    const slide = (page: Page, label: string, to: number) => page.getByLabel(label).fill(String(to));

    test('a load sends the chosen number at the chosen mix, and counts what became of each', async ({
      expect,
    }) => {
      await using watched = await newPage();
      const page = await watched.openLive(debugPage('#/console'));
      await startMock(page);
      const [small, large] = [unique('small'), unique('large')];
      await slide(page, 'jobs a second', 4);
      await slide(page, 'for', 0);
      await page.getByLabel('type of kind 1').fill(small);
      await page.getByLabel('seconds of kind 1').fill('0.01');
      await page.getByLabel('type of kind 2').fill(large);
      await page.getByLabel('priority of kind 2').fill('-7');
      await page.getByLabel('seconds of kind 2').fill('0.02');
      await page.getByRole('button', { name: 'Submit 40 jobs' }).click();
      await expect.poll(() => numberOf(page, 'completed'), { timeout: 15_000 }).toBe(40);
      expect(await numberOf(page, 'accepted')).toBe(40);
      expect(await numberOf(page, 'refused')).toBe(0);
      // Its connection goes with it.
      await page.getByRole('button', { name: 'Submit 40 jobs' }).waitFor();
      await expect.poll(() => page.locator('.connections .chip').count()).toBe(0);
      const listed = async (type: string) => {
        const answer = await fetch(`${hubUrl()}/jobs?job_type=${type}&limit=100&full=true`);
        return ((await answer.json()) as { jobs: Record<string, unknown>[] }).jobs;
      };
      expect(await listed(small)).toHaveLength(30);
      const larges = await listed(large);
      expect(larges).toHaveLength(10);
      expect(larges[0]).toMatchObject({
        priority: -7,
        requirements: { min_vram_mb: 24 * 1024 },
        status: 'completed',
      });
    });

    test('a load stops, and cancels what has not ended', async ({ expect }) => {
      await using watched = await newPage();
      const page = await watched.openLive(debugPage('#/console'));
      // No machine of the other tests has so much memory.
      const type = unique('nobody');
      await page.getByRole('button', { name: 'Remove kind 2' }).click();
      await page.getByLabel('type of kind 1').fill(type);
      await page.getByLabel('GB of kind 1').fill('900');
      await page.getByRole('button', { name: /^Submit 600/ }).click();
      await expect.poll(() => numberOf(page, 'wait or run')).toBeGreaterThan(5);
      await page.getByRole('button', { name: 'Stop', exact: true }).click();
      await page.getByRole('button', { name: 'Stop', exact: true }).waitFor({ state: 'detached' });
      await page.getByRole('button', { name: 'Cancel the rest' }).click();
      await page.getByRole('button', { name: /^Submit 600/ }).waitFor();
      expect(await numberOf(page, 'wait or run')).toBe(0);
      const sent = await numberOf(page, 'sent');
      expect(await numberOf(page, 'cancelled')).toBe(sent);
      const answer = await fetch(`${hubUrl()}/jobs?job_type=${type}&status=cancelled&limit=500`);
      expect(((await answer.json()) as { jobs: unknown[] }).jobs).toHaveLength(sent);
    });
  });
});
