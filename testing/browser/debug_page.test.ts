import { mkdir, mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Browser, Page, WebSocketRoute } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { JobRecord } from '../../core/messages/job.ts';
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

async function jobOf(jobId: string): Promise<Record<string, unknown>> {
  const answer = await fetch(`${hub.httpUrl}/jobs/${jobId}`);
  return (await answer.json()) as Record<string, unknown>;
}

class Monitor implements AsyncDisposable {
  readonly #peer: Peer;
  private constructor(peer: Peer) {
    this.#peer = peer;
  }

  static async connect(): Promise<Monitor> {
    return new Monitor(await Peer.connect(hub.httpUrl, { path: '/ws/monitor' }));
  }

  async ask(frame: { type: string } & Record<string, unknown>): Promise<void> {
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

/** A machine of one GPU that takes a type of its own, and does nothing with what it gets but what a test says. */
class TestMachine implements AsyncDisposable {
  readonly id = unique('machine');
  readonly type = unique('kind');
  readonly #peer: Peer;
  #lease: Record<string, unknown> = {};
  private constructor(peer: Peer) {
    this.#peer = peer;
  }

  static async connect(gpu: {
    gpu_name?: string;
    vram_mb?: number;
    draining?: boolean;
  }): Promise<TestMachine> {
    const machine = new TestMachine(await Peer.connect(hub.httpUrl, { path: '/ws/worker' }));
    const { gpu_name: name, vram_mb, draining } = gpu;
    const answer = await machine.#peer.request({
      type: 'register_worker',
      machine_id: machine.id,
      gpus: [{ index: 0, name, vram_mb }],
      job_types: [machine.type],
      draining,
    });
    expect(answer).toMatchObject({ type: 'worker_registered' });
    return machine;
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
  tell(frame: { type: string } & Record<string, unknown>): void {
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

  test('drains with the reason that was given', async () => {
    await using machine = await TestMachine.connect({ gpu_name: 'NVIDIA L40S' });
    await using watched = await newPage(browser);
    const page = await watched.openLive(debugPage(`#/worker/${machine.id}:gpu0`));
    const inspector = page.getByRole('complementary', { name: `${machine.id}:gpu0` });
    await inspector.getByRole('button', { name: /^Drain/ }).waitFor();
    await page.keyboard.press('d');
    await inspector.getByLabel('reason').fill('new fans');
    await page.keyboard.press('Enter');
    await inspector.getByText('draining', { exact: true }).waitFor();
    await inspector.getByText('new fans').waitFor();
  });

  test('changes the priority of a job by its key', async () => {
    const jobId = await submit({});
    await using watched = await newPage(browser);
    const page = await watched.openLive(debugPage(`#/job/${jobId}`));
    await page.getByText('priority 0').waitFor();
    await page.keyboard.press('p');
    await page.getByLabel('priority').fill('-7');
    await page.keyboard.press('Enter');
    await expect.poll(async () => (await jobOf(jobId))['priority']).toBe(-7);
    await page.locator('.crumbs').getByText('priority −7').waitFor();
  });

  test('resubmits the content of a job as a new one', async () => {
    const jobId = await submit({ params: { prompt: 'again' }, priority: 3 });
    await using watched = await newPage(browser);
    const page = await watched.openLive(debugPage(`#/job/${jobId}`));
    await page.getByRole('button', { name: 'Resubmit as new' }).click();
    await page.waitForURL(url => !url.hash.includes(jobId));
    const copy = decodeURIComponent(new URL(page.url()).hash.replace('#/job/', ''));
    expect(await jobOf(copy)).toMatchObject({ params: { prompt: 'again' }, priority: 3, retry_of: null });
  });

  test('cancels all that are selected, and says how many', async () => {
    const job_type = unique('bulk');
    for (let i = 0; i < 3; i++) await submit({ job_type });
    await using watched = await newPage(browser);
    const page = await watched.openLive(debugPage(`#/jobs?q=type:${job_type}`));
    await expect.poll(() => page.locator('.jobs tr[data-row]').count()).toBe(3);
    // By the keys: the first row, selected.
    await page.keyboard.press('j');
    await page.keyboard.press('x');
    await page.getByRole('button', { name: 'select all 3 that match' }).click();
    await page.getByRole('button', { name: 'Cancel 3' }).click();
    await page.getByRole('button', { name: 'Yes' }).click();
    // It is held back for some seconds; who is sure does not wait.
    await page.getByText(/cancelling 3 in \d s/).waitFor();
    await page.getByRole('button', { name: 'Now' }).click();
    await page.getByText('3 cancelled or cancelling').waitFor();
    await expect.poll(() => page.locator('.jobs tr', { hasText: 'cancelled' }).count()).toBe(3);
  });

  describe('what was done is taken back', () => {
    /** A list of two jobs of one type, both selected. */
    async function twoSelected(page: Page, fields: Record<string, unknown>): Promise<string[]> {
      const job_type = unique('undo');
      const ids = [await submit({ job_type, ...fields }), await submit({ job_type, ...fields })];
      await page.goto(debugPage(`#/jobs?q=type:${job_type}`));
      // The list holds still as soon as one is selected.
      await expect.poll(() => page.locator('.jobs tr[data-row]').count()).toBe(2);
      await page.getByLabel(`select ${ids[0]}`).check();
      await page.getByLabel(`select ${ids[1]}`).check();
      return ids;
    }
    const statesOf = async (ids: string[]) => Promise.all(ids.map(async id => (await jobOf(id))['status']));

    test('a bulk cancel is not sent', async () => {
      await using watched = await newPage(browser);
      const page = await watched.openLive(debugPage());
      const ids = await twoSelected(page, {});
      await page.getByRole('button', { name: 'Cancel 2' }).click();
      await page.getByRole('button', { name: 'Yes' }).click();
      await page.getByRole('button', { name: /^Undo/ }).click();
      await page.getByText('nothing was done').waitFor();
      expect(await statesOf(ids)).toEqual(['queued', 'queued']);
    });

    test('by Ctrl+Z, a bulk change of priority: each job has its own again', async () => {
      await using watched = await newPage(browser);
      const page = await watched.openLive(debugPage());
      const ids = await twoSelected(page, { priority: -20 });
      const prioritiesOf = async () => Promise.all(ids.map(async id => (await jobOf(id))['priority']));
      await page.getByRole('button', { name: 'Priority of 2' }).click();
      await page.getByLabel('priority').fill('30');
      await page.keyboard.press('Enter');
      await page.getByText('2 with priority 30').waitFor();
      expect(await prioritiesOf()).toEqual([30, 30]);
      await expect.poll(() => page.locator('.jobs').getByText('30', { exact: true }).count()).toBe(2);
      await page.keyboard.press('Control+z');
      await page.getByText('2 with their former priority').waitFor();
      expect(await prioritiesOf()).toEqual([-20, -20]);
    });

    test('a bulk retry: the new jobs are cancelled', async () => {
      await using monitor = await Monitor.connect();
      await using watched = await newPage(browser);
      const page = await watched.openLive(debugPage());
      const ids = await twoSelected(page, {});
      for (const job_id of ids) await monitor.cancel(job_id);
      await page.getByRole('button', { name: 'Retry 2' }).click();
      await page.getByRole('button', { name: 'Yes' }).click();
      await page.getByText('2 submitted again').waitFor();
      await page.getByRole('button', { name: /^Undo/ }).click();
      await page.getByText('2 of the new jobs cancelled').waitFor();
      const answer = await fetch(
        `${hub.httpUrl}/jobs?job_type=${(await jobOf(ids[0] as string))['job_type']}`,
      );
      const { jobs } = (await answer.json()) as { jobs: { status: string }[] };
      expect(jobs.map(job => job.status)).toEqual(Array(4).fill('cancelled'));
    });

    test('a drain, and then a resume, with its reason', async () => {
      await using machine = await TestMachine.connect({});
      await using watched = await newPage(browser);
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
  });

  test('says of a list why each job waits, and counts what no GPU can run', async () => {
    await using machine = await TestMachine.connect({ gpu_name: 'NVIDIA L40S', vram_mb: 49_152 });
    const job_type = machine.type;
    const jobId = await submit({ job_type, requirements: { min_vram_mb: 81_920 } });
    await using watched = await newPage(browser);
    const page = await watched.openLive(debugPage(`#/jobs?q=${jobId}`));
    await page.getByText(`no GPU that takes ${job_type} has 80 GB`).waitFor();
    await page.getByRole('link', { name: 'Overview' }).click();
    await page.locator('.needs').getByText(jobId).waitFor();
  });

  describe('says on its page why a job does not run', () => {
    const why = (page: Page) => page.locator('section', { hasText: 'Why it waits' });

    test('no GPU takes its type', async () => {
      await using _machine = await TestMachine.connect({});
      const jobId = await submit({});
      await using watched = await newPage(browser);
      const page = await watched.openLive(debugPage(`#/job/${jobId}`));
      await why(page).getByText('No GPU here can run it.').waitFor();
      await why(page).locator('li[data-code=job_type]').getByText('0 left').waitFor();
    });

    test('GPUs have too little memory', async () => {
      await using machine = await TestMachine.connect({ vram_mb: 8192 });
      const jobId = await submit({ job_type: machine.type, requirements: { min_vram_mb: 16_000 } });
      await using watched = await newPage(browser);
      const page = await watched.openLive(debugPage(`#/job/${jobId}`));
      await why(page).locator('li[data-code=vram_too_small]').getByText('0 left').waitFor();
    });

    test('all that fit are busy', async () => {
      await using machine = await TestMachine.connect({});
      await submit({ job_type: machine.type });
      const jobId = await submit({ job_type: machine.type });
      await using watched = await newPage(browser);
      const page = await watched.openLive(debugPage(`#/job/${jobId}`));
      await why(page).getByText('One GPU can run it. None is free just now.').waitFor();
    });

    test('the one that fits is draining', async () => {
      await using machine = await TestMachine.connect({ draining: true });
      const jobId = await submit({ job_type: machine.type });
      await using watched = await newPage(browser);
      const page = await watched.openLive(debugPage(`#/job/${jobId}`));
      await why(page).getByText('The only GPU that could run it takes no new job').waitFor();
    });

    test('it is planned for later', async () => {
      await using machine = await TestMachine.connect({});
      const jobId = await submit({ job_type: machine.type, delay_ms: 3_600_000 });
      await using watched = await newPage(browser);
      const page = await watched.openLive(debugPage(`#/job/${jobId}`));
      await why(page)
        .getByText(/It is planned to start in (59m|1h00m)/)
        .waitFor();
    });

    test('its queue is paused, and one button ends that', async () => {
      await using machine = await TestMachine.connect({});
      await using monitor = await Monitor.connect();
      await monitor.ask({ type: 'pause_queue', job_type: machine.type, reason: 'model swap' });
      const jobId = await submit({ job_type: machine.type });
      await using watched = await newPage(browser);
      const page = await watched.openLive(debugPage(`#/job/${jobId}`));
      await why(page).getByText('paused: model swap').waitFor();
      await why(page).getByRole('button', { name: 'Resume the queue' }).click();
      await stateOf(page)
        .getByText(/assigned|processing/)
        .waitFor();
    });
  });

  test('shows a pause that somebody else set, and its end', async () => {
    await using machine = await TestMachine.connect({});
    await using monitor = await Monitor.connect();
    await using watched = await newPage(browser);
    const page = await watched.openLive(debugPage());
    // No job waits for it: the statistics say it by themselves, once a second.
    await monitor.ask({ type: 'pause_queue', job_type: machine.type, reason: 'elsewhere' });
    const need = page.locator('.needs').getByText(`queue paused: ${machine.type}`);
    await need.waitFor({ timeout: 5000 });
    await monitor.ask({ type: 'resume_queue', job_type: machine.type });
    await need.waitFor({ state: 'detached', timeout: 5000 });
  });

  test('mock machines go on while the page itself is stuck', async () => {
    await using watched = await newPage(browser);
    const page = await watched.openLive(debugPage('#/console'));
    const machine = await startMock(page);
    const seenAt = async () => {
      const answer = await fetch(`${hub.httpUrl}/workers/${machine}:gpu0`);
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

  // At once, as they mostly wait.
  describe.concurrent('scenarios and loads', () => {
    let short: PageHub;
    beforeAll(async () => {
      short = await PageHub.start({ LEASE_MS: '2000', REAP_INTERVAL_MS: '100' });
    }, START_TIMEOUT_MS);
    afterAll(async () => {
      await short?.[Symbol.asyncDispose]();
    });

    /** Plays one to its end; its jobs as the hub has them, in the order of their submission. */
    async function play(name: string): Promise<JobRecord[]> {
      await using watched = await newPage(browser);
      const page = await watched.openLive(`${short.httpUrl}/debug#/console`);
      await page.getByLabel('scenario', { exact: true }).selectOption(name);
      await page.getByRole('button', { name: 'Play', exact: true }).click();
      const verdict = page.locator('.verdict');
      await verdict.getByText(`${name}: as claimed`).waitFor({ timeout: 40_000 });
      await page.getByLabel('filter frames').fill('conn:scenario type:job_completed');
      const frame = page.getByRole('log', { name: 'frames' }).getByText('"play-').first();
      const job_type = /play-\w+/.exec(await frame.innerText())?.[0];
      const answer = await fetch(`${short.httpUrl}/jobs?job_type=${job_type}&limit=100&full=true`);
      const { jobs } = (await answer.json()) as { jobs: JobRecord[] };
      const numberOf = ({ job_id }: JobRecord) => Number(job_id.split(':')[1]);
      return jobs.sort((a, b) => numberOf(a) - numberOf(b));
    }

    test.skipIf(givenHub !== undefined)(
      'a machine dies at work, and urgent work comes; leases are short here',
      async ({ expect }) => {
        const [died, urgent] = await Promise.all([play('A machine dies at work'), play('Urgent work')]);

        expect(died.map(job => job.status)).toEqual(Array(16).fill('completed'));
        const lost = died.filter(job => job.attempt > 1);
        expect(lost.length).toBeGreaterThan(0);
        expect(lost.length).toBeLessThanOrEqual(4);
        for (const { attempts } of lost) {
          const workers = new Set(attempts?.map(one => one.worker_id?.split(':')[0]));
          expect(attempts?.[0]?.error).toMatchObject({ code: 'lease_expired' });
          expect(workers.size).toBe(2);
        }

        expect(urgent.map(job => job.status)).toEqual(Array(28).fill('completed'));
        const [late, before] = [urgent.slice(24), urgent.slice(0, 24)];
        expect(late.map(job => job.priority)).toEqual([100, 100, 100, 100]);
        const came = Math.max(...late.map(job => job.created_at));
        const started = Math.max(...late.map(job => job.assigned_at ?? Number.POSITIVE_INFINITY));
        const waited = before.filter(job => (job.assigned_at ?? 0) > came);
        expect(waited.length).toBeGreaterThan(10);
        expect(waited.filter(job => (job.assigned_at ?? 0) < started)).toEqual([]);
      },
    );

    test('a scenario plays on machines of its own and checks its claim', async ({ expect }) => {
      await using watched = await newPage(browser);
      const page = await watched.openLive(debugPage('#/console'));
      await page.getByLabel('scenario', { exact: true }).selectOption('A job that nobody can run');
      await page.getByRole('button', { name: 'Play', exact: true }).click();
      await page
        .locator('.verdict')
        .getByText('A job that nobody can run: as claimed')
        .waitFor({ timeout: 30_000 });
      // Its machines are gone with it.
      await expect.poll(() => page.locator('.fleet tr').count()).toBe(0);
    });

    const numberOf = async (page: Page, name: string) => {
      const number = page.locator('.load-outcome div', { has: page.getByText(name, { exact: true }) });
      return Number((await number.locator('dd').innerText()).split(' ')[0]);
    };
    const slide = (page: Page, label: string, to: number) => page.getByLabel(label).fill(String(to));

    test('a load sends the chosen number at the chosen mix, and counts what became of each', async ({
      expect,
    }) => {
      await using watched = await newPage(browser);
      const page = await watched.openLive(debugPage('#/console'));
      await startMock(page);
      const [small, large] = [unique('small'), unique('large')];
      await slide(page, 'jobs a second', 4);
      await slide(page, 'for', 0);
      await page.getByLabel('type of kind 1').fill(small);
      await page.getByLabel('seconds of kind 1').fill('0.01');
      await page.getByLabel('type of kind 2').fill(large);
      await page.getByLabel('priority of kind 2').fill('-7');
      await page.getByLabel('seconds of kind 2').fill('0.02');
      await page.getByRole('button', { name: 'Submit 40 jobs' }).click();
      await expect.poll(() => numberOf(page, 'completed'), { timeout: 15_000 }).toBe(40);
      expect(await numberOf(page, 'accepted')).toBe(40);
      expect(await numberOf(page, 'refused')).toBe(0);
      // Its connection goes with it.
      await page.getByRole('button', { name: 'Submit 40 jobs' }).waitFor();
      await expect.poll(() => page.locator('.connections .chip').count()).toBe(0);
      const listed = async (type: string) => {
        const answer = await fetch(`${hub.httpUrl}/jobs?job_type=${type}&limit=100&full=true`);
        return ((await answer.json()) as { jobs: Record<string, unknown>[] }).jobs;
      };
      expect(await listed(small)).toHaveLength(30);
      const larges = await listed(large);
      expect(larges).toHaveLength(10);
      expect(larges[0]).toMatchObject({
        priority: -7,
        requirements: { min_vram_mb: 24 * 1024 },
        status: 'completed',
      });
    });

    test('a load stops, and cancels what has not ended', async ({ expect }) => {
      await using watched = await newPage(browser);
      const page = await watched.openLive(debugPage('#/console'));
      // No machine of the other tests has so much memory.
      const type = unique('nobody');
      await page.getByRole('button', { name: 'Remove kind 2' }).click();
      await page.getByLabel('type of kind 1').fill(type);
      await page.getByLabel('GB of kind 1').fill('900');
      await page.getByRole('button', { name: /^Submit 600/ }).click();
      await expect.poll(() => numberOf(page, 'wait or run')).toBeGreaterThan(5);
      await page.getByRole('button', { name: 'Stop', exact: true }).click();
      await page.getByRole('button', { name: 'Stop', exact: true }).waitFor({ state: 'detached' });
      await page.getByRole('button', { name: 'Cancel the rest' }).click();
      await page.getByRole('button', { name: /^Submit 600/ }).waitFor();
      expect(await numberOf(page, 'wait or run')).toBe(0);
      const sent = await numberOf(page, 'sent');
      expect(await numberOf(page, 'cancelled')).toBe(sent);
      const answer = await fetch(`${hub.httpUrl}/jobs?job_type=${type}&status=cancelled&limit=500`);
      expect(((await answer.json()) as { jobs: unknown[] }).jobs).toHaveLength(sent);
    });
  });

  test('shows a result of many lines as lines, on demand', async () => {
    const jobId = await submit({ params: { text: 'one\ntwo\n<b>three</b>' } });
    await using watched = await newPage(browser);
    const page = await watched.openLive(debugPage(`#/job/${jobId}`));
    await page.getByRole('button', { name: 'show as text' }).click();
    expect(await page.locator('.text-preview > div').allInnerTexts()).toEqual(['one', 'two', '<b>three</b>']);
  });

  describe('the output of a job', () => {
    const outputOf = (page: Page) => page.getByRole('log', { name: 'output' });

    test('comes live: text as text, JSON in lines that unfold, gaps where they are, hostile text as text', async () => {
      await using machine = await TestMachine.connect({});
      const jobId = await submit({ job_type: machine.type });
      await machine.start(jobId);
      await using watched = await newPage(browser);
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
      await using machine = await TestMachine.connect({});
      const jobId = await submit({ job_type: machine.type });
      await machine.start(jobId);
      machine.output(0, 'a', 'b');
      await using watched = await newPage(browser);
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
      await using machine = await TestMachine.connect({});
      const jobId = await submit({ job_type: machine.type });
      await machine.start(jobId);
      await using watched = await newPage(browser);
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

  test('says all keys at ?', async () => {
    await using watched = await newPage(browser);
    const page = await watched.openLive(debugPage());
    await page.keyboard.press('?');
    await page.getByRole('dialog', { name: 'keys' }).getByText('resubmit as new').waitFor();
    await page.keyboard.press('Escape');
    await expect.poll(() => page.getByRole('dialog').count()).toBe(0);
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

  test('works when the hub allows it, its mock machines too', async () => {
    await using allowing = await PageHub.start({ ALLOWED_ORIGINS: 'null' });
    await using watched = await newPage(browser);
    const page = await watched.openLive(`${FILE}#hub=${allowing.wsUrl}`);
    await page.getByRole('link', { name: 'Console' }).click();
    await startMock(page);
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
