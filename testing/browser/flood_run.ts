// How the page bears a flood, measured: every view under 2,000 events a second with 2,000 GPUs, in headless Chromium.
//
//   npx tsx testing/browser/flood_run.ts [seconds a view, 30] [events a second, 2000] [view ...]
//
// First the page's lists are filled: 5,000 jobs, 500 events, 5,000 frames and 15 minutes of statistics are what it
// holds at most, and a heap that grows beyond that is a leak. Then each view is measured, and then left open for as
// long again while the heap is looked at.
//
// Says for each view the longest gap between animation frames, the tasks of the page's thread in a recorded trace (by
// the clock, and by the time they had a processor: on a machine that is busy with other things only the latter is the
// page's own), the time spent in script and layout, and the heap after forced
// collections.

import { loadavg } from 'node:os';
import type { Browser, CDPSession, Page } from 'playwright-core';
import { newPage, startBrowser } from './browser.ts';
import { FloodHub } from './flood_hub.ts';

const VIEWS = ['overview', 'machines', 'jobs', 'console'];
const SETTLE_MS = 2000;
/** The flood's jobs come at about a tenth of the rate of its events. */
const FILL_EVENTS = 80_000;
const HEAP_SAMPLES = 3;

/** Runs in the page: records gaps between animation frames. Text, as tsx would add helpers to it. */
const RECORD = `{
  const gaps = [];
  let before = performance.now();
  requestAnimationFrame(function frame(now) {
    gaps.push(now - before);
    before = now;
    requestAnimationFrame(frame);
  });
  globalThis.gaps = gaps;
}`;

type Recorded = { gaps: number[] };

interface TraceEvent {
  name: string;
  ph: string;
  pid: number;
  tid: number;
  /** µs by the clock, and µs with a processor. */
  dur?: number;
  tdur?: number;
  args?: { name?: string };
}

interface Tasks {
  count: number;
  longestMs: number;
  longestBusyMs: number;
}

/** The tasks of the busiest renderer's main thread. */
function tasksOf(trace: Buffer): Tasks {
  const { traceEvents } = JSON.parse(trace.toString()) as { traceEvents: TraceEvent[] };
  const key = ({ pid, tid }: TraceEvent) => `${pid} ${tid}`;
  const mains = new Set(traceEvents.filter(one => one.args?.name === 'CrRendererMain').map(key));
  const byThread = new Map<string, TraceEvent[]>();
  for (const event of traceEvents) {
    if (event.ph !== 'X' || !event.name.endsWith('RunTask') || !mains.has(key(event))) continue;
    const list = byThread.get(key(event));
    if (list === undefined) byThread.set(key(event), [event]);
    else list.push(event);
  }
  const tasks = [...byThread.values()].sort((a, b) => b.length - a.length)[0] ?? [];
  const longest = (of: (task: TraceEvent) => number | undefined) =>
    tasks.reduce((most, task) => Math.max(most, of(task) ?? 0), 0) / 1000;
  return {
    count: tasks.length,
    longestMs: longest(task => task.dur),
    longestBusyMs: longest(task => task.tdur),
  };
}

async function heapMb(cdp: CDPSession): Promise<number> {
  // Weak references and finalizers are only gone after a second one.
  for (let i = 0; i < 2; i++) await cdp.send('HeapProfiler.collectGarbage');
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

async function measure(
  browser: Browser,
  page: Page,
  hub: FloodHub,
  view: string,
  seconds: number,
): Promise<string> {
  const cdp = await page.context().newCDPSession(page);
  await cdp.send('Performance.enable');
  await page.evaluate(hash => (location.hash = hash), `#/${view}`);
  if (view === 'console') await page.getByLabel("this page's own").check();
  await page.waitForTimeout(SETTLE_MS);
  const [heapBefore, before, sentBefore] = [await heapMb(cdp), await busyS(cdp), hub.sent];
  await page.evaluate(() => ((globalThis as unknown as Recorded).gaps.length = 0));
  await browser.startTracing(page, { categories: ['toplevel'] });
  await page.waitForTimeout(seconds * 1000);
  const [after, sent] = [await busyS(cdp), hub.sent - sentBefore];
  const gaps = await page.evaluate(() => (globalThis as unknown as Recorded).gaps);
  const tasks = tasksOf(await browser.stopTracing());
  const heaps = [heapBefore, await heapMb(cdp)];
  for (let i = 0; i < HEAP_SAMPLES; i++) {
    await page.waitForTimeout((seconds * 1000) / HEAP_SAMPLES);
    heaps.push(await heapMb(cdp));
  }
  await cdp.detach();
  const sorted = [...gaps].sort((a, b) => a - b);
  const ms = (value: number) => `${value.toFixed(0)} ms`;
  const share = (key: 'script' | 'layout' | 'task') =>
    `${(((after[key] - before[key]) / seconds) * 100).toFixed(0)} %`;
  return [
    view.padEnd(10),
    `${Math.round(sent / seconds)} ev/s`,
    `${gaps.length} frames, p99 ${ms(sorted[Math.floor(sorted.length * 0.99)] ?? 0)}, longest ${ms(sorted.at(-1) ?? 0)}, over 100 ms: ${gaps.filter(gap => gap > 100).length}`,
    `${tasks.count} tasks, longest ${ms(tasks.longestMs)} by the clock, ${ms(tasks.longestBusyMs)} at work`,
    `script ${share('script')}, layout ${share('layout')}, main thread ${share('task')}`,
    `heap ${heaps.map(mb => mb.toFixed(1)).join(' -> ')} MB`,
    `load of the machine ${(loadavg()[0] ?? 0).toFixed(1)}`,
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
  await page.getByRole('link', { name: 'Jobs' }).click();
  await page.getByText('This page holds at most').waitFor({ timeout: (3000 * FILL_EVENTS) / Number(rate) });
  const fillMs = (1000 * (FILL_EVENTS - hub.sent)) / Number(rate);
  if (fillMs > 0) await page.waitForTimeout(fillMs);
  for (const view of views.length > 0 ? views : VIEWS) {
    console.log(await measure(browser, page, hub, view, Number(seconds)));
  }
} finally {
  await browser.close();
}
