import type { Page, WebSocketRoute } from 'playwright-core';
import { describe, expect, test } from 'vitest';
import { pageTests, startMock, stateOf, TEST_TIMEOUT_MS } from './page_tests.ts';

const { newPage, debugPage, submit, connectMachine } = pageTests();

describe('the page: what jobs carry', { timeout: TEST_TIMEOUT_MS }, () => {
  test('shows an image of a result only on demand', async () => {
    await using watched = await newPage();
    const page = await watched.openLive(debugPage('#/console'));
    const machine = await startMock(page);
    const jobId = await submit({ job_type: 'image.page', requirements: {} });
    await page.evaluate(id => (location.hash = `#/job/${id}`), jobId);
    await page.getByText(`${machine}:gpu`).first().waitFor();
    const button = page.getByRole('button', { name: 'show image' });
    await button.waitFor();
    expect(await page.locator('img').count()).toBe(0);
    await button.click();
    await expect
      .poll(() => page.locator('img.preview').evaluate(img => (img as HTMLImageElement).naturalWidth))
      .toBeGreaterThan(0);
  });

  test('shows a result of many lines as lines, on demand', async () => {
    const jobId = await submit({ params: { text: 'one\ntwo\n<b>three</b>' } });
    await using watched = await newPage();
    const page = await watched.openLive(debugPage(`#/job/${jobId}`));
    await page.getByRole('button', { name: 'show as text' }).click();
    expect(await page.locator('.text-preview > div').allInnerTexts()).toEqual(['one', 'two', '<b>three</b>']);
  });

  test('shows hostile params as text', async () => {
    const jobId = await submit({
      params: {
        '<img src=x onerror=document.title=1>': '<script>document.title=2</script>',
        bidi: 'a\u202Eb\u0007',
      },
    });
    await using watched = await newPage();
    const page = await watched.openLive(debugPage(`#/job/${jobId}`));
    await page.getByText('<img src=x onerror=document.title=1>').waitFor();
    await page.getByText('<script>document.title=2</script>').waitFor();
    expect(await page.locator('.hidden-char').allInnerTexts()).toEqual(['‹U+202E›', '‹U+0007›']);
    expect(await page.title()).toBe('gpuhub');
    expect(await page.locator('img').count()).toBe(0);
  });

  describe('the output of a job', () => {
    const outputOf = (page: Page) => page.getByRole('log', { name: 'output' });

    test('comes live: text as text, JSON in lines that unfold, gaps where they are, hostile text as text', async () => {
      await using machine = await connectMachine({});
      const jobId = await submit({ job_type: machine.type });
      await machine.start(jobId);
      await using watched = await newPage();
      const page = await watched.openLive(debugPage(`#/job/${jobId}`));
      machine.output(0, 'one ', 'line\n<img src=x onerror=document.title=1>\u202E\u001b[31m', {
        frame: 74,
        of: 120,
      });
      const output = outputOf(page);
      await output.getByText('#2').waitFor();
      expect((await output.innerText()).split('\n').slice(0, 2)).toEqual([
        'one line',
        '<img src=x onerror=document.title=1>‹U+202E›‹U+001B›[31m',
      ]);
      await output.getByText('{"frame":74,"of":120}').click();
      await output.locator('.json-row', { hasText: 'frame: 74' }).waitFor();
      machine.output(5, 'after a gap');
      await output.getByText('outputs 3 to 4 are lost').waitFor();
      await output.getByText('after a gap').waitFor();
      expect(await page.locator('main img').count()).toBe(0);
      machine.tell({ type: 'job_completed', result: {} });
      await stateOf(page).getByText('completed').waitFor();
      // What is kept of it is there for who comes later.
      await page.reload();
      await outputOf(page).getByText('after a gap').waitFor();
    });

    test('goes on after a reconnect where it was, nothing twice and nothing left out', async () => {
      await using machine = await connectMachine({});
      const jobId = await submit({ job_type: machine.type });
      await machine.start(jobId);
      machine.output(0, 'a', 'b');
      await using watched = await newPage();
      const watches: WebSocketRoute[] = [];
      await watched.page.routeWebSocket(/ws\/client/, route => {
        watches.push(route);
        route.connectToServer();
      });
      const page = await watched.openLive(debugPage(`#/job/${jobId}`));
      const output = outputOf(page);
      await expect.poll(() => output.innerText()).toBe('ab');
      await watches[0]?.close({ code: 1012, reason: 'cut by the test' });
      machine.output(2, 'c', 'd');
      await expect.poll(() => watches.length, { timeout: 5000 }).toBe(2);
      await expect.poll(() => output.innerText()).toBe('abcd');
      machine.output(4, 'e');
      await expect.poll(() => output.innerText()).toBe('abcde');
    });

    test('is bounded, and says what gave way', async () => {
      await using machine = await connectMachine({});
      const jobId = await submit({ job_type: machine.type });
      await machine.start(jobId);
      await using watched = await newPage();
      const page = await watched.openLive(debugPage(`#/job/${jobId}`));
      machine.output(0, ...Array.from({ length: 1500 }, (_, i) => ({ i })));
      await page.getByText('The first 500 pieces').waitFor();
      const output = outputOf(page);
      expect(await output.locator('.output-json').count()).toBe(1000);
      // The newest is in sight while the reader stays at the end.
      await expect.poll(() => output.getByText('{"i":1499}').isVisible()).toBe(true);
      const end = () => output.evaluate(box => box.scrollHeight - box.scrollTop - box.clientHeight);
      await expect.poll(end).toBeLessThan(2);
    });
  });
});
