import { mkdir, mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Peer } from '../harness/peer.ts';
import { freePort } from '../harness/processes.ts';
import { newPage, startBrowser } from './browser.ts';
import { givenHub, PageHub } from './hub.ts';

const FILE = new URL('../ws_debug.html', import.meta.url).href;
const START_TIMEOUT_MS = 120_000;
const TEST_TIMEOUT_MS = 45_000;

let browser: Browser;
let hub: PageHub;
let names = 0;
const unique = (stem: string) => `${stem}-${process.pid}-${++names}`;

beforeAll(async () => {
  [browser, hub] = await Promise.all([startBrowser(), PageHub.start()]);
}, START_TIMEOUT_MS);

afterAll(async () => {
  await browser?.close();
  await hub?.[Symbol.asyncDispose]();
});

const debugPage = (view = '') => `${hub.httpUrl}/debug${view}`;
const stateOf = (page: Page) => page.locator('.crumbs .state');

async function submit(fields: Record<string, unknown>): Promise<string> {
  const client = await Peer.connect(hub.httpUrl, { path: '/ws/client' });
  const job_id = unique('page');
  const answer = await client.request({
    type: 'submit_job',
    job_type: unique('type'),
    params: {},
    job_id,
    ...fields,
  });
  expect(answer).toMatchObject({ type: 'job_accepted' });
  await client.close();
  return job_id;
}

/** A mock machine of the page, working fast; its name. */
async function startMock(page: Page, durationS = 1): Promise<string> {
  await page.getByLabel('a job takes').fill(String(durationS));
  await page.getByRole('button', { name: 'Start a machine' }).click();
  const row = page.locator('.fleet tr').last();
  await row.getByText('at work').waitFor();
  return row.locator('td').first().innerText();
}

describe('the debug page', { timeout: TEST_TIMEOUT_MS }, () => {
  test('opens at /debug and goes live', async () => {
    await using watched = await newPage(browser);
    const page = await watched.openLive(debugPage());
    await expect.poll(() => page.locator('.kpi').count()).toBe(6);
    await expect.poll(() => page.locator('.chart canvas').count()).toBe(4);
  });

  test('runs a job from the form on a mock machine of its own', async () => {
    await using watched = await newPage(browser);
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

  test('shows an image of a result only on demand', async () => {
    await using watched = await newPage(browser);
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

  test('a message added to the protocol is in the list by itself, with an example', async () => {
    await using watched = await newPage(browser);
    const page = await watched.openLive(debugPage('#/console'));
    await page.getByRole('button', { name: '+ monitor' }).click();
    const { RECEIVE } = await import('../../core/messages/protocol.ts');
    const choices = page.getByLabel('message', { exact: true }).locator('option');
    await expect.poll(() => choices.allInnerTexts()).toEqual(Object.keys(RECEIVE.monitor));
  });

  test('shows at the field what the hub found wrong with it', async () => {
    await using watched = await newPage(browser);
    const page = await watched.openLive(debugPage('#/console'));
    await page.getByRole('button', { name: '+ client' }).click();
    await page.getByLabel('priority', { exact: true }).fill('1000');
    await page.getByRole('button', { name: /^Send/ }).click();
    await page.locator('.field.wrong', { hasText: 'priority' }).waitFor();
  });

  test('cancels a job', async () => {
    const jobId = await submit({});
    await using watched = await newPage(browser);
    const page = await watched.openLive(debugPage(`#/jobs?q=${jobId}`));
    await page.getByRole('link', { name: jobId }).click();
    await page.getByRole('button', { name: 'Cancel' }).click();
    await stateOf(page).getByText('cancelled').waitFor();
  });

  test('retries an ended job as a new one', async () => {
    const jobId = await submit({});
    await using watched = await newPage(browser);
    const page = await watched.openLive(debugPage(`#/job/${jobId}`));
    await page.getByRole('button', { name: 'Cancel' }).click();
    await page.getByRole('button', { name: 'Retry as a new job' }).click();
    await page.getByText(`retry of ${jobId}`).waitFor();
    expect(page.url()).not.toContain(jobId);
  });

  test('drains and resumes a machine', async () => {
    await using watched = await newPage(browser);
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

  test('shows hostile params as text', async () => {
    const jobId = await submit({
      params: {
        '<img src=x onerror=document.title=1>': '<script>document.title=2</script>',
        bidi: 'a\u202Eb\u0007',
      },
    });
    await using watched = await newPage(browser);
    const page = await watched.openLive(debugPage(`#/job/${jobId}`));
    await page.getByText('<img src=x onerror=document.title=1>').waitFor();
    await page.getByText('<script>document.title=2</script>').waitFor();
    expect(await page.locator('.hidden-char').allInnerTexts()).toEqual(['‹U+202E›', '‹U+0007›']);
    expect(await page.title()).toBe('gpuhub');
    expect(await page.locator('img').count()).toBe(0);
  });

  test('the keyboard goes to views, the filter and the other theme', async () => {
    await using watched = await newPage(browser);
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
    await using watched = await newPage(browser);
    await watched.page.goto(`${FILE}#hub=${hub.wsUrl}`);
    await watched.page.locator('.banner[data-part=websocket]').getByText('ALLOWED_ORIGINS=null').waitFor();
  });

  test('says that nobody answers', async () => {
    await using watched = await newPage(browser);
    const nobody = `ws://127.0.0.1:${await freePort()}`;
    await watched.page.goto(`${FILE}#hub=${nobody}`);
    await watched.page.locator('.banner[data-part=hub]').getByText(`Nobody answers at ${nobody}`).waitFor();
  });

  test('works when the hub allows it', async () => {
    await using allowing = await PageHub.start({ ALLOWED_ORIGINS: 'null' });
    await using watched = await newPage(browser);
    await watched.openLive(`${FILE}#hub=${allowing.wsUrl}`);
  });

  test('comes back after the hub was away, with a new picture', async () => {
    await using restarted = await PageHub.start();
    await using watched = await newPage(browser);
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

describe('looks', { timeout: TEST_TIMEOUT_MS }, () => {
  let folder: string;
  beforeAll(async () => {
    folder = process.env['SCREENSHOT_DIR'] ?? (await mkdtemp(join(tmpdir(), 'gpuhub-debug-page-')));
    await mkdir(folder, { recursive: true });
  });

  for (const width of [360, 1280]) {
    for (const colorScheme of ['dark', 'light'] as const) {
      test(`nothing scrolls sideways at ${width} px, ${colorScheme}`, async () => {
        const jobId = await submit({ params: { prompt: 'a harbour at dawn' } });
        await using watched = await newPage(browser, { width, height: 800, colorScheme });
        const page = await watched.openLive(debugPage());
        for (const view of ['overview', 'machines', 'jobs', `job/${jobId}`, 'console']) {
          await page.evaluate(hash => (location.hash = hash), `#/${view}`);
          await page
            .locator(`.view-${view.split('/')[0]} > *`)
            .first()
            .waitFor();
          const over = await page.evaluate(
            () => document.documentElement.scrollWidth - document.documentElement.clientWidth,
          );
          await page.screenshot({ path: join(folder, `${view.split('/')[0]}-${width}-${colorScheme}.png`) });
          expect(over, view).toBe(0);
        }
      });
    }
  }
});
