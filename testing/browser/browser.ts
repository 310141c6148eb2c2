// Chromium for the browser suite.

import { type Browser, chromium, type Page } from 'playwright-core';
import { ensureChromium } from '../../scripts/chromium.ts';

const FLAGS = [
  '--headless',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

export interface PageOptions {
  width?: number;
  height?: number;
  colorScheme?: 'light' | 'dark';
}

/** What the page itself did wrong: exceptions, and what its content policy stopped. */
export class WatchedPage implements AsyncDisposable {
  readonly page: Page;
  readonly faults: string[] = [];

  constructor(page: Page) {
    this.page = page;
    page.on('pageerror', error => this.faults.push(error.message));
    page.on('console', message => {
      // A refused connection is logged by the browser itself, and is what some tests are about.
      const text = message.text();
      if (message.type() === 'error' && !/WebSocket|Failed to load resource|net::ERR|CORS/.test(text))
        this.faults.push(text);
    });
  }

  /** Opens an address and waits until the page is live. */
  async openLive(url: string): Promise<Page> {
    await this.page.goto(url);
    await this.page.locator('header [data-state=live]').waitFor();
    return this.page;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.page.context().close();
    if (this.faults.length > 0) throw new Error(`the page logged errors:\n${this.faults.join('\n')}`);
  }
}

/** @throws Error saying what to install when there is no Chromium */
export async function startBrowser(): Promise<Browser> {
  const found = await ensureChromium();
  if ('missing' in found) throw new Error(found.missing);
  return chromium.launch({ executablePath: found.path, args: FLAGS });
}

export async function newPage(browser: Browser, options: PageOptions = {}): Promise<WatchedPage> {
  const { width = 1280, height = 900, colorScheme = 'dark' } = options;
  const context = await browser.newContext({ viewport: { width, height }, colorScheme });
  const page = await context.newPage();
  page.setDefaultTimeout(10_000);
  return new WatchedPage(page);
}
