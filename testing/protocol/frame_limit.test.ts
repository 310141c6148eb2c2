/** Protocol section 1: "The hub never sends a frame above `max_message_bytes` either." Sizes are those of UTF-8. */
import { afterEach, describe, expect, test } from 'vitest';
import type { Frame, Peer } from '../harness/peer.ts';
import { event, hub_under_test, submit, unique } from './hub_under_test.ts';

const LIMIT = 65_536;
const hub = hub_under_test({ LEASE_MS: '60000', MAX_MESSAGE_BYTES: String(LIMIT) });

/** 12 KB in 4,096 characters. */
const WIDE = { note: '中'.repeat(4096) };
const HOUR_MS = 3_600_000;
/** The most that params and result may have. */
const BIG = 'x'.repeat(LIMIT * 0.75 - 100);

const peers: Peer[] = [];
const kept = async (peer: Promise<Peer>): Promise<Peer> => {
  peers.push(await peer);
  return peer;
};
const client = () => kept(hub.client());
const monitor = () => kept(hub.monitor());

afterEach(async () => {
  for (const { frames } of peers) {
    const sizes = frames.map(frame => [frame.type, Buffer.byteLength(JSON.stringify(frame))] as const);
    expect(sizes.filter(([, bytes]) => bytes > LIMIT)).toEqual([]);
  }
  await Promise.all(peers.splice(0).map(peer => peer.close()));
});

/** Jobs that wait, with 12 KB of metadata each. */
async function wide_jobs(peer: Peer, job_type: string, count: number): Promise<string[]> {
  const ids = Array.from({ length: count }, () => unique('wide'));
  for (const job_id of ids)
    await submit(peer, { job_type, job_id, metadata: WIDE, delay_ms: HOUR_MS, watch: false });
  return ids;
}

/** A job whose params and result fit into a frame each, but not together. */
async function large_job(peer: Peer, job_type: string): Promise<string> {
  const machine = await hub.machine({ job_types: [job_type] });
  const { job_id } = await submit(peer, { job_type, params: { x: BIG } });
  await machine.run(job_id, BIG);
  await event(peer, job_id, 'job_completed');
  await machine.terminate();
  return job_id;
}

async function pages(peer: Peer, filter: object): Promise<Frame[][]> {
  const found: Frame[][] = [];
  for (let cursor: string | null | undefined; cursor !== null; ) {
    const page = await peer.request({ type: 'list_jobs', ...filter, ...(cursor ? { cursor } : {}) });
    expect(page.type).toBe('jobs');
    found.push(page['jobs']);
    cursor = page['next_cursor'];
  }
  return found;
}

describe.skipIf(hub.skip)('a frame has at most max_message_bytes', () => {
  test('a page of a list ends early, and every job comes exactly once', async () => {
    const peer = await client();
    const job_type = unique('t');
    const ids = await wide_jobs(peer, job_type, 12);
    const found = await pages(peer, { job_type, limit: 500 });
    expect(found.length).toBeGreaterThan(2);
    expect(found.flat().map(job => job['job_id'])).toEqual(ids.toReversed());
  });

  test('a job that is larger than a page is shown in its short form, though full was asked', async () => {
    const peer = await client();
    const job_type = unique('t');
    const large = await large_job(peer, job_type);
    const { job_id: small } = await submit(peer, { job_type, params: { a: 1 }, delay_ms: HOUR_MS });
    const found = (await pages(peer, { job_type, full: true })).flat();
    expect(found.map(job => job['job_id'])).toEqual([small, large]);
    expect(found[0]).toMatchObject({ params: { a: 1 }, result: null, attempts: [] });
    expect(found[1]).toMatchObject({ status: 'completed' });
    for (const name of ['params', 'result', 'attempts']) expect(found[1]).not.toHaveProperty(name);
  });

  test('get_job of a larger record is payload_too_large, and GET /jobs/{job_id} has it whole', async () => {
    const peer = await client();
    const job_id = await large_job(peer, unique('t'));
    const refused = await peer.request({ type: 'get_job', job_id });
    expect(refused).toMatchObject({ type: 'error', code: 'payload_too_large', details: { limit: LIMIT } });
    expect(refused['details'].bytes).toBeGreaterThan(2 * BIG.length);
    expect(refused['message']).toContain(`${refused['details'].bytes} bytes`);
    expect(refused['message']).toContain(`GET /jobs/${job_id}`);
    const whole = await hub.http('GET', `/jobs/${job_id}`);
    expect(whole.body).toMatchObject({ params: { x: BIG }, result: BIG });
  });

  test('jobs_watched shows as many as fit, and the events of the others come all the same', async () => {
    const peer = await client();
    const ids = await wide_jobs(peer, unique('t'), 12);
    const ended = ids[10] as string;
    await peer.request({ type: 'cancel_job', job_id: ended });
    const watched = await peer.request({ type: 'watch_jobs', job_ids: ids, after_seq: { [ended]: 0 } });
    expect(watched).toMatchObject({ type: 'jobs_watched', not_found: [] });
    const shown = watched['jobs'].map((job: Frame) => job['job_id']);
    expect(shown).toEqual(ids.slice(0, shown.length));
    expect(shown.length).toBeGreaterThan(2);
    expect(shown.length).toBeLessThan(6);
    expect((await event(peer, ended, 'job_cancelled')).seq).toEqual(expect.any(Number));
    const last = ids[11] as string;
    await (await client()).request({ type: 'cancel_job', job_id: last });
    expect((await event(peer, last, 'job_cancelled')).seq).toEqual(expect.any(Number));
  });

  test('workers and the snapshot show as many as fit; left_out says how many do not, and GET /workers has all', async () => {
    const machine = () => hub.machine({ job_types: [unique('t')], gpu_count: 64 });
    const last = await machine();
    const machines = [await machine(), await machine(), last];
    const peer = await monitor();
    const answer = await peer.request({ type: 'list_workers' });
    const { workers } = (await hub.http('GET', '/workers')).body;
    expect(workers).toHaveLength(3 * 64);
    expect(answer['workers'].length).toBeGreaterThan(64);
    expect(answer['left_out']).toBe(3 * 64 - answer['workers'].length);
    const names = (list: Frame[]) => list.map(worker => worker['worker_id']);
    expect(names(answer['workers'])).toEqual(names(workers).slice(0, answer['workers'].length));
    const { machine_id } = last.fields;
    const few = await peer.request({ type: 'list_workers', filter: { machine_id } });
    expect(few['workers']).toHaveLength(64);
    expect(few).not.toHaveProperty('left_out');
    await peer.next('snapshot');
    for (const one of machines) await one.terminate();
  });
});
