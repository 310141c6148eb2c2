import type { Page } from 'playwright-core';
import { describe, expect, test } from 'vitest';
import { pageTests, stateOf, TEST_TIMEOUT_MS, unique } from './page_tests.ts';

const { newPage, debugPage, hubUrl, submit, jobOf, connectMonitor } = pageTests();

describe('the page: jobs', { timeout: TEST_TIMEOUT_MS }, () => {
  test('cancels a job once it is sure, by the key too', async () => {
    const jobId = await submit({});
    await using watched = await newPage();
    const page = await watched.openLive(debugPage(`#/jobs?q=${jobId}`));
    await page.getByRole('link', { name: jobId }).click();
    const cancel = page.getByRole('button', { name: 'Cancel' });
    await cancel.waitFor();
    await page.keyboard.press('c');
    await page.getByText('Cancel this job?').waitFor();
    await page.keyboard.press('Escape');
    await cancel.click();
    await page.getByRole('button', { name: 'No' }).click();
    await cancel.click();
    expect((await jobOf(jobId))['status']).toBe('queued');
    await page.getByRole('button', { name: 'Yes' }).click();
    await stateOf(page).getByText('cancelled').waitFor();
  });

  test('retries an ended job as a new one', async () => {
    const jobId = await submit({});
    await using watched = await newPage();
    const page = await watched.openLive(debugPage(`#/job/${jobId}`));
    await page.getByRole('button', { name: 'Cancel' }).click();
    await page.getByRole('button', { name: 'Yes' }).click();
    await page.getByRole('button', { name: 'Retry as a new job' }).click();
    await page.getByText(`retry of ${jobId}`).waitFor();
    expect(page.url()).not.toContain(jobId);
  });

  test('changes the priority of a job by its key', async () => {
    const jobId = await submit({});
    await using watched = await newPage();
    const page = await watched.openLive(debugPage(`#/job/${jobId}`));
    await page.getByText('priority 0').waitFor();
    await page.keyboard.press('p');
    await page.locator('input:focus').waitFor();
    // What is typed takes the place of the old one.
    await page.keyboard.type('-7');
    await page.keyboard.press('Enter');
    await page.getByText(`${jobId} has priority −7`).waitFor();
    await expect.poll(async () => (await jobOf(jobId))['priority']).toBe(-7);
    await page.locator('.crumbs').getByText('priority −7').waitFor();
  });

  test('resubmits the content of a job as a new one', async () => {
    const jobId = await submit({ params: { prompt: 'again' }, priority: 3 });
    await using watched = await newPage();
    const page = await watched.openLive(debugPage(`#/job/${jobId}`));
    await page.getByRole('button', { name: 'Resubmit as new' }).click();
    await page.waitForURL(url => !url.hash.includes(jobId));
    const copy = decodeURIComponent(new URL(page.url()).hash.replace('#/job/', ''));
    expect(await jobOf(copy)).toMatchObject({ params: { prompt: 'again' }, priority: 3, retry_of: null });
  });

  test('says that there is no such state, and which there are', async () => {
    await using watched = await newPage();
    const page = await watched.openLive(debugPage('#/jobs?q=status:foo'));
    await page
      .locator('.summary', { hasText: 'There is no state “foo”' })
      .getByText('waiting, active')
      .waitFor();
    expect(await page.getByLabel('state').locator('option:checked').innerText()).toBe('no such state');
    await page.getByLabel('state').selectOption('any');
    await page.locator('.summary').getByText('held here match').waitFor();
  });

  test('cancels all that are selected, and says how many', async () => {
    const job_type = unique('bulk');
    for (let i = 0; i < 3; i++) await submit({ job_type });
    await using watched = await newPage();
    const page = await watched.openLive(debugPage(`#/jobs?q=type:${job_type}`));
    await expect.poll(() => page.locator('.jobs tr[data-row]').count()).toBe(3);
    // By the keys: the first row, selected.
    await page.keyboard.press('j');
    await page.keyboard.press('x');
    await page.getByRole('button', { name: 'select all 3 that match' }).click();
    await page.getByRole('button', { name: 'Cancel 3' }).click();
    await page.getByRole('button', { name: 'Yes' }).click();
    // It is held back for some seconds; who is sure does not wait.
    await page.getByText(/cancelling 3 in \d s/).waitFor();
    await page.getByRole('button', { name: 'Now' }).click();
    await page.getByText('3 cancelled or cancelling').waitFor();
    await expect.poll(() => page.locator('.jobs tr', { hasText: 'cancelled' }).count()).toBe(3);
  });

  describe('what was done is taken back', () => {
    /** A list of two jobs of one type, both selected. */
    async function twoSelected(page: Page, fields: Record<string, unknown>): Promise<string[]> {
      const job_type = unique('undo');
      const ids = [await submit({ job_type, ...fields }), await submit({ job_type, ...fields })];
      await page.goto(debugPage(`#/jobs?q=type:${job_type}`));
      // The list holds still as soon as one is selected.
      await expect.poll(() => page.locator('.jobs tr[data-row]').count()).toBe(2);
      await page.getByLabel(`select ${ids[0]}`).check();
      await page.getByLabel(`select ${ids[1]}`).check();
      return ids;
    }
    const statesOf = async (ids: string[]) => Promise.all(ids.map(async id => (await jobOf(id))['status']));

    test('a bulk cancel is not sent', async () => {
      await using watched = await newPage();
      const page = await watched.openLive(debugPage());
      const ids = await twoSelected(page, {});
      await page.getByRole('button', { name: 'Cancel 2' }).click();
      await page.getByRole('button', { name: 'Yes' }).click();
      await page.getByRole('button', { name: /^Undo/ }).click();
      await page.getByText('nothing was done').waitFor();
      expect(await statesOf(ids)).toEqual(['queued', 'queued']);
    });

    test('by Ctrl+Z, a bulk change of priority: each job has its own again', async () => {
      await using watched = await newPage();
      const page = await watched.openLive(debugPage());
      const ids = await twoSelected(page, { priority: -20 });
      const prioritiesOf = async () => Promise.all(ids.map(async id => (await jobOf(id))['priority']));
      await page.getByRole('button', { name: 'Priority of 2' }).click();
      await page.getByLabel('priority').fill('30');
      await page.keyboard.press('Enter');
      await page.getByText('2 with priority 30').waitFor();
      expect(await prioritiesOf()).toEqual([30, 30]);
      await expect.poll(() => page.locator('.jobs').getByText('30', { exact: true }).count()).toBe(2);
      await page.keyboard.press('Control+z');
      await page.getByText('2 with their former priority').waitFor();
      expect(await prioritiesOf()).toEqual([-20, -20]);
    });

    test('a bulk retry: the new jobs are cancelled', async () => {
      await using monitor = await connectMonitor();
      await using watched = await newPage();
      const page = await watched.openLive(debugPage());
      const ids = await twoSelected(page, {});
      for (const job_id of ids) await monitor.cancel(job_id);
      await page.getByRole('button', { name: 'Retry 2' }).click();
      await page.getByRole('button', { name: 'Yes' }).click();
      await page.getByText('2 submitted again').waitFor();
      await page.getByRole('button', { name: /^Undo/ }).click();
      await page.getByText('2 of the new jobs cancelled').waitFor();
      const answer = await fetch(`${hubUrl()}/jobs?job_type=${(await jobOf(ids[0] as string))['job_type']}`);
      const { jobs } = (await answer.json()) as { jobs: { status: string }[] };
      expect(jobs.map(job => job.status)).toEqual(Array(4).fill('cancelled'));
    });
  });
});
