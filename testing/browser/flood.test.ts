// The page under loads that no fleet of a test makes: what it holds and draws is bounded, counted, not timed. How long
// its frames take is measured by flood_run.ts.

import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { newPage, startBrowser } from './browser.ts';
import { FloodHub, type FloodOptions } from './flood_hub.ts';

const START_TIMEOUT_MS = 120_000;
const TEST_TIMEOUT_MS = 45_000;
/** Rows of a screen and those kept ready above and below. */
const ROWS_MAX = 90;

let browser: Browser;
beforeAll(async () => {
  browser = await startBrowser();
}, START_TIMEOUT_MS);
afterAll(async () => {
  await browser?.close();
});

/** Counts what the page asks the browser to draw. */
const COUNT_FRAMES = `{
  const ask = requestAnimationFrame;
  globalThis.framesAsked = 0;
  globalThis.requestAnimationFrame = run => { globalThis.framesAsked++; return ask(run); };
}`;

async function withFlood(
  options: FloodOptions,
  view: string,
  play: (page: Page, hub: FloodHub) => Promise<void>,
): Promise<void> {
  await using hub = await FloodHub.start(options);
  await using watched = await newPage(browser);
  await watched.page.addInitScript(COUNT_FRAMES);
  await play(await watched.openLive(`${hub.url}#/${view}`), hub);
}

const rowsOf = (page: Page) => page.locator('.jobs tr[data-row]');

describe('under a flood', { timeout: TEST_TIMEOUT_MS }, () => {
  test('holds 5,000 of 6,000 jobs and draws the rows near the screen', () =>
    withFlood({ gpus: 16, waiting: 6000 }, 'jobs', async page => {
      await page.getByText('5,000 of the 5,000 jobs held here match').waitFor();
      await expect.poll(() => rowsOf(page).count()).toBeGreaterThan(20);
      expect(await rowsOf(page).count()).toBeLessThan(ROWS_MAX);
      const first = await rowsOf(page).first().innerText();
      await page.evaluate(() => scrollTo(0, document.body.scrollHeight));
      await expect.poll(() => rowsOf(page).first().innerText()).not.toBe(first);
      expect(await rowsOf(page).count()).toBeLessThan(ROWS_MAX);
      // The empty rows stand for all the others: the place of a row does not depend on what is drawn.
      const height = await page.locator('.jobs tbody').evaluate(body => body.getBoundingClientRect().height);
      const row = await rowsOf(page)
        .first()
        .evaluate(one => one.getBoundingClientRect().height);
      expect(Math.round(height / row)).toBe(5000);
    }));

  test('2,000 GPUs are one canvas, which draws again only what changed', () =>
    withFlood({ gpus: 2000, waiting: 0 }, 'machines', async (page, hub) => {
      const canvas = page.locator('.gpu-grid canvas');
      await canvas.waitFor();
      expect(await page.locator('main *').count()).toBeLessThan(400);
      // All in sight is drawn once.
      await expect.poll(() => canvas.evaluate(one => Number(one.dataset['painted']))).toBeGreaterThan(1000);
      await canvas.evaluate(one => {
        const seen: number[] = [];
        Object.assign(globalThis, { seen });
        new MutationObserver(() => seen.push(Number(one.dataset['painted']))).observe(one, {
          attributes: true,
        });
      });
      const seen = () => page.evaluate(() => (globalThis as unknown as { seen: number[] }).seen);
      hub.burst(160, 40);
      await expect.poll(async () => (await seen()).some(cells => cells > 0)).toBe(true);
      expect(Math.max(...(await seen()))).toBeLessThanOrEqual(40);
    }));

  test('3,000 events ask for few frames, and the newest state is what is shown', () =>
    withFlood({ gpus: 64, waiting: 100 }, 'overview', async (page, hub) => {
      const asked = () => page.evaluate(() => (globalThis as unknown as { framesAsked: number }).framesAsked);
      const before = await asked();
      hub.burst(3000);
      hub.tellCompleted(123_456);
      await page.getByText('123,456 in all').waitFor();
      expect((await asked()) - before).toBeLessThan(300);
      expect(await page.locator('.events li').count()).toBe(20);
    }));

  test('the frame log keeps 5,000 frames, says how many it dropped, and draws those in sight', () =>
    withFlood({ gpus: 64, waiting: 100 }, 'console', async (page, hub) => {
      await page.getByLabel("this page's own").check();
      await page.getByLabel('progress and heartbeats').check();
      hub.burst(8000);
      await page.getByText(/5,000 of 5,000 · 3,\d\d\d older dropped/).waitFor();
      expect(await page.locator('.frame').count()).toBeLessThan(ROWS_MAX);
    }));

  test('arrows and brackets go through the grid, and the inspector follows', () =>
    withFlood({ gpus: 2000, waiting: 0 }, 'worker/m-001:gpu0', async page => {
      await page.getByRole('complementary', { name: 'GPU m-001:gpu0' }).waitFor();
      await page.locator('.gpu-grid canvas').focus();
      await page.keyboard.press('ArrowRight');
      await page.getByRole('complementary', { name: 'GPU m-001:gpu1' }).waitFor();
      await page.keyboard.press(']');
      await expect.poll(() => page.locator('.inspector .state').innerText()).toMatch(/draining|quarantined/);
    }));
});
