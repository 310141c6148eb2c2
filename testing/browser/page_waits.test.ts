import type { Page } from 'playwright-core';
import { describe, test } from 'vitest';
import { pageTests, stateOf, TEST_TIMEOUT_MS } from './page_tests.ts';

const { newPage, debugPage, submit, connectMonitor, connectMachine } = pageTests();

describe('the page: why jobs wait', { timeout: TEST_TIMEOUT_MS }, () => {
  test('says of a list why each job waits, and counts what no GPU can run', async () => {
    await using machine = await connectMachine({ gpu_name: 'NVIDIA L40S', vram_mb: 49_152 });
    const job_type = machine.type;
    const jobId = await submit({ job_type, requirements: { min_vram_mb: 81_920 } });
    await using watched = await newPage();
    const page = await watched.openLive(debugPage(`#/jobs?q=${jobId}`));
    await page.getByText(`no GPU that takes ${job_type} has 80 GB`).waitFor();
    await page.getByRole('link', { name: 'Overview' }).click();
    await page.locator('.needs').getByText(jobId).waitFor();
  });

  describe('says on its page why a job does not run', () => {
    const why = (page: Page) => page.locator('section', { hasText: 'Why it waits' });

    test('no GPU takes its type', async () => {
      await using _machine = await connectMachine({});
      const jobId = await submit({});
      await using watched = await newPage();
      const page = await watched.openLive(debugPage(`#/job/${jobId}`));
      await why(page).getByText('No GPU here can run it.').waitFor();
      await why(page).locator('li[data-code=job_type]').getByText('0 left').waitFor();
    });

    test('GPUs have too little memory', async () => {
      await using machine = await connectMachine({ vram_mb: 8192 });
      const jobId = await submit({ job_type: machine.type, requirements: { min_vram_mb: 16_000 } });
      await using watched = await newPage();
      const page = await watched.openLive(debugPage(`#/job/${jobId}`));
      await why(page).locator('li[data-code=vram_too_small]').getByText('0 left').waitFor();
    });

    test('all that fit are busy', async () => {
      await using machine = await connectMachine({});
      await submit({ job_type: machine.type });
      const jobId = await submit({ job_type: machine.type });
      await using watched = await newPage();
      const page = await watched.openLive(debugPage(`#/job/${jobId}`));
      await why(page).getByText('One GPU can run it. None is free just now.').waitFor();
    });

    test('the one that fits is draining', async () => {
      await using machine = await connectMachine({ draining: true });
      const jobId = await submit({ job_type: machine.type });
      await using watched = await newPage();
      const page = await watched.openLive(debugPage(`#/job/${jobId}`));
      await why(page).getByText('The only GPU that could run it takes no new job').waitFor();
    });

    test('it is planned for later', async () => {
      await using machine = await connectMachine({});
      const jobId = await submit({ job_type: machine.type, delay_ms: 3_600_000 });
      await using watched = await newPage();
      const page = await watched.openLive(debugPage(`#/job/${jobId}`));
      await why(page)
        .getByText(/It is planned to start in (59m|1h00m)/)
        .waitFor();
    });

    test('its queue is paused, and one button ends that', async () => {
      await using machine = await connectMachine({});
      await using monitor = await connectMonitor();
      await monitor.ask({ type: 'pause_queue', job_type: machine.type, reason: 'model swap' });
      const jobId = await submit({ job_type: machine.type });
      await using watched = await newPage();
      const page = await watched.openLive(debugPage(`#/job/${jobId}`));
      await why(page).getByText('paused: model swap').waitFor();
      await why(page).getByRole('button', { name: 'Resume the queue' }).click();
      await stateOf(page)
        .getByText(/assigned|processing/)
        .waitFor();
    });
  });

  test('shows a pause that somebody else set, and its end', async () => {
    await using machine = await connectMachine({});
    await using monitor = await connectMonitor();
    await using watched = await newPage();
    const page = await watched.openLive(debugPage());
    // No job waits for it: the statistics say it by themselves, once a second.
    await monitor.ask({ type: 'pause_queue', job_type: machine.type, reason: 'elsewhere' });
    const need = page.locator('.needs').getByText(`queue paused: ${machine.type}`);
    await need.waitFor({ timeout: 5000 });
    await monitor.ask({ type: 'resume_queue', job_type: machine.type });
    await need.waitFor({ state: 'detached', timeout: 5000 });
  });
});
