import { describe, expect, test } from 'vitest';
import { pageTests, startMock, TEST_TIMEOUT_MS } from './page_tests.ts';

const { newPage, debugPage, hubUrl, connectMachine } = pageTests();

describe('the page: machines', { timeout: TEST_TIMEOUT_MS }, () => {
  test('drains and resumes a machine', async () => {
    await using watched = await newPage();
    const page = await watched.openLive(debugPage('#/console'));
    const machine = await startMock(page);
    await page.getByRole('link', { name: 'Machines' }).click();
    const group = page.getByRole('region', { name: machine });
    await group.getByRole('button', { name: `Drain ${machine}` }).click();
    await group.getByRole('button', { name: 'Yes' }).click();
    await expect.poll(() => group.locator('.gpu-draining').count()).toBe(4);
    await group.getByRole('button', { name: `Resume ${machine}` }).click();
    await expect.poll(() => group.locator('.gpu-idle').count()).toBe(4);
  });

  test('drains with the reason that was given', async () => {
    await using machine = await connectMachine({ gpu_name: 'NVIDIA L40S' });
    await using watched = await newPage();
    const page = await watched.openLive(debugPage(`#/worker/${machine.id}:gpu0`));
    const inspector = page.getByRole('complementary', { name: `${machine.id}:gpu0` });
    await inspector.getByRole('button', { name: /^Drain/ }).waitFor();
    await page.keyboard.press('d');
    await inspector.getByLabel('reason').fill('new fans');
    await page.keyboard.press('Enter');
    await inspector.getByText('draining', { exact: true }).waitFor();
    await inspector.getByText('new fans').waitFor();
  });

  test('takes back a drain, and then a resume, with its reason', async () => {
    await using machine = await connectMachine({});
    await using watched = await newPage();
    const page = await watched.openLive(debugPage(`#/worker/${machine.id}:gpu0`));
    const inspector = page.getByRole('complementary', { name: `${machine.id}:gpu0` });
    const drain = async () => {
      await inspector.getByRole('button', { name: /^Drain/ }).click();
      await inspector.getByLabel('reason').fill('new fans');
      await page.keyboard.press('Enter');
      await inspector.getByText('new fans').waitFor();
    };
    await drain();
    await page.getByRole('button', { name: /^Undo/ }).click();
    await inspector.getByText('idle', { exact: true }).waitFor();
    await drain();
    await inspector.getByRole('button', { name: /^Resume/ }).click();
    await inspector.getByText('idle', { exact: true }).waitFor();
    await page.locator('.undo', { hasText: 'takes jobs again' }).getByRole('button').click();
    await inspector.getByText('new fans').waitFor();
    await inspector.getByText('draining', { exact: true }).waitFor();
  });

  test('mock machines go on while the page itself is stuck', async () => {
    await using watched = await newPage();
    const page = await watched.openLive(debugPage('#/console'));
    const machine = await startMock(page);
    const seenAt = async () => {
      const answer = await fetch(`${hubUrl()}/workers/${machine}:gpu0`);
      return ((await answer.json()) as { last_seen_at: number }).last_seen_at;
    };
    const before = await seenAt();
    let stuck = true;
    // The page does nothing else for as long as the mock machines need for two heartbeats.
    const block = page
      .evaluate(() => {
        const end = performance.now() + 5000;
        while (performance.now() < end);
      })
      .finally(() => (stuck = false));
    await expect.poll(seenAt, { timeout: 5000, interval: 100 }).toBeGreaterThan(before);
    expect(stuck).toBe(true);
    await block;
  });
});
