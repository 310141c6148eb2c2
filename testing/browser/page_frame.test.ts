import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { freePort } from '../harness/processes.ts';
import { givenHub, PageHub } from './hub.ts';
import { pageTests, startMock, TEST_TIMEOUT_MS } from './page_tests.ts';

const FILE = new URL('../ws_debug.html', import.meta.url).href;
const { newPage, debugPage, hubUrl, submit } = pageTests();

describe('the page', { timeout: TEST_TIMEOUT_MS }, () => {
  test('opens at /debug and goes live', async () => {
    await using watched = await newPage();
    const page = await watched.openLive(debugPage());
    await expect.poll(() => page.locator('.kpi').count()).toBe(6);
    await expect.poll(() => page.locator('.chart canvas').count()).toBe(4);
  });

  test('says all keys at ?', async () => {
    await using watched = await newPage();
    const page = await watched.openLive(debugPage());
    await page.keyboard.press('?');
    await page.getByRole('dialog', { name: 'keys' }).getByText('resubmit as new').waitFor();
    await page.keyboard.press('Escape');
    await expect.poll(() => page.getByRole('dialog').count()).toBe(0);
  });

  test('shows no keys where there is no keyboard', async () => {
    await using watched = await newPage({ width: 390 });
    const page = await watched.openLive(debugPage('#/jobs'));
    await page.locator('.filter-field').waitFor();
    expect(await page.locator('kbd:visible').count()).toBe(0);
    await page.getByRole('button', { name: 'theme' }).click();
    expect(await page.locator('html').getAttribute('data-theme')).toBe('light');
  });

  test('the keyboard goes to views, the filter and the other theme', async () => {
    await using watched = await newPage();
    const page = await watched.openLive(debugPage());
    await page.keyboard.press('g');
    await page.keyboard.press('m');
    await page.waitForURL(/#\/machines/);
    await page.keyboard.press('/');
    await expect.poll(() => page.locator('[data-filter]:focus').count()).toBe(1);
    await page.keyboard.press('Escape');
    await page.keyboard.press('t');
    expect(await page.locator('html').getAttribute('data-theme')).toBe('light');
  });

  test('its source holds no way to put markup into the page', async () => {
    const { execFileSync } = await import('node:child_process');
    const folder = fileURLToPath(new URL('../debug_page', import.meta.url));
    const pattern = 'innerHTML|outerHTML|insertAdjacentHTML|document\\.write|eval\\(';
    const found = execFileSync('sh', ['-c', `grep -rnE '${pattern}' '${folder}' || true`], {
      encoding: 'utf8',
    });
    expect(found).toBe('');
  });
});

describe.skipIf(givenHub !== undefined)('from disk', { timeout: TEST_TIMEOUT_MS }, () => {
  test('says that the hub must allow the origin null', async () => {
    await using watched = await newPage();
    await watched.page.goto(`${FILE}#hub=${hubUrl().replace(/^http/, 'ws')}`);
    await watched.page.locator('.banner[data-part=websocket]').getByText('ALLOWED_ORIGINS=null').waitFor();
  });

  test('says that nobody answers', async () => {
    await using watched = await newPage();
    const nobody = `ws://127.0.0.1:${await freePort()}`;
    await watched.page.goto(`${FILE}#hub=${nobody}`);
    await watched.page.locator('.banner[data-part=hub]').getByText(`Nobody answers at ${nobody}`).waitFor();
  });

  test('works when the hub allows it, its mock machines too', async () => {
    await using allowing = await PageHub.start({ ALLOWED_ORIGINS: 'null' });
    await using watched = await newPage();
    const page = await watched.openLive(`${FILE}#hub=${allowing.wsUrl}`);
    await page.getByRole('link', { name: 'Console' }).click();
    await startMock(page);
  });

  test('comes back after the hub was away, with a new picture', async () => {
    await using restarted = await PageHub.start();
    await using watched = await newPage();
    const page = await watched.openLive(`${restarted.httpUrl}/debug`);
    await restarted.down();
    await page.locator('header [data-state=away]').waitFor();
    await page
      .locator('.banner')
      .getByText(/Showing the picture of/)
      .waitFor();
    await restarted.up();
    await page.locator('header [data-state=live]').waitFor({ timeout: 30_000 });
    await expect.poll(() => page.locator('.banner').count()).toBe(0);
  });
});

/** Where to leave pictures for people to look at. */
const SCREENSHOTS = process.env['SCREENSHOT_DIR'];

describe('looks', { timeout: TEST_TIMEOUT_MS }, () => {
  for (const width of [360, 1280]) {
    for (const colorScheme of ['dark', 'light'] as const) {
      test(`nothing scrolls sideways at ${width} px, ${colorScheme}`, async () => {
        const jobId = await submit({ params: { prompt: 'a harbour at dawn' } });
        await using watched = await newPage({ width, height: 800, colorScheme });
        const page = await watched.openLive(debugPage());
        for (const view of ['overview', 'machines', 'jobs', `job/${jobId}`, 'console']) {
          await page.evaluate(hash => (location.hash = hash), `#/${view}`);
          const name = view.split('/')[0];
          await page.locator(`.view-${name} > *`).first().waitFor();
          const over = await page.evaluate(
            () => document.documentElement.scrollWidth - document.documentElement.clientWidth,
          );
          expect(over, view).toBe(0);
          if (SCREENSHOTS === undefined) continue;
          await page.screenshot({ path: join(SCREENSHOTS, `${name}-${width}-${colorScheme}.png`) });
        }
      });
    }
  }
});
