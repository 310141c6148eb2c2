/** Why a job waits, asked of two hubs with machines on both: each connected slot under the first test it fails. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type ApiError, HubApi } from '../../core/cli/http.ts';
import type { Explanation } from '../../core/messages/client.ts';
import { type Frame, type Lease, type MachineFields, MachinePeer, Peer } from '../harness/peer.ts';
import { Command } from '../command/command.ts';
import { Fleet, until } from '../harness/fleet.ts';

const H100 = 'NVIDIA H100 80GB HBM3';
const RTX = 'NVIDIA GeForce RTX 4090';

let fleet: Fleet;
let client: Peer;
let admin: Peer;
let apis: HubApi[];
let big: MachinePeer;
let small: MachinePeer;
const peers: { terminate(): Promise<void> }[] = [];

async function machine(url: string, fields: MachineFields): Promise<MachinePeer> {
  const made = await MachinePeer.register(url, fields);
  peers.push(made);
  return made;
}

beforeAll(async () => {
  fleet = await Fleet.start();
  const other = await fleet.addHub();
  apis = [fleet.hub, other].map(hub => new HubApi({ url: hub.httpUrl }));
  client = await Peer.connect(fleet.hub.wsUrl, { path: '/ws/client' });
  admin = await Peer.connect(other.wsUrl, { path: '/ws/monitor' });
  peers.push(client, admin);
});
afterAll(async () => {
  for (const peer of peers) await peer.terminate();
  await fleet[Symbol.asyncDispose]();
});

async function submit(fields: Record<string, unknown>): Promise<string> {
  const answer = await client.request({ type: 'submit_job', job_type: 'image', params: {}, ...fields });
  expect(answer.type).toBe('job_accepted');
  return answer['job_id'];
}

const cancel = (job_id: string) => client.request({ type: 'cancel_job', job_id });
const countsOf = ({ reasons }: Explanation) =>
  Object.fromEntries(reasons.map(({ code, count }) => [code, count]));

/** What both hubs say, when they say these counts: a hub learns of another's slots within a second. */
async function explained(job_id: string, counts: Record<string, number>): Promise<Explanation> {
  const [here, there] = await Promise.all(
    apis.map(api => {
      let said: Explanation | undefined;
      return until(`${JSON.stringify(counts)} of ${api.url}`, async () => {
        said = await api.explain(job_id);
        return JSON.stringify(countsOf(said)) === JSON.stringify(counts) && said;
      }).catch(error => {
        throw new Error(`${error.message}; the last answer was ${JSON.stringify(said)}`);
      });
    }),
  );
  expect(there).toMatchObject({ ...here, as_of: expect.any(Number), eta_ms: expect.toSatisfy(() => true) });
  return here as Explanation;
}

const total = ({ reasons }: Explanation) => reasons.reduce((sum, { count }) => sum + count, 0);

describe('before any machine is connected', () => {
  test('the reason is no_worker, and nobody can say when', async () => {
    const job_id = await submit({});
    expect(await explained(job_id, { no_worker: 0 })).toMatchObject({
      job_id,
      position: 1,
      eta_ms: null,
      slots_total: 0,
      reasons: [{ code: 'no_worker', count: 0, message: 'no machine is connected' }],
    });
    await cancel(job_id);
  });
});

describe('with five slots on two hubs', () => {
  beforeAll(async () => {
    const [a, b] = apis.map(api => api.url) as [string, string];
    await machine(a, { machine_id: 'video', job_types: ['video'] });
    big = await machine(a, {
      machine_id: 'big',
      job_types: ['image'],
      gpus: [{ index: 0, name: H100, vram_mb: 81_559 }],
      labels: { zone: 'us' },
    });
    const gpus = [0, 1, 2].map(index => ({ index, name: RTX, vram_mb: 24_564 }));
    small = await machine(b, {
      machine_id: 'small',
      job_types: ['image'],
      gpus,
      models: ['sdxl'],
      labels: { zone: 'eu' },
    });
  });

  test.each<[string, Record<string, unknown>, Record<string, number>]>([
    ['job_type', { job_type: 'audio' }, { job_type: 5 }],
    ['gpu_model', { requirements: { gpu_model: ['A100', 'B200'] } }, { gpu_model: 4, job_type: 1 }],
    ['vram_too_small', { requirements: { min_vram_mb: 200_000 } }, { vram_too_small: 4, job_type: 1 }],
    ['models', { requirements: { models: ['sdxl', 'wan'] } }, { models: 4, job_type: 1 }],
    ['labels', { requirements: { labels: { zone: ['asia'] } } }, { labels: 4, job_type: 1 }],
    [
      'each test in its order',
      { requirements: { gpu_model: ['4090'], min_vram_mb: 48_000, models: ['wan'], labels: { zone: 'us' } } },
      { vram_too_small: 3, gpu_model: 1, job_type: 1 },
    ],
    [
      'the nearest miss first',
      { requirements: { models: ['sdxl'], labels: { zone: 'us' } } },
      { labels: 3, models: 1, job_type: 1 },
    ],
  ])('%s: the counts partition the slots', async (_name, fields, counts) => {
    const job_id = await submit(fields);
    const said = await explained(job_id, counts);
    expect(said).toMatchObject({ slots_total: 5, position: 1, eta_ms: null });
    expect(total(said)).toBe(5);
    for (const { message } of said.reasons) expect(message).toMatch(/^\d of 5 slots \w/);
    await cancel(job_id);
  });

  test('draining: an operator took the slot out', async () => {
    await apis[1]?.drain('big:gpu0', 'new driver');
    const job_id = await submit({ requirements: { gpu_model: ['H100'] } });
    await explained(job_id, { draining: 1, gpu_model: 3, job_type: 1 });
    await apis[1]?.resume('big:gpu0');
    await big.complete(await big.assigned(job_id));
  });

  test('rejected: the slot turned down such a job just now, and others of its kind wait', async () => {
    const requirements = { models: ['sdxl'] };
    const job_id = await submit({ requirements });
    const turned: string[] = [];
    for (let slot = 0; slot < 3; slot++) {
      const lease = await small.assigned(job_id);
      turned.push(lease['worker_id']);
      await small.reject(lease, { retry_after_ms: 60_000 });
    }
    expect(new Set(turned).size).toBe(3);
    const said = await explained(job_id, { rejected: 3, models: 1, job_type: 1 });
    expect(said.reasons[0]?.message).toBe('3 of 5 slots have just turned down a job of this kind');
    await cancel(job_id);
    // Another kind of job is not concerned.
    const other = await submit({ requirements: { labels: { zone: 'eu' } } });
    await small.complete(await small.assigned(other));
  });

  test('busy: with the place in its line, and a start estimated from what was measured', async () => {
    const requirements = { gpu_model: ['H100'] };
    const held: Lease = await big.assigned(await submit({ requirements }));
    const second = await submit({ requirements });
    const third = await submit({ requirements });
    expect(await explained(second, { busy: 1, gpu_model: 3, job_type: 1 })).toMatchObject({ position: 1 });
    const said = await explained(third, { busy: 1, gpu_model: 3, job_type: 1 });
    expect(said).toMatchObject({ position: 2 });
    expect(said.reasons[0]?.message).toBe('1 of 5 slots is busy with another job');
    // Jobs of the type have ended within the last minute, so something was measured.
    const eta = await until('an estimate', async () => (await apis[0]?.explain(third))?.eta_ms);
    expect(eta.low).toBeGreaterThanOrEqual(0);
    expect(eta.high).toBeGreaterThan(eta.low);
    await big.complete(held);
    for (const job_id of [second, third]) await big.complete(await big.assigned(job_id));
  });

  test('scheduled: until it is due, and the slots that would take it stand under that', async () => {
    const job_id = await submit({ delay_ms: 3_600_000 });
    const said = await explained(job_id, { scheduled: 4, job_type: 1 });
    expect(said).toMatchObject({ position: null, slots_total: 5 });
    expect(said.reasons[0]?.message).toMatch(/^it is due at 20\d\d-/);
    expect(said.eta_ms?.low).toBeGreaterThan(3_500_000);
    expect(said.eta_ms?.low).toBeLessThanOrEqual(3_600_000);
    await cancel(job_id);
  });

  test('queue_paused: of its type or of all, with the reason', async () => {
    await admin.request({ type: 'pause_queue', job_type: 'image', reason: 'bad weights' });
    const job_id = await submit({});
    const said = await explained(job_id, { queue_paused: 4, job_type: 1 });
    expect(said.reasons[0]?.message).toBe('the queue of type image is paused: bad weights');
    expect(said).toMatchObject({ eta_ms: null, position: 1 });
    await admin.request({ type: 'pause_queue' });
    const both = await apis[0]?.explain(job_id);
    expect(
      both?.reasons
        .filter(({ code }) => code === 'queue_paused')
        .map(({ count }) => count)
        .sort(),
    ).toEqual([0, 4]);
    for (const job_type of [undefined, 'image']) await admin.request({ type: 'resume_queue', job_type });
    const taken = await Promise.race([big.assigned(job_id), small.assigned(job_id)]);
    expect(taken.job_id).toBe(job_id);
    // Running: there is nothing to explain.
    expect(await apis[0]?.explain(job_id)).toMatchObject({ position: null, eta_ms: null, reasons: [] });
    const owner = String(taken['worker_id']).startsWith('big') ? big : small;
    await owner.complete(taken);
    expect(await apis[1]?.explain(job_id)).toMatchObject({ slots_total: 5, reasons: [] });
  });

  test('a slot whose memory is told by its heartbeat alone takes jobs that need it', async () => {
    const job_id = await submit({ requirements: { min_vram_mb: 90_000 } });
    const [, b] = apis.map(api => api.url) as [string, string];
    const silent = await machine(b, { machine_id: 'silent', job_types: ['image'] });
    await explained(job_id, { vram_too_small: 5, job_type: 1 });
    await silent.heartbeat([], [{ worker_id: 'silent:gpu0', vram_total_mb: 141_000 }]);
    await silent.complete(await silent.assigned(job_id));
    await silent.terminate();
  });

  test('clients and monitors ask it on their sockets, and an unknown job is not_found', async () => {
    const job_id = await submit({ job_type: 'audio' });
    for (const peer of [client, admin]) {
      const answer: Frame = await peer.request({ type: 'explain_job', job_id });
      expect(answer).toMatchObject({ type: 'job_explained', job_id, position: 1, eta_ms: null });
      expect(answer['reasons']).toMatchObject([{ code: 'job_type', count: answer['slots_total'] }]);
      expect((await peer.request({ type: 'explain_job', job_id: 'nothing' }))['code']).toBe('not_found');
      expect((await peer.request({ type: 'explain_job', job_id: 7 }))['code']).toBe('invalid_message');
    }
    const error: ApiError = await (apis[0] as HubApi).explain('nothing').catch(e => e);
    expect(error).toMatchObject({ code: 'not_found', status: 404 });
    await cancel(job_id);
  });

  test('gpuhub job shows it', async () => {
    const job_id = await submit({ requirements: { min_vram_mb: 200_000 } });
    await explained(job_id, { vram_too_small: 4, job_type: 1 });
    const { text } = await new Command(fleet.hub.httpUrl).run('job', job_id);
    expect(text).toMatch(/waits because +4 of 5 slots have less than 200000 MB of memory/);
    expect(text).toMatch(/^ +1 of 5 slots does not take jobs of type image$/m);
    expect(text).toMatch(/position +1 of those with its type and requirements$/m);
    await cancel(job_id);
  });
});
