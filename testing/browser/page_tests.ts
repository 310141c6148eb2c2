/** What the files of tests of the debug page share: a browser and a hub for each file, and what goes on at that hub. */
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, expect } from 'vitest';
import { Peer } from '../harness/peer.ts';
import { newPage, type PageOptions, startBrowser, type WatchedPage } from './browser.ts';
import { PageHub } from './hub.ts';

export const START_TIMEOUT_MS = 120_000;
export const TEST_TIMEOUT_MS = 45_000;

type Fields = Record<string, unknown>;
type Asked = { type: string } & Fields;

let names = 0;
/** A name that no other test uses, here or at a hub that was given. */
export const unique = (stem: string) => `${stem}-${process.pid}-${++names}`;

export const stateOf = (page: Page) => page.locator('.crumbs .state');

/** A mock machine of the page, working fast; its name. */
export async function startMock(page: Page, durationS = 1): Promise<string> {
  await page.getByLabel('a job takes').fill(String(durationS));
  await page.getByRole('button', { name: 'Start a machine' }).click();
  const row = page.locator('.fleet tr').last();
  await row.getByText('at work').waitFor();
  return row.locator('td').first().innerText();
}

class Monitor implements AsyncDisposable {
  readonly #peer: Peer;

  constructor(peer: Peer) {
    this.#peer = peer;
  }

  async ask(frame: Asked): Promise<void> {
    expect(await this.#peer.request(frame)).toMatchObject({ type: 'ok' });
  }

  async cancel(job_id: string): Promise<void> {
    const answer = await this.#peer.request({ type: 'cancel_job', job_id });
    expect(answer).toMatchObject({ type: 'job_cancel_accepted' });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#peer.close();
  }
}

interface Gpu {
  gpu_name?: string;
  vram_mb?: number;
  draining?: boolean;
}

/** A machine of one GPU that takes a type of its own, and does nothing with what it gets but what a test says. */
class TestMachine implements AsyncDisposable {
  readonly id = unique('machine');
  readonly type = unique('kind');
  readonly #peer: Peer;
  #lease: Fields = {};

  constructor(peer: Peer) {
    this.#peer = peer;
  }

  async register({ gpu_name: name, vram_mb, draining }: Gpu): Promise<this> {
    const answer = await this.#peer.request({
      type: 'register_worker',
      machine_id: this.id,
      gpus: [{ index: 0, name, vram_mb }],
      job_types: [this.type],
      draining,
    });
    expect(answer).toMatchObject({ type: 'worker_registered' });
    return this;
  }

  /** Waits for the job and starts it. */
  async start(job_id: string): Promise<void> {
    const { lease_id } = await this.#peer.next(
      frame => frame.type === 'job_assigned' && frame.job_id === job_id,
    );
    this.#lease = { job_id, lease_id };
    this.tell({ type: 'job_started' });
  }

  /** Says something of the job it works on. */
  tell(frame: Asked): void {
    this.#peer.send({ ...frame, ...this.#lease });
  }

  /** Outputs from this index on. */
  output(from: number, ...data: unknown[]): void {
    data.forEach((one, i) => this.tell({ type: 'job_output', index: from + i, data: one }));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#peer.close();
  }
}

interface PageTests {
  readonly newPage: (options?: PageOptions) => Promise<WatchedPage>;
  /** The hub, as `http://host:port`. */
  readonly hubUrl: () => string;
  /** The address of the page. @param view its hash */
  readonly debugPage: (view?: string) => string;
  /** Submits a job of a type of its own, unless `fields` say else. @returns its id */
  readonly submit: (fields: Fields) => Promise<string>;
  readonly jobOf: (job_id: string) => Promise<Fields>;
  readonly connectMonitor: () => Promise<Monitor>;
  readonly connectMachine: (gpu: Gpu) => Promise<TestMachine>;
}

/** Starts a browser and a hub before the tests of the file, and ends them behind. */
export function pageTests(): PageTests {
  let browser: Browser;
  let hub: PageHub;
  beforeAll(async () => {
    [browser, hub] = await Promise.all([startBrowser(), PageHub.start()]);
  }, START_TIMEOUT_MS);
  afterAll(async () => {
    await browser?.close();
    await hub?.[Symbol.asyncDispose]();
  });
  const connect = (role: 'client' | 'worker' | 'monitor') =>
    Peer.connect(hub.httpUrl, { path: `/ws/${role}` });

  return {
    newPage: options => newPage(browser, options),
    hubUrl: () => hub.httpUrl,
    debugPage: (view = '') => `${hub.httpUrl}/debug${view}`,
    submit: async fields => {
      const client = await connect('client');
      const job_id = unique('page');
      const job = { job_id, job_type: unique('type'), params: {}, ...fields };
      expect(await client.request({ type: 'submit_job', ...job })).toMatchObject({ type: 'job_accepted' });
      await client.close();
      return job_id;
    },
    jobOf: async job_id => (await (await fetch(`${hub.httpUrl}/jobs/${job_id}`)).json()) as Fields,
    connectMonitor: async () => new Monitor(await connect('monitor')),
    connectMachine: async gpu => new TestMachine(await connect('worker')).register(gpu),
  };
}
