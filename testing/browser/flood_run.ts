// How the page bears a flood, measured: every view under 2,000 events a second with 2,000 GPUs, in headless Chromium.
//
//   npx tsx testing/browser/flood_run.ts [seconds a view, 30] [events a second, 2000] [view ...]
//
// Says for each view the longest gap between animation frames, the long tasks, the time spent in script and layout,
// and the heap after a forced collection before and after. It compares nothing: small machines differ.

import type { CDPSession, Page } from 'playwright-core';
import { newPage, startBrowser } from './browser.ts';
import { FloodHub } from './flood_hub.ts';

const VIEWS = ['overview', 'machines', 'jobs', 'console'];
const SETTLE_MS = 2000;

/** Runs in the page: records gaps between animation frames and tasks over 50 ms. Text, as tsx would add helpers to it. */
const RECORD = `{
  const gaps = [], tasks = [];
  let before = performance.now();
  requestAnimationFrame(function frame(now) {
    gaps.push(now - before);
    before = now;
    requestAnimationFrame(frame);
  });
  new PerformanceObserver(list => {
    for (const entry of list.getEntries()) tasks.push(entry.duration);
  }).observe({ type: 'longtask' });
  globalThis.flood = { gaps, tasks };
}`;

type Recorded = { flood: { gaps: number[]; tasks: number[] } };

const clear = (page: Page) =>
  page.evaluate(() => {
    const { flood } = globalThis as unknown as Recorded;
    flood.gaps.length = flood.tasks.length = 0;
  });

async function heapMb(cdp: CDPSession): Promise<number> {
  await cdp.send('HeapProfiler.collectGarbage');
  const { usedSize } = await cdp.send('Runtime.getHeapUsage');
  return usedSize / 1e6;
}

async function busyS(cdp: CDPSession): Promise<{ script: number; layout: number; task: number }> {
  const { metrics } = await cdp.send('Performance.getMetrics');
  const of = (name: string) => metrics.find(metric => metric.name === name)?.value ?? 0;
  return {
    script: of('ScriptDuration'),
    layout: of('LayoutDuration') + of('RecalcStyleDuration'),
    task: of('TaskDuration'),
  };
}

async function measure(page: Page, hub: FloodHub, view: string, seconds: number): Promise<string> {
  const cdp = await page.context().newCDPSession(page);
  await cdp.send('Performance.enable');
  await page.evaluate(hash => (location.hash = hash), `#/${view}`);
  if (view === 'console') await page.getByLabel("this page's own").check();
  await page.waitForTimeout(SETTLE_MS);
  const [heapBefore, before, sentBefore] = [await heapMb(cdp), await busyS(cdp), hub.sent];
  await clear(page);
  await page.waitForTimeout(seconds * 1000);
  const after = await busyS(cdp);
  const { gaps, tasks } = await page.evaluate(() => (globalThis as unknown as Recorded).flood);
  const sent = hub.sent - sentBefore;
  const heap = await heapMb(cdp);
  const sorted = [...gaps].sort((a, b) => a - b);
  const ms = (value: number) => `${value.toFixed(0)} ms`;
  const share = (key: 'script' | 'layout' | 'task') =>
    `${(((after[key] - before[key]) / seconds) * 100).toFixed(0)} %`;
  return [
    view.padEnd(10),
    `${Math.round(sent / seconds)} ev/s`,
    `${gaps.length} frames, p99 ${ms(sorted[Math.floor(sorted.length * 0.99)] ?? 0)}, longest ${ms(sorted.at(-1) ?? 0)}, over 100 ms: ${gaps.filter(gap => gap > 100).length}`,
    `tasks over 50 ms: ${tasks.length}${tasks.length > 0 ? ` (longest ${ms(Math.max(...tasks))})` : ''}`,
    `script ${share('script')}, layout ${share('layout')}, main thread ${share('task')}`,
    `heap ${heapBefore.toFixed(1)} -> ${heap.toFixed(1)} MB`,
  ].join(' | ');
}

const [seconds = '30', rate = '2000', ...views] = process.argv.slice(2);
await using hub = await FloodHub.start({ gpus: 2000, waiting: 1000 });
const browser = await startBrowser();
try {
  await using watched = await newPage(browser, { width: 1440, height: 900 });
  await watched.page.addInitScript(RECORD);
  const page = await watched.openLive(hub.url);
  hub.flood(Number(rate));
  for (const view of views.length > 0 ? views : VIEWS) {
    console.log(await measure(page, hub, view, Number(seconds)));
  }
} finally {
  await browser.close();
}
